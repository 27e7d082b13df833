"""A thread that an exception does not end: a MemoryError costs one piece of work, and the next one is done."""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections.abc import Callable
from math import inf

from taskloom.clock import mono
from taskloom.sync.latch import Latch

__all__ = ["KeptThread"]

# A caller that waits for the thread checks this often whether it still exists.
CHECK_SECONDS = 1.0


class KeptThread:
    """Calls `step` on a thread of its own until it returns True.

    After an exception of `step` it calls `failed`, on the same thread, and goes on with `step`: a step must remember
    what it has taken, so that `failed` can count it as lost. If an exception comes from `failed` or strikes the loop
    itself, another thread takes the place of this one. If none can be started at that moment, `ensure` does it later.
    `daemon`: None for the flag of the thread that calls `start`.
    """

    __slots__ = ("_daemon", "_failed", "_guard", "_is_inside", "_is_over", "_name", "_step", "_thread")

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        failed: Callable[[BaseException], object],
        *,
        daemon: bool | None = True,
    ) -> None:
        self._name = name
        self._step = step
        self._failed = failed
        self._daemon = daemon
        self._thread: threading.Thread | None = None
        # Held while another thread is started, so that two callers do not start two.
        self._guard = allocate_lock()
        # Whether the thread is where every exception is caught: it then ends only when all is over.
        self._is_inside = False
        self._is_over = False

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if that is not possible. Called once."""
        thread = self._thread = threading.Thread(target=self._main, name=self._name, daemon=self._daemon)
        thread.start()

    def ensure(self) -> None:
        """Start another thread if an exception has ended this one. Any thread may call it; never raises, cheap."""
        if not self._is_inside and not self._is_over and self._guard.acquire(blocking=False):
            try:
                self._replace()
            finally:
                self._guard.release()

    def wait_for(self, latch: Latch, timeout: float | None = None) -> bool:
        """Wait until the thread has opened the latch; start another thread meanwhile if this one has ended.

        Return False after `timeout` seconds.
        """
        until = mono() + (inf if timeout is None else timeout)
        while not latch.wait(max(0.0, min(CHECK_SECONDS, until - mono()))):
            if mono() >= until:
                return False
            self.ensure()
        return True

    @property
    def ident(self) -> int | None:
        """The id of the thread; None before it runs."""
        return self._thread.ident if self._thread is not None else None

    def is_current(self) -> bool:
        """Return whether the caller is this thread."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def is_alive(self) -> bool:
        """Return whether the thread has begun and not ended."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, with those that take its place, for at most `timeout` seconds each."""
        joined = None
        while True:
            with self._guard:  # so the thread is not one that is just being started
                thread = self._thread
            if thread is None or thread is joined:
                return
            thread.join(timeout)
            joined = thread

    def _replace(self) -> None:
        before = self._thread
        if before is None or before.ident is None or (before.is_alive() and not self.is_current()):
            return  # not started yet, or another one was started meanwhile
        try:
            self._daemon = before.daemon
            self.start()
        except (RuntimeError, MemoryError):
            self._thread = before  # the next `ensure` tries again

    def _main(self) -> None:
        try:
            self._is_inside = True
            self._work()
        except BaseException:  # noqa: BLE001 - no caller above could do more
            self._is_inside = False
            if not self._is_over:
                with self._guard:
                    self._replace()

    def _work(self) -> None:
        while not self._is_over:
            try:
                self._is_over = self._step()
            except BaseException as error:  # noqa: BLE001 - such as a MemoryError
                self._failed(error)
