"""A condition to wait for, whose notification never blocks."""

from __future__ import annotations

from collections.abc import Callable

from taskloom.clock import mono
from taskloom.sync.latch import Latch

__all__ = ["Condition"]


class Condition:
    """Threads that evaluate a predicate again at each notification. Any thread may call any method."""

    def __init__(self) -> None:
        self._latches: list[Latch] = []

    def wait_until(self, is_true: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until `is_true` returns True; return False after `timeout` seconds."""
        until = None if timeout is None else mono() + timeout
        while True:
            latch = Latch()
            self._latches.append(latch)  # before the evaluation: a change that comes after it opens the latch
            try:
                if is_true():
                    return True
                left = None if until is None else until - mono()
                if left is not None and left <= 0:
                    return False
                latch.wait(left)
            finally:
                try:
                    self._latches.remove(latch)
                except ValueError:
                    pass  # `notify_all` took and opened it

    def notify_all(self) -> None:
        """Make every waiting thread evaluate its predicate again; never blocks."""
        latches = self._latches
        while latches:
            try:
                latches.pop().open()
            except IndexError:
                return  # its waiter timed out and removed it
