"""Daemon threads that are kept for the next run: they execute jobs with `runner: {thread: {reuse: true}}`.

Guarantees:
- A thread does one piece of work at a time, under its name, in a new contextvars context, and with the trace and
  profile functions of a new thread. Thread-local values remain: the option documents that.
- If `start` returned, the work is done, and does not wait for other work to end.
- A thread is free again before `thread_freed` is called: a caller that waits for one run and then starts the next gets
  the same thread.
- The thread that fell asleep last is woken first. So surplus threads keep sleeping, and end after ten seconds.
- After `close` no thread stays idle: each ends when its work has returned.

Theory of operation. Work waits in a queue until a thread takes it: a thread that has just finished other work, or one
that is woken for it. For each queued piece there is a thread without work; if there are too few, one is created. Only
one thread is woken at a time, and a thread that takes work wakes the next if more is queued. So when thousands of short
runs are due at once, threads that are already awake do most of them, and no crowd of threads queues for the GIL.
"""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock
from collections import deque
from contextvars import Context
from typing import Protocol

from taskloom.clock import mono
from taskloom.runners.run_thread import RunThread

__all__ = ["IDLE_THREAD_NAME", "ThreadCache", "Work"]

# As long as trio keeps a thread: enough for a job that runs every few seconds, and short after a burst.
IDLE_SECONDS = 10.0
IDLE_THREAD_NAME = "taskloom-idle"


class Work(Protocol):
    """A piece of work that a thread of the cache does."""

    @property
    def name(self) -> str:
        """The thread's name while it does the work."""

    def execute(self) -> None:
        """Do the work. An exception that it raises goes to `threading.excepthook` and ends the thread."""

    def thread_freed(self) -> None:
        """Called on the same thread once it is free again or about to end. Must not block."""


class ThreadCache:
    """Executes work in kept threads. Any thread may call any public method."""

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may run a finalizer while we hold it, and the finalizer may start a job.
        self._lock = threading.RLock()
        self._queue: deque[Work] = deque()
        # An ordered set: the thread that fell asleep last is at the end.
        self._sleeping: dict[_CachedThread, None] = {}
        # Threads without work, minus queued work: the number of pieces that can be started without a new thread.
        self._unassigned = 0
        self._is_closed = False

    def start(self, work: Work) -> None:
        """Do the work in an idle thread, or else in a new one.

        Raises RuntimeError if a new thread is needed and cannot be started. After `close` every thread is new.
        """
        with self._lock:
            self._unassigned -= 1
            needs_thread = self._unassigned < 0
            self._queue.append(work)
            self._wake_one()
        if needs_thread:
            self._add_thread(work)

    def _add_thread(self, work: Work) -> None:
        try:
            _CachedThread(self).start()
        except Exception:
            with self._lock:
                if work not in self._queue:
                    return  # a thread has become free meanwhile and has taken it
                self._queue.remove(work)
                self._unassigned += 1
            raise

    def _wake_one(self) -> None:
        """Wake a thread for the queued work, unless a thread without work is awake: that one will take it.

        If a Ctrl-C interrupts this method, the thread counts as awake, and takes the work when its sleep times out.
        """
        if self._sleeping and self._unassigned + len(self._queue) <= len(self._sleeping):
            self._sleeping.popitem()[0].wake()

    def close(self) -> None:
        """Let the idle threads end now, and the others when their work has returned. Never blocks; idempotent."""
        with self._lock:
            self._is_closed = True
            while self._sleeping:
                self._sleeping.popitem()[0].wake()

    def join(self, timeout: float) -> bool:
        """After `close`, wait until the threads without work have ended; return False after `timeout` seconds."""
        deadline = mono() + min(timeout, threading.TIMEOUT_MAX)
        cached = [thread for thread in threading.enumerate() if isinstance(thread, _CachedThread)]
        free = [thread for thread in cached if thread.cache is self and not thread.is_busy]
        for thread in free:
            thread.join(max(0.0, deadline - mono()))
        return not any(thread.is_alive() for thread in free)

    def leave_behind(self) -> None:
        """Called in a forked child: a thread that forked in its work does no other, and ends.

        The queued work is the parent's. The lock may have been held by a thread that does not exist in the child.
        """
        self._lock = threading.RLock()
        self._queue = deque()
        self._sleeping = {}
        self._is_closed = True

    # -- called by the threads of the cache

    @property
    def idle_seconds(self) -> float:
        """After how many seconds of sleep a thread ends."""
        return 0.0 if self._is_closed else IDLE_SECONDS

    def mark_free(self, thread: _CachedThread) -> None:
        """Count a thread as free, when it is new or has done its work. It calls `take_work` next."""
        with self._lock:
            thread.is_busy, self._unassigned = False, self._unassigned + 1

    def take_work(self, thread: _CachedThread) -> bool:
        """Give the thread the oldest queued work; if there is none, count it as sleeping and return False."""
        with self._lock:
            if not self._queue:
                self._sleeping[thread] = None
                return False
            # On one line: if an error of ours strikes, the work is queued, or the thread's, which reports its end.
            thread.is_busy, thread.work = True, self._queue.popleft()
            if self._queue:
                self._wake_one()
            return True

    def replace(self, thread: _CachedThread) -> None:
        """Start another thread in place of one that an exception ends, if queued work counts on it.

        The thread may have been interrupted at any line: its own work, if any, was taken from the queue.
        """
        with self._lock:
            self._sleeping.pop(thread, None)
            if not thread.is_busy:
                thread.is_busy, self._unassigned = True, self._unassigned - 1
            needs_thread = self._unassigned < 0 and len(self._queue) > 0
        if needs_thread:
            _CachedThread(self).start()

    def try_end(self, thread: _CachedThread) -> bool:
        """Return whether a thread whose sleep timed out may end: not while work is queued, which may depend on it.

        The thread may have been woken at this very moment; then it is no longer in `_sleeping`.
        """
        with self._lock:
            self._sleeping.pop(thread, None)
            if self._queue:
                return False
            thread.is_busy, self._unassigned = True, self._unassigned - 1
            return True


