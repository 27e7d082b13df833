"""The cooperative cancellation that a run polls or waits on.

There is one token for each run. Its cancellation has two steps: `request` sets the flag, `wake` releases the waits. A
stop of thousands of runs sets all flags first and then wakes the runs in waves: if all woke at once, they would all
queue for the GIL.

Guarantees:
- The first reason is kept. Once the poll has returned True, it always does.
- A wait that begins after `request` returns at once, and a wait that began before it is released by `wake`. The waiter
  appends its lock to the list and *then* reads the flag; `request` sets the flag, and *then* `wake` reads the list. In
  whichever order these interleave, either the waiter sees the flag or `wake` sees the lock.
- Each callback is dispatched at most once: by `take_callbacks`, or, if it is registered late, by `on_cancel` itself.
- After `close` no callback begins and no descriptor is used (its number may belong to another file by then).
"""

from __future__ import annotations

import math
from _thread import LockType, RLock, allocate_lock
from collections.abc import Callable
from typing import Protocol

from taskloom.clock import mono
from taskloom.core.model import Reason
from taskloom.errors import Cancelled
from taskloom.sync.gate import Gate
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["CancelCallback", "CancelToken", "Sampler", "lock_timeout"]

# The longest timeout of a lock (threading.TIMEOUT_MAX), rounded down: about 292 years.
_LONGEST_LOCK_SECONDS = 9_000_000_000.0


def lock_timeout(seconds: float | None) -> float:
    """Convert seconds (None or inf: for ever; negative: do not wait) to the timeout of a lock.

    Raises ValueError for nan: a lock would not wait at all, and the caller's loop would be a busy loop.
    """
    if seconds is None:
        return -1
    if math.isnan(seconds):
        raise ValueError("cannot wait for nan seconds")
    if seconds >= _LONGEST_LOCK_SECONDS:
        return -1
    return max(seconds, 0.0)


class Sampler(Protocol):
    """Samples the polls of runs. It is idle while every run waits on its token; a run that stops waiting resumes it."""

    is_idle: bool

    def resume(self) -> None:
        """Resume sampling; any thread may call it."""


class _NoSampler:
    is_idle = False

    def resume(self) -> None:
        """Do nothing."""


class CancelCallback:
    """One registered callback. It begins at most once, and never after `close`."""

    __slots__ = ("_callback", "_home", "_once", "is_begun", "is_done", "name")

    def __init__(self, callback: Callable[[], object], name: str, home: list[CancelCallback] | None = None) -> None:
        # None once it can no longer be called: a bound method references the whole task, and runs are kept for long.
        self._callback: Callable[[], object] | None = callback
        # The list of callbacks that contains it; `close` removes it from there.
        self._home = home
        self._once = allocate_lock()
        self.name = name
        self.is_begun = False
        self.is_done = False

    def close(self) -> None:
        """Unregister the callback, unless it has begun."""
        if self._once.acquire(blocking=False):
            self._callback = None
            try:
                (self._home or []).remove(self)
            except ValueError:
                pass  # it was dispatched meanwhile

    def begin(self) -> bool:
        """Claim the right to call it; return False if it has begun or was unregistered."""
        if not self._once.acquire(blocking=False):
            return False
        self.is_begun = True
        return True

    def __call__(self) -> None:
        """Call it; only after `begin` has returned True."""
        callback, self._callback = self._callback, None
        try:
            if callback is not None:
                callback()
        finally:
            self.is_done = True


