"""Puts tests that a class inherits into the long share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

__all__ = ["long_except", "long_only"]

Class = TypeVar("Class", bound=type)


def long_only(*names: str) -> Callable[[Class], Class]:
    """Put these tests of the class into the long share."""
    return lambda cls: _mark(cls, set(names))


def long_except(*names: str) -> Callable[[Class], Class]:
    """Put all tests of the class into the long share, except these."""
    return lambda cls: _mark(cls, _tests(cls) - set(names), kept=names)


def _tests(cls: type) -> set[str]:
    return {name for name in dir(cls) if name.startswith("test_")}


def _mark(cls: Class, names: set[str], kept: tuple[str, ...] = ()) -> Class:
    unknown = (names | set(kept)) - _tests(cls)
    if unknown:
        raise ValueError(f"{cls.__name__} has no test {', '.join(sorted(unknown))}")
    for name in sorted(names):  # the workers of pytest-xdist must find the tests in one order
        setattr(cls, name, pytest.mark.long(_own(getattr(cls, name))))
    return cls


def _own(test: Callable[..., Any]) -> Callable[..., Any]:
    """Return a test that does the same: the inherited one is shared with other classes, which do not want the mark."""

    @functools.wraps(test)
    def own(*arguments: Any, **options: Any) -> Any:
        return test(*arguments, **options)

    return own
