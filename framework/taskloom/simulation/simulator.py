"""The simulator of `taskloom simulate`: plans for runs, faults and clock steps, carried out by the engine.

It keeps nothing of the past: events are passed on as they occur, so a week of a thousand jobs needs no more memory
than an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

from taskloom.core import actions, inputs
from taskloom.core.events import Event
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import WAIT_FOR_EVER, ErrorInfo, How, JobSpec, Moment, Phase, Reason, ReasonKind
from taskloom.simulation.cuts import Cuts
from taskloom.simulation.engine import STUCK_STEPS, Engine
from taskloom.simulation.plan import Fault, Plan, RunBehaviour, awaited_families, matches
from taskloom.simulation.tally import KILLED
from taskloom.text import measured

__all__ = ["Simulator"]

_FAILED = ErrorInfo("SimulatedFailure", "a simulated run failed", "Traceback: none, nothing was really run\n")
_CRASHED = ErrorInfo("SimulatedCrash", "a simulated run crashed", "Traceback: none, nothing was really run\n")

# Added to the limit of the engine for each job, since thousands of jobs may fire and end at the same instant.
_STUCK_STEPS_PER_JOB = 100


class _FakeRun:
    """One run, as the scheduler sees it."""

    __slots__ = (
        "behaviour",
        "cancelled_at",
        "ends_at",
        "error",
        "is_cancel_requested",
        "is_hung",
        "is_killed",
        "name",
        "spec",
    )

    def __init__(self, name: str, spec: JobSpec, behaviour: RunBehaviour) -> None:
        self.name, self.spec, self.behaviour = name, spec, behaviour
        # None if it has ended, or will not end by itself.
        self.ends_at: float | None = None
        self.error: ErrorInfo | None = None
        self.is_cancel_requested = self.is_hung = self.is_killed = False
        self.cancelled_at = 0.0


class Simulator:
    """Runs the jobs of a plan in virtual time.

    `on_event` gets every event, in order. `before_stop` is called once, right before everything is stopped.
    `check_step` gets each step (an input and the lifecycle's actions) until it returns False. `on_progress` is called
    now and then, and may return a reason to stop everything before the time is over.
    """

    def __init__(
        self,
        specs: Iterable[JobSpec],
        plan: Plan,
        *,
        on_event: Callable[[Event], None],
        before_stop: Callable[[Lifecycle, Moment], None],
        check_step: Callable[[Moment, inputs.Input, Sequence[actions.Action]], bool] | None = None,
        on_progress: Callable[[], Reason | None] | None = None,
    ) -> None:
        self.plan = plan
        self.core = Lifecycle(Random(plan.seed).random, plan.stop_within)
        self.idle_faults: list[tuple[str, Fault]] = []
        """The faults that had no effect because their job had no run then, each with its kind: `crash` or `hang`."""
        self._specs = [one for spec in specs for one in spec.replicated()]
        awaited = awaited_families(self._specs)
        self._behaviours = {
            spec.name: RunBehaviour(spec, plan, is_awaited=spec.family in awaited) for spec in self._specs
        }
        self._before_stop = before_stop
        self._is_stop_reported = False
        self._runs: dict[str, _FakeRun] = {}
        self._engine = Engine(
            self.core,
            wall=plan.start,
            on_work_finished=lambda: self._stop(Reason(ReasonKind.FINISHED, "the work is over")),
            stuck_steps=STUCK_STEPS + _STUCK_STEPS_PER_JOB * len(self._specs),
        )
        if check_step is not None:
            self._check_step = check_step
            self._engine.handle = self._handle_and_check
        if on_progress is not None:
            self._on_progress = on_progress
            self._engine.on_progress = self._report_progress
        self._cuts = Cuts(self._engine)
        self._engine.handlers |= {
            Event: on_event,
            actions.StartRun: self._start,
            actions.CancelRun: self._cancel,
            actions.CaptureStack: self._capture_stack,
            actions.KillRun: self._kill,
            actions.ReleaseRun: self._release,
        }

    @property
    def now(self) -> Moment:
        """The virtual time."""
        return self._engine.now

    def run(self) -> None:
        """Let time pass until everything has stopped."""
        plan, engine = self.plan, self._engine
        for crash in plan.crashes:
            engine.schedule(crash.at, self._crash, crash)
        for hang in plan.hangs:
            engine.schedule(hang.at, self._hang, hang)
        for at, step in plan.clock_steps:
            engine.schedule(at, engine.step_wall, step.by)
        engine.schedule(plan.seconds, self._stop, Reason(ReasonKind.SHUTDOWN, "the simulated time is over"))
        for spec in self._specs:
            engine.process(inputs.AddJob(spec))
        engine.process(inputs.StartAll())
        engine.stop_if_finished()
        engine.run(self._is_over)
        self._report_stop()

    def _is_over(self) -> bool:
        """Return whether everything has stopped, or the stop waits without a deadline for runs that never end."""
        if self.core.phase is Phase.STOPPED:
            return True
        awaited = self.core.stopping.values()
        return not self._engine.has_scheduled and all(run.overdue_at == WAIT_FOR_EVER for run in awaited)

    def _handle_and_check(self, message: inputs.Input, now: Moment) -> Sequence[actions.Action]:
        found = self.core.handle(message, now)
        if not self._check_step(now, message, found):
            self._engine.handle = self.core.handle
        return found

    # -- the runner

    def _start(self, action: actions.StartRun) -> None:
        """Begin a run. It is ready at once."""
        run = self._runs[action.run] = _FakeRun(action.run, action.spec, self._behaviours[action.spec.name])
        seconds, fails = run.behaviour.draw_run(self.now.mono)
        if fails:
            run.error = _FAILED
        self._end_in(run, seconds)
        self._engine.answer(inputs.RunStarted(action.run, is_ready=True))
        cut = run.behaviour.draw_cut(self.now.mono, seconds)
        self._cuts.begin(run.name, run.spec, cut, lambda: self._resume(run))

    def _cancel(self, action: actions.CancelRun) -> None:
        run = self._runs[action.run]
        run.is_cancel_requested, run.cancelled_at = True, self.now.mono
        if run.is_hung or self._cuts.is_cut(run.name):
            return
        self._stop_run(run)

    def _stop_run(self, run: _FakeRun) -> None:
        seconds = run.behaviour.draw_stop()
        if run.ends_at is None or self.now.mono + seconds < run.ends_at:
            run.error = None
            self._end_in(run, seconds)

    def _capture_stack(self, action: actions.CaptureStack) -> None:
        self._engine.answer(inputs.StackCaptured(action.run, "nowhere: it is simulated", "", None))

    def _kill(self, action: actions.KillRun) -> None:
        """End a run that did not stop in time. TERM ends none: how a program takes it is not known."""
        run = self._runs[action.run]
        run.ends_at, run.is_killed = None, True
        if self._cuts.is_cut(run.name):
            self._cuts.kill(run.name)
        else:
            self._engine.answer(self._end_of_killed(run))

    def _end_of_killed(self, run: _FakeRun) -> inputs.RunEnded:
        error = ErrorInfo(KILLED, f"SIGKILL after {measured(self.now.mono - run.cancelled_at)}", "", is_explained=True)
        return inputs.RunEnded(run.name, How.KILLED, error, was_requested=True, callback_ran=False)

    def _release(self, action: actions.ReleaseRun) -> None:
        self._runs.pop(action.run).ends_at = None  # it may be lost before its end
        self._cuts.end(action.run)

    def _end_in(self, run: _FakeRun, seconds: float) -> None:
        when = self.now.mono + seconds
        run.ends_at = None if seconds == WAIT_FOR_EVER else when
        self._engine.schedule(when, self._end_if_due, run)

    def _end_if_due(self, run: _FakeRun) -> None:
        """End the run unless this entry of the heap is stale: the run has ended, hangs, or ends at another time.

        The end of a run that is cut off is not heard of before its worker comes back.
        """
        if run.ends_at == self.now.mono and not self._cuts.is_cut(run.name):
            self._end(run)

    def _resume(self, run: _FakeRun) -> None:
        """Go on with a run whose worker has come back: it may have ended meanwhile, or has to stop now."""
        if run.name in self._runs and run.is_killed:
            self._engine.process(self._end_of_killed(run))
        if run.name not in self._runs or run.is_hung:
            return
        if run.ends_at is not None and run.ends_at <= self.now.mono:
            self._end(run)
        elif run.is_cancel_requested:
            self._stop_run(run)

    def _end(self, run: _FakeRun) -> None:
        run.ends_at = None
        how = How.RAISED if run.error is not None else How.RETURNED
        self._engine.process(inputs.RunEnded(run.name, how, run.error, run.is_cancel_requested, callback_ran=False))

    # -- faults

    def _crash(self, crash: Fault) -> None:
        for run in self._affected("crash", crash):
            run.error, run.ends_at = _CRASHED, self.now.mono
            if not self._cuts.is_cut(run.name):
                self._end(run)

    def _hang(self, hang: Fault) -> None:
        for run in self._affected("hang", hang):
            run.is_hung, run.ends_at = True, None
            watchdog = run.spec.watchdog
            if watchdog is not None:
                self._engine.schedule_in(watchdog.after, self._report_unresponsive, run)

    def _affected(self, kind: str, fault: Fault) -> list[_FakeRun]:
        """Return the present runs of the job, one for each replica; note a fault that has none."""
        found = [run for run in self._runs.values() if matches(fault.job, run.spec)]
        if not found:
            self.idle_faults.append((kind, fault))
        return found

    def _report_unresponsive(self, run: _FakeRun) -> None:
        if run.spec.watchdog is not None and run.name in self._runs and not self._cuts.is_cut(run.name):
            self._engine.process(inputs.RunUnresponsive(run.name, run.spec.watchdog.after))

    # -- the end

    def _report_progress(self) -> None:
        reason = self._on_progress()
        if reason is not None:
            self._stop(reason)

    def _stop(self, reason: Reason) -> None:
        if self.core.phase is Phase.OPEN:
            self._report_stop()
            self._engine.process(inputs.Shutdown(reason, self.plan.stop_within))

    def _report_stop(self) -> None:
        if not self._is_stop_reported:
            self._is_stop_reported = True
            self._before_stop(self.core, self.now)
