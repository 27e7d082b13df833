"""The cooperative cancellation that a run polls or waits on.

There is one token for each run. Its cancellation has three steps: `request` sets the flag, `take_callbacks` hands out
`terminate` and the callbacks, `wake` releases the waits. A stop of thousands of runs sets all flags first and then
wakes the runs in waves: if all woke at once, they would all queue for the GIL.

Guarantees:
- The first reason is kept. Once the poll has returned True, it always does.
- A wait that begins after `request` returns at once, and a wait that began before it is released by `wake`. The waiter
  appends its lock to the list and *then* reads the flag; `request` sets the flag, and *then* `wake` reads the list. In
  whichever order these interleave, either the waiter sees the flag or `wake` sees the lock.
- Each callback is dispatched at most once: by `take_callbacks`, or, if it is registered late, by `on_cancel` itself.
- `terminate` is dispatched exactly once for a body that was entered and whose stop was requested before it returned,
  even if the run has ended by then; in every other case never.
- After `close` no `on_cancel` callback begins, and for the threads that the task has left running the run is cancelled.

A finalizer may run at any call and may cancel any run, on a thread that is inside one of these methods. So the lock is
re-entrant, and nothing is called between a check and the assignment that depends on it: no finalizer comes in between.
"""

from __future__ import annotations

import os
from _thread import LockType, RLock, allocate_lock
from collections.abc import Callable

from taskloom.clock import mono
from taskloom.core.endings import Reason, ReasonKind
from taskloom.errors import Cancelled, SchedulerForked
from taskloom.sync.cancel_callback import CancelCallback, TerminateCallback
from taskloom.sync.gate import Gate
from taskloom.sync.latch import Latch
from taskloom.sync.sampler import NoSampler, Sampler
from taskloom.sync.waker import Waker, lock_timeout
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["RUN_ENDED", "CancelToken", "WakerHandle", "lock_timeout"]

RUN_ENDED = Reason(ReasonKind.FINISHED, "the run has ended")
"""The reason that the threads of an ended run see, if its stop was not requested before."""


class WakerHandle:
    """The handle of a waker that a token releases."""

    __slots__ = ("_token", "_waker")

    def __init__(self, token: CancelToken, waker: Waker) -> None:
        self._token = token
        self._waker = waker

    def close(self) -> None:
        """End the wait."""
        self._token.remove_waiter(self._waker)


