"""I7: the stop sequence of each run, the progress reports, and the order of a shutdown.

A job's level is the length of the longest chain of dependents above it. A shutdown cancels the lowest level first.

A run with `otherwise: kill` has two more steps, TerminateRun and KillRun. It is awaited until it has ended or could not
be killed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from taskloom.core import actions, inputs
from taskloom.core.model import JoinPolicy
from taskloom.invariants.event_rules import RunFacts
from taskloom.invariants.lifecycle.model import NEVER, Model

__all__ = ["Stops"]

URGENT_SHARE = 0.75
TERM_SECONDS, TERM_SHARE, KILL_SECONDS = 2.0, 0.2, 3.0
FIRST_PROGRESS_SECONDS, PROGRESS_SECONDS, PROGRESS_RUNS = 2.0, 3.0, 5

MARK_URGENT, TERMINATE_RUN, CAPTURE_STACK, KILL_RUN = "MarkUrgent", "TerminateRun", "CaptureStack", "KillRun"
UNKILLABLE = "the end of a run that KILL did not end"
PROGRESS_REPORT = ("the progress report", "")


@dataclass(slots=True)
class StopTimes:
    """When a run with a cancel request becomes urgent and overdue."""

    requested: float
    deadline: float
    not_before: float
    """When the deadline was last changed: a time that would be in the past is due then."""
    kills: bool = False
    """Whether the run is killed if it outlives its `within`."""
    is_urgent: bool = False
    is_captured: bool = False
    terminated: float | None = None
    killed: float | None = None
    gone_by: float = NEVER
    """When it is given up after KillRun."""

    @property
    def urgent_at(self) -> float:
        """The second at which MarkUrgent is due."""
        if self.deadline == NEVER:
            return NEVER
        return max(self.requested + URGENT_SHARE * (self.deadline - self.requested), self.not_before)

    @property
    def terminate_at(self) -> float:
        """The second at which TerminateRun is due; NEVER if it is not, or has come."""
        if self.deadline == NEVER or not self.kills or self.terminated is not None:
            return NEVER
        return max(self.deadline - min(TERM_SECONDS, TERM_SHARE * (self.deadline - self.requested)), self.not_before)

    @property
    def capture_at(self) -> float:
        """The second at which CaptureStack is due."""
        return max(self.deadline, self.not_before)

    def shorten(self, deadline: float, now: float) -> bool:
        """Set an earlier deadline; a later one has no effect. Returns whether the deadline changed."""
        deadline = max(deadline, self.requested)
        is_earlier = deadline < self.deadline
        if is_earlier:
            self.deadline, self.not_before = deadline, now
        return is_earlier


class Stops:
    """All runs that a stop waits for, and the shutdown."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._deadline = NEVER
        self._awaited: dict[str, StopTimes] = {}
        """Runs with a cancel request that have neither ended nor become overdue, in the order of their requests."""
        self._unawaited: dict[str, StopTimes] = {}
        """Runs with `join: 0s` that the shutdown cancelled: it decides about them when no other run is awaited."""
        self._not_cancelled: dict[str, RunFacts] = {}
        """Runs that were live when the shutdown began and have no cancel request yet."""
        self._levels: dict[str, int] = {}
        self._begun = -1.0
        """The highest level that the shutdown has begun: all runs up to it are cancelled, by it or before."""
        self._before_next: set[str] = set()
        """Awaited runs with `join: 0s` that are killed before the next level is cancelled, whatever theirs is."""
        self._awaited_per_level: Counter[int] = Counter()
        self._not_cancelled_per_level: Counter[int] = Counter()

    @property
    def is_shutting_down(self) -> bool:
        """Return whether a shutdown has begun and not finished."""
        event_rules = self._model.event_rules
        return event_rules.stopping is not None and event_rules.stopped is None

    @property
    def waits_for_ever(self) -> bool:
        """Return whether a shutdown without a deadline waits for a run that may take for ever."""
        return self.is_shutting_down and any(times.deadline == NEVER for times in self._awaited.values())

    # -- the shutdown

    def begin_shutdown(self, within: float) -> None:
        """Begin a shutdown."""
        model = self._model
        live = model.event_rules.live
        self._deadline = model.now + within
        self._levels = _levels(model)
        self._not_cancelled = {run.run: run for run in live.values() if run.cancel_requested is None}
        self._not_cancelled_per_level = Counter(self._level_of(run.job) for run in self._not_cancelled.values())
        self._awaited_per_level = Counter(self._level_of(live[run].job) for run in self._awaited)
        self._shorten_all()

    def hurry_shutdown(self, within: float) -> None:
        """Allow the shutdown at most `within` more seconds."""
        if self.is_shutting_down:
            self._deadline = min(self._deadline, self._model.now + within)
            self._begun = NEVER
            self._shorten_all()

    def check_all_urgent(self) -> None:
        """Check that HurryShutdown marked every run as urgent."""
        for run, times in self._awaited.items():
            if self.is_shutting_down and not times.is_urgent:
                self._model.report("I7", f"HurryShutdown came without MarkUrgent of {run}")

    def _shorten_all(self) -> None:
        for run, times in self._awaited.items():
            if times.shorten(self._deadline, self._model.now):
                self._set_deadlines(run, times)

    # -- one run

    def begin(self, run: RunFacts, join: JoinPolicy, *, is_shutdown: bool) -> None:
        """Begin the stop of a run whose cancel was requested. `is_shutdown`: for the reason of the shutdown."""
        model = self._model
        if is_shutdown:
            if not isinstance(model.message, inputs.HurryShutdown):
                self._check_order(run)
            self._begun = max(self._begun, self._level_of(run.job))
        if self._not_cancelled.pop(run.run, None) is not None:
            self._not_cancelled_per_level[self._level_of(run.job)] -= 1
        if join.within == 0 and self.is_shutting_down:
            self._unawaited[run.run] = StopTimes(model.now, model.now, model.now, join.kills)
            model.deadlines.set((MARK_URGENT, run.run), model.now)
            return
        if model.deadlines.due_of(PROGRESS_REPORT) is None:
            model.deadlines.set(PROGRESS_REPORT, model.now + FIRST_PROGRESS_SECONDS)
        deadline = min(model.now + join.within, max(model.now, self._deadline))
        times = self._awaited[run.run] = StopTimes(model.now, deadline, model.now, join.kills)
        self._awaited_per_level[self._level_of(run.job)] += 1
        self._set_deadlines(run.run, times)

    def outlive(self, run: RunFacts) -> None:
        """End the stop of a run that is overdue; one that is killed is still awaited."""
        times = self._awaited.get(run.run)
        if times is None or not times.kills:
            self.end(run, is_overdue=True)
        elif not times.is_captured:
            self._model.report("I7", f"{run.run} was overdue, but no CaptureStack came before")

    def end(self, run: RunFacts, *, is_overdue: bool = False) -> None:
        """End the stop of a run: it has ended, or was given up because it is overdue."""
        model = self._model
        if self._not_cancelled.pop(run.run, None) is not None:
            self._not_cancelled_per_level[self._level_of(run.job)] -= 1
        if self._unawaited.pop(run.run, None) is not None:
            model.deadlines.drop((MARK_URGENT, run.run))
        times = self._awaited.pop(run.run, None)
        self._before_next.discard(run.run)
        if is_overdue and (times is None or not times.is_captured):
            model.report("I7", f"{run.run} was overdue, but no CaptureStack came before")
        if is_overdue and times is not None and times.kills:
            if times.killed is None:
                model.report("I7", f"{run.run} was given up, but no KillRun came before")
            else:
                model.check_time(f"{UNKILLABLE}, {run.run}", times.gone_by)
        if times is not None:
            self._awaited_per_level[self._level_of(run.job)] -= 1
            model.deadlines.drop((MARK_URGENT, run.run))
            for step in (TERMINATE_RUN, CAPTURE_STACK, UNKILLABLE):
                model.deadlines.drop((step, run.run))
            if not self._awaited:
                model.deadlines.drop(PROGRESS_REPORT)

    def _set_deadlines(self, run: str, times: StopTimes) -> None:
        if not times.is_urgent:
            self._model.deadlines.set((MARK_URGENT, run), times.urgent_at)
        if not times.is_captured:
            self._model.deadlines.set((TERMINATE_RUN, run), times.terminate_at)
            self._model.deadlines.set((CAPTURE_STACK, run), times.capture_at)

    # -- actions

    def check_mark_urgent(self, action: actions.MarkUrgent) -> None:
        """Check the run and the time of MarkUrgent."""
        times = self._awaited.get(action.run) or self._unawaited.get(action.run)
        if times is None or times.is_urgent:
            self._model.report("I7", f"MarkUrgent of {action.run}, which is not awaited or already urgent")
            return
        times.is_urgent = True
        self._model.deadlines.drop((MARK_URGENT, action.run))
        if not isinstance(self._model.message, inputs.HurryShutdown):
            self._model.check_time(f"MarkUrgent of {action.run}", times.urgent_at)

    def check_capture_stack(self, action: actions.CaptureStack) -> None:
        """Check the run and the time of CaptureStack."""
        times = self._decided(action.run)
        if times is None or times.is_captured:
            self._model.report("I7", f"CaptureStack of {action.run}, which is not awaited or already captured")
            return
        times.is_captured = True
        self._model.deadlines.drop((CAPTURE_STACK, action.run))
        self._model.check_time(f"CaptureStack of {action.run}", times.capture_at)

    def check_terminate_run(self, action: actions.TerminateRun) -> None:
        """Check the run and the time of TerminateRun."""
        model, times = self._model, self._decided(action.run)
        if times is None or not times.kills or times.terminated is not None or times.killed is not None:
            text = "which is not awaited, may not be killed, or got TERM or KILL before"
            model.report("I7", f"TerminateRun of {action.run}, {text}")
            return
        model.check_time(f"TerminateRun of {action.run}", times.terminate_at)
        times.terminated = model.now
        model.deadlines.drop((TERMINATE_RUN, action.run))

    def expect_decision(self, report: inputs.StackCaptured) -> None:
        """Expect that a run whose stack was captured is killed, if its job says so."""
        times = self._awaited.get(report.run)
        if times is not None and times.kills and times.is_captured and times.killed is None:
            self._model.expect(KILL_RUN, report.run)

    def check_kill_run(self, action: actions.KillRun) -> None:
        """Check that KillRun follows the captured stack, once."""
        model, times = self._model, self._awaited.get(action.run)
        if not model.fulfil_action(KILL_RUN, action.run) or times is None:
            model.report("I7", f"KillRun of {action.run}, whose stack was not just captured, or again")
            return
        if times.terminated is None:
            model.report("I7", f"KillRun of {action.run}, but no TerminateRun came before")
        times.killed = model.now
        times.gone_by = model.now + KILL_SECONDS
        model.deadlines.set((UNKILLABLE, action.run), times.gone_by)

    def check_progress_report(self, action: actions.ReportStopProgress) -> None:
        """Check the runs and the time of a progress report."""
        model, awaited = self._model, list(self._awaited)
        due = model.deadlines.due_of(PROGRESS_REPORT)
        model.check_time(PROGRESS_REPORT[0], NEVER if due is None else due)
        model.deadlines.set(PROGRESS_REPORT, model.now + PROGRESS_SECONDS)
        if action.runs != tuple(awaited[:PROGRESS_RUNS]) or action.more != len(awaited) - len(action.runs):
            found = f"{action.runs} and {action.more} more"
            model.report("I7", f"a progress report names {found}, but the awaited runs are {awaited}")

    # -- levels

    def _level_of(self, job: str) -> int:
        return self._levels.get(job, 0)

    def _check_order(self, run: RunFacts) -> None:
        """Check that the shutdown cancels a run only after all runs of lower levels have ended or are overdue."""
        own = self._level_of(run.job)
        counters = (self._awaited_per_level, self._not_cancelled_per_level)
        live = self._model.event_rules.live
        unkilled = [
            one for one, times in self._unawaited.items() if times.kills and self._level_of(live[one].job) < own
        ]
        if unkilled or any(count and level < own for counter in counters for level, count in counter.items()):
            before = [one for one in (*self._awaited, *self._not_cancelled) if self._level_of(live[one].job) < own]
            before += unkilled
            self._model.report("I7", f"job {run.job} was cancelled before {', '.join(before)}")

    def check_progress(self) -> None:
        """Check that the shutdown continues: a run without a cancel request must wait for a lower level."""
        if not self.is_shutting_down:
            return
        self._decide_unkilled()
        if self._before_next:
            return
        lowest = min((level for level, count in self._awaited_per_level.items() if count), default=NEVER)
        if any(count and level <= lowest for level, count in self._not_cancelled_per_level.items()):
            runs = ", ".join(self._not_cancelled)
            self._model.report("I7", f"{runs} were not cancelled, but one of them waits for no other run")
        if lowest != NEVER:
            self._begun = max(self._begun, lowest)  # a user may have cancelled all runs of that level before
        if not self._awaited and not self._not_cancelled:
            if not self._unawaited:
                self._model.report("I7", "no run is awaited, but the shutdown has not finished")
            self._decide(dict(self._unawaited))

    def _decided(self, run: str) -> StopTimes | None:
        """Return an awaited run. A step may cancel a run, end its level, and decide about it at once."""
        if run in self._unawaited:
            self._decide_unkilled()
            if not self._awaited and not self._not_cancelled:
                self._decide(dict(self._unawaited))
        return self._awaited.get(run)

    def _decide_unkilled(self) -> None:
        """Expect that runs which can be killed are captured now: they are gone before the next level is cancelled."""
        unkilled = {run: times for run, times in self._unawaited.items() if times.kills}
        if unkilled and not any(level <= self._begun for level, count in self._awaited_per_level.items() if count):
            self._decide(unkilled)
            self._before_next.update(unkilled)

    def _decide(self, decided: dict[str, StopTimes]) -> None:
        """Expect that the runs are captured now that the shutdown did not wait for."""
        model = self._model
        for run, before in decided.items():
            del self._unawaited[run]
            times = StopTimes(before.requested, model.now, model.now, before.kills, is_urgent=before.is_urgent)
            self._awaited[run] = times
            self._awaited_per_level[self._level_of(model.event_rules.live[run].job)] += 1
            self._set_deadlines(run, times)


def _levels(model: Model) -> dict[str, int]:
    """Return for each job how many levels of dependents are stopped before it. A chain of any length is followed."""
    found: dict[str, int] = {}
    pending = list(model.jobs)
    while pending:
        if pending[-1] in found:
            pending.pop()
            continue
        dependents = model.dependents(pending[-1])
        missing = [other for other in dependents if other not in found]
        if missing:
            pending += missing
        else:
            found[pending.pop()] = max((found[other] + 1 for other in dependents), default=0)
    return found
