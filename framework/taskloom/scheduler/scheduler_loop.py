"""The work of the scheduler thread: it owns the core, and does the most urgent piece of work, one at a time.

That is: the stop that closed the gate, due deadlines, the actions of the core in order, one wave of runs to wake, the
next report. Nothing here blocks. `engine` has the guarantees, and how the other threads reach this one.
"""

from __future__ import annotations

from _random import Random
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from taskloom.clock import Clock, mono
from taskloom.core.actions import ShutdownFinished
from taskloom.core.inputs import Input, RunEnded, RunStarted, RunStartFailed, Shutdown, StopJob, Tick
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment, Phase
from taskloom.core.report import make_stop_report
from taskloom.errors import InternalError, UsageError
from taskloom.runners import Runner
from taskloom.scheduler.action_executor import ActionExecutor
from taskloom.scheduler.calls import Call, Waiter, Waiters
from taskloom.scheduler.cancel_waves import REPORT_SECONDS
from taskloom.scheduler.failure_log import FailureLog
from taskloom.scheduler.heartbeats import SAMPLE_SECONDS, HeartbeatMonitor
from taskloom.scheduler.inbox import WAKE, Inbox
from taskloom.scheduler.memory import Memory
from taskloom.scheduler.process_hooks import register_exit_hook
from taskloom.scheduler.stop_without_core import StopWithoutCore
from taskloom.sync.gate import Gate
from taskloom.sync.gc_pause import resume_gc

__all__ = ["SchedulerLoop"]

_NEVER = float("inf")
# After this number of actions the thread checks the time again. Starting a run takes about 50 us.
ACTIONS_AT_ONCE = 32
# About a millisecond of work.
REPORTS_BEFORE_TICK = 32
# Reports and calls that come before the next due deadline: on a machine that is too slow one is always due.
REPORTS_AFTER_TICK = 32
# After MOST_FAILURES errors without any work in between, the callers get the error. Then the thread waits
# FAILURE_SECONDS before it tries again.
MOST_FAILURES = 10
FAILURE_SECONDS = 0.05