class _CachedThread(RunThread):
    """One thread of the cache."""

    def __init__(self, cache: ThreadCache) -> None:
        super().__init__(name=IDLE_THREAD_NAME, daemon=True)
        self.cache = cache
        self.is_busy = True
        self.work: Work | None = None
        """What it does or has just taken; None while it is idle."""
        # A binary semaphore: free from when the thread is woken until it notices.
        self._wakeup = allocate_lock()
        self._wakeup.acquire()

    def wake(self) -> None:
        """Wake the thread. Only for the caller that has removed it from `_sleeping`."""
        self._wakeup.release()

    def run(self) -> None:
        """Do queued work until there has been none for `idle_seconds`."""
        try:
            self.cache.mark_free(self)
            self._work_until_idle()
        except BaseException:
            try:
                self._end_work()
            finally:
                self.cache.replace(self)
            raise

    def _work_until_idle(self) -> None:
        cache = self.cache
        while True:
            self._work()
            if not self._wakeup.acquire(timeout=cache.idle_seconds):
                if cache.try_end(self):
                    return
                # The thread may have been woken after the timeout: clear that, or the next sleep would end at once.
                self._wakeup.acquire(blocking=False)

    def _work(self) -> None:
        """Take and do work until none is queued. A method of its own: no reference to work is kept while asleep."""
        while self.cache.take_work(self):
            try:
                if self.work is not None:
                    self._execute(self.work)
                self.cache.mark_free(self)
            finally:
                self._end_work()

    def _end_work(self) -> None:
        """Tell the work that the thread is free of it; idempotent."""
        if self.work is not None:
            self.work.thread_freed()
        self.work = None

    def _execute(self, work: Work) -> None:
        self.name = work.name
        try:
            # The previous work may have set functions of its own. Reading costs a tenth of setting.
            if sys.gettrace() is not threading.gettrace():
                sys.settrace(threading.gettrace())
            if sys.getprofile() is not threading.getprofile():
                sys.setprofile(threading.getprofile())
            Context().run(work.execute)
        finally:
            self.name = IDLE_THREAD_NAME
