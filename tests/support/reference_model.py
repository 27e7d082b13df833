"""A second model of the lifecycle, written from the words of the design alone, to hold the first one against.

It is naive on purpose: no table, no heap, no counters. It scans all jobs at each question, and knows no shortcut.
It knows no chance either: restarts and schedules have no jitter, and schedules are intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.support.reference_job import NEVER, ReferenceJob, needs_stand, outcome_of
from tests.support.reference_reload import reload_all
from tests.support.reference_stop import go_on, hurry_all, stop_all
from tests.support.reference_time import bring

from taskloom.core.model import JobSpec, Otherwise, StartMode
from taskloom.core.policies import WatchdogThen

__all__ = ["ReferenceJob", "ReferenceModel", "outcome_of"]


class ReferenceModel:
    """All jobs. Each method says what has to be seen of it, in the words of `show`; None where it is refused."""

    def __init__(self, stop_within: float = 30.0) -> None:
        self.jobs: dict[str, ReferenceJob] = {}
        self.gone: dict[str, int] = {}
        self.stop_within = stop_within
        self.stop_kind = ""
        self.stop_words: str | None = None
        self.stop_deadline = NEVER
        self.is_stop_over = False
        self.is_hurried = False
        self.is_announced = False
        self.remind: tuple[float, int] | None = None
        self.asks: list[str] = []
        self.has_held = False
        self.was_over = True
        self.settings = 0

    # -- what people say

    def add(self, spec: JobSpec) -> list[str] | None:
        if self.stop_words is not None or spec.name in self.jobs:
            return None
        return self.declare(spec)

    def declare(self, spec: JobSpec) -> list[str]:
        job = self.jobs[spec.name] = ReferenceJob(spec, number=self.gone.get(spec.name, 0))
        if not spec.enabled:
            job.rests("disabled")
        return [f"job_added {spec.name}"]

    def start_all(self, now: float) -> list[str] | None:
        if self.stop_words is not None:
            return None
        seen = [] if self.is_announced else ["scheduler_started"]
        self.is_announced = True
        return seen + self.arm_all([job for job in self.jobs.values() if self.starts_itself(job)], now)

    def starts_itself(self, job: ReferenceJob) -> bool:
        return job.waits == "person" and job.spec.start.mode is StartMode.AUTO

    def arm_all(self, jobs: Sequence[ReferenceJob], now: float) -> list[str]:
        for job in jobs:
            job.waits, job.rest = "dependency", ""
            # It holds the program while it waits, however short that is.
            self.has_held = self.has_held or not job.spec.daemon
        return self.look(now)

    def arm(self, name: str, now: float) -> list[str] | None:
        job = self.jobs.get(name)
        if self.stop_words is not None or job is None or not job.spec.enabled or job.is_live:
            return None
        return [] if job.holds else self.arm_all([job], now)

    def start(self, name: str, now: float, *, is_now: bool = True) -> list[str] | None:
        job = self.jobs.get(name)
        if self.stop_words is not None or job is None or not job.spec.enabled or job.is_live:
            return None
        if not is_now and needs_stand(job, self.jobs.values()) != "met":
            return None
        return self.begin(job, now) + self.rearm(job, now)

    def restart(self, name: str, words: str, now: float) -> list[str] | None:
        job = self.jobs.get(name)
        if self.stop_words is not None or job is None or not job.spec.enabled or job.is_abandoned:
            return None
        if not job.is_live:
            return self.begin(job, now) + self.rearm(job, now)
        if job.then != "removal":
            job.then = "again"
            self.rearm(job, now)
        return self.ask(job, "user", words, now)

    def rearm(self, job: ReferenceJob, now: float) -> list[str]:
        if job.spec.schedule is not None and job.instant is None:
            self.aim(job, now + (job.spec.schedule.every or 0.0))
        return []

    def aim(self, job: ReferenceJob, instant: float) -> None:
        job.instant = instant
        self.set_due(job, "firing", instant)

    def set_due(self, job: ReferenceJob, what: str, when: float) -> None:
        self.settings += 1
        job.due.pop(what, None)
        if when != NEVER:
            job.due[what] = (when, self.settings)

    def disarm(self, job: ReferenceJob) -> None:
        job.instant = None
        job.due.pop("firing", None)

    def begin(self, job: ReferenceJob, now: float, attempt: int = 1) -> list[str]:
        spec = job.spec
        job.runs += 1
        job.number += 1
        job.is_live, job.waits, job.rest, job.outcome, job.then = True, "", "", "", "policy"
        job.run_spec, job.attempt, job.queued = spec, attempt, now
        job.has_begun = job.is_urgent = job.is_looked_at = job.is_overdue = job.missed_polls = False
        job.has_failed = job.gave_up = False
        job.began = job.became_ready = job.asked = None
        job.first_kind, job.first_words, job.deadline = "", "", NEVER
        job.due.pop("delay", None)
        job.due.pop("backoff", None)
        self.set_limits(job)
        return [f"queued {job.run}", f"StartRun {job.run}"]

    def set_limits(self, job: ReferenceJob) -> None:
        spec = job.run_spec
        if spec is not None and job.is_running:
            self.set_due(job, "timeout", NEVER if spec.timeout is None else job.queued + spec.timeout)
            is_ready = job.became_ready is not None or spec.ready_within is None
            self.set_due(job, "unready", NEVER if is_ready else job.queued + (spec.ready_within or 0.0))

    def stop(self, name: str, words: str, now: float, run: str | None) -> list[str] | None:
        job = self.jobs.get(name)
        if job is None:
            return None
        if run is None:
            return self.stop_job(job, "user", words, now) + self.look(now)
        if not (job.is_live and job.run == run):
            return []
        if job.then not in ("firing", "removal"):
            job.then = "nothing"
        return self.ask(job, "user", words, now)

    def stop_job(self, job: ReferenceJob, kind: str, words: str, now: float) -> list[str]:
        self.disarm(job)
        if job.then != "removal":
            job.then = "nothing"
        if job.is_pending:
            job.due.pop("delay", None)
            job.due.pop("backoff", None)
            job.was_lost = False
            job.rests("finished" if job.runs else "skipped")
            return [f"skipped {job.spec.name}"]
        return self.ask(job, kind, words, now)

    def ask(self, job: ReferenceJob, kind: str, words: str, now: float) -> list[str]:
        if not job.is_running:
            return []
        if not self.awaited():
            self._set_reminder(now + 2)
        job.asked, job.first_kind, job.first_words = now, kind, words
        job.due.pop("timeout", None)
        job.due.pop("unready", None)
        self.set_deadline(job, min(now + (job.run_spec or job.spec).join.within, max(now, self.stop_deadline)))
        self.asks.append(job.run)
        return [f"cancel_requested {job.run}", f"CancelRun {job.run}"]

    def set_deadline(self, job: ReferenceJob, deadline: float) -> None:
        if job.asked is None or deadline == job.deadline:
            return
        job.deadline = deadline
        if not job.is_urgent:
            self.set_due(job, "hurry", NEVER if deadline == NEVER else job.asked + (deadline - job.asked) * 0.75)
        self.set_due(job, "name", deadline)

    def _set_reminder(self, when: float) -> None:
        self.settings += 1
        self.remind = (when, self.settings)

    def reload(self, specs: Sequence[JobSpec], now: float) -> list[str] | None:
        return None if self.stop_words is not None else reload_all(self, specs, now)

    def shutdown(self, words: str, within: float, now: float, kind: str = "shutdown") -> list[str]:
        return [] if self.stop_words is not None else stop_all(self, kind, words, within, now)

    def hurry(self, within: float, now: float) -> list[str]:
        return [] if self.stop_words is None or self.is_stop_over else hurry_all(self, within, now)

    def urge(self, job: ReferenceJob) -> list[str]:
        was_urgent, job.is_urgent = job.is_urgent, True
        job.due.pop("hurry", None)
        return [] if was_urgent else [f"MarkUrgent {job.run}"]

    # -- what runs say

    def started(self, job: ReferenceJob, is_ready: bool, now: float) -> list[str]:
        job.has_begun = True
        if job.is_abandoned:
            return []
        job.began = now
        return [f"started {job.run}"] + (self.ready(job, now) if is_ready else self.look(now))

    def ready(self, job: ReferenceJob, now: float) -> list[str]:
        if job.became_ready is not None:
            return []
        job.became_ready = now
        job.due.pop("unready", None)
        return [] if job.is_abandoned else [f"ready {job.run}", *self.look(now)]

    def unresponsive(self, job: ReferenceJob, words: str, now: float) -> list[str]:
        watchdog = (job.run_spec or job.spec).watchdog
        if watchdog is None or job.became_ready is None or not job.is_running or job.missed_polls:
            return []
        job.missed_polls = True
        seen = [f"unresponsive {job.run}"]
        if watchdog.then is WatchdogThen.WARN:
            return seen
        if job.then == "policy":
            job.then = "nothing" if watchdog.then is WatchdogThen.STOP else "retry"
        return seen + self.ask(job, "watchdog", words, now)

    def responsive(self, job: ReferenceJob) -> list[str]:
        missed, job.missed_polls = job.missed_polls, False
        return [f"responsive {job.run}"] if missed and not job.is_abandoned else []

    def ended(
        self, job: ReferenceJob, outcome: str, now: float, *, is_early: bool = False, is_permanent: bool = False
    ) -> list[str]:
        """The run is back; `is_early`: before it could see that it was asked."""
        job.is_live = False
        if job.is_abandoned:
            job.is_abandoned = False
            seen = [f"late_exit {job.run}", f"ReleaseRun {job.run}"]
            return seen + self._follow(job, job.then if self.stop_words is None else "nothing", now)
        if is_early and job.then == "retry":
            job.then = "policy"
        job.ends[outcome] += 1
        job.outcome = outcome
        for what in ("timeout", "unready", "hurry", "name"):
            job.due.pop(what, None)
        if not self.awaited():
            self.remind = None
        seen = [f"ended {job.run} {outcome}", f"ReleaseRun {job.run}"]
        then, more = self._decide(job, now, is_permanent=is_permanent)
        return seen + more + self._follow(job, then, now) + go_on(self, now)

    def named(self, job: ReferenceJob, now: float) -> list[str]:
        if not job.is_awaited:
            return []
        job.is_overdue = True
        job.due = {what: due for what, due in job.due.items() if what == "firing"}
        if not self.awaited():
            self.remind = None
        seen = [f"stop_overdue {job.run}"]
        if (job.run_spec or job.spec).join.otherwise is Otherwise.ABANDON:
            job.is_abandoned, job.abandoned_at = True, now
            job.outcome = "abandoned"
            job.ends["abandoned"] += 1
            seen += [f"ended {job.run} abandoned", f"blocked {job.run}"]
            job.then, more = self._decide(job, now, is_permanent=False)
            seen += more + self.settle(job, now)
        return seen + go_on(self, now)

    # -- what follows a run

    def _decide(self, job: ReferenceJob, now: float, *, is_permanent: bool) -> tuple[str, list[str]]:
        then, seen = job.then, []
        if self.stop_words is not None:
            then = "nothing"
        elif then in ("policy", "retry"):
            then = "retry" if job.wants_restart() else "nothing"
            if then == "retry" and (is_permanent or job.has_used_up(now)):
                then, job.gave_up = "nothing", True
                seen = [f"gave_up {job.run}"]
        job.has_failed = job.gave_up or (job.counts_as_failure() and then == "nothing")
        return then, seen

    def _follow(self, job: ReferenceJob, then: str, now: float) -> list[str]:
        seen: list[str] = []
        if then == "retry":
            job.waits = "backoff"
            # An abandoned run was healthy until it was given up.
            self.set_due(job, "backoff", now + job.next_delay(job.abandoned_at if job.outcome == "abandoned" else now))
            seen = [f"restart_scheduled {job.run}"]
        elif then in ("again", "firing"):
            seen = self.begin(job, now)
        elif then == "removal":
            seen = self.forget(job)
        elif job.instant is not None:
            job.waits = "firing"
        else:
            job.rests("finished")
        return seen + self.settle(job, now)

    def forget(self, job: ReferenceJob) -> list[str]:
        name = job.spec.name
        self.gone[name] = job.number
        del self.jobs[name]
        return [f"job_removed {name}", f"ForgetJob {name}"]

    def settle(self, job: ReferenceJob, now: float) -> list[str]:
        seen: list[str] = []
        if job.spec.essential and job.has_failed and (job.gave_up or job.instant is None):
            words = f"job {job.spec.name!r} failed for good"
            seen = self.shutdown(words, self.stop_within, now, "essential")
        return seen + self.look(now)

    def look(self, now: float) -> list[str]:
        """Go on with all who wait for others, as long as anything changes."""
        seen: list[str] = []
        while True:
            found = [line for job in list(self.jobs.values()) for line in self._look_at(job, now)]
            if not found:
                return seen
            seen += [line for line in found if line]

    def _look_at(self, job: ReferenceJob, now: float) -> list[str]:
        stands = needs_stand(job, self.jobs.values()) if job.waits == "dependency" else "open"
        if stands == "lost":
            job.waits, job.rest, job.was_lost = "", "skipped", True
            return [f"skipped {job.spec.name}"]
        if stands == "open":
            return []
        if job.spec.start.delay_seconds:
            job.waits = "delay"
            self.set_due(job, "delay", now + job.spec.start.delay_seconds)
            return [""]
        return self.after_delay(job, now)

    def after_delay(self, job: ReferenceJob, now: float) -> list[str]:
        job.due.pop("delay", None)
        schedule = job.spec.schedule
        if schedule is None:
            return self.begin(job, now)
        job.waits = "firing"
        self.rearm(job, now)
        return self.begin(job, now) if schedule.immediately else [""]

    # -- what time brings

    def tick(self, now: float) -> list[str]:
        """Handle what is due, the earliest first, and of one instant what was set first."""
        seen: list[str] = []
        while (first := self._first_due(now)) is not None:
            seen += [line for line in first() if line]
        return seen

    def _first_due(self, now: float) -> Callable[[], list[str]] | None:
        found: list[tuple[float, int, Callable[[], list[str]]]] = []
        for job in self.jobs.values():
            for what, (when, number) in job.due.items():
                found.append((when, number, lambda job=job, what=what: bring(self, job, what, now)))  # type: ignore[misc]
        if self.remind is not None:
            found.append((*self.remind, lambda: self._say_who_is_awaited(now)))
        due = [one for one in found if one[0] <= now]
        return min(due, key=lambda one: one[:2])[2] if due else None

    def _say_who_is_awaited(self, now: float) -> list[str]:
        self._set_reminder(now + 3)
        return ["ReportStopProgress"]

    def next_deadline(self) -> float | None:
        times = [when for job in self.jobs.values() for when, _ in job.due.values()]
        return min(times + ([self.remind[0]] if self.remind is not None else []), default=None)

    # -- who is awaited, and the end of the work

    def awaited(self) -> list[ReferenceJob]:
        return [job for job in self.jobs.values() if job.is_awaited]

    def awaited_runs(self) -> list[str]:
        awaited = {job.run for job in self.awaited()}
        return [run for run in self.asks if run in awaited]

    def note_order(self, asked: list[str]) -> None:
        """Take over in which order those of one instant were asked: any order is fine."""
        self.asks = [run for run in self.asks if run not in asked] + asked

    def is_work_over(self) -> bool:
        holding = [job.spec.daemon for job in self.jobs.values() if job.holds]
        self.has_held = self.has_held or False in holding
        return self.stop_kind == "essential" or (False not in holding and (self.has_held or not holding))

    def work_over(self) -> list[str]:
        """Return what has to be said after any input: once, when nothing keeps the program alive any more."""
        was_over, self.was_over = self.was_over, self.is_work_over()
        return ["WorkFinished"] if self.was_over and not was_over else []
