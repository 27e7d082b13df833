"""One job of the naive model, and the questions that it answers by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from taskloom.core.model import How, JobSpec
from taskloom.core.policies import Condition, RestartWhen

__all__ = ["NEVER", "ReferenceJob", "needs_stand", "outcome_of"]

NEVER = float("inf")
MAKING = ("task", "params", "daemon", "runner")
POLICIES = (
    "description", "labels", "enabled", "poll_interval", "join", "start", "schedule", "after", "restart", "timeout",
    "ready_within", "watchdog", "essential",
)  # fmt: skip


@dataclass
class ReferenceJob:
    """One job and its newest run, in plain words."""

    spec: JobSpec
    # What it waits for: "person", "dependency", "delay", "backoff", "firing"; else how it rests: "finished" ...
    waits: str = "person"
    rest: str = ""
    was_lost: bool = False
    runs: int = 0
    number: int = 0
    # What falls due for it: what -> (when, which number of all that was ever set).
    due: dict[str, tuple[float, int]] = field(default_factory=dict)
    # The thread of the newest run may be alive.
    is_live: bool = False
    run_spec: JobSpec | None = None
    attempt: int = 0
    then: str = "policy"
    queued: float = 0.0
    began: float | None = None
    became_ready: float | None = None
    has_begun: bool = False
    asked: float | None = None
    first_kind: str = ""
    first_words: str = ""
    deadline: float = NEVER
    is_urgent: bool = False
    is_looked_at: bool = False
    is_overdue: bool = False
    is_abandoned: bool = False
    missed_polls: bool = False
    # How the newest run ended; empty while it goes on.
    outcome: str = ""
    ends: Counter[str] = field(default_factory=Counter)
    # The schedule and the restarts.
    instant: float | None = None
    delay: float = 0.0
    restarts: list[float] = field(default_factory=list)
    has_failed: bool = False
    gave_up: bool = False
    abandoned_at: float = 0.0

    @property
    def run(self) -> str:
        return f"{self.spec.name}#{self.number}"

    @property
    def is_awaited(self) -> bool:
        return self.is_live and self.asked is not None and not self.is_overdue

    @property
    def is_running(self) -> bool:
        return self.is_live and self.asked is None

    @property
    def is_pending(self) -> bool:
        return self.waits not in ("", "person")

    @property
    def holds(self) -> bool:
        return self.is_pending or (self.is_live and not self.is_abandoned)

    @property
    def state(self) -> str:
        if self.is_abandoned:
            return "blocked"
        if self.is_live:
            return "running" if self.asked is None else "stopping"
        return "waiting" if self.waits else self.rest

    def rests(self, how: str) -> None:
        self.waits, self.rest = "", how if self.spec.enabled else "disabled"

    def has_come(self, condition: Condition) -> bool:
        """Say whether another job need not wait for this any longer."""
        if condition is Condition.FINISHED:
            return self.rest == "finished" and not self.is_live
        if condition is Condition.SUCCEEDED:
            return self.outcome == "succeeded"
        is_sound = self.outcome == "succeeded" or self.is_running
        return is_sound and (self.began if condition is Condition.STARTED else self.became_ready) is not None

    def cannot_come(self, condition: Condition) -> bool:
        """Say whether another job waits for this in vain."""
        if self.is_abandoned:
            return condition is not Condition.FINISHED and self.then in ("nothing", "removal")
        return not self.is_live and self.rest != ""

    def counts_as_failure(self) -> bool:
        if self.outcome == "abandoned":
            return self.first_kind in ("deadline", "watchdog")
        return self.outcome in ("failed", "timed_out", "start_failed")

    def wants_restart(self) -> bool:
        when = self.spec.restart.when
        by_policy = when is RestartWhen.ALWAYS or (when is RestartWhen.ON_FAILURE and self.counts_as_failure())
        return self.then == "retry" or by_policy

    def has_used_up(self, now: float) -> bool:
        limit = self.spec.restart.limit
        return limit is not None and len([when for when in self.restarts if when > now - limit.within]) >= limit.times

    def flaps(self, now: float) -> bool:
        return len([when for when in self.restarts if when > now - 60]) >= 5

    def next_delay(self, now: float) -> float:
        """Say how long the restart waits after the end of its run, which is now."""
        policy, ready = self.spec.restart, self.became_ready
        was_healthy = ready is not None and now - ready >= max(30, self.delay)
        is_first = self.delay == 0 or was_healthy
        self.delay = min(policy.delay if is_first else self.delay * policy.factor, policy.max_delay)
        return self.delay

    def verdict(self, new: JobSpec) -> str:
        if any(getattr(self.spec, name) != getattr(new, name) for name in MAKING):
            return "restart"
        return "apply" if self.changed(new) else "keep"

    def changed(self, new: JobSpec) -> list[str]:
        return [name for name in POLICIES if getattr(self.spec, name) != getattr(new, name)]


def needs_stand(job: ReferenceJob, jobs: Iterable[ReferenceJob]) -> str:
    """Say how a job's needs stand together: `met`, `open` or `lost`."""
    all_jobs, found = list(jobs), {"met"}
    for need in job.spec.after:
        members = [other for other in all_jobs if other.spec.family == need.job]
        if not members:
            return "lost"
        for other in members:
            if not other.has_come(need.condition):
                found.add("lost" if other.cannot_come(need.condition) else "open")
    return "lost" if "lost" in found else "open" if "open" in found else "met"


def outcome_of(how: How, was_asked: bool, was_woken: bool, kind: str = "") -> str:
    """Say how a run ended that was first asked for a reason of this kind."""
    verdict = {"deadline": "timed_out", "watchdog": "failed"}.get(kind, "")
    if how is How.NOT_ENTERED:
        return verdict or "cancelled"
    if not was_asked:
        return "succeeded" if how is How.RETURNED else "failed"
    has_failed_alone = how in (How.RAISED, How.PERMANENT) and not was_woken
    return verdict or ("failed" if has_failed_alone else "cancelled")
