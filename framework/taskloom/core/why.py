"""Takes the facts that answer why a job is, or is not, running: of the job, and of the jobs that hold it up.

All of them are read in one step, so they belong together. Nothing is changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite

from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import JobState, Moment, Phase, ReasonKind
from taskloom.core.records import FAILURES, JobRecord, RunRecord
from taskloom.core.report import make_job_report
from taskloom.core.requirements import DependencyState, Dependents, Requirement
from taskloom.core.restart import FLAPPING_SECONDS
from taskloom.core.waits import restart_wait
from taskloom.core.why_facts import (
    MOST_NAMES,
    Blocker,
    HoldFacts,
    JobFacts,
    Link,
    ProgramFacts,
    RunFacts,
    Some,
    WhyFacts,
)

__all__ = ["gather"]

# A chain of dependencies is followed this far: each step is one on the scheduler thread, and a chain may have 100,000.
MOST_FOLLOWED = 1000
# More root causes than these say nothing new; the others are counted.
MOST_CAUSES = 8


def gather(core: Lifecycle, name: str, now: Moment) -> WhyFacts:
    """Return the facts about a job. Raises UnknownJob."""
    job = core.job(name)
    blockers, more = _find_blockers(core, job, now)
    waiting, dependents = _dependents(core, job)
    return WhyFacts(now, _job_facts(core, job, now), blockers, more, _program_facts(core, now), waiting, dependents)


def _job_facts(core: Lifecycle, job: JobRecord, now: Moment) -> JobFacts:
    is_live = job.state in (JobState.RUNNING, JobState.STOPPING)
    changeover = job.changeover
    return JobFacts(
        report=make_job_report(core, job, now),
        spec=job.spec,
        run=_run_facts(core, job.last_run, now) if job.last_run is not None else None,
        follow_up=job.follow_up,
        restart=restart_wait(job, now),
        reason=job.reason,
        gave_up_because=job.gave_up_because if job.has_given_up else "",
        recent_restarts=job.backoff.count_since(now.mono - FLAPPING_SECONDS) if job.backoff is not None else 0,
        failures=sum(job.outcomes.get(outcome, 0) for outcome in FAILURES),
        missed_last=job.missed_last,
        holds=tuple(_hold_facts(job, now)),
        unmet=() if is_live else tuple(map(_link, _unsatisfied(job))),
        is_impossible=job.dependencies.state is DependencyState.IMPOSSIBLE,
        awaited_runs=_some(changeover.awaited) if changeover is not None else Some(),
    )


def _hold_facts(job: JobRecord, now: Moment) -> Iterator[HoldFacts]:
    for hold, reason in job.holds.items():
        beginning = job.hold_beginnings[hold]
        yield HoldFacts(hold, reason, max(0.0, now.mono - beginning.at.mono), job.missed - beginning.missed)


def _run_facts(core: Lifecycle, run: RunRecord, now: Moment) -> RunFacts:
    def ago(moment: Moment | None) -> float | None:
        return max(0.0, now.mono - moment.mono) if moment is not None else None

    is_live = run.ended is None
    is_requested = is_live and run.requested is not None
    return RunFacts(
        id=run.id,
        attempt=run.attempt,
        queued_ago=ago(run.queued) or 0.0,
        started_ago=ago(run.started),
        ready_ago=ago(run.ready),
        asked_ago=ago(run.requested),
        ended_ago=ago(run.ended),
        seconds=run.seconds if run.ended is not None else ago(run.started) or 0.0,
        reason=run.reason,
        outcome=run.outcome,
        error=run.error,
        has_failed=run.has_failed,
        unresponsive_ago=ago(run.unresponsive) if is_live else None,
        is_overdue=run.is_overdue,
        killed_ago=ago(run.killed),
        captured=run.captured.where if run.captured is not None else "",
        allowed=_limit(run.overdue_at, run.requested.mono) if is_requested and run.requested is not None else None,
        stop_left=_limit(run.overdue_at, now.mono) if is_requested and run.id in core.stopping else None,
        timeout_left=_limit(run.timeout_at, now.mono) if is_live and not is_requested else None,
        ready_left=_limit(run.unready_at, now.mono) if is_live and not is_requested and run.ready is None else None,
        instant=run.due.wall if run.due is not None else None,
        is_made_up=run.due is not None and run.due.is_made_up,
        is_recorded=run.is_recorded,
        whereabouts=run.whereabouts,
        unreachable_ago=ago(run.unreachable) if is_live else None,
        lost_left=_limit(run.stopped_by.mono, now.mono) if run is run.job.lost_run and run.stopped_by else None,
    )


def _limit(deadline: float, since: float) -> float | None:
    return max(0.0, deadline - since) if isfinite(deadline) else None


def _program_facts(core: Lifecycle, now: Moment) -> ProgramFacts:
    shutdown = core.shutdown
    if shutdown.phase is Phase.OPEN:
        return ProgramFacts(Phase.OPEN)
    since = shutdown.requested
    asked_ago = max(0.0, now.mono - since.mono) if since is not None else None
    left = _limit(core.stops.latest, now.mono) if shutdown.phase is Phase.STOPPING else None
    awaited = (run.job.spec.name for run in core.stopping.values())
    return ProgramFacts(shutdown.phase, shutdown.reason, asked_ago, left, _some(awaited))


def _some(names: Iterable[str]) -> Some:
    found = list(names)
    return Some(tuple(found[:MOST_NAMES]), len(found))


# -- the jobs that hold it up


def _unsatisfied(job: JobRecord) -> Iterator[Requirement]:
    """Yield the conditions that decide: those that are impossible, or else the pending ones."""
    state = job.dependencies.state
    if state is not DependencyState.SATISFIED:
        yield from (each for each in job.dependencies.requirements if each.state is state)


def _link(requirement: Requirement) -> Link:
    job, name = requirement.deciding_job(), requirement.family.name
    return Link(
        name, requirement.condition, job.spec.name if job is not None else name, requirement.count, job is not None
    )


def _is_held_up(job: JobRecord) -> bool:
    """Return whether other jobs are the reason for its state."""
    is_skipped = job.state is JobState.SKIPPED and job.reason is not None
    return job.waits_for_dependencies or (
        is_skipped and job.reason is not None and job.reason.kind is ReasonKind.DEPENDENCY
    )


def _find_blockers(core: Lifecycle, asked: JobRecord, now: Moment) -> tuple[tuple[Blocker, ...], int]:
    """Return the root causes: the jobs at the ends of all chains, nearest first, and how many more there are.

    Of the replicas of one name, the first is followed.
    """
    if not _is_held_up(asked):
        return (), 0
    came_from: dict[JobRecord, tuple[JobRecord, Link] | None] = {asked: None}
    waiting = deque([asked])
    # Jobs with equal `after` have the same causes: in a layer of 1000 jobs after 1000 others, one of them is followed.
    followed: set[Dependents] = set()
    undeclared: set[str] = set()
    blockers: list[Blocker] = []
    more = 0

    def add(before: JobRecord, link: Link, cause: JobRecord | None) -> None:
        nonlocal more
        if len(blockers) < MOST_CAUSES:
            path = (*_path_to(before, came_from), link)
            blockers.append(Blocker(path, _job_facts(core, cause, now) if cause is not None else None))
        else:
            more += 1

    while waiting:
        job = waiting.popleft()
        if job.dependencies in followed:
            continue
        followed.add(job.dependencies)
        for requirement in _unsatisfied(job):
            link, cause = _link(requirement), requirement.deciding_job()
            if cause is None:
                if link.name not in undeclared:
                    undeclared.add(link.name)
                    add(job, link, None)
            elif cause not in came_from:
                came_from[cause] = (job, link)
                # A job that was skipped may be able to start by now: then it is the cause itself.
                is_link = _is_held_up(cause) and cause.dependencies.state is not DependencyState.SATISFIED
                if is_link and len(came_from) <= MOST_FOLLOWED:
                    waiting.append(cause)
                else:
                    add(job, link, cause)
    return tuple(blockers), more


def _path_to(job: JobRecord, came_from: Mapping[JobRecord, tuple[JobRecord, Link] | None]) -> list[Link]:
    path: list[Link] = []
    while (step := came_from[job]) is not None:
        job, link = step
        path.append(link)
    return path[::-1]


def _dependents(core: Lifecycle, job: JobRecord) -> tuple[Some, Some]:
    """Return the jobs that wait for a condition of this one, and those with a run that start after it."""
    groups = {group for requirement in job.family.requirements.values() for group in requirement.dependents}
    if not groups:
        return Some(), Some()
    waiting = [
        other.spec.name
        for requirement in job.family.requirements.values()
        if requirement.state is not DependencyState.SATISFIED
        for group in requirement.dependents
        for other in group.waiting
    ]
    running = [
        other.spec.name
        for other in core.jobs.values()
        if other.dependencies in groups and other.state in (JobState.RUNNING, JobState.STOPPING)
    ]
    return _some(dict.fromkeys(waiting)), _some(running)
