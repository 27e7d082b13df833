"""One job of the reference model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from taskloom.core.model import How, JobSpec, JoinPolicy, Otherwise
from taskloom.core.policies import Condition, RestartWhen

__all__ = ["NEVER", "ReferenceJob", "dependency_state", "outcome_of"]

NEVER = float("inf")
RESTARTING = ("task", "params", "daemon", "runner")
POLICIES = (
    "description", "labels", "enabled", "poll_interval", "join", "start", "schedule", "after", "restart", "timeout",
    "ready_within", "watchdog", "essential",
)  # fmt: skip


@dataclass
class ReferenceJob:
    """One job and its latest run."""

    spec: JobSpec
    waits_for: str = "command"
    """`command`, `removal`, `dependency`, `delay`, `backoff`, `firing` or `record`; empty if it has a run or has
    ended."""
    end_state: str = ""
    """`finished`, `skipped` or `disabled`; empty if it has a run or waits."""
    was_impossible: bool = False
    """It was skipped because a dependency became impossible."""
    runs: int = 0
    number: int = 0
    due: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Its deadlines by name: when each is due, and its number in the order in which all deadlines were set."""
    is_live: bool = False
    """The thread of the latest run may be alive."""
    run_spec: JobSpec | None = None
    attempt: int = 0
    follow_up: str = "policy"
    queued: float = 0.0
    started_at: float | None = None
    ready_at: float | None = None
    is_started: bool = False
    requested_at: float | None = None
    first_kind: str = ""
    first_text: str = ""
    deadline: float = NEVER
    is_urgent: bool = False
    is_captured: bool = False
    is_terminated: bool = False
    is_killed: bool = False
    is_unawaited: bool = False
    """The shutdown does not wait for its run, and has not come to its end."""
    is_overdue: bool = False
    is_abandoned: bool = False
    is_unresponsive: bool = False
    is_lost: bool = False
    """Its latest run was lost and blocks it: `is_abandoned` is set too."""
    lost_at: float = 0.0
    place: str = ""
    """What is known of where its run executes: nothing, the `worker` or the `process`."""
    is_unreachable: bool = False
    outcome: str = ""
    """The outcome of the latest run; empty while it runs."""
    outcomes: Counter[str] = field(default_factory=Counter)
    instant: float | None = None
    delay: float = 0.0
    restarts: list[float] = field(default_factory=list)
    has_failed: bool = False
    gave_up: bool = False
    abandoned_at: float = 0.0
    is_paused: bool = False
    is_stopped: bool = False
    """A user stopped it, and has not started it since."""
    hold: dict[str, None] | None = None
    """The runs that a reload stopped when it added this job, as far as they have not ended; shared by its jobs."""

    @property
    def run(self) -> str:
        return f"{self.spec.name}#{self.number}"

    @property
    def is_awaited(self) -> bool:
        is_stopping = self.has_body and self.requested_at is not None
        return is_stopping and not self.is_overdue and not self.is_unawaited

    @property
    def has_body(self) -> bool:
        """Return whether its latest run may be executing, and is not lost."""
        return self.is_live and not self.is_lost

    @property
    def may_report(self) -> bool:
        """Return whether the end of its run has not been reported: an abandoned run may be lost."""
        return self.has_body and "release" not in self.due

    @property
    def join(self) -> JoinPolicy:
        """The join policy of its run."""
        return (self.run_spec or self.spec).join

    @property
    def kills(self) -> bool:
        return self.join.otherwise is Otherwise.KILL

    @property
    def is_running(self) -> bool:
        return self.has_body and self.requested_at is None

    @property
    def is_pending(self) -> bool:
        return self.waits_for not in ("", "command")

    @property
    def is_active(self) -> bool:
        if self.is_abandoned:
            follows = self.follow_up in ("retry", "restart", "firing")
            return self.instant is not None or ((self.spec.daemon or self.is_lost) and follows)
        return self.is_pending or self.is_live

    @property
    def state(self) -> str:
        if self.is_abandoned:
            return "blocked"
        if self.is_live:
            return "running" if self.requested_at is None else "stopping"
        return "waiting" if self.waits_for else self.end_state

    def finish(self, end_state: str) -> None:
        self.waits_for, self.end_state = "", end_state if self.spec.enabled else "disabled"

    def is_satisfied(self, condition: Condition) -> bool:
        """Return whether the condition of a dependent is satisfied."""
        if condition is Condition.FINISHED:
            return self.end_state == "finished" and not self.is_live
        if condition is Condition.SUCCEEDED:
            return self.outcome == "succeeded"
        is_sound = self.outcome == "succeeded" or self.is_running
        return is_sound and (self.started_at if condition is Condition.STARTED else self.ready_at) is not None

    def is_impossible(self, condition: Condition) -> bool:
        """Return whether the condition of a dependent can never be satisfied."""
        if self.is_abandoned:
            return condition is not Condition.FINISHED and self.follow_up in ("nothing", "removal")
        return not self.is_live and self.end_state != ""

    def counts_as_failure(self) -> bool:
        if self.outcome == "abandoned":
            return self.first_kind in ("deadline", "watchdog")
        return self.outcome in ("failed", "timed_out", "start_failed", "lost")

    def outlives_failure(self) -> bool:
        """Return whether its overdue run, which is not abandoned, is a failure for good."""
        has_failed = self.first_kind in ("deadline", "watchdog")
        return self.spec.essential and has_failed and self.follow_up not in ("restart", "removal")

    def needs_restart(self) -> bool:
        when = self.spec.restart.when
        by_policy = when is RestartWhen.ALWAYS or (when is RestartWhen.ON_FAILURE and self.counts_as_failure())
        return self.follow_up == "retry" or by_policy

    def is_exhausted(self, now: float) -> bool:
        limit = self.spec.restart.limit
        return limit is not None and len([when for when in self.restarts if when > now - limit.within]) >= limit.times

    def is_flapping(self, now: float) -> bool:
        return len([when for when in self.restarts if when > now - 60]) >= 5

    def next_delay(self, now: float) -> float:
        """Return the delay of a restart after its run, which ends now."""
        policy, ready = self.spec.restart, self.ready_at
        was_healthy = ready is not None and now - ready >= max(30, self.delay)
        is_first = self.delay == 0 or was_healthy
        self.delay = min(policy.delay if is_first else self.delay * policy.factor, policy.max_delay)
        return self.delay

    def reload_action(self, new: JobSpec) -> str:
        if any(getattr(self.spec, name) != getattr(new, name) for name in RESTARTING):
            return "restart"
        return "apply" if self.changed(new) else "keep"

    def changed(self, new: JobSpec) -> list[str]:
        return [name for name in POLICIES if getattr(self.spec, name) != getattr(new, name)]


def dependency_state(job: ReferenceJob, jobs: Iterable[ReferenceJob]) -> str:
    """Return the state of a job's dependencies together: `satisfied`, `pending` or `impossible`."""
    all_jobs, found = list(jobs), {"satisfied"}
    for dependency in job.spec.after:
        members = [other for other in all_jobs if other.spec.family == dependency.job]
        if not members:
            return "impossible"
        for other in members:
            if not other.is_satisfied(dependency.condition):
                found.add("impossible" if other.is_impossible(dependency.condition) else "pending")
    return "impossible" if "impossible" in found else "pending" if "pending" in found else "satisfied"


def outcome_of(how: How, was_requested: bool, callback_ran: bool, kind: str = "") -> str:
    """Return the outcome of a run whose cancel was first requested for a reason of this kind."""
    if how is How.LOST:
        return "lost"
    by_cause = {"deadline": "timed_out", "watchdog": "failed"}.get(kind, "")
    if how is How.NOT_ENTERED:
        return by_cause or "cancelled"
    if not was_requested:
        return "succeeded" if how is How.RETURNED else "failed"
    has_failed_itself = how in (How.RAISED, How.PERMANENT) and not callback_ran
    return by_cause or ("failed" if has_failed_itself else "cancelled")
