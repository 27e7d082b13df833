"""Count which dependencies are satisfied, pending, or have become impossible.

Every change of a job is counted when it happens, so nothing is evaluated again later. The way of a change:

- A requirement is one condition of one declared name. It counts how many jobs of that name (replicas) are pending, and
  for how many the condition is impossible. A job that changes adjusts these counts.
- Dependents are the jobs with equal `after`, such as the replicas of one declaration. They count how many of their
  requirements are pending or impossible. Only a requirement that changes as a whole adjusts these counts.
- Only when that decides, the dependents that wait are visited, and then they wait no longer.

So 1000 replicas that start after 1000 replicas take a few thousand steps: each of those that is ready adjusts one
count, and the last one starts the others.
"""

from __future__ import annotations

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.model import JobState, Outcome
from taskloom.core.policies import Condition, Dependency
from taskloom.core.records import FollowUp, JobRecord

__all__ = ["DependencyState", "Dependents", "Family", "Requirement"]


@plain_members
class DependencyState(FastEnum):
    """The state of a dependency."""

    SATISFIED = "met"
    """Its condition is true."""
    PENDING = "open"
    """Its condition may yet become true."""
    IMPOSSIBLE = "lost"
    """Its condition cannot become true unless a user intervenes."""


class Family:
    """The jobs of one declared name: one, or its replicas; none while other jobs wait for a name that is unknown."""

    __slots__ = ("decided", "members", "name", "requirements")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, JobRecord] = {}
        """By name, in the order of their declarations."""
        self.requirements: dict[Condition, Requirement] = _NO_REQUIREMENTS
        """The conditions that other jobs wait for; empty if none starts after this name."""
        self.decided: dict[Dependents, None] = _NOTHING_DECIDED
        """Dependents that were decided while some of them waited, and have not been visited since."""

    def require(self, condition: Condition) -> Requirement:
        """Return the requirement of a condition, which may be new."""
        if self.requirements is _NO_REQUIREMENTS:
            self.requirements, self.decided = {}, {}
        requirement = self.requirements.get(condition)
        if requirement is None:
            requirement = self.requirements[condition] = Requirement(self, condition)
        return requirement

    @property
    def after(self) -> dict[str, None]:
        """The declared names that any of its jobs starts after, in order."""
        # One for nearly all families. While a reload replaces its jobs, the old ones may have other dependencies.
        groups = dict.fromkeys(job.dependencies for job in self.members.values())
        return {dependency.job: None for group in groups for dependency in group.after}

    def refresh(self, job: JobRecord) -> None:
        """Count the change of one of its jobs."""
        for requirement in self.requirements.values():
            requirement.refresh(job)


# Shared by all names that no job starts after, which most are; never changed.
_NO_REQUIREMENTS: dict[Condition, Requirement] = {}
_NOTHING_DECIDED: dict[Dependents, None] = {}


class _Counts:
    """How many parts of a whole are in each state. The whole is impossible with the first part that is."""

    __slots__ = ("impossible", "pending")

    def __init__(self) -> None:
        self.pending = self.impossible = 0

    def add(self, state: DependencyState | None, number: int) -> None:
        """Count `number` more parts in this state; None counts nowhere."""
        if state is DependencyState.PENDING:
            self.pending += number
        elif state is DependencyState.IMPOSSIBLE:
            self.impossible += number

    @property
    def state(self) -> DependencyState:
        """The state of the whole."""
        if self.impossible:
            return DependencyState.IMPOSSIBLE
        return DependencyState.PENDING if self.pending else DependencyState.SATISFIED


class Requirement:
    """One condition of one declared name, which all jobs of that name have to satisfy."""

    __slots__ = ("_counts", "_first", "_state", "_states", "condition", "dependents", "family")

    def __init__(self, family: Family, condition: Condition) -> None:
        self.family = family
        self.condition = condition
        self.dependents: dict[Dependents, None] = {}
        self._state = DependencyState.IMPOSSIBLE
        self._counts = _Counts()
        self._states: dict[JobRecord, DependencyState] = {}
        # Found when it is asked for, and valid until the next change.
        self._first: JobRecord | None = None
        for job in family.members.values():
            self.refresh(job)

    @property
    def state(self) -> DependencyState:
        """The state of the condition for all jobs of the name together; impossible if there is none."""
        return self._state

    @property
    def count(self) -> int:
        """How many jobs of the name are the reason for its state; 0 if it is satisfied."""
        return self._counts.impossible or self._counts.pending

    def refresh(self, job: JobRecord) -> None:
        """Count a job of the family that has changed or is new."""
        before, after = self._states.get(job), _state_of(job, self.condition)
        if after is not before:
            self._states[job] = after
            self._counts.add(before, -1)
            self._counts.add(after, 1)
            self._settle()

    def remove(self, job: JobRecord) -> None:
        """Count no more a job that has left the family."""
        self._counts.add(self._states.pop(job), -1)
        self._settle()

    def reorder(self) -> None:
        """Find the deciding job again: the order of the family's jobs has changed."""
        self._first = None

    def _settle(self) -> None:
        self._first = None
        before = self._state
        after = self._state = self._counts.state if self._states else DependencyState.IMPOSSIBLE
        if after is not before:
            for dependents in self.dependents:
                dependents.adjust(before, after)

    def deciding_job(self) -> JobRecord | None:
        """Return the first job because of which the condition is not satisfied; None if the name is not declared."""
        if self._first is None:
            members = self.family.members.values()
            self._first = next((job for job in members if self._states[job] is self._state), None)
        return self._first


