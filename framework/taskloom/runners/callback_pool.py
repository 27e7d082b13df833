"""Helper threads that call `terminate()` and `on_cancel` callbacks: neither the caller's nor the run's thread does.

A callback is plugin code and may block for ever. If a helper has been busy with one callback for a second, it counts as
stuck and another helper may be added, so that one bad callback does not delay the others.

There is no lock: a finalizer may cancel a run at any line here, and a lock that its thread holds already would block it
for ever. Everything that threads share is a queue, or a dict or deque of which one call adds or removes an entry.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from taskloom.clock import mono
from taskloom.core.endings import ErrorInfo
from taskloom.core.run_reports import CallbackFailed
from taskloom.runners.error_info import describe
from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.latch import Latch
from taskloom.text import plural

__all__ = ["MAX_HELPERS", "MAX_HELPERS_NOT_STUCK", "CallbackPool"]

# DESIGN section 6: sixteen helpers are enough for callbacks that do not block; 64 bound the cost of stuck ones.
MAX_HELPERS_NOT_STUCK = 16
MAX_HELPERS = 64
STUCK_SECONDS = 1.0
_NEVER = float("inf")


class _Item:
    """A callback that is queued or being called. `until`: monotonic second by which it should have begun."""

    __slots__ = ("callback", "is_called_again", "is_claimed", "is_reported", "run", "until")

    def __init__(self, run: str, callback: CancelCallback, until: float) -> None:
        self.run = run
        self.callback = callback
        self.until = until
        # Whether a helper has won the right to call it.
        self.is_claimed = False
        # Whether there was no memory for the first call.
        self.is_called_again = False
        self.is_reported = False


class _Call(NamedTuple):
    """The work of a helper, and when it began."""

    began: float
    item: _Item


class CallbackPool:
    """The helper threads and their queue. Any thread may call any method.

    `report` is called for each callback that raised, and for each `terminate` of an ended run that did not begin in
    time. It must not block.
    """

    def __init__(self, report: Callable[[CallbackFailed], None]) -> None:
        self._report = report
        # None ends the helper that takes it, once nothing else is queued.
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        # The callbacks that no helper has begun yet. A helper adds its call to `_busy` before it removes it here, so
        # that no callback is in neither; one that is in both for a moment costs at most one helper too many.
        self._waiting: dict[_Item, None] = {}
        # For each busy helper, by its number, its current call.
        self._busy: dict[int, _Call] = {}
        self._helpers: dict[int, None] = {}
        # The numbers of the helpers that may still be added: no race can add more than MAX_HELPERS.
        self._numbers = deque(range(1, MAX_HELPERS + 1))
        self._is_closed = False
        # Opened and dropped when a helper has finished a callback; for `join`.
        self._progress: Latch | None = None

    def prepare(self) -> bool:
        """Start one helper: during a stop the system may refuse new threads. Return whether there is one."""
        return bool(self._helpers) or self._add_helper()

    def submit(self, run: str, callbacks: list[CancelCallback], until: float = _NEVER) -> None:
        """Queue the callbacks of a run. `until`: monotonic second at which the stop of the run is overdue."""
        for callback in callbacks:
            self._put(_Item(run, callback, until))
            self._grow()

    def grow_if_stuck(self) -> float | None:
        """Add a helper if callbacks wait and the limits allow it; report each `terminate` that did not begin in time.

        Return after how many seconds to call this again; None if nothing is queued.
        """
        if not self._waiting:
            return None
        self._grow()
        now = mono()
        for item in self._waiting.copy():
            if item.until <= now and item.callback.has_run_ended and not item.is_reported:
                item.is_reported = True
                self._report(CallbackFailed(item.run, item.callback.name, self._not_begun()))
        return STUCK_SECONDS if self._waiting else None

    def close(self) -> None:
        """Let the helpers end when nothing is queued. A helper that is stuck in a callback remains as a daemon thread.

        Callbacks that are queued later are called all the same.
        """
        if not self._is_closed:
            self._is_closed = True
            try:
                self._queue.put(None)
            except BaseException:
                self._is_closed = False
                raise

    def join(self, timeout: float) -> list[str]:
        """Wait at most `timeout` seconds until each `terminate` has returned.

        Return the runs whose `terminate` has not begun by then.
        """
        self._wait_while(self._has_unfinished_terminate, timeout)
        return [item.run for item in self._waiting.copy() if item.callback.has_run_ended]

    def join_begun(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until each `terminate`, and each callback that has begun, has returned."""
        self._wait_while(lambda: bool(self._busy) or self._has_unfinished_terminate(), timeout)

    def _wait_while(self, is_unfinished: Callable[[], bool], timeout: float) -> None:
        deadline = mono() + timeout
        while is_unfinished():
            progress = self._progress = Latch()
            if is_unfinished() and not progress.wait(max(0.0, deadline - mono())):
                break

    def _has_unfinished_terminate(self) -> bool:
        busy = [call.item for call in self._busy.copy().values()]
        return any(item.callback.has_run_ended for item in (*self._waiting.copy(), *busy))

    def _not_begun(self) -> ErrorInfo:
        text = f"not begun when the stop was overdue: {plural(len(self._busy), 'helper thread')} busy with callbacks"
        return ErrorInfo("CallbackNotBegun", text, text + "\n")

    # -- the helpers

    def _grow(self) -> None:
        while self._needs_helper() and self._add_helper():
            pass

    def _needs_helper(self) -> bool:
        now = mono()
        calls = self._busy.copy()
        stuck = sum(now - call.began >= STUCK_SECONDS for call in calls.values())
        wanted = len(self._waiting) + len(calls)
        return len(self._helpers) < min(wanted, MAX_HELPERS_NOT_STUCK + stuck, MAX_HELPERS)

    def _add_helper(self) -> bool:
        """Start a helper; return False if there are too many or no thread can be started: the existing ones do it."""
        try:
            number = self._numbers.popleft()
        except IndexError:
            return False
        self._helpers[number] = None
        try:
            name = f"taskloom-callback-{number}"
            threading.Thread(target=self._help, args=(number,), name=name, daemon=True).start()
        except (RuntimeError, MemoryError):
            self._remove_helper(number)
            return False
        return True

    def _remove_helper(self, number: int) -> None:
        try:
            del self._helpers[number]
        except KeyError:
            return  # its start raised MemoryError although the thread had begun: the number is given back once
        self._numbers.append(number)

    def _put(self, item: _Item) -> None:
        try:
            self._waiting[item] = None
            self._queue.put(item)
        except BaseException:
            self._waiting.pop(item, None)
            raise

    def _help(self, number: int) -> None:
        """Call what is queued, until the pool is closed and nothing is queued.

        A MemoryError may strike any line of ours: then this helper ends, and another one calls what it had taken.
        """
        taken: list[_Item | None] = []
        try:
            while self._call_next(number, taken):
                pass
        except BaseException:  # noqa: BLE001 - an error of a callback is reported, so this is one of ours
            pass
        finally:
            for item in taken:
                if item is None:
                    self._queue.put(None)  # it ends the other helpers too
                elif not item.callback.is_done:
                    self._put(item)
            self._busy.pop(number, None)
            self._remove_helper(number)
            # A callback that was submitted meanwhile counted on this helper. After `close` the queue has one None.
            if not self._is_closed or self._queue.qsize() > 1:
                self._grow()

    def _call_next(self, number: int, taken: list[_Item | None]) -> bool:
        """Wait for a callback and call it; return False if the helper is to end. `taken` holds it meanwhile."""
        taken.append(self._queue.get())
        item = taken[0]
        if item is None:
            is_over = self._queue.empty()
            self._queue.put(None)  # for the other helpers, and behind what is queued
        else:
            is_over = False
            self._busy[number] = _Call(mono(), item)
            self._waiting.pop(item, None)
            self._call(item)
            self._busy.pop(number, None)
            progress, self._progress = self._progress, None
            if progress is not None:
                progress.open()
        taken.clear()
        return not is_over

    def _call(self, item: _Item) -> None:
        item.is_claimed = item.is_claimed or item.callback.begin()
        if not item.is_claimed:
            return  # unregistered, or the run has ended meanwhile
        try:
            item.callback()
        except BaseException as error:
            if not item.callback.is_done and not item.is_called_again:
                item.is_called_again = True
                raise  # a MemoryError of ours, before the callback began
            self._report(CallbackFailed(item.run, item.callback.name, describe(error)))
