"""Daemon threads that are kept for the next run: where `runner: {thread: {reuse: true}}` executes.

Guarantees:
- A thread does one piece of work at a time, under its name, in a new contextvars context, and with the trace and
  profile functions that a new thread would have. Thread-locals carry over: that is what the option says.
- Work that `start` returned for is done, and waits for no other work to end.
- A thread is free again before `leave` is called: who waits for one run and then starts the next finds it.
- The thread that fell asleep last is woken first. So those that are too many sleep on, and end after ten seconds.
- After `close` nothing stays idle: a thread ends when its work has come back.

Theory of operation. Work waits in a queue until a thread takes it: one that has just come free, or one that is woken
for it. For each piece that waits there is a thread that has no work; where there is none left, one is made. Threads
are woken one at a time, and who takes work wakes the next if more waits. So of thousands of short runs that fall due
at once most are done by threads that are awake already, and no crowd of threads queues for the GIL.
"""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock
from collections import deque
from contextvars import Context
from typing import Protocol

from taskloom.clock import mono

__all__ = ["IDLE_NAME", "ThreadCache", "Work"]

# As long as trio keeps a thread: a job that comes every few seconds finds it, and a burst is soon forgotten.
IDLE_SECONDS = 10.0
IDLE_NAME = "taskloom-idle"


class Work(Protocol):
    """What a thread is lent for."""

    @property
    def name(self) -> str:
        """The thread's name meanwhile."""

    def execute(self) -> None:
        """Do the work. What escapes from it goes to `threading.excepthook` and ends the thread."""

    def leave(self) -> None:
        """Called on the same thread once it is free again, or about to end. Must not block."""


class ThreadCache:
    """Lends threads. Any thread may call any method."""

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may run a finalizer within, and that start a job.
        self._lock = threading.RLock()
        self._waiting: deque[Work] = deque()
        self._asleep: dict[_KeptThread, None] = {}
        # The threads without work, less the work without a thread: so much can be started without a new thread.
        self._spare = 0
        self._is_closed = False

    def start(self, work: Work) -> None:
        """Have the work done in an idle thread, or else in a new one.

        Raises RuntimeError when there is none to be had. After `close` there are only new ones.
        """
        with self._lock:
            self._spare -= 1
            is_short = self._spare < 0
            self._waiting.append(work)
            self._wake_one()
        if is_short:
            self._add_thread(work)

    def _add_thread(self, work: Work) -> None:
        try:
            _KeptThread(self).start()
        except Exception:
            with self._lock:
                if work not in self._waiting:
                    return  # a thread has come free meanwhile, and taken it
                self._waiting.remove(work)
                self._spare += 1
            raise

    def _wake_one(self) -> None:
        """Wake a thread for the work that waits, unless one without work is awake: that comes and sees to it.

        Where a Ctrl-C strikes in the middle, the thread counts as awake, and comes when it has slept long enough.
        """
        if self._asleep and self._spare + len(self._waiting) <= len(self._asleep):
            self._asleep.popitem()[0].wake()

    def close(self) -> None:
        """Let the idle threads end, and the others when their work has come back. Never blocks; twice is once."""
        with self._lock:
            self._is_closed = True
            while self._asleep:
                self._asleep.popitem()[0].wake()

    def join(self, timeout: float) -> bool:
        """Wait, after `close`, for the threads without work to be gone; False when not in so many seconds."""
        deadline = mono() + min(timeout, threading.TIMEOUT_MAX)
        kept = [thread for thread in threading.enumerate() if isinstance(thread, _KeptThread)]
        free = [thread for thread in kept if thread.cache is self and not thread.is_busy]
        for thread in free:
            thread.join(max(0.0, deadline - mono()))
        return not any(thread.is_alive() for thread in free)

    # -- the side of the threads

    @property
    def patience(self) -> float:
        """How many seconds a thread sleeps until it ends."""
        return 0.0 if self._is_closed else IDLE_SECONDS

    def come_free(self, thread: _KeptThread) -> None:
        """Count a thread in that has no work yet, or has done it. It goes on to `take`."""
        with self._lock:
            thread.is_busy = False
            self._spare += 1

    def take(self, thread: _KeptThread) -> Work | None:
        """Take the work that has waited longest, or None: then the thread counts as asleep."""
        with self._lock:
            if not self._waiting:
                self._asleep[thread] = None
                return None
            thread.is_busy = True
            work = self._waiting.popleft()
            if self._waiting:
                self._wake_one()
            return work

    def may_end(self, thread: _KeptThread) -> bool:
        """Tell whether a thread that has slept long enough may end: not while work waits, which may count on it.

        It may have been woken at this very moment, and so be among those asleep no more.
        """
        with self._lock:
            self._asleep.pop(thread, None)
            if self._waiting:
                return False
            self._spare -= 1
            return True


class _KeptThread(threading.Thread):
    """One thread of the cache."""

    def __init__(self, cache: ThreadCache) -> None:
        super().__init__(name=IDLE_NAME, daemon=True)
        self.cache = cache
        self.is_busy = True
        # Free from when it is woken until it notices.
        self._alarm = allocate_lock()
        self._alarm.acquire()

    def wake(self) -> None:
        """Wake it. For who has taken it from those asleep."""
        self._alarm.release()

    def run(self) -> None:
        """Do what there is to do, until there is nothing for so long that it may end."""
        cache = self.cache
        cache.come_free(self)
        while True:
            self._work()
            if not self._alarm.acquire(timeout=cache.patience):
                if cache.may_end(self):
                    return
                self._alarm.acquire(blocking=False)  # it may have been woken, too; the next sleep knows nothing of that

    def _work(self) -> None:
        """Take work until there is none. A function, so that nothing of it is held while asleep."""
        while (work := self.cache.take(self)) is not None:
            try:
                self._execute(work)
                self.cache.come_free(self)
            finally:
                work.leave()

    def _execute(self, work: Work) -> None:
        self.name = work.name
        try:
            _trace_like_a_new_thread()
            Context().run(work.execute)
        finally:
            self.name = IDLE_NAME


def _trace_like_a_new_thread() -> None:
    # The last work may have left its own behind. Asking costs a tenth of setting.
    if sys.gettrace() is not threading.gettrace():
        sys.settrace(threading.gettrace())
    if sys.getprofile() is not threading.getprofile():
        sys.setprofile(threading.getprofile())
