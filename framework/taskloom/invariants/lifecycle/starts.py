"""Automatic starts: after the dependencies, after the delay, by the schedule.

I11: a job starts after its dependencies, and is skipped when one can no longer be satisfied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from taskloom.core.policies import Condition, Dependency
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.invariants.lifecycle.model import FollowUp, JobModel, Model, Wait
from taskloom.invariants.lifecycle.schedules import Schedules

__all__ = ["IMPOSSIBLE", "SATISFIED", "Starts", "dependency_state"]

SATISFIED, PENDING, IMPOSSIBLE = "satisfied", "pending", "impossible"
END_OF_DELAY = "the end of the delay"


class Starts:
    """The jobs that start automatically and have not started yet."""

    def __init__(self, model: Model, schedules: Schedules) -> None:
        self._model = model
        self._schedules = schedules
        self._delays: ExpectedDeadlines[str] = ExpectedDeadlines()
        self._wakeable: dict[str, None] = {}
        """Skipped jobs that wait again if this step leaves them no impossible dependency."""

    def arm(self, job: JobModel) -> None:
        """Begin with the first wait; a job that waits for nothing is expected to start now."""
        spec = job.spec
        if job.awaits_removal:
            job.wait_for(Wait.REMOVAL)
            job.held_wall = self._model.wall
            self._model.mark_changed(spec.name)
            return
        job.wait_for(Wait.DEPENDENCY)
        self._model.dependents_waiting[spec.name] = None
        self._model.mark_changed(spec.name)
        # It counts even if it is skipped before the step ends.
        self._model.had_non_daemon = self._model.had_non_daemon or not spec.daemon
        if not spec.after and not spec.start.delay_seconds and spec.schedule is None:
            self.begin_delay(job)

    def end_removal_wait(self, job: JobModel) -> None:
        """Begin with the next wait of a job that waited for runs that a reload stopped."""
        spec = job.spec
        if spec.schedule is None or spec.after or spec.start.delay_seconds:
            self.arm(job)
        else:
            self._model.mark_changed(spec.name)
            self._end_delay(job, job.held_wall)

    def begin_delay(self, job: JobModel) -> None:
        """Continue with the delay, if the job has one, once its dependencies are satisfied."""
        model, spec = self._model, job.spec
        if spec.start.delay_seconds > 0:
            job.wait_for(Wait.DELAY)
            due = model.now + spec.start.delay_seconds
            self._delays.set(spec.name, due)
            model.deadlines.set((END_OF_DELAY, spec.name), due)
        else:
            self._end_delay(job)

    def _end_delay(self, job: JobModel, since_wall: float | None = None) -> None:
        """Continue with the schedule, whose calendar counts since then, or with the run."""
        model, schedule = self._model, job.spec.schedule
        if schedule is None:
            model.expect("queued", job.spec.name, attempt=1)
            return
        job.wait_for(Wait.FIRING)
        self._schedules.arm(job, since_wall)
        if schedule.immediately and not job.is_paused:
            model.expect("queued", job.spec.name, attempt=1)
            return
        if schedule.immediately:
            model.expect("missed", job.spec.name, count=1, why="paused")
        if job.instant is None:
            self._schedules.finish_exhausted(job)

    def begin_tick(self) -> None:
        """Continue with the jobs whose delay has ended."""
        model = self._model
        if not self._delays.is_any_due(model.now):
            return
        for name, due in self._delays.pop_until(model.now):
            model.deadlines.drop((END_OF_DELAY, name))
            job = model.jobs.get(name)
            if job is not None and job.wait is Wait.DELAY:
                model.check_time(f"{END_OF_DELAY} of {name}", due)
                model.mark_changed(name)
                self._end_delay(job)

    def cancel_delay(self, job: JobModel) -> None:
        """Drop the delay of a job that no longer waits for it."""
        self._delays.drop(job.spec.name)
        self._model.deadlines.drop((END_OF_DELAY, job.spec.name))

    def expect_waking(self, begun: Iterable[JobModel], removed: Collection[str] = ()) -> None:
        """Have the jobs wait again that were skipped because of jobs that begin again; those after them, too.

        Not those that this step removes, nor those that were skipped because of these alone.
        """
        reached = deque(job.spec.name for job in begun)
        while reached:
            for name in self._model.dependents(reached.popleft()):
                is_known = name in self._wakeable or name in removed
                if not is_known and _was_skipped(self._model.jobs[name]):
                    self._wakeable[name] = None
                    reached.append(name)

    @property
    def may_wake(self) -> bool:
        """Return whether this step may have woken a job of which no event told."""
        return bool(self._wakeable)

    def wake(self, job: JobModel) -> None:
        """Have a job wait again if this step may wake it; called when an event says that it has ended its wait."""
        if job.spec.name in self._wakeable and _was_skipped(job):
            del self._wakeable[job.spec.name]
            self.arm(job)

    def wake_others(self) -> None:
        """Wake those of which no event told, until nothing changes any more: their wait goes on, or a stop ends it."""
        model, before = self._model, -1
        while before != len(self._wakeable):
            before = len(self._wakeable)
            for job in [model.jobs[name] for name in self._wakeable if name in model.jobs]:
                if dependency_state(model, job) != IMPOSSIBLE:
                    self.wake(job)
        self._wakeable.clear()

    def check_step(self) -> None:
        """Continue with the jobs whose dependencies are satisfied now, and report those with an impossible one."""
        model = self._model
        if self._wakeable:
            self.wake_others()
        # Replicas have equal dependencies: each change of what they wait for is evaluated once for all of them.
        states: dict[tuple[Dependency, ...], str] = {}
        for changed in list(model.changed):
            for name in (changed, *model.dependents(changed)):
                job = model.jobs.get(name)
                if job is not None and job.wait is Wait.DEPENDENCY:
                    self._check_dependencies(job, states)
                elif name in model.dependents_waiting:
                    del model.dependents_waiting[name]

    def _check_dependencies(self, job: JobModel, states: dict[tuple[Dependency, ...], str]) -> None:
        after = job.spec.after
        state = states.get(after)
        if state is None:
            state = states[after] = dependency_state(self._model, job)
        if state == SATISFIED:
            self.begin_delay(job)
            states.clear()  # its schedule may have no firing, which decides what waits for it
        elif state == IMPOSSIBLE:
            self._model.report("I11", f"job {job.spec.name} has an impossible dependency, but was not skipped")


def dependency_state(model: Model, job: JobModel) -> str:
    """Return the state of a job's dependencies together: an impossible one counts before a pending one."""
    found = SATISFIED
    for dependency in job.spec.after:
        members = list(model.members(dependency.job))
        if not members:
            return IMPOSSIBLE
        for member in members:
            if _is_satisfied(member, dependency.condition):
                continue
            if _is_impossible(member, dependency.condition):
                return IMPOSSIBLE
            found = PENDING
    return found


def _is_satisfied(job: JobModel, condition: Condition) -> bool:
    if condition is Condition.FINISHED:
        return job.end_state == "finished"
    run = job.last_run
    if run is None:
        return False
    if condition is Condition.SUCCEEDED or run.outcome is not None:
        reached = run.started if condition is Condition.STARTED else run.ready
        return run.outcome == "succeeded" and (condition is Condition.SUCCEEDED or reached is not None)
    since = run.started if condition is Condition.STARTED else run.ready
    return since is not None and run.cancel_requested is None


def _was_skipped(job: JobModel) -> bool:
    return job.end_state == "skipped" and job.is_dependency_impossible and not job.is_stopped


def _is_impossible(job: JobModel, condition: Condition) -> bool:
    """Return whether only a command can bring it: the job has an end state, or is blocked and no run follows."""
    if job.is_blocked:
        return condition is not Condition.FINISHED and job.follow_up in (FollowUp.NOTHING, FollowUp.REMOVAL)
    return job.end_state != ""
