"""Who waits for something to become true."""

from __future__ import annotations

from collections.abc import Callable

from taskloom.clock import mono
from taskloom.sync.latch import Latch

__all__ = ["Condition"]


class Condition:
    """Threads that look again whenever they are told to."""

    def __init__(self) -> None:
        self._latches: list[Latch] = []

    def wait_until(self, is_true: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until that is true; False when it took longer than `timeout` seconds."""
        until = None if timeout is None else mono() + timeout
        while True:
            latch = Latch()
            self._latches.append(latch)  # before the look: a change after it opens the latch
            try:
                if is_true():
                    return True
                left = None if until is None else until - mono()
                if left is not None and left <= 0:
                    return False
                latch.wait(left)
            finally:
                self._remove(latch)

    def notify_all(self) -> None:
        """Have everybody look again; never blocks."""
        latches = self._latches
        while latches:
            try:
                latches.pop().open()
            except IndexError:
                return  # its waiter had waited long enough and took it back

    def _remove(self, latch: Latch) -> None:
        try:
            self._latches.remove(latch)
        except ValueError:
            pass  # it was opened
