"""`taskloom.testing.simulate`: the lifecycle in virtual time, over fake runs that misbehave in every way.

The engine is that of `taskloom simulate`. Here each step is recorded, and the seed decides the order of what happens
at the same instant: the scheduler has to work with each order.

To simulate more, add a handler for the action, or a field to Behaviour.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random

from taskloom.core import actions, inputs
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import ErrorInfo, How, JobSpec, Moment, Phase, Reason, ReasonKind
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.core.run_reports import Whereabouts
from taskloom.errors import UsageError
from taskloom.invariants.history import History, Step
from taskloom.simulation.engine import STUCK_STEPS, Engine
from taskloom.simulation.plan import At, ClockStep, Stall
from taskloom.testing.behaviour import Behaviour, draw_behaviour
from taskloom.testing.clock import FIRST_WALL_SECONDS

__all__ = ["Behaviours", "RecordedCore", "simulate"]

# After the shutdown began: a run that has not ended by then never does.
DRAIN_SECONDS = 7200.0

_WITH_ERROR = (How.RAISED, How.PERMANENT, How.KILLED, How.LOST)
FAKE_ERROR = ErrorInfo("RuntimeError", "a fake run failed", "Traceback (most recent call last): none, it is a fake")

Behaviours = Mapping[str, Behaviour | Sequence[Behaviour]]


def simulate(
    jobs: Iterable[JobSpec],
    *,
    seconds: float,
    seed: int = 0,
    script: Iterable[At] = (),
    behaviours: Behaviours | None = None,
    stop_within: float = STOP_WITHIN_SECONDS,
    ends_with_work: bool = False,
) -> History:
    """Run the jobs in virtual time and return what happened.

    All jobs are added and started at second 0. The commands of `script` are given at their times; a command that is
    refused is recorded and changes nothing. Everything is stopped after `seconds` or, if `ends_with_work`, as soon as
    no work is left, as `taskloom run` does.

    `behaviours` defines what the runs of each job do: one Behaviour for all of them, or one for each run in order, of
    which the last also serves all further runs. The behaviour of a job that is not in `behaviours` is drawn from the
    seed.

    The same arguments give the same history, to the last digit.
    """
    simulator = _Simulator(seed, behaviours or {}, stop_within, ends_with_work=ends_with_work)
    for job in jobs:
        simulator.apply(inputs.AddJob(job))
    simulator.apply(inputs.StartAll())
    engine = simulator.engine
    for at in script:
        engine.schedule(at.seconds, simulator.apply, at.command)
    engine.schedule(seconds, simulator.stop, ReasonKind.SHUTDOWN)
    engine.run(simulator.is_over, until=seconds + DRAIN_SECONDS)
    return simulator.recorded.history


class RecordedCore:
    """A lifecycle and the history of all inputs that it was handed."""

    def __init__(self, seed: int | None = 0, *, stop_within: float = STOP_WITHIN_SECONDS) -> None:
        self.lifecycle = Lifecycle(Random(seed).random, stop_within)
        self.history = History(seed, lifecycle=self.lifecycle, stop_within=stop_within)

    def handle(self, message: inputs.Input, now: Moment) -> list[actions.Action]:
        """Hand in one input and return the actions. Raises the UsageError that refuses it."""
        try:
            found = self.lifecycle.handle(message, now)
        except UsageError as error:
            self.history.steps.append(Step(now, message, (), error))
            raise
        self.history.steps.append(Step(now, message, tuple(found)))
        return found


class _Simulator:
    """Fake runs over the engine, and a record of each step."""

    def __init__(self, seed: int, behaviours: Behaviours, stop_within: float, *, ends_with_work: bool) -> None:
        self.random = Random(seed)
        self.recorded = RecordedCore(seed, stop_within=stop_within)
        self._behaviours, self._stop_within, self._ends_with_work = behaviours, stop_within, ends_with_work
        self._runs: dict[str, _FakeRun] = {}
        self._run_counts: Counter[str] = Counter()
        self.engine = Engine(
            self.recorded.lifecycle,
            wall=FIRST_WALL_SECONDS,
            on_work_finished=self._work_finished,
            tie_break=self.random.random,
            stuck_steps=STUCK_STEPS,
        )
        self.engine.handle = self.recorded.handle
        self.engine.handlers |= {
            actions.StartRun: self._start,
            actions.CancelRun: lambda action: self._runs[action.run].request_cancel(),
            actions.MarkUrgent: lambda action: self._runs[action.run].mark_urgent(),
            actions.TerminateRun: lambda action: self._runs[action.run].terminate(),
            actions.CaptureStack: lambda action: self._runs[action.run].capture_stack(),
            actions.KillRun: lambda action: self._runs[action.run].kill(),
            actions.ReleaseRun: lambda action: self._runs.__delitem__(action.run),
            actions.ApplySpec: lambda action: self._runs[action.run].apply(action.spec),
            actions.RecordInstant: self._record_instant,
        }

    def apply(self, command: inputs.Input | ClockStep | Stall) -> None:
        """Do what an entry of the script orders; the history records a command that is refused."""
        with suppress(UsageError):
            self.engine.apply(command)

    def stop(self, reason: ReasonKind) -> None:
        """Stop everything."""
        self.engine.process(inputs.Shutdown(Reason(reason), self._stop_within))

    def is_over(self) -> bool:
        """Return whether everything has stopped and the last abandoned run has ended."""
        return self.recorded.lifecycle.phase is Phase.STOPPED and not self._runs

    def _work_finished(self) -> None:
        if self._ends_with_work:
            self.stop(ReasonKind.FINISHED)

    def _start(self, action: actions.StartRun) -> None:
        run = _FakeRun(self.engine, action, self._behaviour_of(action.spec))
        self._runs[action.run] = run
        self.engine.schedule_in(run.behaviour.making, run.begin)

    def _record_instant(self, action: actions.RecordInstant) -> None:
        """Answer soon, late, twice or never, and that it was recorded or not."""
        for _ in range(self.random.choice((0, 1, 1, 1, 2))):
            answer = inputs.InstantRecorded(action.job, action.instant, self.random.random() < 0.8)
            self.engine.schedule_in(self.random.choice((0.0, 0.01, 0.5, 2.0)), self.engine.process, answer)

    def _behaviour_of(self, spec: JobSpec) -> Behaviour:
        job = spec.name
        number = self._run_counts[job]
        self._run_counts[job] += 1
        found = self._behaviours.get(job)
        if found is None:
            return draw_behaviour(self.random, kills=spec.join.kills)
        return found if isinstance(found, Behaviour) else found[min(number, len(found) - 1)]


class _FakeRun:
    """One run and its thread, as the scheduler sees them."""

    def __init__(self, engine: Engine, order: actions.StartRun, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._engine, self._run, self._spec = engine, order.run, order.spec
        self._later = engine.schedule_in
        self._has_begun = self._is_cancel_requested = self._has_ended = False

    def begin(self) -> None:
        """Enter the body, unless it cannot be made or was cancelled before."""
        if self._has_ended:
            return  # its process was killed while it started
        behaviour = self.behaviour
        if behaviour.fails_to_start:
            self._has_ended = True
            self._engine.process(inputs.RunStartFailed(self._run, FAKE_ERROR))
        elif self._is_cancel_requested:
            self._end(How.NOT_ENTERED)
        else:
            self._has_begun = True
            self._later(behaviour.work, self._end, behaviour.how)
            if behaviour.ready_after is not None:
                self._later(behaviour.ready_after, self._report, inputs.RunReady(self._run))
            if behaviour.silent_after is not None:
                self._later(behaviour.silent_after, self._stop_polling)
            self._engine.process(inputs.RunStarted(self._run, behaviour.ready_after is None))
            self._be_elsewhere()

    def _be_elsewhere(self) -> None:
        """Report where the run is, if it is elsewhere, and that its worker is cut off and comes back."""
        behaviour, process = self.behaviour, self._engine.process
        if behaviour.placed_after is None or self._has_ended:
            return
        process(inputs.RunPlaced(self._run, Whereabouts("node", "worker", 0)))
        self._later(behaviour.placed_after, self._report, inputs.RunPlaced(self._run, Whereabouts("node", "worker", 7)))
        self._later(behaviour.unreachable_after, self._be_cut_off)

    def _be_cut_off(self) -> None:
        self._report(inputs.RunUnreachable(self._run, self._engine.now.mono - 0.25))
        self._later(self.behaviour.unreachable_for, self._report, inputs.RunReachable(self._run))

    def request_cancel(self) -> None:
        """Set the token and wake it."""
        behaviour = self.behaviour
        if behaviour.slips_away and self._has_begun:
            self._later(0.0, self._end, How.RETURNED, False)
            return
        self._is_cancel_requested = True
        if self._has_begun:
            if behaviour.fails_in_callback:
                self._later(0.0, self._engine.process, inputs.CallbackFailed(self._run, "terminate", FAKE_ERROR))
            self._later(behaviour.reaction, self._end, behaviour.reaction_how)

    def mark_urgent(self) -> None:
        """Let the run react to `ctx.urgent`."""
        if self._has_begun:
            self._later(self.behaviour.hurried_reaction, self._end, self.behaviour.reaction_how)

    def terminate(self) -> None:
        """Get TERM: the processes may end because of it."""
        self._later(self.behaviour.terminated_after, self._end, How.KILLED)

    def kill(self) -> None:
        """Get KILL: the processes end, sooner or later."""
        self._later(self.behaviour.killed_after, self._end, self.behaviour.killed_how)

    def capture_stack(self) -> None:
        """Answer where the run is; the answer comes even if the run ends in the meantime."""
        answer = inputs.StackCaptured(self._run, "fake.py:1 in run", "", None)
        self._later(self.behaviour.naming, self._engine.process, answer)

    def apply(self, spec: JobSpec) -> None:
        """Obey a new declaration from now on."""
        self._spec = spec

    def _stop_polling(self) -> None:
        """Stop polling for a while. Polls are sampled at each full second, so the watchdog acts at one."""
        watchdog, seconds = self._spec.watchdog, self.behaviour.silent_for
        if watchdog is None or self._has_ended or seconds <= watchdog.after:
            return
        now = self._engine.now.mono
        seen = math.floor(now + watchdog.after) + 1.0
        if seen < now + seconds:
            self._engine.schedule(seen, self._report, inputs.RunUnresponsive(self._run, seen - now))
            if seconds != math.inf:
                self._engine.schedule(math.floor(now + seconds) + 1.0, self._report, inputs.RunResponsive(self._run))

    def _report(self, message: inputs.Input) -> None:
        """Hand in the message of a run that has not ended yet."""
        if not self._has_ended:
            self._engine.process(message)

    def _end(self, how: How, was_requested: bool | None = None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        was_requested = self._is_cancel_requested if was_requested is None else was_requested
        has_failed = how in _WITH_ERROR or (how is How.CANCELLED and not was_requested)
        callback_ran = was_requested and self._has_begun and self.behaviour.is_woken
        error, stopped_by = FAKE_ERROR if has_failed else None, 0.0
        if how is How.LOST:
            stopped_by = self._engine.now.mono + self.behaviour.left
            self._later(self.behaviour.confirmed_after, self._engine.process, inputs.RunReleased(self._run))
        self._engine.process(inputs.RunEnded(self._run, how, error, was_requested, callback_ran, stopped_by))
