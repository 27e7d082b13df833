"""The engine around the pure core: hands it what happened, carries out what it decides.

There is no scheduler thread to wake for every command. Messages go into a queue, and whoever put one in takes
the *turn*, if nobody has it, and works until the queue is empty; the others have left their message and go their
way. So the core has one caller at a time and needs no lock, a report never waits, and starting a job costs no
switch of threads. Nothing that may block happens in the turn: no I/O, no logging, no listener, no plugin code.

One timer thread stands by for deadlines.
"""

from __future__ import annotations

from _random import Random
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from taskloom.clock import Clock, mono
from taskloom.core import actions
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Input, RunEnded, RunStarted, RunStartFailed, StackCaptured, StopJob, Tick
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment, Phase, Reason
from taskloom.core.report import StopReport, make_stop_report
from taskloom.errors import TaskNotFound
from taskloom.runners import Runner, RunOrder, Stack
from taskloom.runners.callback_pool import CallbackPool
from taskloom.runners.error_info import describe
from taskloom.scheduler.cancel_waves import SILENCE_SECONDS, CancelWaves
from taskloom.scheduler.condition import Condition
from taskloom.scheduler.live_run import LiveRun, locate_runs
from taskloom.scheduler.stop_progress import log_stop_progress
from taskloom.scheduler.subscribers import Listener
from taskloom.scheduler.timer import Timer
from taskloom.sync.cancel_token import CancelCallback
from taskloom.sync.latch import Latch

__all__ = ["Engine"]

Result = TypeVar("Result")

# What a stop waits for a listener to tell the last events; one that is stuck holds no stop for longer.
FLUSH_SECONDS = 0.2
# Whole stacks are for people: beyond so many in one look, only the place is noted.
WHOLE_STACKS = 100


class _Call:
    """A command whose caller waits for the answer."""

    __slots__ = ("error", "is_done", "latch", "messages", "read", "result")

    def __init__(self, messages: Iterable[Input], read: Callable[[Lifecycle], Any]) -> None:
        self.messages = messages
        self.read = read
        self.result: Any = None
        self.error: Exception | None = None
        self.is_done = False
        # Made only by a caller that has to wait: mostly it finds the turn free and does the work itself.
        self.latch: Latch | None = None


