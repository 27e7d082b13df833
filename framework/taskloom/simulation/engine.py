"""The virtual-time engine under every simulation: the lifecycle, a clock, and a heap of what happens when.

Theory of operation. The heap holds callbacks, each with its virtual second: ends of runs, commands, faults. The loop
takes the earliest of the heap's first entry and the lifecycle's next deadline, moves the clock there, calls the
callback or hands in a Tick, and passes each action that the lifecycle returns to its handler. No thread waits and no
real time passes.

The lifecycle checks every 15 s whether the wall clock was set. Here that is known, so most of these ticks are left out:
a job that fires once a day takes a handful of steps a day instead of 5,760. After a step of the clock, the check comes
when it would have come.

Two simulators use it: `simulation.simulator` for `taskloom simulate`, which keeps nothing of the past, and
`testing.simulator` for `taskloom.testing.simulate`, which records each step. They differ in their fake runs and in
how they order what happens at the same instant.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from math import ceil
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import WAIT_FOR_EVER, Moment, Phase
from taskloom.core.wall_clock import CLOCK_SECONDS
from taskloom.simulation.plan import ClockStep, Stall

__all__ = ["PROGRESS_STEPS", "STUCK_STEPS", "Engine", "in_order"]

# As many steps at one instant are an endless loop, such as restarts without a delay that nothing limits.
STUCK_STEPS = 100_000

# How many steps there are between two reports of the progress: they take some 10 to 50 ms.
PROGRESS_STEPS = 1000


def _no_report() -> None:
    """Report nothing."""


def in_order() -> float:
    """Order entries of one instant as they were scheduled, and before a deadline of the lifecycle.

    For `taskloom simulate`: the end of a run comes before a firing at the same instant, so that a run which takes
    exactly as long as its interval does not overlap with the next firing.
    """
    return 1.0


class Engine:
    """The lifecycle in virtual time.

    `tie_break` returns a number from 0.0 to 1.0 and orders what happens at one instant: entries of the heap by the
    number that each got when it was scheduled, then in order of scheduling; a deadline of the lifecycle comes before
    them if a new number is below one half.
    """

    def __init__(
        self,
        core: Lifecycle,
        *,
        wall: float,
        on_work_finished: Callable[[], object],
        tie_break: Callable[[], float] = in_order,
        stuck_steps: int = STUCK_STEPS,
    ) -> None:
        self.core = core
        self.now = Moment(0.0, wall)
        self.handle: Callable[[inputs.Input, Moment], Iterable[actions.Action]] = core.handle
        """Hands an input to the lifecycle; a simulator may replace it by a function that records or checks, too."""
        self.on_progress: Callable[[], object] = _no_report
        """Called between two steps, once in PROGRESS_STEPS steps."""
        self.handlers: dict[type, Callable[[Any], object]] = {
            actions.WorkFinished: lambda _: self.schedule(self.now.mono, self.stop_if_finished),
            actions.RecordInstant: self._record_instant,
        }
        """The function to call for each type of action; actions of other types are ignored."""
        self._on_work_finished, self._tie_break, self._stuck_steps = on_work_finished, tie_break, stuck_steps
        self._wall_offset = wall
        # When the next check of the wall clock that finds it set is due, and until when it was not set.
        self._clock_check_at = WAIT_FOR_EVER
        self._steady_until = 0.0
        self._heap: list[tuple[float, float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        self._inputs: deque[inputs.Input] = deque()

    # -- what happens when

    @property
    def has_scheduled(self) -> bool:
        """Whether the heap still holds a callback."""
        return bool(self._heap)

    def schedule(self, when: float, callback: Callable[..., object], *args: object) -> None:
        """Call `callback` at this virtual second; never if it is inf."""
        if when != WAIT_FOR_EVER:
            heapq.heappush(self._heap, (when, self._tie_break(), next(self._order), callback, args))

    def schedule_in(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Call `callback` after this many virtual seconds; never if they are inf."""
        self.schedule(self.now.mono + seconds, callback, *args)

    def run(self, is_over: Callable[[], bool], until: float = WAIT_FOR_EVER) -> None:
        """Let time pass until nothing is left to happen, or the next thing happens after `until`.

        From the beginning of the shutdown on, `is_over` is called before each step and ends the loop. Raises
        RuntimeError if virtual time no longer advances.
        """
        core, heap, tie_break = self.core, self._heap, self._tie_break
        steps = silent_steps = 0
        while core.phase is Phase.OPEN or not is_over():
            due = core.next_deadline_by_steady_clock()
            deadline = self._clock_check_at if due is None or due > self._clock_check_at else due
            first = heap[0][0] if heap else WAIT_FOR_EVER
            is_tick = deadline < first or (deadline == first and tie_break() < 0.5)
            when = deadline if is_tick else first
            if when > until or when == WAIT_FOR_EVER:
                return
            if when > self.now.mono:
                self.now = Moment(when, when + self._wall_offset)
                steps = 0
            steps += 1
            if steps > self._stuck_steps:
                raise RuntimeError(f"virtual time does not advance: {self._stuck_steps} steps at second {when:g}")
            silent_steps += 1
            if silent_steps == PROGRESS_STEPS:
                silent_steps = 0
                self.on_progress()
            if is_tick:
                self._clock_check_at = WAIT_FOR_EVER
                self.process(inputs.Tick(steady_until=self._steady_until))
            else:
                _, _, _, callback, args = heapq.heappop(heap)
                callback(*args)

    # -- inputs and actions

    def process(self, message: inputs.Input) -> None:
        """Hand in one input, carry out the actions, and do the same with each answer that a handler gave.

        Raises the UsageError of a command that the lifecycle refuses.
        """
        waiting, handlers = self._inputs, self.handlers
        waiting.append(message)
        while waiting:
            for action in self.handle(waiting.popleft(), self.now):
                handler = handlers.get(type(action))
                if handler is not None:
                    handler(action)

    def answer(self, message: inputs.Input) -> None:
        """Have the input handed in after all actions of the present one; for handlers, which may not call `process`."""
        self._inputs.append(message)

    def _record_instant(self, action: actions.RecordInstant) -> None:
        """Answer at once: a simulation has no history, and the record takes no time in it."""
        self.answer(inputs.InstantRecorded(action.job, action.instant, is_recorded=True))

    def apply(self, command: inputs.Input | ClockStep | Stall) -> None:
        """Do what an entry of a script orders. Raises the UsageError of a command that the lifecycle refuses."""
        if isinstance(command, ClockStep):
            self.step_wall(command.by)
        elif isinstance(command, Stall):
            self.stall(command.seconds)
        else:
            self.process(command)

    def stop_if_finished(self) -> None:
        """Call `on_work_finished` if no work is left.

        Scheduled when the lifecycle reports the end of the work, because a start at the same instant may add work.
        """
        if self.core.is_work_over:
            self._on_work_finished()

    # -- clocks

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number."""
        check_at, now = self.core.clock_check_at, self.now.mono
        if self._clock_check_at == WAIT_FOR_EVER != check_at:
            if check_at < now:  # it was left out, and so were those after it
                check_at += ceil((now - check_at) / CLOCK_SECONDS) * CLOCK_SECONDS
            self._clock_check_at, self._steady_until = check_at, check_at - CLOCK_SECONDS
        self._wall_offset += seconds
        self.now = Moment(self.now.mono, self.now.mono + self._wall_offset)

    def stall(self, seconds: float) -> None:
        """Let time pass without any step. Raises ValueError if they are negative or inf."""
        if not 0 <= seconds < WAIT_FOR_EVER:
            raise ValueError(f"cannot stall for {seconds:g} seconds; expected a finite number, 0 or more")
        mono = self.now.mono + seconds
        self.now = Moment(mono, mono + self._wall_offset)
