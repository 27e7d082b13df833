"""The core in virtual time, with runs that only pretend to work.

Theory of operation. A heap holds what will happen when: the ends of runs, and the trouble that was ordered. The loop
takes what comes first, that or the lifecycle's own deadline, and hands it in; at one instant an end comes before a
firing, so that a run which takes exactly its interval overlaps with nothing. Nothing is kept of what is over: events
are told as they come, and a week of a thousand jobs needs no more memory than an hour.

`taskloom.testing.simulate` is the other driver of the same core: it is out for trouble, and remembers each step.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from random import Random
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.events import Event
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import WAIT_FOR_EVER, ErrorInfo, How, JobSpec, Moment, Phase, Reason, ReasonKind
from taskloom.simulation.plan import Fault, Plan, RunBehaviour, awaited_families, matches

__all__ = ["Driver"]

_FAILED = ErrorInfo("SimulatedFailure", "a simulated run failed", "Traceback: none, nothing was really run\n")
_CRASHED = ErrorInfo("SimulatedCrash", "a simulated run crashed", "Traceback: none, nothing was really run\n")


class _FakeRun:
    """One run, as far as the scheduler can tell."""

    __slots__ = ("ends_at", "error", "is_asked", "is_hung", "manners", "name", "spec")

    def __init__(self, name: str, spec: JobSpec, manners: RunBehaviour) -> None:
        self.name, self.spec, self.manners = name, spec, manners
        # None when it will not end by itself any more, or is over.
        self.ends_at: float | None = None
        self.error: ErrorInfo | None = None
        self.is_asked = self.is_hung = False


class Driver:
    """Runs the jobs in virtual time.

    `hear` gets every event, in order; `before_stop` is called once, when the stop of everything is about to begin;
    `judge` is shown each step, an input and what came of it, until it returns False.
    """

    def __init__(
        self,
        specs: Iterable[JobSpec],
        plan: Plan,
        *,
        hear: Callable[[Event], None],
        before_stop: Callable[[Lifecycle, Moment], None],
        judge: Callable[[Moment, inputs.Input, Sequence[actions.Action]], bool] | None = None,
    ) -> None:
        self.plan = plan
        self.core = Lifecycle(Random(plan.seed).random, plan.stop_within)
        self.now = Moment(0.0, plan.start)
        self.idle_troubles: list[tuple[str, Fault]] = []
        """What was ordered for a job that had no run then, with its word: `crash` or `hang`."""
        self._specs = [one for spec in specs for one in spec.replicated()]
        awaited = awaited_families(self._specs)
        self._manners = {spec.name: RunBehaviour(spec, plan, is_awaited=spec.family in awaited) for spec in self._specs}
        self._before_stop, self._judge = before_stop, judge
        self._ahead = plan.start
        self._has_looked = False
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = count()
        self._runs: dict[str, _FakeRun] = {}
        # What the runner answers at once, in order.
        self._answers: deque[inputs.Input] = deque()
        self._carry_out: dict[type, Callable[[Any], None]] = {
            Event: hear,
            actions.StartRun: self._start,
            actions.CancelRun: self._ask,
            actions.CaptureStack: self._name,
            actions.ReleaseRun: self._forget,
            actions.WorkFinished: lambda _: self._at(self.now.mono, self._finish, None),
        }

    def run(self) -> None:
        """Let the time pass until everything is stopped."""
        plan = self.plan
        for crash in plan.crashes:
            self._at(crash.at, self._crash, crash)
        for hang in plan.hangs:
            self._at(hang.at, self._hang, hang)
        for step in plan.clock_steps:
            self._at(step.at, self._step_clock, step.seconds)
        self._at(plan.seconds, self._stop, Reason(ReasonKind.SHUTDOWN, "the simulated time is over"))
        for spec in self._specs:
            self._tell(inputs.AddJob(spec))
        self._tell(inputs.StartAll())
        self._finish(None)
        self._loop()
        self._look()

    def _loop(self) -> None:
        core, heap = self.core, self._heap
        while core.phase is not Phase.STOPPED:
            due = core.next_deadline()
            if heap and (due is None or heap[0][0] <= due):
                when, _, happening, subject = heapq.heappop(heap)
                self._pass_time(when)
                happening(subject)
            elif due is None or self._is_endless:
                return
            else:
                self._pass_time(due)
                self._tell(inputs.Tick())

    @property
    def _is_endless(self) -> bool:
        """Tell whether a stop without a deadline awaits runs of which none will end: reminders alone would come."""
        awaited = self.core.stopping.values()
        is_stopping = self.core.phase is Phase.STOPPING and not self._heap
        return is_stopping and all(run.overdue_at == WAIT_FOR_EVER for run in awaited)

    def _pass_time(self, mono: float) -> None:
        if mono > self.now.mono:
            self.now = Moment(mono, mono + self._ahead)

    def _at(self, when: float, happening: Callable[[Any], None], subject: object) -> None:
        if when != WAIT_FOR_EVER:
            heapq.heappush(self._heap, (when, next(self._order), happening, subject))

    def _tell(self, message: inputs.Input) -> None:
        """Hand in one input, carry out what comes of it, and hand in what the runner answers to that."""
        answers, carry_out = self._answers, self._carry_out
        answers.append(message)
        while answers:
            message = answers.popleft()
            todo = self.core.handle(message, self.now)
            if self._judge is not None and not self._judge(self.now, message, todo):
                self._judge = None
            for action in todo:
                method = carry_out.get(type(action))
                if method is not None:
                    method(action)

    # -- the runner

    def _start(self, action: actions.StartRun) -> None:
        """Begin a run; it is ready at once, and was not asked before: orders are carried out as they come."""
        run = self._runs[action.run] = _FakeRun(action.run, action.spec, self._manners[action.spec.name])
        seconds, fails = run.manners.draw_run(self.now.mono)
        if fails:
            run.error = _FAILED
        self._end_in(run, seconds)
        self._answers.append(inputs.RunStarted(action.run, is_ready=True))

    def _ask(self, action: actions.CancelRun) -> None:
        run = self._runs[action.run]
        run.is_asked = True
        if run.is_hung:
            return
        seconds = run.manners.draw_stop()
        if run.ends_at is None or self.now.mono + seconds < run.ends_at:
            run.error = None
            self._end_in(run, seconds)

    def _name(self, action: actions.CaptureStack) -> None:
        self._answers.append(inputs.StackCaptured(action.run, "nowhere: it is simulated", "", None))

    def _forget(self, action: actions.ReleaseRun) -> None:
        del self._runs[action.run]

    def _end_in(self, run: _FakeRun, seconds: float) -> None:
        when = self.now.mono + seconds
        run.ends_at = None if seconds == WAIT_FOR_EVER else when
        self._at(when, self._end, run)

    def _end(self, run: _FakeRun) -> None:
        if run.ends_at == self.now.mono:
            self._come_back(run)

    def _come_back(self, run: _FakeRun) -> None:
        run.ends_at = None
        how = How.RAISED if run.error is not None else How.RETURNED
        self._tell(inputs.RunEnded(run.name, how, run.error, run.is_asked, callback_ran=False))

    # -- trouble

    def _crash(self, crash: Fault) -> None:
        for run in self._alive("crash", crash):
            run.error = _CRASHED
            self._come_back(run)

    def _hang(self, hang: Fault) -> None:
        for run in self._alive("hang", hang):
            run.is_hung, run.ends_at = True, None
            watchdog = run.spec.watchdog
            if watchdog is not None:
                self._at(self.now.mono + watchdog.after, self._miss_poll, run)

    def _alive(self, word: str, trouble: Fault) -> list[_FakeRun]:
        """Return the runs that the job has now: one for each of its replicas. None at all is noted."""
        found = [run for run in self._runs.values() if matches(trouble.job, run.spec)]
        if not found:
            self.idle_troubles.append((word, trouble))
        return found

    def _miss_poll(self, run: _FakeRun) -> None:
        if run.spec.watchdog is not None and run.name in self._runs:
            self._tell(inputs.RunUnresponsive(run.name, run.spec.watchdog.after))

    def _step_clock(self, seconds: float) -> None:
        self._ahead += seconds
        self.now = Moment(self.now.mono, self.now.mono + self._ahead)

    # -- the end

    def _finish(self, _: None) -> None:
        """Stop the daemons once the work is over, as `taskloom run` does; a start at this instant comes first."""
        if self.core.is_work_over:
            self._stop(Reason(ReasonKind.FINISHED, "the work is over"))

    def _stop(self, reason: Reason) -> None:
        if self.core.phase is Phase.OPEN:
            self._look()
            self._tell(inputs.Shutdown(reason, self.plan.stop_within))

    def _look(self) -> None:
        if not self._has_looked:
            self._has_looked = True
            self._before_stop(self.core, self.now)
