"""Turns job files into validated jobs: reads and validates them, and reports every problem at its place."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskloom.jobfile.loader import CheckResult, check, load

__all__ = ["CheckResult", "check", "load"]


def __getattr__(name: str) -> Any:
    # The loader imports most of this package. Completion needs the names of the jobs alone, in a tenth of the time.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("taskloom.jobfile.loader"), name)
