"""The waits of jobs, for people who ask why a job does not run: made only if a listener takes them.

A wait is not an event: it has no number, and nothing outside of the log is made from it. The lifecycle makes one for
each job that a message has changed, after the message is handled, so all of its facts belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from taskloom.core.model import Hold, JobState, Moment, WaitingFor
from taskloom.core.policies import RestartPolicy, StartMode
from taskloom.core.records import FollowUp, JobRecord
from taskloom.core.requirements import DependencyState

__all__ = ["RestartWait", "Wait", "make_waits", "restart_wait"]

# A job that changes may change what others wait for. Of larger groups, such as a thousand replicas that start after a
# thousand others, only the first wait is made: a million would follow.
_MOST_FOLLOWED = 100


class RestartWait(NamedTuple):
    """Why a restart waits as long as it does."""

    attempt: int
    """The number of the attempt that follows."""
    delay: float
    """Seconds, without the jitter."""
    policy: RestartPolicy
    recent: int
    """How many restarts there were within the window of the policy's limit; 0 if it has none."""


class Wait(NamedTuple):
    """The things that one job waits for from a moment on. `due_at` and `fires_at` are monotonic seconds."""

    at: Moment
    job: str
    state: JobState
    waiting_for: WaitingFor | None
    is_manual: bool
    """Whether only a user starts it."""
    conditions: tuple[str, ...] = ()
    """The pending conditions of other jobs, each as `db (ready)`."""
    due_at: float | None = None
    """When its start delay or restart delay is over."""
    restart: RestartWait | None = None
    fires_at: float | None = None
    """When its schedule fires next."""
    schedule: str = ""
    """Its schedule, as shown to users."""
    follow_up: FollowUp = FollowUp.POLICY
    """The decision about what follows its run."""
    hold: Hold | None = None
    """How a user holds it back: a paused job waits to be resumed, a stopped one to be started."""


def make_waits(changed: Iterable[JobRecord], now: Moment) -> Iterator[Wait]:
    """Yield what these jobs wait for now, and the jobs that wait for one of them."""
    jobs = dict.fromkeys(changed)
    for job in list(jobs):
        for requirement in job.family.requirements.values():
            for dependents in requirement.dependents:
                if len(dependents.waiting) <= _MOST_FOLLOWED:
                    jobs.update(dependents.waiting)
    for job in jobs:
        yield _make_wait(job, now)


def _make_wait(job: JobRecord, now: Moment) -> Wait:
    """Return what the job waits for now."""
    spec = job.spec
    return Wait(
        now,
        spec.name,
        job.state,
        job.waiting_for,
        spec.start.mode is StartMode.MANUAL,
        conditions=_pending(job) if job.waits_for_dependencies else (),
        due_at=job.due_at if job.waiting_for in (WaitingFor.DELAY, WaitingFor.BACKOFF) else None,
        restart=restart_wait(job, now),
        fires_at=None if job.next_firing is None else job.next_firing.due_at,
        schedule="" if spec.schedule is None else spec.schedule.text,
        follow_up=job.follow_up,
        hold=Hold.STOPPED if job.is_stopped else Hold.PAUSED if job.is_paused else None,
    )


def _pending(job: JobRecord) -> tuple[str, ...]:
    return tuple(
        f"{requirement.family.name} ({requirement.condition.value})"
        for requirement in job.dependencies.requirements
        if requirement.state is DependencyState.PENDING
    )


def restart_wait(job: JobRecord, now: Moment) -> RestartWait | None:
    """Return why the restart of a job comes as late as it does; None if the job waits for none."""
    backoff, last = job.backoff, job.last_run
    if job.waiting_for is not WaitingFor.BACKOFF or backoff is None or last is None:
        return None
    policy = job.spec.restart
    recent = backoff.count_since(now.mono - policy.limit.within) if policy.limit is not None else 0
    return RestartWait(last.attempt + 1, backoff.delay, policy, recent)
