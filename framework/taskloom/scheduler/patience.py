"""How long the calling thread waits for the scheduler's thread: for ever, unless it has set a limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

from taskloom.clock import mono

__all__ = ["patience", "patience_until"]

# A monotonic second.
_until: ContextVar[float] = ContextVar("taskloom_patience", default=inf)


def patience_until() -> float:
    """Return the monotonic second until which the calling thread waits for an answer; inf for no limit."""
    return _until.get()


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Limit the waits of the calling thread within the block, to `seconds` in all. An inner block may only lower it."""
    token = _until.set(min(_until.get(), mono() + seconds))
    try:
        yield
    finally:
        _until.reset(token)
