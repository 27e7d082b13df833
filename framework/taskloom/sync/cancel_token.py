"""The cooperative cancellation that a run polls or waits on.

One token per run. It is asked once (`ask`), then woken once (`wake`): two steps, because a stop of thousands
sets all flags first and then wakes them in waves (waking everybody at once stampedes the GIL).

Guarantees:
- The first reason wins and stays; once true the poll stays true.
- A waiter that begins after `ask` returns at once, and one that began before it is released by `wake`:
  a waiter puts its lock into the list and *then* looks at the flag; `ask` sets the flag and *then* `wake`
  reads the list. Whichever order, one of the two sees the other.
- Each callback is handed out at most once: to `take_callbacks`, or to the late registrant itself.
- After `close` nothing is called and no descriptor is touched (its number may belong to somebody else by then).
"""

from __future__ import annotations

import math
from _thread import LockType, allocate_lock
from collections.abc import Callable
from typing import Protocol

from taskloom.core.model import Reason
from taskloom.errors import Cancelled
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["CancelCallback", "CancelToken", "Sampler", "lock_timeout"]

# The longest that a lock can wait (threading.TIMEOUT_MAX), rounded down; about 292 years.
_LONGEST_LOCK_SECONDS = 9_000_000_000.0


def lock_timeout(seconds: float | None) -> float:
    """Translate seconds (None or inf: for ever; negative: not at all) into a lock's timeout.

    Raises ValueError for nan, which a lock would take for "do not wait": a busy loop.
    """
    if seconds is None:
        return -1
    if math.isnan(seconds):
        raise ValueError("cannot wait for nan seconds")
    if seconds >= _LONGEST_LOCK_SECONDS:
        return -1
    return max(seconds, 0.0)


class Sampler(Protocol):
    """Who samples the polls. It sleeps while every run waits on its token, and is woken by one that stops waiting."""

    is_idle: bool

    def resume(self) -> None:
        """Begin to sample again; any thread may call it."""


class _NoSampler:
    is_idle = False

    def resume(self) -> None:
        """Do nothing: nobody samples."""


class CancelCallback:
    """One registered callback; it is begun at most once, and not at all after `close`."""

    __slots__ = ("_callback", "_home", "_once", "is_begun", "is_done", "name")

    def __init__(self, callback: Callable[[], object], name: str, home: list[CancelCallback] | None = None) -> None:
        # None once it cannot be called any more: a bound method holds the whole task, and runs are remembered.
        self._callback: Callable[[], object] | None = callback
        # The list of callbacks that it stands in, and leaves when it is taken back.
        self._home = home
        self._once = allocate_lock()
        self.name = name
        self.is_begun = False
        self.is_done = False

    def close(self) -> None:
        """Take the callback back, unless it was begun."""
        if self._once.acquire(blocking=False):
            self._callback = None
            try:
                (self._home or []).remove(self)
            except ValueError:
                pass  # it was handed out meanwhile

    def begin(self) -> bool:
        """Claim the right to call it; False when it was begun or taken back before."""
        if not self._once.acquire(blocking=False):
            return False
        self.is_begun = True
        return True

    def __call__(self) -> None:
        """Call it, after `begin` said True."""
        callback, self._callback = self._callback, None
        try:
            if callback is not None:
                callback()
        finally:
            self.is_done = True