class CancelToken:
    """A run's cancellation. Any thread may call any method."""

    __slots__ = (
        "_callbacks", "_gate", "_is_closed", "_is_entered", "_lock", "_reasons", "_sampler", "_waiters", "_wakeup",
        "dispatched", "is_requested", "is_woken", "polls", "run", "urgent",
    )  # fmt: skip

    def __init__(self, sampler: Sampler | None = None, gate: Gate | None = None, run: str = "") -> None:
        self.run = run
        """The id of the run."""
        self.is_requested = False
        self.is_woken = False
        """Whether `wake` has released its waits."""
        self._reasons: list[Reason] = []
        self.urgent = False
        self.polls = 0
        self.dispatched: tuple[CancelCallback, ...] = ()
        """The callbacks that `take_callbacks` has returned or that `on_cancel` called because they came late."""
        self._sampler: Sampler = sampler or _NoSampler()
        self._gate = gate or Gate()
        # Re-entrant: the garbage collector may run a finalizer while we hold it, and the finalizer may cancel the run.
        self._lock = RLock()
        self._waiters: list[LockType] = []
        # None once they were dispatched or the run has ended.
        self._callbacks: list[CancelCallback] | None = []
        self._wakeup: WakeupFd | None = None
        self._is_closed = False
        self._is_entered = False

    # -- the run's side

    @property
    def cancelled(self) -> bool:
        """The poll. A count lost to a race does no harm: the sampler only checks whether the counter has changed."""
        self.polls += 1
        return self.is_requested

    @property
    def is_waiting(self) -> bool:
        """Return whether the run is inside a wait that the token wakes."""
        return bool(self._waiters)

    @property
    def callback_ran(self) -> bool:
        """Return whether a callback has begun."""
        return any(callback.is_begun for callback in self.dispatched)

    @property
    def is_wakeable(self) -> bool:
        """Return whether a callback or a descriptor would wake the run from blocking I/O."""
        return bool(self._callbacks) or self._wakeup is not None

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled once the stop is requested."""
        if self.cancelled:
            raise Cancelled

    def wait(self, seconds: float | None = None) -> bool:
        """Block until woken, at most `seconds`; return whether the stop is requested."""
        self.polls += 1
        if self.is_requested:
            return True
        timeout = lock_timeout(seconds)  # may raise; so before `add_waiter`: the run must not count as waiting then
        waiter = self.add_waiter()
        try:
            if not self.is_requested:
                waiter.acquire(True, timeout)
        finally:
            self.remove_waiter(waiter)
        return self.is_requested

    def sleep(self, seconds: float) -> None:
        """Block for `seconds`; raise Cancelled as soon as the stop is requested."""
        if self.wait(seconds):
            raise Cancelled

    def add_waiter(self) -> LockType:
        """Count the run as waiting. Return a held lock that `wake` releases; pass it to `remove_waiter` afterwards."""
        waiter = allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        return waiter

    def remove_waiter(self, waiter: LockType) -> bool:
        """End what `add_waiter` began; return whether the stop is requested."""
        if self._waiters:
            try:
                self._waiters.remove(waiter)
            except ValueError:
                pass  # `wake` removed it
        self.polls += 1
        if self.is_requested:
            return True  # the poll age does not matter any more: the stop has its own deadline
        if self._sampler.is_idle:
            self._sampler.resume()
        return False

    def on_cancel(self, callback: Callable[[], object], name: str = "") -> CancelCallback:
        """Register a callback that is called once when the run is woken; if it is woken already, call it now."""
        handle = CancelCallback(callback, name or getattr(callback, "__qualname__", repr(callback)), self._callbacks)
        with self._lock:
            if self._is_closed:
                handle.close()
            elif not self.is_woken and self._callbacks is not None:
                self._callbacks.append(handle)
                return handle
        if handle.begin():
            with self._lock:
                self.dispatched += (handle,)
            handle()
        return handle

    def fileno(self) -> int:
        """Return a descriptor that is readable once the run is woken. Raises ValueError after the run has ended."""
        with self._lock:
            if self._is_closed:
                raise ValueError("cannot return a descriptor: the run has ended")
            if self._wakeup is None:
                self._wakeup = WakeupFd()
                if self.is_woken:
                    self._wakeup.set()
            return self._wakeup.fileno()

    # -- the engine's side

    @property
    def may_enter(self) -> bool:
        """Return whether `enter` would return True now."""
        return not (self.is_requested or self._gate.is_closed or self._callbacks is None)

    def enter(self, terminate: Callable[[], object] | None) -> bool:
        """Register the body's `terminate`; return False if the stop is requested: then do not enter the body.

        Call it immediately before the body. The gate is read last: a thread that is suspended before that finds it
        closed.
        """
        with self._lock:
            if self.is_requested or self._callbacks is None:
                return False
            self._is_entered = True
            if terminate is not None:
                self._callbacks.append(CancelCallback(terminate, "terminate"))
        return self._gate.stop is None

    def forbid_entry(self) -> bool:
        """Make every later `enter` return False; return False if the body was entered before."""
        with self._lock:
            if not self._is_entered:
                self._callbacks = None
            return not self._is_entered

    def mark_ended(self) -> None:
        """Record that the body has ended, and when. Called on the run's thread, long before its report is processed."""
        self._gate.ended[self.run] = mono()

    @property
    def reason(self) -> Reason | None:
        """The reason of the first request; None before it."""
        return self._reasons[0] if self.is_requested else None

    def request(self, reason: Reason) -> bool:
        """Set the flag; return False if it was set before. Does not wake the run.

        Without a lock: a caller may be interrupted at any line, and the next request finishes what it began.
        """
        if self.is_requested:
            return False
        self._reasons.append(reason)
        self.is_requested = True
        return True

    def release_waits(self) -> None:
        """Release the waits on the token, but call nothing; `wake` still has to follow. Without a lock, like `request`.

        Each lock is released before it leaves the list: if the caller is interrupted in between, `wake` finds it there.
        """
        waiters = self._waiters
        while waiters:
            try:
                waiter = waiters[-1]
                waiter.release()
            except IndexError:
                break  # the waiter timed out and removed it itself
            except RuntimeError:
                pass  # released before, by a caller that was interrupted
            try:
                waiters.remove(waiter)
            except ValueError:
                pass  # the waiter has woken and removed it itself

    def wake(self) -> None:
        """Release every wait and make the descriptor readable."""
        self.release_waits()
        with self._lock:
            self.is_woken = True
            if self._wakeup is not None:
                # While the lock is held: otherwise `close` could close the descriptor first, and its number could
                # belong to another file. It never blocks.
                self._wakeup.set()

    def take_callbacks(self) -> list[CancelCallback]:
        """Return the callbacks to call; a second call returns none. Call it after `wake`."""
        with self._lock:
            taken = self._take_all()
            self.dispatched += tuple(taken)
            return taken

    def close(self) -> None:
        """Close it because the run has ended. Callbacks that were dispatched but have not begun never begin."""
        with self._lock:
            if self._callbacks:
                self._take_all()
            self._callbacks = None
            wakeup, self._wakeup = self._wakeup, None
            self._is_closed = True
        for callback in self.dispatched:
            callback.close()
        if wakeup is not None:
            wakeup.close()

    def _take_all(self) -> list[CancelCallback]:
        """Return a copy of the list of callbacks; empty the list and drop it.

        A copy, because a callback that is unregistered meanwhile removes itself from the old list. The old list is
        emptied, because otherwise it and its callbacks would keep each other alive.
        """
        callbacks, self._callbacks = self._callbacks or [], None
        taken = callbacks.copy()
        callbacks.clear()
        return taken