class Engine:
    """One lifecycle with its runners, timer, helpers and listeners."""

    def __init__(
        self, clock: Clock, runners: Mapping[str, Runner], stop_within: float, on_stopping: Callable[[], object] | None
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        self.last: dict[str, LiveRun] = {}
        """The latest run of each job, ended or not."""
        self.listeners: tuple[Listener, ...] = ()
        self.stopped = Latch()
        self.report: StopReport | None = None
        self.bug: Exception | None = None
        self._on_stopping = on_stopping
        self._clock = clock
        self._runners = runners
        self._core = Lifecycle(Random().random, stop_within)
        self._core.enable_events(on_stopping is not None)
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._turn = allocate_lock()
        self._latest = Moment(0.0, 0.0)
        # Messages that are taken in before those of the inbox.
        self._priority: deque[Any] = deque()
        self._actions: deque[Any] = deque()
        self._to_capture: list[str] = []
        self._ending: deque[LiveRun] = deque()
        self._condition = Condition()
        self._stoppers: set[str] = set()
        self._is_prepared = False
        self._callback_pool = CallbackPool(self.post)
        self._timer = Timer(clock, self._tick, self._callback_pool.grow_if_stuck, self.post)
        self._cancel_waves = CancelWaves(self._callback_pool, self._timer, self._inbox, self._process)
        self.heartbeats = self._timer.heartbeats
        self._handlers: dict[type, Callable[[Any], object]] = {
            Event: self._publish,
            actions.StartRun: self._start_run,
            actions.CancelRun: self._cancel_run,
            actions.MarkUrgent: self._mark_urgent,
            actions.CaptureStack: self._capture_stack,
            actions.ReportStopProgress: self._report_stop_progress,
            actions.ReleaseRun: self._release_run,
            actions.ApplySpec: self._apply_spec,
            actions.ForgetJob: lambda action: self.last.pop(action.job, None),
            actions.WorkFinished: self._work_finished,
            actions.ShutdownFinished: self._shutdown_finished,
            _Call: self._answer,
        }

    # -- how messages come in

    def post(self, message: Input) -> None:
        """Hand a report to the core; never blocks, from any thread."""
        self._inbox.put(message)
        if type(message) is RunEnded:
            self._cancel_waves.run_ended()
        self._drain()

    def query(self, message: Input | None, read: Callable[[Lifecycle], Result]) -> Result:
        """Hand a command to the core, see its actions carried out, and return what `read` finds then.

        `read` is called in the turn and must only look. Raises what the core raises.
        """
        return self.query_all(() if message is None else (message,), read)

    def query_all(self, messages: Iterable[Input], read: Callable[[Lifecycle], Result]) -> Result:
        """Do it for several commands in one turn; the first that is refused is the last."""
        call = _Call(messages, read)
        self._inbox.put(call)
        self._drain()
        if not call.is_done:
            latch = call.latch = Latch()
            if not call.is_done:  # the answer marks itself and then looks for a latch: one of us sees the other
                latch.wait()
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def cancel(self, run: LiveRun, reason: Reason) -> None:
        """Ask one run to stop. Where nothing else is going on it is woken first, and the books are kept after that.

        That is what everybody would see anyway, only sooner: the turn is ours and nothing waits in it, so the core
        can but agree, and what the run says when it wakes up is taken in after the order.
        """
        order = StopJob(run.job, reason, run.id)
        if not self._turn.acquire(blocking=False):
            self.call(order)
            return
        try:
            is_alone = not self._actions and self._inbox.empty()
            self._priority.append(order)
            if is_alone and not run.over.is_open and run.token.request(reason):
                self._cancel_waves.wake(run)
                # To wait is to let go of the GIL, and the woken run wants nothing but that.
                self._priority.append(self._inbox.get(timeout=SILENCE_SECONDS))
        except Empty:
            pass
        finally:
            self._turn.release()
        self._drain()

    def add_listener(self, listener: Listener) -> None:
        """Tell it of every event from now on."""

        def add(_: Lifecycle) -> None:
            self.listeners = (*self.listeners, listener)
            self._core.enable_events(True)
            self._end_listeners()

        self.query(None, add)

    def call(self, command: Input) -> None:
        """Hand a command to the core and see it carried out. Raises what the core raises."""
        self.query(command, lambda _: None)

    def now(self) -> Moment:
        """Read the scheduler's clock."""
        return self._clock.now()

    def wait_until(self, is_true: Callable[[Lifecycle], bool], timeout: float | None = None) -> bool:
        """Wait until that is true of the core; False when it took longer than `timeout` seconds.

        It is looked at in the turn whenever a run is over or overdue, the work is over or the stop is over.
        """
        return self._condition.wait_until(lambda: self.query(None, is_true), timeout)

    def wait_for_others(self, run: str) -> None:
        """Wait, on the thread of a run, until the stop awaits nobody but runs that wait here themselves."""

        def enter(_: Lifecycle) -> None:
            self._stoppers.add(run)
            self._condition.notify_all()

        self.query(None, enter)
        try:
            self.wait_until(lambda core: core.phase is Phase.STOPPED or core.stopping.keys() <= self._stoppers)
        finally:
            self._stoppers.discard(run)

    # -- the turn

    def _drain(self) -> None:
        # Who fails to take the turn leaves the message to who has it: that one looks at the queue again after
        # giving the turn back, so no message is left lying.
        while (not self._inbox.empty() or self._is_behind()) and self._turn.acquire(blocking=False):
            try:
                self._process_all()
            finally:
                self._turn.release()
                if self._is_behind():
                    self._timer.wake()  # a Ctrl-C struck the caller in the middle: the timer finishes the work

    def _is_behind(self) -> bool:
        return bool(self._actions or self._priority or self._to_capture or self._cancel_waves.pending)

    def _process_all(self) -> None:
        todo, inbox = self._actions, self._inbox
        while True:
            while todo:
                action = todo.popleft()
                try:
                    self._handlers[type(action)](action)
                except Exception as error:  # noqa: BLE001 - a rule is broken; the others, and the timer, go on
                    self.bug = self.bug or error
            if self._cancel_waves.pending:
                self._cancel_waves.wake_all()
            elif self._to_capture:
                self._capture_stacks()
            elif self._priority:
                self._process(self._priority.popleft())
            elif inbox.empty():
                break
            else:
                self._process(inbox.get())
        self._timer.set_deadline(self._core.next_deadline())

    def _process(self, message: Any) -> None:
        now = self._latest = self._clock.now() if type(message) is not RunStarted else self._start_of(message)
        if type(message) is _Call:
            self._process_call(message, now)
            return
        try:
            self._actions.extend(self._core.handle(message, now))
        except Exception as error:  # noqa: BLE001 - a rule of our own is broken; keep the others going
            self.bug = self.bug or error

    def _start_of(self, message: RunStarted) -> Moment:
        """Date a start back to when the runner was told, so that it comes before the run's first words.

        Not before what was taken in since: the core's time never goes back.
        """
        run = self.live.get(message.run)
        if run is None or run.begun is None:
            return self._clock.now()
        return max(run.begun, self._latest)

    def _process_call(self, call: _Call, now: Moment) -> None:
        try:
            for message in call.messages:
                self._actions.extend(self._core.handle(message, now))
        except Exception as error:  # noqa: BLE001 - it is the caller's, and goes there
            call.error = error
        self._actions.append(call)

    def _answer(self, call: _Call) -> None:
        if call.error is None:
            try:
                call.result = call.read(self._core)
            except Exception as error:  # noqa: BLE001 - it is the caller's, and goes there
                call.error = error
        call.is_done = True
        if call.latch is not None:
            call.latch.open()

    # -- what the core wants done

    def _publish(self, event: Event) -> None:
        if event.event is EventName.SCHEDULER_STOPPING and self._on_stopping is not None:
            self._on_stopping()
        for listener in self.listeners:
            listener.put(event)

    def _start_run(self, action: actions.StartRun) -> None:
        spec = action.spec
        run = LiveRun(self._core.runs[action.run], RunOrder.of(action), self.heartbeats)
        self.live[action.run] = self.last[spec.name] = run
        try:
            self._prepare()
            run.begin(self._runner(spec.runner.name), self.heartbeats, self.post, self._clock.now())
        except Exception as error:  # noqa: BLE001 - whatever a runner raises, it is this run's end alone
            self._process(RunStartFailed(action.run, describe(error)))

    def _runner(self, name: str) -> Runner:
        if name not in self._runners:
            raise TaskNotFound(name, self._runners, kind="runner")
        return self._runners[name]

    def _cancel_run(self, action: actions.CancelRun) -> None:
        self._cancel_waves.add(self.live[action.run], action.reason)

    def _mark_urgent(self, action: actions.MarkUrgent) -> None:
        self.live[action.run].token.urgent = True

    def _capture_stack(self, action: actions.CaptureStack) -> None:
        self._to_capture.append(action.run)

    def _capture_stacks(self) -> None:
        names = self._to_capture.copy()
        now = self._clock.now().mono
        stacks: dict[str, Stack] = {}
        try:
            found = self.locate_runs([self.live[name] for name in names if name in self.live])
            stacks = {run.id: stack for run, stack in found}
        except Exception as error:  # noqa: BLE001 - a runner breaks its contract
            self.bug = self.bug or error
        for name in names:  # each of them: a run that nobody can see must not hold up the stop
            where, text = stacks.get(name, Stack("", ""))
            run = self.live.get(name)
            age, callbacks = (run.poll_age(now), run.unfinished_callbacks()) if run is not None else (None, ())
            self._process(StackCaptured(name, where, text, age, callbacks))
        del self._to_capture[: len(names)]  # now and not before: a Ctrl-C may strike in the middle
        self._condition.notify_all()

    def locate_runs(self, runs: list[LiveRun], texts: int = WHOLE_STACKS) -> list[tuple[LiveRun, Stack]]:
        """Say where the runs stand, in one look per runner."""
        return locate_runs(self._runners, runs, texts)

    def _report_stop_progress(self, action: actions.ReportStopProgress) -> None:
        # Said by a helper: a log handler may block, and the stop has to go on.
        runs = [self.live[name] for name in action.runs if name in self.live]

        def say() -> None:
            log_stop_progress(
                self.locate_runs([run for run in runs if run.is_alive()], texts=0), action.more, self.now().mono
            )

        self._callback_pool.submit("", [CancelCallback(say, "reminder")])

    def _release_run(self, action: actions.ReleaseRun) -> None:
        run = self.live.pop(action.run)
        run.over.open()  # first of all: somebody waits for it, and a handle may break its contract
        self._condition.notify_all()
        self.heartbeats.forget(run.id)
        leaving = self._ending
        leaving.append(run)
        while leaving and leaving[0].is_gone():
            leaving.popleft()
        if self.report is not None:
            self._end_listeners()

    def _apply_spec(self, action: actions.ApplySpec) -> None:
        self.live[action.run].apply(action.spec)

    def _work_finished(self, action: actions.WorkFinished) -> None:
        self._condition.notify_all()

    def _shutdown_finished(self, action: actions.ShutdownFinished) -> None:
        self.report = make_stop_report(self._core, self._clock.now())
        self.stopped.open()
        self._condition.notify_all()
        self._end_listeners()
        self._callback_pool.close()
        self._timer.close()
        for runner in self._runners.values():
            runner.close()

    def _end_listeners(self) -> None:
        """Let the listeners end, once they have told what they have, when nothing can happen any more."""
        if self.report is not None and not self.live:
            for listener in self.listeners:
                listener.close(0)

    # -- time

    def _prepare(self) -> None:
        """Make the threads that a stop will need, while threads are still to be had."""
        if not self._is_prepared:
            self._timer.prepare()
            self._callback_pool.prepare()
            self._is_prepared = True

    def _tick(self, is_due: bool) -> None:
        if is_due:
            self._inbox.put(Tick())
        self._drain()

    # -- the end

    def close(self, until: float) -> None:
        """See the threads of ended runs gone, and the timer, until that monotonic second, and the last events told."""
        for run in self.query(None, lambda _: tuple(self._ending)):
            run.join(max(0.0, until - mono()))
        self._timer.join(max(0.0, until - mono()))
        for runner in self._runners.values():
            runner.join(max(0.0, until - mono()))
        for listener in self.listeners:
            listener.flush(FLUSH_SECONDS)