class CancelToken:
    """A run's cancellation. Any thread may call any method."""

    __slots__ = (
        "_callbacks",
        "_is_closed",
        "_is_woken",
        "_lock",
        "_sampler",
        "_waiters",
        "_wakeup",
        "dispatched",
        "is_requested",
        "polls",
        "reason",
        "urgent",
    )

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.is_requested = False
        self.reason: Reason | None = None
        self.urgent = False
        self.polls = 0
        self.dispatched: tuple[CancelCallback, ...] = ()
        """The callbacks that were taken to be called, or were called by their late registrants."""
        self._sampler: Sampler = sampler or _NoSampler()
        self._lock = allocate_lock()
        self._waiters: list[LockType] = []
        # None once they were handed out or the run has ended.
        self._callbacks: list[CancelCallback] | None = []
        self._wakeup: WakeupFd | None = None
        self._is_woken = False
        self._is_closed = False

    # -- the run's side

    @property
    def cancelled(self) -> bool:
        """The poll. A lost count under contention does no harm: only whether it moved is ever asked."""
        self.polls += 1
        return self.is_requested

    @property
    def is_waiting(self) -> bool:
        """Tell whether the run is inside a wait that the token wakes."""
        return bool(self._waiters)

    @property
    def is_woken(self) -> bool:
        """Tell whether its waits were released."""
        return self._is_woken

    @property
    def callback_ran(self) -> bool:
        """Tell whether a callback has begun."""
        return any(callback.is_begun for callback in self.dispatched)

    @property
    def is_wakeable(self) -> bool:
        """Tell whether a callback or a descriptor would wake the run out of blocked I/O."""
        return bool(self._callbacks) or self._wakeup is not None

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled once asked."""
        if self.cancelled:
            raise Cancelled

    def wait(self, seconds: float | None = None) -> bool:
        """Block until woken or for so many seconds; return True when asked to stop."""
        self.polls += 1
        if self.is_requested:
            return True
        timeout = lock_timeout(seconds)  # before the entry into the list: a refused wait must not count as one
        waiter = self.add_waiter()
        try:
            if not self.is_requested:
                waiter.acquire(True, timeout)
        finally:
            self.remove_waiter(waiter)
        return self.is_requested

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds; raise Cancelled as soon as asked to stop."""
        if self.wait(seconds):
            raise Cancelled

    def add_waiter(self) -> LockType:
        """Count as waiting: return a held lock that `wake` releases, to be passed to `left`."""
        waiter = allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        return waiter

    def remove_waiter(self, waiter: LockType) -> bool:
        """End what `entered` began; return True when asked to stop."""
        if self._waiters:
            try:
                self._waiters.remove(waiter)
            except ValueError:
                pass  # wake() took it first
        self.polls += 1
        if self.is_requested:
            return True  # how old its polls are is of no more interest: the stop has its own clock
        if self._sampler.is_idle:
            self._sampler.resume()
        return False

    def on_cancel(self, callback: Callable[[], object], name: str = "") -> CancelCallback:
        """Have it called once when woken; later than that it is called here and now, in the caller."""
        handle = CancelCallback(callback, name or getattr(callback, "__qualname__", repr(callback)), self._callbacks)
        with self._lock:
            if self._is_closed:
                handle.close()
            elif not self._is_woken and self._callbacks is not None:
                self._callbacks.append(handle)
                return handle
        if handle.begin():
            with self._lock:
                self.dispatched += (handle,)
            handle()
        return handle

    def fileno(self) -> int:
        """Return a descriptor that is readable once woken. Raises ValueError after the run has ended."""
        with self._lock:
            if self._is_closed:
                raise ValueError("cannot give a descriptor: the run has ended")
            if self._wakeup is None:
                self._wakeup = WakeupFd()
                if self._is_woken:
                    self._wakeup.set()
            return self._wakeup.fileno()

    # -- the side of who stops it

    def enter(self, terminate: Callable[[], object] | None) -> bool:
        """Let the body be entered and register its `terminate`, or return False: it was asked before."""
        with self._lock:
            if self.is_requested or self._callbacks is None:
                return False
            if terminate is not None:
                self._callbacks.append(CancelCallback(terminate, "terminate"))
            return True

    def request(self, reason: Reason) -> bool:
        """Set the flag; False when it was set before. Wakes nobody yet."""
        with self._lock:
            if self.is_requested:
                return False
            self.reason = reason
            self.is_requested = True
            return True

    def wake(self) -> None:
        """Release every wait and make the descriptor readable."""
        waiters = self._waiters
        while waiters:
            try:
                waiter = waiters.pop()
            except IndexError:
                break  # the waiter itself took it: it had timed out
            waiter.release()
        with self._lock:
            self._is_woken = True
            if self._wakeup is not None:
                # Under the lock on purpose: it never blocks, and outside of the lock `close` could have given
                # the descriptor's number to another file.
                self._wakeup.set()

    def take_callbacks(self) -> list[CancelCallback]:
        """Hand out the callbacks, once; call it after `wake`."""
        with self._lock:
            taken = self._take_all()
            self.dispatched += tuple(taken)
            return taken

    def close(self) -> None:
        """End its service: the run has ended. Callbacks that were handed out but not begun are dropped."""
        with self._lock:
            if self._callbacks:
                self._take_all()
            self._callbacks = None
            bell, self._wakeup = self._wakeup, None
            self._is_closed = True
        for callback in self.dispatched:
            callback.close()
        if bell is not None:
            bell.close()

    def _take_all(self) -> list[CancelCallback]:
        """Take the callbacks out of their list and give the list up.

        It is left empty, and a copy walked: a callback that is taken back meanwhile leaves the old list, and
        the list and its callbacks must not keep each other alive.
        """
        callbacks, self._callbacks = self._callbacks or [], None
        taken = callbacks.copy()
        callbacks.clear()
        return taken