class SchedulerLoop:
    """The core, its queue and its actions. Only the scheduler thread calls its methods, except `post`.

    Implements `messages.Messages`. `clock` is read on the scheduler thread.
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
        self.bug: BaseException | None = None
        self.clock = clock
        self.gate = Gate()
        self._core = Lifecycle(Random().random, stop_within)
        self._inbox = Inbox()
        self._put = self._inbox.put
        self._waiters = Waiters()
        # The actions of the core, and the calls to answer, in order.
        self._actions: deque[Any] = deque()
        # The time of the message that the core processed last.
        self._latest_time = Moment(0.0, 0.0)
        self._deadline: float | None = None
        # How many reports come before the next due deadline; each waiting one uses up one.
        self._reports_first = 0
        self._sample_at: float | None = None
        # The request to stop that the core has got: not the one of the gate if that has just been closed.
        self._taken_stop: Shutdown | None = None
        # The item that is being worked on, and the one that an error of ours has interrupted once.
        self._current: Any = None
        self._failed: Any = None
        # How many errors came since a piece of work was done.
        self._failures = 0
        # The exception that the core raised in the middle of a message, if it did.
        self._core_error: BaseException | None = None
        self._stop_without_core: StopWithoutCore | None = None
        self._heartbeats = HeartbeatMonitor(self._wake, self.post)
        self.executor = ActionExecutor(
            self,
            self._core,
            clock=clock,
            runners=runners,
            gate=self.gate,
            heartbeats=self._heartbeats,
            on_stopping=on_stopping,
            wake_scheduler=self._wake,
            log=log,
            before_first_run=register_exit_hook,
            memory=memory,
        )
        self._core.enable_events(self.executor.default_audience)
        self._cancel_waves = self.executor.cancel_waves
        self._captures = self.executor.captures
        self._refused = self.executor.starts.refused
        self._handlers: dict[type, Callable[[Any], object]] = {
            **self.executor.handlers,
            Call: self._answer,
            ShutdownFinished: self._shutdown_finished,
        }
        # Calls that are answered, and whose callers are released just before this thread sleeps. A caller that is
        # released earlier only waits for the GIL, and each such wait costs as much as processing a message.
        self._answered: list[Call] = []
        self._has_ended = False

    def post(self, message: Any) -> None:
        """Queue a message; never blocks, any thread may call it."""
        self._put(message)
        if type(message) is RunEnded:
            self._cancel_waves.run_ended()

    def _wake(self) -> None:
        self._put(WAKE)

    # -- the loop

    def _work_until_error(self) -> bool:
        """Work; return whether everything is over. Even a MemoryError must not end this thread."""
        try:
            return self._work()
        except BaseException as error:  # noqa: BLE001 - see above
            self._failed = self._current
            self.record_bug(error)
            self._failures += 1
            return self._failures > MOST_FAILURES and self._give_up(error)

    def _give_up(self, error: BaseException) -> bool:
        """Raise the error in the waiting callers, and carry out a stop without the core; return whether it is over.

        Nothing succeeds any more, for example because the clock that the host has passed in always raises.
        """
        inbox = self._inbox
        inbox.wait(FAILURE_SECONDS)
        inbox.take_in()
        while inbox.reports:
            message = inbox.reports.popleft()
            if type(message) is Call:
                message.fail(error)
            elif type(message) is Waiter:
                message.release()
        self._waiters.release_all()
        self._taken_stop = self.gate.stop
        self._begin_without_core()
        if self._stop_without_core is None:
            return False
        while self._cancel_waves.pending:
            self._cancel_waves.wake_next()
        if self._stop_without_core.is_over():
            self._finish_without_core(Moment(mono(), self._latest_time.wall))
            self._end()
        return self._has_ended

    # An item stays in its queue while it is worked on. If an error of ours interrupts the work, it is tried once more:
    # every handler may be called again.

    def _first(self, queue: deque[Any]) -> Any:
        item = self._current = queue[0]
        if item is self._failed:
            queue.popleft()
        return item

    def _finished(self, queue: deque[Any], item: Any) -> None:
        if queue and queue[0] is item:
            queue.popleft()
        self._current = None  # nothing of a call or a run is kept alive

    def _work(self) -> bool:
        """Work until everything is over, and return True."""
        inbox, now_of = self._inbox, self.clock.now
        for number in count():
            if not inbox.is_empty():
                inbox.take_in()
            now = now_of()
            if self._step(now):
                self._failures = 0
                if self._answered and number % ACTIONS_AT_ONCE == 0:
                    self._release_callers()  # a flood of messages may keep us from sleeping for long
                continue
            if self._is_over():
                break
            seconds = self._seconds_to_sleep(now.mono)
            self._release_callers()
            self._current = self._failed = None  # keep no reference while asleep
            resume_gc()  # a caller may have been interrupted in a block that pauses it
            inbox.wait(seconds)
        self._end()
        return True

    def _step(self, now: Moment) -> bool:
        """Do the most urgent piece of work; return False if there is none."""
        inbox, deadline, actions = self._inbox, self._deadline, self._actions
        if self.gate.stop is not self._taken_stop:
            self._take_stop(now)
        elif inbox.urgent:
            self._handle_first(inbox.urgent, now)
        elif deadline is not None and now.mono >= deadline and not (self._reports_first and inbox.reports):
            self._tick()
        elif self._sample_at is not None and now.mono >= self._sample_at:
            late, self._sample_at = now.mono - self._sample_at, None
            self._heartbeats.sample(now.mono, late)
        elif self._stop_without_core is not None and self._stop_without_core.is_over():
            self._finish_without_core(now)
        elif not actions and not self._wake_or_capture(now) and not self._take_report(now):
            return False
        if actions:
            self._carry_out()
        return True

    def _tick(self) -> None:
        """Handle the due deadlines, but first the next reports if runs have ended.

        So a schedule that fires at the end of a run sees that it is over. Only the next ones: deadlines do not wait for
        a flood of reports, and what the reports would say about the ends is in the Tick as well.
        """
        if self.gate.ended:
            reports = self._inbox.reports
            for _ in range(min(len(reports), REPORTS_BEFORE_TICK)):
                self._handle_first(reports, self.clock.now())
        self._deadline, self._reports_first = None, REPORTS_AFTER_TICK
        self._handle(Tick(dict(self.gate.ended)), self.clock.now())

    def _wake_or_capture(self, now: Moment) -> bool:
        """Do what is deferred until all actions are carried out; return False if there is nothing of that kind."""
        captures = self._captures
        if self._cancel_waves.pending:
            self._cancel_waves.wake_next()
            self._process_reports()
        elif captures.requested:
            captures.begin()
        elif captures.running and any(mono() >= capture.until for capture in captures.running):
            captures.finish_due(mono())
        else:
            return False
        return True

    def _take_report(self, now: Moment) -> bool:
        """Process the next report, or else tell the waiting callers what has changed; return False if there is none."""
        reports = self._inbox.reports
        if reports:
            self._reports_first = max(0, self._reports_first - 1)
            if type(reports[0]) is StopJob and len(reports) == 1 and reports[0].run is not None:
                # The caller is waking this run. Sleeping releases the GIL, which is all that the run needs now.
                self._inbox.wait(REPORT_SECONDS)
            self._handle_first(reports, now)
        elif self.executor.has_changed:
            self.executor.has_changed = False
            self._waiters.evaluate(self._core)
        else:
            return False
        return True

    def _answer(self, call: Call) -> None:
        call.answer(self._core)
        self._answered.append(call)
        if len(self._answered) >= ACTIONS_AT_ONCE:
            self._release_callers()

    def _release_callers(self) -> None:
        answered = self._answered
        while answered:
            answered[-1].release()
            answered.pop()

    def _carry_out(self) -> None:
        """Carry out some of the queued actions, as long as nothing more urgent comes."""
        actions, gate = self._actions, self.gate
        for _ in range(ACTIONS_AT_ONCE):
            if not actions or gate.stop is not self._taken_stop:
                return  # in the latter case the core takes the stop before another run starts
            action = self._first(actions)
            self._handlers[type(action)](action)
            self._finished(actions, action)

    def _process_reports(self) -> None:
        """Process the reports that have come so far, and no more: the next wave waits."""
        inbox = self._inbox
        inbox.take_in()
        for _ in range(len(inbox.reports)):
            self._handle_first(inbox.reports, self.clock.now())

    def _seconds_to_sleep(self, now: float) -> float | None:
        """Return for how long nothing is due; None if for ever."""
        executor = self.executor
        if self._sample_at is None and not self._heartbeats.is_idle:
            self._sample_at = now + SAMPLE_SECONDS
        until = _NEVER if self._deadline is None else self._deadline
        if self._sample_at is not None and self._sample_at < until:
            until = self._sample_at
        for pool in (executor.callbacks, executor.helpers):
            grow_after = pool.grow_if_stuck()
            if grow_after is not None:
                until = min(until, now + grow_after)
        seconds = until - now
        # Our own waits are measured by the machine's clock: the one that a host has passed in may stand still.
        for capture in self._captures.running:
            seconds = min(seconds, capture.until - mono())
        if self._stop_without_core is not None:
            seconds = min(seconds, self._stop_without_core.seconds_to_check())
        return None if seconds == _NEVER else seconds

    def _is_over(self) -> bool:
        if self.executor.report is None or not self._inbox.is_empty():
            return False
        if self._core_error is not None:
            self.executor.release_ended_runs()
        return not self.executor.live

    def _end(self) -> None:
        """Answer what is left, and let the thread end. Later calls are answered by their callers."""
        self._has_ended = True
        self._release_callers()
        self._inbox.take_in()
        while self._inbox.reports:
            message = self._inbox.reports.popleft()
            if type(message) is Call:
                message.release()  # its caller answers it
            elif type(message) is Waiter:
                message.release()
        self._waiters.release_all()

    # -- messages, on the scheduler thread

    def _handle_first(self, queue: deque[Any], now: Moment) -> None:
        message = self._first(queue)
        self._handle(message, now)
        self._finished(queue, message)

    def _handle(self, message: Any, now: Moment) -> None:
        kind = type(message)
        if kind is Call:
            self._process_call(message, now)
            self._actions.append(message)
        elif kind is Waiter:
            self._waiters.add(message, self._core)
        elif kind in self.executor.reports:
            self.executor.reports[kind](message)
        else:
            self._process(message, now)

    def process(self, message: Input) -> None:
        """Hand a report to the core now. Only for the scheduler thread."""
        self._process(message, self.clock.now())

    def _process(self, message: Any, now: Moment) -> None:
        """Have the core process a message and queue the actions."""
        if self.gate.stop is not self._taken_stop and message is not self.gate.stop:
            self._take_stop(now)  # before the report of a run that has found the gate closed
        kind = type(message)
        if kind is RunStarted:
            now = self._start_of(message, now)
        elif kind is RunEnded:
            self.gate.ended.pop(message.run, None)
        elif kind is StopJob and message.run is not None:
            self._note_cancel(message.run)
        if self._refused and self._is_refused(message):
            return
        self._latest_time = now
        try:
            self._actions.extend(self._core.handle(message, now))
        except UsageError:
            pass  # a command without an answer has come too late, such as a cancel of a job that was removed
        except BaseException as error:  # noqa: BLE001 - a bug; the next messages are processed
            self._core_failed(error)
        self._after_message()

    def _after_message(self) -> None:
        self._deadline = self._core.next_deadline()
        if self.gate.stop is None and self._core.phase is not Phase.OPEN:
            # The core has begun a stop by itself: an essential job has failed.
            shutdown = self._core.shutdown
            self._taken_stop = self.gate.stop = Shutdown(
                shutdown.reason, self._core.stops.latest - self._latest_time.mono
            )
            if self._core_error is not None:
                self._begin_without_core()

    def _note_cancel(self, name: str) -> None:
        run = self.executor.live.get(name)
        if run is not None:
            # Before the core processes it: a cancel that another thread requests after this is queued again.
            run.is_cancel_queued = False

    def _is_refused(self, message: Any) -> bool:
        """Return whether this report is about a run that was ended without its runner, and drop the run at its end."""
        run = getattr(message, "run", "")
        is_refused = run in self._refused and run not in self.executor.live
        if is_refused and type(message) in (RunEnded, RunStartFailed):
            del self._refused[run]
        return is_refused

    def _process_call(self, call: Call, now: Moment) -> None:
        if not call.claim():
            return  # its caller waits no longer
        try:
            for message in call.messages:
                self._actions.extend(self._core.handle(message, now))
        except UsageError as error:
            call.error = error
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            call.error = error
            self._core_failed(error)
        self._latest_time = now
        self._after_message()

    def _start_of(self, message: RunStarted, now: Moment) -> Moment:
        """Date a start back, so that it precedes everything that the run itself reports.

        To the call of the runner, or to where the body was entered in another process. Not before the latest processed
        message: the core's time never goes back.
        """
        run = self.executor.live.get(message.run)
        if run is None:
            return now
        begun, elsewhere = run.begun, run.gauges.begun
        if elsewhere and elsewhere < now.mono:
            begun = Moment(elsewhere, now.wall - (now.mono - elsewhere))
        return now if begun is None else max(begun, self._latest_time)

    # -- stopping, and failures of our own, on the scheduler thread

    def _take_stop(self, now: Moment) -> None:
        stop = self.gate.stop
        if stop is not None:
            self._process(stop, now)
            self._taken_stop = stop  # after it: a stop that an error of ours interrupts is processed once more
            if self._core_error is not None:
                self._begin_without_core()

    def record_bug(self, error: BaseException) -> None:
        """Keep the error if it is the first breach of Taskloom's own rules."""
        if self.bug is None:
            self.bug = error
            if self.executor.log is not None:
                self.executor.log.put_bug(error)

    def _core_failed(self, error: BaseException) -> None:
        """Record that the core raised. Unless it refused the message as illegal, its state can be wrong from now on."""
        self.record_bug(error)
        if not isinstance(error, InternalError):
            self._core_error = error
            self._begin_without_core()

    def _shutdown_finished(self, _: ShutdownFinished) -> None:
        """Report the end of the stop, unless an error has left the core in doubt: then it does not know who is left."""
        if self._core_error is None:
            self.executor.finish(make_stop_report(self._core, self.clock.now()))

    def _begin_without_core(self) -> None:
        if self._stop_without_core is None and self._taken_stop is not None:
            self._stop_without_core = StopWithoutCore(self.executor, self._taken_stop)

    def _finish_without_core(self, now: Moment) -> None:
        if self._stop_without_core is not None:
            report = self._stop_without_core.report(self._core, now)
            self._stop_without_core = None
            self.executor.finish(report)
            self.executor.release_ended_runs()  # the core may have lost them
