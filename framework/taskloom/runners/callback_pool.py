"""Helper threads that call `terminate()` and `on_cancel` callbacks: neither the caller's nor the run's thread does.

A callback is plugin code and may block for ever. If a helper has been busy with one callback for a second, it counts as
stuck and another helper may be added, so that one bad callback does not delay the others.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections.abc import Callable
from queue import SimpleQueue

from taskloom.clock import mono
from taskloom.core.inputs import CallbackFailed
from taskloom.runners.error_info import describe
from taskloom.sync.cancel_token import CancelCallback

__all__ = ["CallbackPool"]

# DESIGN section 6: sixteen helpers are enough for callbacks that do not block; 64 bound the cost of stuck ones.
MAX_HELPERS_NOT_STUCK = 16
MAX_HELPERS = 64
STUCK_SECONDS = 1.0


class CallbackPool:
    """The helper threads and their queue. `report` is called on a helper thread for each callback that raised."""

    def __init__(self, report: Callable[[CallbackFailed], None]) -> None:
        self._report = report
        self._queue: SimpleQueue[tuple[str, CancelCallback] | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._helpers = 0
        # Callbacks that are queued or being called; each needs a helper. Not derived from `_busy`: a helper that has
        # just taken a callback is not recorded there for a moment.
        self._unfinished = 0
        # For each busy helper, by its number, when it began its current callback.
        self._busy: dict[int, float] = {}

    def prepare(self) -> bool:
        """Start one helper: during a stop the system may refuse new threads. Return whether there is one."""
        with self._lock:
            has_none = self._helpers == 0
        if has_none:
            self._add_helper()
        with self._lock:
            return self._helpers > 0

    def submit(self, run: str, callbacks: list[CancelCallback]) -> None:
        """Queue the callbacks of a run."""
        for callback in callbacks:
            with self._lock:
                self._unfinished += 1
            self._queue.put((run, callback))
            self.grow_if_stuck()

    def grow_if_stuck(self) -> float | None:
        """Add a helper if callbacks are queued and the limits allow it.

        Return after how many seconds to call this again; None if nothing is queued.
        """
        if self._queue.empty():
            return None
        now = mono()
        with self._lock:
            stuck = sum(now - began >= STUCK_SECONDS for began in self._busy.values())
            may_grow = self._helpers < min(self._unfinished, MAX_HELPERS_NOT_STUCK + stuck, MAX_HELPERS)
        if may_grow:
            self._add_helper()
        return STUCK_SECONDS

    def close(self) -> None:
        """Let the free helpers end. A helper that is stuck in a callback remains as a daemon thread."""
        with self._lock:
            helpers = self._helpers
        for _ in range(helpers):
            self._queue.put(None)

    def _add_helper(self) -> None:
        with self._lock:
            self._helpers += 1
            number = self._helpers
        name = f"taskloom-callback-{number}"
        thread = threading.Thread(target=self._call_all, args=(number,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads can be started: the existing helpers call everything
            with self._lock:
                self._helpers -= 1

    def _call_all(self, number: int) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                break
            with self._lock:
                self._busy[number] = mono()
            self._call(*item)
            with self._lock:
                self._unfinished -= 1
                del self._busy[number]
        with self._lock:
            self._helpers -= 1

    def _call(self, run: str, callback: CancelCallback) -> None:
        if not callback.begin():
            return  # unregistered, or the run has ended meanwhile
        try:
            callback()
        except BaseException as error:  # noqa: BLE001 - the plugin boundary
            self._report(CallbackFailed(run, callback.name, describe(error)))
