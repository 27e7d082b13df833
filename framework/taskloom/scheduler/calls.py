"""The entries of callers that wait in the scheduler's queue: a call with an answer, or a condition to become true."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Iterable
from typing import Any

from taskloom.core.inputs import Input
from taskloom.core.lifecycle import Lifecycle

__all__ = ["Call", "Waiter", "Waiters"]


class Call:
    """Commands whose caller waits for the answer. `read` makes the answer on the scheduler thread."""

    __slots__ = ("_claim", "_is_claimed", "_released", "error", "is_answered", "messages", "read", "result")

    def __init__(self, messages: Iterable[Input], read: Callable[[Lifecycle], Any]) -> None:
        self.messages = messages
        self.read = read
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_answered = False
        # The scheduler thread or the caller takes the only entry. The one that takes it decides if the commands happen.
        self._claim = [None]
        self._is_claimed = False
        self._released = allocate_lock()
        self._released.acquire()

    def claim(self) -> bool:
        """Return whether the commands may be carried out: the caller has not withdrawn them. For the scheduler thread.

        It may be called again: an error can strike while the commands are carried out.
        """
        if not self._is_claimed:
            self._is_claimed = self._take()
        return self._is_claimed

    def withdraw(self) -> bool:
        """Return whether the commands are withdrawn: they will never be carried out. For the caller, at most once."""
        return self._take()

    def _take(self) -> bool:
        try:
            self._claim.pop()
        except IndexError:
            return False
        return True

    def answer(self, core: Lifecycle) -> None:
        """Make the answer, unless a command was refused. The caller waits for `release`."""
        if self.error is None and self._is_claimed:
            try:
                self.result = self.read(core)
            except Exception as error:  # noqa: BLE001 - raised in the caller
                self.error = error
        self.is_answered = True

    def fail(self, error: BaseException) -> None:
        """Raise the error in the caller."""
        self.error = error
        self.is_answered = True
        self.release()

    def release(self) -> None:
        """Release the caller."""
        try:
            self._released.release()
        except RuntimeError:
            pass  # released already

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the answer; return whether it is there. Called by the caller alone."""
        return self._released.acquire(timeout=seconds)


class Waiter:
    """A condition on the core that a caller waits for. `is_true` is called on the scheduler thread."""

    __slots__ = ("_fulfilled", "is_abandoned", "is_true")

    def __init__(self, is_true: Callable[[Lifecycle], bool]) -> None:
        self.is_true = is_true
        self.is_abandoned = False
        """Whether the caller has stopped waiting."""
        self._fulfilled = allocate_lock()
        self._fulfilled.acquire()

    def release(self) -> None:
        """Release the caller; idempotent."""
        try:
            self._fulfilled.release()
        except RuntimeError:
            pass  # released already

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds (-1: for ever); return whether the condition was true at some moment."""
        try:
            return self._fulfilled.acquire(timeout=timeout)
        finally:
            self.is_abandoned = True


class Waiters:
    """The conditions that callers wait for. Only the scheduler thread uses it."""

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []

    def add(self, waiter: Waiter, core: Lifecycle) -> None:
        """Evaluate a new condition; keep it if it is not true yet."""
        if not self._release_if_true(waiter, core):
            # The abandoned ones are dropped here as well: a caller may wait in a loop while nothing changes.
            self._waiters = [kept for kept in self._waiters if not kept.is_abandoned]
            self._waiters.append(waiter)

    def evaluate(self, core: Lifecycle) -> None:
        """Evaluate all conditions after a change, and release the callers whose condition is true."""
        self._waiters = [
            waiter for waiter in self._waiters if not waiter.is_abandoned and not self._release_if_true(waiter, core)
        ]

    def release_all(self) -> None:
        """Release every caller: no change will come any more."""
        for waiter in self._waiters:
            waiter.release()

    def _release_if_true(self, waiter: Waiter, core: Lifecycle) -> bool:
        try:
            is_true = waiter.is_true(core)
        except Exception:  # noqa: BLE001 - its caller evaluates it again, and meets the error
            is_true = True
        if is_true:
            waiter.release()
        return is_true
