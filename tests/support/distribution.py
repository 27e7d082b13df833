"""An installed distribution whose tasks a test writes itself, for programs in child processes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.support.toy_distribution import add_distribution

__all__ = ["write_distribution"]


def write_distribution(folder: Path, name: str, source: str, tasks: Iterable[str]) -> Path:
    """Write the module `name` and the entry points of its tasks into the folder, which belongs on PYTHONPATH."""
    add_distribution(folder, name, source, **{task: task.replace("-", "_") for task in tasks})
    return folder
