"""Daemon threads that are kept for the next run: where `runner: {thread: {reuse: true}}` executes.

Guarantees:
- A thread does one piece of work at a time, under its name, in a new contextvars context, and with the trace and
  profile functions that a new thread would have. Thread-locals carry over: that is what the option says.
- Work that `start` returned for is done: it is never left with a thread that has made up its mind to end.
- The thread that came back last goes first. So those that are too many stay idle, and end after ten seconds of it.
- A thread is not in the cache while it does its work, however long that takes. It is back there before `leave` is
  called: who waits for one run and then starts the next finds it.
- After `close` nothing stays idle: a thread ends when its work has come back.

Of `_idle`, a dict, only what is atomic is used, from any thread and without a lock: to set an item, `popitem` (which
takes the one that was set last), and `pop` with a default. Threads are compared by identity.
"""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock
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
        self._idle: dict[_KeptThread, bool] = {}
        self._is_closed = False

    def start(self, work: Work) -> None:
        """Have the work done in the idle thread that came back last, or else in a new one.

        Raises RuntimeError when there is none to be had. After `close` there are only new ones.
        """
        thread = self._take()  # a Ctrl-C that strikes before it is given anything costs this idle thread, and no more
        if thread is not None:
            thread.give(work)
        else:
            thread = _KeptThread(self)
            thread.give(work)
            thread.start()

    def close(self) -> None:
        """Let the idle threads end, and the others when their work has come back. Never blocks; twice is once."""
        self._is_closed = True
        while (thread := self._take()) is not None:
            thread.give(None)

    def join(self, timeout: float) -> bool:
        """Wait, after `close`, for the threads without work to be gone; False when not in so many seconds."""
        deadline = mono() + min(timeout, threading.TIMEOUT_MAX)
        free = [thread for thread in threading.enumerate() if isinstance(thread, _KeptThread) and thread.is_free(self)]
        for thread in free:
            thread.join(max(0.0, deadline - mono()))
        return not any(thread.is_alive() for thread in free)

    def take_back(self, thread: _KeptThread) -> bool:
        """Keep a thread that is free; False when it has to end, because the cache was closed."""
        self._idle[thread] = True
        # Set, and then looked: in whichever order `close` comes, it finds the thread there, or the thread sees it.
        return not self._is_closed or not self.forget(thread)

    def forget(self, thread: _KeptThread) -> bool:
        """Let a thread out of the cache; False when somebody has taken it, and so is about to give it something."""
        return self._idle.pop(thread, False)

    def _take(self) -> _KeptThread | None:
        try:
            return self._idle.popitem()[0]
        except KeyError:
            return None


class _KeptThread(threading.Thread):
    """One thread of the cache.

    Its lock is free while it was given something that it has not taken yet: work, or None, which tells it to end.
    """

    def __init__(self, cache: ThreadCache) -> None:
        super().__init__(name=IDLE_NAME, daemon=True)
        self._cache = cache
        self._work: Work | None = None
        self._is_busy = False
        self._given = allocate_lock()
        self._given.acquire()

    def give(self, work: Work | None) -> None:
        """Hand it something. For who took it out of the cache, or made it."""
        self._work = work
        self._given.release()

    def is_free(self, cache: ThreadCache) -> bool:
        """Tell whether it belongs to this cache and has no work."""
        return self._cache is cache and self._work is None and not self._is_busy

    def run(self) -> None:
        """Do what is given, until there is nothing for so long that it may end."""
        while self._await_work() and self._do_work():
            pass

    def _await_work(self) -> bool:
        while not self._given.acquire(timeout=IDLE_SECONDS):
            if self._cache.forget(self):
                return False
            # Too late to end: at this very moment somebody took it out of the cache, and will give it something.
        return self._work is not None

    def _do_work(self) -> bool:
        """Do the work that is there; tell whether to stay. A function, so that nothing of it is held while idle."""
        work = self._work
        assert work is not None
        self._is_busy = True  # before the work is taken: the thread is not free in between
        self._work = None
        may_stay = False
        try:
            self._execute(work)
            may_stay = self._cache.take_back(self)
        finally:
            work.leave()
        return may_stay

    def _execute(self, work: Work) -> None:
        self.name = work.name
        try:
            _trace_like_a_new_thread()
            Context().run(work.execute)
        finally:
            self.name = IDLE_NAME
            self._is_busy = False


def _trace_like_a_new_thread() -> None:
    # The last work may have left its own behind. Asking costs a tenth of setting.
    if sys.gettrace() is not threading.gettrace():
        sys.settrace(threading.gettrace())
    if sys.getprofile() is not threading.getprofile():
        sys.setprofile(threading.getprofile())
