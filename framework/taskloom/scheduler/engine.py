"""The engine around the pure core: one scheduler thread that owns it, and the queue through which all others reach it.

Guarantees, each with its test in `tests/faults`:
- Only the scheduler thread enters the core. A caller, signal handler or finalizer puts its message by one call into C
  code: an exception there comes before the message is queued, and nothing has happened, or after it, and the message is
  processed. So a Ctrl-C, at any line and any number of times, harms nothing but the call that it interrupts.
- A stop of everything is processed before all other messages, and due deadlines before reports; but if one is always
  due, some reports come after each, so that every call is answered. Once `request_stop` has returned, no body of a task
  is entered.
- A stop ends on time: what blocks (files, runners, listeners, callbacks, log handlers) is done on other threads. If the
  core itself fails, the engine requests every live run to stop and ends the stop at its deadline without the core.
- A run that ended in time is never reported as timed out, overdue or abandoned, however late its report is processed.
- There are no phantoms: each run in a status or a report has a thread, or has ended; each live run is requested to stop
  by every later stop.
- No call waits for a scheduler thread that is not there: it starts the thread, or is answered from the last state.

Theory of operation. `scheduler_loop` is the work of the thread. The thread starts at the first call that needs it, and
ends after the stop, once no run lives.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from taskloom.clock import Clock, mono
from taskloom.core.inputs import Input, Shutdown, StopJob
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Reason
from taskloom.core.report import StopReport, make_stop_report
from taskloom.errors import OnSchedulerThread, SchedulerBusy, SchedulerForked, SchedulerStopped
from taskloom.runners import Runner
from taskloom.scheduler.at_exit import AtExit
from taskloom.scheduler.calls import Call, Waiter
from taskloom.scheduler.failure_log import FailureLog
from taskloom.scheduler.inbox import WAKE
from taskloom.scheduler.live_run import LiveRun
from taskloom.scheduler.memory import Memory
from taskloom.scheduler.patience import patience_until
from taskloom.scheduler.process_hooks import add_engine
from taskloom.scheduler.scheduler_loop import SchedulerLoop
from taskloom.scheduler.subscribers import Listener
from taskloom.sync.cancel_token import lock_timeout

__all__ = ["Engine"]

Result = TypeVar("Result")

_NEVER = float("inf")
# A caller checks this often whether the thread that it waits for still exists.
CHECK_SECONDS = 1.0
LONG_CHECK_SECONDS = 5.0


class Engine(SchedulerLoop):
    """The scheduler as all other threads reach it: its queue, its answers, and the start of its thread.

    Any thread may call any public method.
    """

    def __init__(
        self,
        clock: Clock,
        runners: Mapping[str, Runner],
        stop_within: float,
        on_stopping: Callable[[], object] | None,
        log: FailureLog | None = None,
        *,
        memory: Memory | None = None,
    ) -> None:
        self.at_exit: AtExit | None = None
        """Acts at the end of the program. It also keeps the scheduler alive for that as long as a run lives."""
        self._pid = os.getpid()
        # In a forked child: its process id.
        self._child: int | None = None
        # Runs whose thread waits in `wait_for_others`.
        self._waiting_runs: set[str] = set()
        # Held by the scheduler thread: if two callers start one at the same time, the second ends at once.
        self._is_owned = allocate_lock()
        self._thread: threading.Thread | None = None
        super().__init__(clock, runners, stop_within, on_stopping, log, memory=memory)
        add_engine(self)

    # -- in a forked child

    @property
    def is_left_behind(self) -> bool:
        """Whether this is a child process that was forked from the one that made the scheduler."""
        return self._child is not None or os.getpid() != self._pid

    def leave_behind(self) -> None:
        """Called in a forked child: no thread of ours exists there, and no lock of theirs may be touched."""
        self._child = os.getpid()
        for run in list(self.executor.live.values()):
            run.token.leave_behind(self._pid)
        for listener in list(self.executor.listeners):
            listener.leave_behind()
        self.executor.leave_runners_behind()

    def check_process(self) -> None:
        """Raise SchedulerForked in a forked child: no thread would ever answer there."""
        if self._child is not None:
            raise SchedulerForked(self._pid, self._child)

    # -- how messages come in

    def post(self, message: Any) -> None:
        """Queue a report, or a command that needs no answer; never blocks, even in a signal handler or a finalizer."""
        if self._child is None:
            super().post(message)

    def request_stop(self, stop: Shutdown) -> None:
        """Close the gate, and have the core stop everything; never blocks. Only the first request counts."""
        self.check_process()
        gate = self.gate
        if gate.stop is None:
            gate.stop = stop
        self._put(WAKE)

    def cancel(self, run: LiveRun, reason: Reason) -> None:
        """Request one run to stop; never blocks.

        The command is queued first. The rest only makes it quicker: this thread may be interrupted at any line of
        it, or inside a method of the same token. The scheduler thread submits the callbacks.
        """
        self.check_process()
        if not run.is_cancel_queued:
            run.is_cancel_queued = True
            self._put(StopJob(run.job, reason, run.id))
        run.token.request(reason)
        run.token.wake()

    def call(self, command: Input) -> None:
        """Hand a command to the core and wait until its actions are carried out. Raises what the core raises."""
        self.query(command, lambda _: None)

    def query(self, message: Input | None, read: Callable[[Lifecycle], Result]) -> Result:
        """Hand a command to the core, wait until its actions are carried out, and return the result of `read`.

        `read` is called on the scheduler thread; it must not change the core. Raises what the core raises,
        OnSchedulerThread if this is that thread, SchedulerBusy if the caller's patience ends before the answer comes,
        and RuntimeError if the thread cannot be started.
        """
        return self.query_all(() if message is None else (message,), read)

    def query_all(self, messages: Iterable[Input], read: Callable[[Lifecycle], Result]) -> Result:
        """Do the same for several commands, with no other message between them; stop at the first refused one."""
        self.check_process()
        self.refuse_own_thread("wait for an answer")
        call = Call(messages, read)
        self.start_thread()
        self._put(call)
        until = patience_until()
        while not self._is_gone() and not call.wait(min(CHECK_SECONDS, max(0.0, until - mono()))):
            if mono() >= until and not call.is_answered:
                raise SchedulerBusy(is_undone=call.withdraw())
            self.start_thread()
        if not call.is_answered:
            # The thread has ended. It sets `_has_ended` and then releases the callers that it finds in the queue; we
            # have put our call and then read the flag. In whichever order these interleave, we get here.
            return self._answer_from_last_state(messages, read)
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def request(self, read: Callable[[Lifecycle], object]) -> None:
        """Have `read` called with the core soon, on the scheduler thread; never waits for that thread.

        `read` must not change the core, block or raise. After the end of that thread it is called here and now.
        """
        self.check_process()
        call = Call((), read)
        self.start_thread()
        self._put(call)
        # As in `query_all`: the thread finds the call in its queue, or has set the flag that we read here.
        if self._is_gone() and call.withdraw():
            read(self._core)

    def _answer_from_last_state(self, messages: Iterable[Input], read: Callable[[Lifecycle], Result]) -> Result:
        """Answer without the scheduler thread, which has ended, or stands still because the interpreter ends."""
        if not self._has_ended and any(messages):
            raise SchedulerStopped("carry out a command while the interpreter ends")
        for message in messages:
            self._core.handle(message, self._latest_time)
        return read(self._core)

    def add_listener(self, listener: Listener) -> None:
        """Give the listener every event from now on."""
        self.query(None, lambda _: self.executor.add_listener(listener))

    @property
    def last_seq(self) -> int:
        """The number of the last event; any thread may read it."""
        return self._core.last_seq

    # -- waiting for a state of the core

    def wait_until(self, is_true: Callable[[Lifecycle], bool], timeout: float | None = None) -> bool:
        """Wait until `is_true` returns True; return False after `timeout` seconds. It is called as `read` of `query`.

        Evaluated at first, and whenever a run has ended or is overdue, or the work or the stop is over.
        """
        self.check_process()
        until = _NEVER if timeout is None else mono() + timeout
        lock_timeout(timeout)  # raises ValueError for nan
        while True:
            waiter = Waiter(is_true)
            self.refuse_own_thread("wait")
            self.start_thread()
            self._put(waiter)
            if not self._is_gone():
                waiter.wait(lock_timeout(max(0.0, until - mono())))
            if self.query(None, is_true):
                return True
            if self._is_gone() or mono() >= until:
                return False

    def wait_stopped(self, timeout: float | None = None) -> bool:
        """Wait until a stop of everything is over; return False after `timeout` seconds."""
        self.check_process()
        self.refuse_own_thread("wait")
        until = _NEVER if timeout is None else mono() + timeout
        while True:
            self.start_thread()
            left = until - mono()
            if self.executor.stopped.wait(min(max(0.0, left), LONG_CHECK_SECONDS)):
                return True
            if left <= LONG_CHECK_SECONDS or self._is_gone():
                return self.executor.stopped.is_open

    def wait_for_others(self, run: str) -> None:
        """Wait, on the thread of a run, until the stop only waits for runs whose threads are in this method."""

        def enter(_: Lifecycle) -> None:
            self._waiting_runs.add(run)
            self.executor.has_changed = True

        self.query(None, enter)
        try:
            self.wait_until(lambda core: self.is_stopped or core.stopping.keys() <= self._waiting_runs)
        finally:
            self._waiting_runs.discard(run)

    @property
    def is_stopped(self) -> bool:
        """Whether the stop of everything is over. Not the core's phase: an error of ours can stop its bookkeeping."""
        return self.executor.stopped.is_open

    def stop_report(self) -> StopReport:
        """Return the report of the stop, or what it would be now."""
        if self.executor.report is None:
            return self.query(None, lambda core: make_stop_report(core, self.clock.now()))
        return self.executor.report

    def close(self, until: float) -> None:
        """Wait until monotonic second `until` for the threads of ended runs and our own, and flush the listeners."""
        released, is_over = self.query(None, lambda _: (tuple(self.executor.released), not self.executor.live))
        self.executor.join(released, until)
        if is_over and self._thread is not None and get_ident() != self._thread.ident:
            self._thread.join(max(0.0, min(until - mono(), threading.TIMEOUT_MAX)))

    # -- the thread

    def start_thread(self) -> None:
        """Start the scheduler thread unless it is running. Raises RuntimeError if no thread can be started."""
        if self._thread is None and not self._is_gone():
            try:
                threading.Thread(target=self._main, name="taskloom-scheduler", daemon=True).start()
            except RuntimeError as error:
                raise RuntimeError(f"cannot start the scheduler's thread: {error}") from None

    def _is_gone(self) -> bool:
        return self._has_ended or sys.is_finalizing()

    def refuse_own_thread(self, request: str) -> None:
        """Raise OnSchedulerThread if this is the scheduler thread, which would wait for itself, or if it waits for us.

        The latter in a finalizer that the collector calls inside of `Thread.start` or at the end of a thread: this
        thread holds the lock that the scheduler thread needs to start any run.
        """
        if not self._has_ended and _holds_lock_of_threading():
            raise OnSchedulerThread(request, starts_thread=True)
        thread = self._thread
        if thread is not None and thread.ident == get_ident() and not self._has_ended:
            raise OnSchedulerThread(request)

    def _main(self) -> None:
        is_owner = False
        try:
            is_owner = self._is_owned.acquire(blocking=False)
            if is_owner:  # otherwise another caller was faster
                self._thread = threading.current_thread()
                while not self._work_until_error():
                    pass
        finally:
            if is_owner and not self._has_ended:  # an error struck the lines that handle errors
                self._thread = None
                self._is_owned.release()
                self.start_thread()


def _holds_lock_of_threading() -> bool:
    """Return whether this thread is inside of the lock with which `threading` keeps its list of threads."""
    # An RLock in all versions so far; if it is something else one day, nothing is refused.
    is_owned = getattr(getattr(threading, "_active_limbo_lock", None), "_is_owned", None)
    return is_owned is not None and bool(is_owned())