class Dependents:
    """The jobs that start after the same jobs, under the same conditions."""

    __slots__ = ("_counts", "_deciding", "after", "jobs", "requirements", "waiting")

    def __init__(self, after: tuple[Dependency, ...], requirements: tuple[Requirement, ...]) -> None:
        self.after = after
        self.requirements = requirements
        self.jobs = 0
        """How many jobs are declared so."""
        self.waiting: dict[JobRecord, None] = {}
        """Those of them that wait for their dependencies."""
        self._counts = _Counts()
        # Found when it is asked for, and valid until the next change.
        self._deciding: Requirement | None = None
        for requirement in requirements:
            requirement.dependents[self] = None
            self._counts.add(requirement.state, 1)

    @property
    def state(self) -> DependencyState:
        """The state of all dependencies together."""
        return self._counts.state

    def adjust(self, before: DependencyState, after: DependencyState) -> None:
        """Count the change of a requirement."""
        was_decided = self.state is not DependencyState.PENDING
        self._deciding = None
        self._counts.add(before, -1)
        self._counts.add(after, 1)
        if not was_decided:
            self.announce()

    def announce(self) -> None:
        """Have the jobs that wait visited after the next change of any job that they start after, if it is decided."""
        if self.waiting and self.state is not DependencyState.PENDING:
            for requirement in self.requirements:
                requirement.family.decided[self] = None

    def describe(self) -> str:
        """Return which condition is pending, or why it is impossible; empty if all are satisfied."""
        if self.state is DependencyState.SATISFIED:
            return ""
        if self._deciding is None:
            self._deciding = next(each for each in self.requirements if each.state is self.state)
        deciding = self._deciding
        job = deciding.deciding_job()
        if job is None:
            return f"there is no job {deciding.family.name!r}"
        if self.state is DependencyState.PENDING:
            return f"job {job.spec.name!r} to be {deciding.condition.value}"
        return _why_impossible(job, deciding.condition)


def _state_of(job: JobRecord, condition: Condition) -> DependencyState:
    if _is_satisfied(job, condition):
        return DependencyState.SATISFIED
    if job.state is JobState.BLOCKED:
        # When nothing is left of its run, the job finishes or begins another run.
        is_possible = condition is Condition.FINISHED or job.follow_up not in (FollowUp.NOTHING, FollowUp.REMOVAL)
        return DependencyState.PENDING if is_possible else DependencyState.IMPOSSIBLE
    is_over = job.state in (JobState.FINISHED, JobState.SKIPPED, JobState.DISABLED)
    return DependencyState.IMPOSSIBLE if is_over else DependencyState.PENDING


def _is_satisfied(job: JobRecord, condition: Condition) -> bool:
    run = job.last_run
    if condition is Condition.FINISHED:
        return job.state is JobState.FINISHED
    if run is None:
        return False
    if condition is Condition.SUCCEEDED:
        return run.outcome is Outcome.SUCCEEDED
    since = run.started if condition is Condition.STARTED else run.ready
    # A run that failed, or was requested to stop, counts no longer.
    is_sound = run.outcome is Outcome.SUCCEEDED or (run.outcome is None and run.requested is None)
    return since is not None and is_sound


def _why_impossible(job: JobRecord, condition: Condition) -> str:
    name, run = job.spec.name, job.last_run
    is_over = job.state is JobState.FINISHED or job.lost_run is not None
    if is_over and run is not None and run.outcome is not None:
        how = f"ended {run.outcome.value}"
    elif job.state is JobState.BLOCKED:
        how = "is blocked"
    else:
        how = f"is {job.state.value}"
    return f"job {name!r} {how}, and was to be {condition.value}"
