"""A second model of the lifecycle, written from the words of the design alone, to hold the first one against.

It is naive on purpose: no table, no heap, no counters. It scans all jobs at each question, and knows no shortcut.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from taskloom.core.model import How, JobSpec, Otherwise, StartMode

__all__ = ["Naive", "NaiveJob", "outcome_of"]

NEVER = float("inf")


@dataclass
class NaiveJob:
    """One job and its newest run, in plain words."""

    spec: JobSpec
    is_tried: bool = False
    delayed_until: float | None = None
    is_skipped: bool = False
    runs: int = 0
    # The thread of the newest run may be alive.
    is_live: bool = False
    has_begun: bool = False
    is_ready: bool = False
    asked: float | None = None
    first_words: str = ""
    deadline: float = NEVER
    is_urgent: bool = False
    is_looked_at: bool = False
    is_overdue: bool = False
    is_abandoned: bool = False
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def run(self) -> str:
        return f"{self.spec.name}#{self.runs}"

    @property
    def is_awaited(self) -> bool:
        return self.is_live and self.asked is not None and not self.is_overdue

    @property
    def holds(self) -> bool:
        return self.delayed_until is not None or (self.is_live and not self.is_abandoned)

    @property
    def hurry_at(self) -> float:
        if self.asked is None or self.deadline == NEVER:
            return NEVER
        return self.asked + (self.deadline - self.asked) * 3 / 4

    @property
    def state(self) -> str:
        if not self.spec.enabled:
            return "disabled"
        if self.is_abandoned:
            return "blocked"
        if self.is_live:
            return "running" if self.asked is None else "stopping"
        if self.runs:
            return "finished"
        return "skipped" if self.is_skipped else "waiting"


class Naive:
    """All jobs. Each method says what has to be seen of it, in the words of `show`; None where it is refused."""

    def __init__(self) -> None:
        self.jobs: dict[str, NaiveJob] = {}
        self.stop_words: str | None = None
        self.stop_deadline = NEVER
        self.is_stop_over = False
        self.is_hurried = False
        self.is_announced = False
        self.remind_at = NEVER
        self.asks: list[str] = []
        self.has_held = False
        self.was_over = True

    # -- what people say

    def add(self, spec: JobSpec) -> list[str] | None:
        if self.stop_words is not None or spec.name in self.jobs:
            return None
        self.jobs[spec.name] = NaiveJob(spec)
        return [f"job_added {spec.name}"]

    def start_all(self, now: float) -> list[str] | None:
        if self.stop_words is not None:
            return None
        seen = [] if self.is_announced else ["scheduler_started"]
        self.is_announced = True
        for job in self.jobs.values():
            starts_itself = job.spec.enabled and job.spec.start.mode is StartMode.AUTO
            if not starts_itself or job.is_tried or job.runs:
                continue
            job.is_tried = True
            if job.spec.start.delay_seconds:
                job.delayed_until = now + job.spec.start.delay_seconds
            else:
                seen += self._begin(job)
        return seen

    def start(self, name: str) -> list[str] | None:
        job = self.jobs[name]
        if self.stop_words is not None or not job.spec.enabled or job.is_live:
            return None
        return self._begin(job)

    def _begin(self, job: NaiveJob) -> list[str]:
        job.runs += 1
        job.is_live, job.delayed_until = True, None
        job.has_begun = job.is_ready = job.is_urgent = job.is_looked_at = job.is_overdue = False
        job.asked, job.first_words, job.deadline = None, "", NEVER
        return [f"queued {job.run}", f"StartRun {job.run}"]

    def stop(self, name: str, words: str, now: float, run: str | None) -> list[str]:
        job = self.jobs[name]
        if run is not None and not (job.is_live and job.run == run):
            return []
        return self._stop(job, words, now)

    def _stop(self, job: NaiveJob, words: str, now: float) -> list[str]:
        if job.delayed_until is not None:
            job.delayed_until, job.is_skipped = None, True
            return [f"skipped {job.spec.name}"]
        if not job.is_live or job.asked is not None:
            return []
        if not self._awaited():
            self.remind_at = now + 2
        job.asked, job.first_words = now, words
        job.deadline = min(now + job.spec.join.within, max(now, self.stop_deadline))
        self.asks.append(job.run)
        return [f"cancel_requested {job.run}", f"AskRun {job.run}"]

    def shutdown(self, words: str, within: float, now: float) -> list[str]:
        if self.stop_words is not None:
            return []
        self.stop_words, self.stop_deadline = words, now + within
        seen = ["scheduler_stopping"]
        for job in self.jobs.values():
            job.deadline = min(job.deadline, self.stop_deadline) if job.is_awaited else job.deadline
            if not job.is_live:
                seen += self._stop(job, words, now)
        return seen + self._go_on(now)

    def hurry(self, within: float, now: float) -> list[str]:
        if self.stop_words is None or self.is_stop_over:
            return []
        self.is_hurried = True
        self.stop_deadline = min(self.stop_deadline, now + within)
        seen = [line for job in self.jobs.values() for line in self._stop(job, self.stop_words or "", now)]
        for job in self._awaited():
            job.deadline = min(job.deadline, max(self.stop_deadline, job.asked or 0.0))
            seen += self._urge(job)
        return seen + self._go_on(now)

    def _urge(self, job: NaiveJob) -> list[str]:
        was_urgent, job.is_urgent = job.is_urgent, True
        return [] if was_urgent else [f"HurryRun {job.run}"]

    # -- what runs say

    def started(self, job: NaiveJob, is_ready: bool) -> list[str]:
        job.has_begun = True
        if job.is_abandoned:
            return []
        job.is_ready = is_ready
        return [f"started {job.run}"] + ([f"ready {job.run}"] if is_ready else [])

    def ready(self, job: NaiveJob) -> list[str]:
        was_ready, job.is_ready = job.is_ready, True
        return [] if was_ready or job.is_abandoned else [f"ready {job.run}"]

    def ended(self, job: NaiveJob, outcome: str, now: float) -> list[str]:
        job.is_live = False
        if job.is_abandoned:
            job.is_abandoned = False
            return [f"late_exit {job.run}", f"RunOver {job.run}"]
        job.ends[outcome] += 1
        return [f"ended {job.run} {outcome}", f"RunOver {job.run}", *self._let_go(now)]

    def named(self, job: NaiveJob, now: float) -> list[str]:
        if not job.is_awaited:
            return []
        job.is_overdue = True
        seen = [f"stop_overdue {job.run}"]
        if job.spec.join.otherwise is Otherwise.ABANDON:
            job.is_abandoned = True
            job.ends["abandoned"] += 1
            seen += [f"ended {job.run} abandoned", f"blocked {job.run}"]
        return seen + self._let_go(now)

    # -- what time brings

    def tick(self, now: float) -> list[str]:
        seen = []
        for job in self.jobs.values():
            if job.delayed_until is not None and job.delayed_until <= now:
                seen += self._begin(job)
            if job.is_awaited and job.hurry_at <= now:
                seen += self._urge(job)
            if job.is_awaited and job.deadline <= now and not job.is_looked_at:
                job.is_looked_at = True
                seen.append(f"NameRun {job.run}")
        if self.remind_at <= now:
            runs = self.awaited_runs()
            seen.append(f"RemindStopping {','.join(runs[:5])} +{max(0, len(runs) - 5)}")
            self.remind_at = now + 3
        return seen

    def next_deadline(self) -> float | None:
        times = [self.remind_at]
        for job in self.jobs.values():
            if job.delayed_until is not None:
                times.append(job.delayed_until)
            if job.is_awaited:
                times += [NEVER if job.is_urgent else job.hurry_at, NEVER if job.is_looked_at else job.deadline]
        return min((when for when in times if when != NEVER), default=None)

    # -- what follows

    def _awaited(self) -> list[NaiveJob]:
        return [job for job in self.jobs.values() if job.is_awaited]

    def awaited_runs(self) -> list[str]:
        awaited = {job.run for job in self._awaited()}
        return [run for run in self.asks if run in awaited]

    def note_order(self, asked: list[str]) -> None:
        """Take over in which order those of one instant were asked: any order is fine."""
        self.asks = [run for run in self.asks if run not in asked] + asked

    def _let_go(self, now: float) -> list[str]:
        if not self._awaited():
            self.remind_at = NEVER
        return self._go_on(now)

    def _go_on(self, now: float) -> list[str]:
        """Stop whoever nobody above him is awaited for any more; be over when nobody is left."""
        if self.stop_words is None or self.is_stop_over:
            return []
        seen: list[str] = []
        for height in range(len(self.jobs)):
            if not self.is_hurried and any(job.is_awaited and self._height(job) < height for job in self.jobs.values()):
                return seen
            for job in self.jobs.values():
                if self._height(job) == height:
                    seen += self._stop(job, self.stop_words, now)
        if self._awaited():
            return seen
        self.is_stop_over = True
        return [*seen, "scheduler_stopped", "StopOver"]

    def _height(self, job: NaiveJob) -> int:
        above = [other for other in self.jobs.values() if job.spec.name in [need.job for need in other.spec.after]]
        return max((self._height(other) + 1 for other in above), default=0)

    def is_work_over(self) -> bool:
        holding = [job.spec.daemon for job in self.jobs.values() if job.holds]
        self.has_held = self.has_held or False in holding
        return False not in holding and (self.has_held or not holding)

    def work_over(self) -> list[str]:
        """Return what has to be said after any input: once, when nothing keeps the program alive any more."""
        was_over, self.was_over = self.was_over, self.is_work_over()
        return ["WorkOver"] if self.was_over and not was_over else []


def outcome_of(how: How, was_asked: bool, was_woken: bool) -> str:
    """Say how a run ended, for reasons that have no verdict of their own."""
    if how is How.NOT_ENTERED:
        return "cancelled"
    if not was_asked:
        return "succeeded" if how is How.RETURNED else "failed"
    has_failed_alone = how in (How.RAISED, How.PERMANENT) and not was_woken
    return "failed" if has_failed_alone else "cancelled"
