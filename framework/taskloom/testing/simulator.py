"""The lifecycle in virtual time: what the scheduler and its runners do with clocks and threads, done with a heap.

Theory of operation. A heap holds what will happen at which virtual second: commands of the script, and words of
fake runs. The loop takes whatever comes first, that or the lifecycle's own deadline, moves the clock there, hands it
in, and carries out the actions. Where both come at the same instant, chance decides: each order must be fine.

To simulate more is to add: a new action gets a method and a line in `_carry_out`, a new trouble a field in Behaviour.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from random import Random
from typing import Any, NamedTuple

from taskloom.core import actions, inputs
from taskloom.core.model import ErrorInfo, How, JobSpec, Phase, Reason, ReasonKind
from taskloom.errors import UsageError
from taskloom.invariants.history import History
from taskloom.testing.behaviour import Behaviour, draw_behaviour
from taskloom.testing.clock import VirtualClock
from taskloom.testing.recorded_core import RecordedCore

__all__ = ["At", "Behaviours", "ClockStep", "Stall", "simulate"]

# So many steps at one instant are a circle: restarts without a delay that nothing holds back, for one.
STUCK_STEPS = 100_000
# After the shutdown began: what has not come back by then never does.
DRAIN_SECONDS = 7200.0

FAKE_ERROR = ErrorInfo("RuntimeError", "a fake run failed", "Traceback (most recent call last): none, it is a fake")

Behaviours = Mapping[str, Behaviour | Sequence[Behaviour]]


class ClockStep(NamedTuple):
    """The wall clock is set, forward or back, while the monotonic one goes on: by a time service, an operator, or a
    suspended machine that wakes up.
    """

    by: float
    """Seconds."""


class Stall(NamedTuple):
    """The program gets no turn for a while: all that falls due meanwhile comes late."""

    seconds: float


class At(NamedTuple):
    """A command of the script, or what befalls the machine, and when: seconds from the beginning."""

    seconds: float
    command: inputs.Input | ClockStep | Stall


def simulate(
    jobs: Iterable[JobSpec],
    *,
    seconds: float,
    seed: int = 0,
    script: Iterable[At] = (),
    behaviours: Behaviours | None = None,
    stop_within: float = 30.0,
    ends_with_work: bool = False,
) -> History:
    """Run the jobs in virtual time and return what happened.

    All jobs are added and started at second 0, the commands of `script` are given, and everything is stopped after
    `seconds`, or as soon as nothing is left to do where `ends_with_work`, as `taskloom run` does. A command that is
    refused is recorded and passed over. `behaviours` says what the runs of a job do: always the same, or one after
    another, of which the last stays; the runs of a job that is not in it are drawn from the seed.

    The same arguments give the same history, to the last digit.
    """
    simulator = _Simulator(seed, behaviours or {}, stop_within, ends_with_work)
    simulator.give(inputs.AddJob(job) for job in jobs)
    simulator.give([inputs.StartAll()])
    for at in script:
        simulator.at(at.seconds, lambda command=at.command: simulator.obey(command))  # type: ignore[misc]
    simulator.at(seconds, simulator.stop)
    simulator.run(seconds + DRAIN_SECONDS)
    return simulator.core.history


class _Simulator:
    def __init__(self, seed: int, behaviours: Behaviours, stop_within: float, ends_with_work: bool) -> None:
        self.random = Random(seed)
        self.clock = VirtualClock()
        self.core = RecordedCore(self.clock, seed, stop_within=stop_within)
        self._behaviours, self._stop_within, self._ends_with_work = behaviours, stop_within, ends_with_work
        self._heap: list[tuple[float, float, int, Callable[[], None]]] = []
        self._order = count()
        self._runs: dict[str, _FakeRun] = {}
        self._numbers: Counter[str] = Counter()
        self._carry_out: dict[type, Callable[[Any], None]] = {
            actions.StartRun: self._start,
            actions.CancelRun: lambda action: self._runs[action.run].ask(),
            actions.MarkUrgent: lambda action: self._runs[action.run].hurry(),
            actions.CaptureStack: lambda action: self._runs[action.run].name(),
            actions.ReleaseRun: lambda action: self._runs.__delitem__(action.run),
            actions.ApplySpec: lambda action: self._runs[action.run].apply(action.spec),
            actions.WorkFinished: lambda _: self.at(self.now, self.finish),
        }

    @property
    def now(self) -> float:
        return self.clock.now().mono

    def at(self, when: float, happening: Callable[[], None]) -> None:
        """Have it happen at this second; among those of one instant chance decides."""
        if when != float("inf"):
            heapq.heappush(self._heap, (when, self.random.random(), next(self._order), happening))

    def obey(self, command: inputs.Input | ClockStep | Stall) -> None:
        """Do what the script says."""
        if isinstance(command, ClockStep):
            self.clock.step_wall(command.by)
        elif isinstance(command, Stall):
            self.clock.advance(command.seconds)
        else:
            self.give([command])

    def give(self, commands: Iterable[inputs.Input]) -> None:
        """Give commands; a refusal is in the history."""
        for command in commands:
            try:
                self.tell(command)
            except UsageError:
                continue

    def tell(self, message: inputs.Input) -> None:
        """Hand in one input and carry out what comes of it."""
        for action in self.core.tell(message):
            carry_out = self._carry_out.get(type(action))
            if carry_out is not None:
                carry_out(action)

    def stop(self) -> None:
        self.tell(inputs.Shutdown(Reason(ReasonKind.SHUTDOWN), self._stop_within))

    def finish(self) -> None:
        """Stop the daemons once the work is over; another start may have come first."""
        if self._ends_with_work and self.core.lifecycle.is_work_over:
            self.tell(inputs.Shutdown(Reason(ReasonKind.FINISHED), self._stop_within))

    def run(self, limit: float) -> None:
        """Let happen what happens until nothing more does, or the limit. Raises RuntimeError when time stands still."""
        lifecycle = self.core.lifecycle
        steps, since = 0, self.now
        while True:
            due = lifecycle.next_deadline()
            coming = self._heap[0][0] if self._heap else None
            when = min((time for time in (due, coming) if time is not None), default=None)
            if when is None or when > limit or (lifecycle.phase is Phase.STOPPED and not self._runs):
                return
            self.clock.advance_to(when)
            if when > since:
                steps, since = 0, when
            steps += 1
            if steps > STUCK_STEPS:
                raise RuntimeError(f"{STUCK_STEPS} steps at second {when:g}: this goes round in circles")
            is_tick = due is not None and (
                coming is None or due < coming or (due == coming and self.random.random() < 0.5)
            )
            if is_tick:
                self.tell(inputs.Tick())
            else:
                heapq.heappop(self._heap)[3]()

    def _start(self, action: actions.StartRun) -> None:
        run = _FakeRun(self, action, self._behaviour_of(action.spec.name))
        self._runs[action.run] = run
        self.at(self.now + run.behaviour.making, run.begin)

    def _behaviour_of(self, job: str) -> Behaviour:
        number = self._numbers[job]
        self._numbers[job] += 1
        found = self._behaviours.get(job)
        if found is None:
            return draw_behaviour(self.random)
        return found if isinstance(found, Behaviour) else found[min(number, len(found) - 1)]


class _FakeRun:
    """One run and its thread, as far as the scheduler can tell."""

    def __init__(self, simulator: _Simulator, order: actions.StartRun, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._simulator, self._run, self._spec = simulator, order.run, order.spec
        self._has_begun = False
        self._is_asked = False
        self._is_back = False

    def begin(self) -> None:
        """Enter the body, unless it cannot be made or was asked to stop before."""
        behaviour = self.behaviour
        if behaviour.fails_to_start:
            self._is_back = True
            self._simulator.tell(inputs.RunStartFailed(self._run, FAKE_ERROR))
        elif self._is_asked:
            self._come_back(How.NOT_ENTERED)
        else:
            self._has_begun = True
            self._later(behaviour.work, lambda: self._come_back(behaviour.how))
            if behaviour.ready_after is not None:
                self._later(behaviour.ready_after, self._say_ready)
            if behaviour.silent_after is not None:
                self._later(behaviour.silent_after, self._fall_silent)
            self._simulator.tell(inputs.RunStarted(self._run, behaviour.ready_after is None))

    def ask(self) -> None:
        """Set the token and wake it."""
        if self.behaviour.slips_away and self._has_begun:
            self._later(0.0, lambda: self._come_back(How.RETURNED, was_asked=False))
            return
        self._is_asked = True
        if self._has_begun:
            if self.behaviour.fails_in_callback:
                self._later(0.0, self._fail_in_callback)
            self._later(self.behaviour.reaction, lambda: self._come_back(self.behaviour.reaction_how))

    def hurry(self) -> None:
        if self._has_begun:
            self._later(self.behaviour.hurried_reaction, lambda: self._come_back(self.behaviour.reaction_how))

    def name(self) -> None:
        """Look where it stands; the answer comes though it may have ended meanwhile."""
        answer = inputs.StackCaptured(self._run, "fake.py:1 in run", "", None)
        self._later(self.behaviour.naming, lambda: self._simulator.tell(answer))

    def apply(self, spec: JobSpec) -> None:
        """Keep another declaration from now on."""
        self._spec = spec

    def _fall_silent(self) -> None:
        """Poll no more for a while; whoever looks at the polls once a second sees it when it is too long."""
        watchdog, seconds = self._spec.watchdog, self.behaviour.silent_for
        if watchdog is None or self._is_back or seconds <= watchdog.after:
            return
        now = self._simulator.now
        seen = math.floor(now + watchdog.after) + 1.0
        if seen < now + seconds:
            self._simulator.at(seen, lambda: self._be_missed(seen - now))
            if seconds != math.inf:
                self._simulator.at(math.floor(now + seconds) + 1.0, self._be_heard)

    def _be_missed(self, poll_age: float) -> None:
        if not self._is_back:
            self._simulator.tell(inputs.RunUnresponsive(self._run, poll_age))

    def _be_heard(self) -> None:
        if not self._is_back:
            self._simulator.tell(inputs.RunResponsive(self._run))

    def _later(self, seconds: float, happening: Callable[[], None]) -> None:
        self._simulator.at(self._simulator.now + seconds, happening)

    def _say_ready(self) -> None:
        if not self._is_back:
            self._simulator.tell(inputs.RunReady(self._run))

    def _fail_in_callback(self) -> None:
        self._simulator.tell(inputs.CallbackFailed(self._run, "terminate", FAKE_ERROR))

    def _come_back(self, how: How, *, was_asked: bool | None = None) -> None:
        if self._is_back:
            return
        self._is_back = True
        was_asked = self._is_asked if was_asked is None else was_asked
        has_failed = how in (How.RAISED, How.PERMANENT) or (how is How.CANCELLED and not was_asked)
        self._simulator.tell(
            inputs.RunEnded(
                self._run,
                how,
                FAKE_ERROR if has_failed else None,
                was_asked,
                was_asked and self._has_begun and self.behaviour.is_woken,
            )
        )
