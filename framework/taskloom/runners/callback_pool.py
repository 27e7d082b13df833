"""Helper threads that call `terminate()` and `on_cancel` callbacks: never the caller's thread, never the run's.

Why threads of our own: a callback is plugin code and may block for ever. A helper that is stuck for a second is
left behind and another takes its place, so that one bad callback delays nobody else's.
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

# DESIGN section 6: sixteen at once are plenty for callbacks that do not block; 64 bound what stuck ones can cost.
HELPERS = 16
MOST_HELPERS = 64
STUCK_SECONDS = 1.0


class CallbackPool:
    """The pool. `report` is called, on a helper's thread, for each callback that raised."""

    def __init__(self, report: Callable[[CallbackFailed], None]) -> None:
        self._report = report
        self._queue: SimpleQueue[tuple[str, CancelCallback] | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._helpers = 0
        # Callbacks that wait or are being called: what helpers are wanted for. Counted here, because a helper
        # that has just taken one looks idle for a moment still.
        self._open = 0
        # When each busy helper began what it does, by an id of its own.
        self._busy: dict[int, float] = {}

    def prepare(self) -> None:
        """Have one helper ready: when a stop comes there may be no thread to be had."""
        with self._lock:
            wanted = self._helpers == 0
        if wanted:
            self._grow()

    def submit(self, run: str, callbacks: list[CancelCallback]) -> None:
        """Have the callbacks of a run called soon."""
        for callback in callbacks:
            with self._lock:
                self._open += 1
            self._queue.put((run, callback))
            self.grow_if_stuck()

    def grow_if_stuck(self) -> float | None:
        """Add a helper where work waits and the limits allow; return seconds until it is worth asking again.

        None: nothing waits.
        """
        if self._queue.empty():
            return None
        now = mono()
        with self._lock:
            stuck = sum(now - began >= STUCK_SECONDS for began in self._busy.values())
            may_grow = self._helpers < min(self._open, HELPERS + stuck, MOST_HELPERS)
        if may_grow:
            self._grow()
        return STUCK_SECONDS

    def close(self) -> None:
        """Let the helpers that are free end; those stuck in a callback stay behind as daemon threads."""
        with self._lock:
            helpers = self._helpers
        for _ in range(helpers):
            self._queue.put(None)

    def _grow(self) -> None:
        with self._lock:
            self._helpers += 1
            number = self._helpers
        thread = threading.Thread(target=self._help, args=(number,), name=f"taskloom-waker-{number}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had: those that exist do the work
            with self._lock:
                self._helpers -= 1

    def _help(self, number: int) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                break
            with self._lock:
                self._busy[number] = mono()
            self._call(*item)
            with self._lock:
                self._open -= 1
                del self._busy[number]
        with self._lock:
            self._helpers -= 1

    def _call(self, run: str, callback: CancelCallback) -> None:
        if not callback.begin():
            return  # taken back, or the run has ended meanwhile
        try:
            callback()
        except BaseException as error:  # noqa: BLE001 - the plugin boundary
            self._report(CallbackFailed(run, callback.name, describe(error)))