class CancelToken:
    """A run's cancellation. Any thread may call any method."""

    __slots__ = (
        "_callbacks", "_gate", "_is_closed", "_is_entered", "_lock", "_observers", "_process", "_reasons", "_sampler",
        "_taken", "_terminate", "_waiters", "_wakeup", "_was_requested", "dispatched", "is_dispatched", "is_requested",
        "is_woken", "polls", "remote_wait", "remote_wakeable", "run", "urgent",
    )  # fmt: skip

    def __init__(self, sampler: Sampler | None = None, gate: Gate | None = None, run: str = "") -> None:
        self.run = run
        """The id of the run."""
        self.is_requested = False
        self.is_woken = False
        """Whether `wake` has released its waits."""
        self.is_dispatched = False
        """Whether `take_callbacks` was called after the request."""
        self._reasons: list[Reason] = []
        self.urgent = False
        self.polls = 0
        self.remote_wait = False
        """Whether the run, which executes in another process, is inside a wait that the token wakes."""
        self.remote_wakeable = False
        """Whether a callback or a descriptor there would wake it from blocking I/O."""
        self.dispatched: list[CancelCallback] = []
        """The callbacks that `take_callbacks` has returned or that `on_cancel` called because they came late."""
        # While `take_callbacks` works, what it is going to return.
        self._taken: list[list[CancelCallback]] = []
        self._sampler: Sampler = sampler or NoSampler()
        self._gate = gate or Gate()
        self._lock = RLock()
        self._waiters: list[LockType | Waker] = []
        # Called by `wake`. A tuple, since hardly any token has one.
        self._observers: tuple[Callable[[], object], ...] = ()
        # None once they were dispatched or the run has ended.
        self._callbacks: list[CancelCallback] | None = []
        # None if the task has none, or if the body returned before the stop was requested.
        self._terminate: TerminateCallback | None = None
        self._wakeup: WakeupFd | None = None
        # Whether the stop was requested when the body returned; None before.
        self._was_requested: bool | None = None
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
        return bool(self._waiters) or self.remote_wait

    @property
    def wakeup_may_raise(self) -> bool:
        """Return whether the wake-up may cause an exception in the run.

        It may if the task has `terminate`, if it uses the descriptor, or if one of its callbacks has begun.
        """
        return (
            self._terminate is not None
            or self._wakeup is not None
            or any(callback.is_begun for callback in self.dispatched)
        )

    @property
    def is_wakeable(self) -> bool:
        """Return whether a callback or a descriptor would wake the run from blocking I/O."""
        is_terminable = self._terminate is not None and not self._is_closed
        return is_terminable or bool(self._callbacks) or self._wakeup is not None or self.remote_wakeable

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

    def add_waker(self, waker: Waker) -> WakerHandle:
        """Count the run as waiting until the handle is closed. `wake` releases the waker, and so does the run's end."""
        self._waiters.append(waker)
        if self.is_requested:
            waker.release()
        return WakerHandle(self, waker)

    def remove_waiter(self, waiter: LockType | Waker) -> bool:
        """End what `add_waiter` or `add_waker` began; return whether the stop is requested. Idempotent."""
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
            if self._callbacks is not None and not self.is_woken:
                self._callbacks.append(handle)
                return handle
        if self._is_closed:
            handle.close()
        elif handle.begin():
            self.dispatched.append(handle)
            handle()
        return handle

    def wakeup(self) -> WakeupFd:
        """Return the descriptor that is readable once the run is woken or has ended.

        The caller keeps it: after the end of the run the token does not refer to it any more.
        """
        made = WakeupFd() if self._wakeup is None else None
        with self._lock:
            if self._wakeup is None and not self._is_closed:
                self._wakeup = made
            wakeup = self._wakeup or made or WakeupFd()
        # After it was stored: `wake` and `close` set their flag first and then the descriptor that they find.
        if self.is_woken or self._is_closed:
            wakeup.set()
        return wakeup

    # -- the engine's side

    @property
    def is_entered(self) -> bool:
        """Return whether the body was entered."""
        return self._is_entered

    @property
    def has_ended(self) -> bool:
        """Return whether the body has returned, as far as `end` knows."""
        return self._was_requested is not None

    @property
    def may_enter(self) -> bool:
        """Return whether `enter` would return True now."""
        return not (self.is_requested or self._gate.is_closed or self._callbacks is None)

    def enter(self, terminate: Callable[[], object] | None) -> bool:
        """Register the body's `terminate`; return False if the stop is requested: then do not enter the body.

        Call it immediately before the body. Without a lock: no other thread comes in between, since nothing is called
        between the checks and the end. A thread that is suspended before the checks finds the gate closed.
        """
        callback = TerminateCallback(terminate) if terminate is not None else None
        if self.is_requested or self._callbacks is None or self._gate.stop is not None:
            return False
        self._is_entered = True
        self._terminate = callback
        return True

    def forbid_entry(self) -> bool:
        """Make every later `enter` return False; return False if the body was entered before."""
        if self._is_entered:
            return False
        self._callbacks = None
        return True

    def mark_ended(self) -> None:
        """Record that the body has ended, and when. Called on the run's thread, long before its report is processed."""
        self._gate.ended[self.run] = mono()

    def end(self) -> bool:
        """Record that the body has returned; return whether the stop was requested before. Idempotent.

        A request that comes later is not the cause of the end, and `terminate` is not called for it.
        """
        with self._lock:
            if self._was_requested is None:
                self._was_requested = self.is_requested
                if not self._was_requested:
                    self._terminate = None
            return self._was_requested

    @property
    def reason(self) -> Reason | None:
        """The reason of the first request, or RUN_ENDED; None before it."""
        return self._reasons[0] if self.is_requested else None

    def request(self, reason: Reason) -> bool:
        """Set the flag; return False if it was set before, or if the run has ended. Does not wake the run.

        Without a lock: a caller may be interrupted at any line, and the next request finishes what it began.
        """
        if self.is_requested:
            return False
        self._reasons.append(reason)
        self.is_requested = True
        return True

    def add_observer(self, observer: Callable[[], object]) -> None:
        """Have `wake` call the observer, on its own thread; if the run is woken already, call it now.

        Neither a wait nor a callback of the task: it counts nowhere, and the end of the run drops it. It must not block
        or raise, and it may be called more than once.
        """
        with self._lock:
            if not self._is_closed:
                self._observers = (*self._observers, observer)
        # After it was stored: `wake` sets the flag first and then calls the observers that it finds.
        if self.is_woken:
            observer()

    def update_remote(self, *, has_polled: bool, is_waiting: bool, is_wakeable: bool) -> None:
        """Record what a run that executes in another process reports about its polls and waits."""
        if has_polled:
            self.polls += 1
        self.remote_wait, self.remote_wakeable = is_waiting, is_wakeable
        if not is_waiting and not self.is_requested and self._sampler.is_idle:
            self._sampler.resume()

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

    def take_callbacks(self) -> list[CancelCallback]:
        """Return the callbacks to call, `terminate` first; a second call returns none. Call it after `request`."""
        with self._lock:
            # An exception may strike between any two lines: the next call finishes what this one began.
            if not self._taken:
                terminate = () if self.is_dispatched or self._terminate is None else (self._terminate,)
                self._taken.append([*terminate, *(self._callbacks or ())])
            self.is_dispatched = True
            self._take_all()
            self.dispatched.extend(self._taken[0])
            return self._taken.pop()

    def wake(self) -> None:
        """Release every wait, call the observers and make the descriptor readable."""
        self.release_waits()
        self.is_woken = True
        for observer in self._observers:
            observer()
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.set()  # the local variable keeps the descriptor open; this never blocks

    def terminate_returned(self) -> Latch | None:
        """Return what opens once `terminate` has returned; None if it has, or is not called for this run."""
        terminate = self._terminate
        return None if terminate is None or terminate.returned.is_open else terminate.returned

    def detach(self, reason: Reason) -> None:
        """Cancel it for good without touching what other threads or processes share. Called in a forked child.

        No thread of the child would ever wake the token, and its lock may be held by a thread that is not there.
        Callbacks are not called: they belong to the run.
        """
        self._lock = RLock()
        self._waiters = []
        self._callbacks = None
        self._observers = ()
        self._gate = Gate()
        self._sampler = NoSampler()
        self._reasons.append(reason)  # the first one counts
        self.is_requested = self.is_woken = True
        if self._wakeup is not None:
            self._wakeup.detach()
            self._wakeup.set()

    def close(self) -> None:
        """Record that the run has ended: its remaining threads see it as cancelled. Idempotent.

        Callbacks that have not begun never begin, except for a `terminate` that was requested before.
        """
        self.end()
        with self._lock:
            self.request(RUN_ENDED)
            self._is_closed = True
            if self._callbacks:
                self._take_all()
            self._callbacks = None
            self._observers = ()
            self.remote_wait = self.remote_wakeable = False
            wakeup, self._wakeup = self._wakeup, None
        for callback in self.dispatched:
            callback.run_ended()
        if self._terminate is not None:
            self._terminate.run_ended()  # it may not be dispatched yet
        self.release_waits()
        if wakeup is not None:
            wakeup.set()

    def leave_behind(self, process: int) -> None:
        """Called in a child that was forked from this process: from now on the token answers from its last state.

        The lock may have been held by another thread, which does not exist in the child: it is replaced.
        """
        self._process = process
        self._lock = RLock()
        self._observers = ()
        self._sampler = NoSampler()
        self._wakeup = None  # the parent's run reads from the same file
        self.__class__ = _TokenOfParent

    def _take_all(self) -> list[CancelCallback]:
        """Return a copy of the list of callbacks; empty the list and drop it.

        A copy, because a callback that is unregistered meanwhile removes itself from the old list. The old list is
        emptied, because otherwise it and its callbacks would keep each other alive.
        """
        callbacks, self._callbacks = self._callbacks or [], None
        taken = callbacks.copy()
        callbacks.clear()
        return taken


class _TokenOfParent(CancelToken):
    """The token of a run, in a child process that was forked by the run. Nothing can cancel it there."""

    __slots__ = ()

    def wait(self, seconds: float | None = None) -> bool:
        """Block for `seconds`. Raises SchedulerForked if it would wait for ever."""
        if not self.is_requested and lock_timeout(seconds) < 0:
            raise SchedulerForked(self._process, os.getpid())
        return super().wait(seconds)
