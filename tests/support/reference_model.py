"""A second model of the lifecycle, written from the design alone, which the state machine compares with the core.

It is simple on purpose: no table, no heap, no counters. It scans all jobs for each question.
It has no random numbers either: restarts and schedules have no jitter, and schedules are intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.support.reference_hold import pause_job, resume_job
from tests.support.reference_job import NEVER, ReferenceJob, dependency_state, outcome_of
from tests.support.reference_reload import release_run, reload_all
from tests.support.reference_stop import continue_shutdown, hurry_all, stop_all
from tests.support.reference_time import handle_due

from taskloom.core.model import JobSpec, Otherwise, StartMode
from taskloom.core.policies import Missed, WatchdogThen

__all__ = ["ReferenceJob", "ReferenceModel", "outcome_of"]


class ReferenceModel:
    """All jobs. Each input is a method: it returns the expected actions as `show` writes them, or None if refused."""

    def __init__(self, stop_within: float = 30.0) -> None:
        self.jobs: dict[str, ReferenceJob] = {}
        self.removed: dict[str, int] = {}
        self.stop_within = stop_within
        self.stop_kind = ""
        self.stop_text: str | None = None
        self.stop_deadline = NEVER
        self.stop_level = -1
        self.is_stop_over = False
        self.is_hurried = False
        self.has_started = False
        self.progress_due: tuple[float, int] | None = None
        self.cancels: list[str] = []
        self.had_non_daemon = False
        self.was_work_finished = True
        self.deadlines_set = 0
        self.holds: list[tuple[dict[str, None], list[str]]] = []

    # -- commands

    def add(self, spec: JobSpec) -> list[str] | None:
        if self.stop_text is not None or spec.name in self.jobs:
            return None
        return self.declare(spec)

    def declare(self, spec: JobSpec) -> list[str]:
        job = self.jobs[spec.name] = ReferenceJob(spec, number=self.removed.get(spec.name, 0))
        if not spec.enabled:
            job.finish("disabled")
        return [f"job_added {spec.name}"]

    def start_all(self, now: float) -> list[str] | None:
        if self.stop_text is not None:
            return None
        lines = [] if self.has_started else ["scheduler_started"]
        self.has_started = True
        return lines + self.arm_all([job for job in self.jobs.values() if self.is_auto_start(job)], now)

    def is_auto_start(self, job: ReferenceJob) -> bool:
        return job.waits_for == "command" and job.spec.start.mode is StartMode.AUTO and not job.is_stopped

    def arm_all(self, jobs: Sequence[ReferenceJob], now: float) -> list[str]:
        for job in jobs:
            job.waits_for, job.end_state = "removal" if job.hold else "dependency", ""
            # It keeps the program alive even if it waits for no time at all.
            self.had_non_daemon = self.had_non_daemon or not job.spec.daemon
        return self.propagate(now)

    def arm(self, name: str, now: float) -> list[str] | None:
        job = self.jobs.get(name)
        if self.stop_text is not None or job is None or not job.spec.enabled or job.is_live:
            return None
        job.is_stopped = False
        return [] if job.is_active else self.arm_all([job], now)

    def start(self, name: str, now: float, *, is_now: bool = True) -> list[str] | None:
        job = self.jobs.get(name)
        if self.stop_text is not None or job is None or not job.spec.enabled or job.is_live:
            return None
        if not is_now and (job.hold or dependency_state(job, self.jobs.values()) != "satisfied"):
            return None
        job.is_stopped = False
        return self.begin(job, now) + self.rearm(job, now)

    def restart(self, name: str, text: str, now: float, *, is_now: bool = False) -> list[str] | None:
        job = self.jobs.get(name)
        if self.stop_text is not None or job is None or not job.spec.enabled or job.is_abandoned:
            return None
        if not job.is_live:
            return self.start(name, now, is_now=is_now)
        job.is_stopped = False
        if job.follow_up != "removal":
            job.follow_up = "restart"
            self.rearm(job, now)
        return self.request_cancel(job, "user", text, now)

    def reset(self, name: str, now: float) -> list[str] | None:
        job = self.jobs.get(name)
        if self.stop_text is not None or job is None:
            return None
        had_given_up, state = job.gave_up, job.state
        lines = self.forget_failures(job, now)
        if job.follow_up == "removal" or not job.spec.enabled or job.is_stopped:
            return lines
        if state == "blocked" and (had_given_up or job.follow_up == "retry"):
            job.follow_up = "restart"
            return lines + self.arm_all(self.revive([job]), now)
        if state == "finished" and had_given_up:
            if dependency_state(job, self.jobs.values()) == "satisfied":
                lines += self.begin(job, now) + self.rearm(job, now)
            else:
                lines += self.arm_all([job], now)
            return lines + self.arm_all(self.revive([job]), now)
        return lines

    def forget_failures(self, job: ReferenceJob, now: float) -> list[str]:
        had_failures = job.gave_up or job.delay or job.restarts
        job.gave_up, job.delay, job.restarts = False, 0.0, []
        if job.waits_for == "backoff":
            return self.begin(job, now)
        return [f"reset {job.spec.name}"] if had_failures else []

    def revive(self, begun: Sequence[ReferenceJob]) -> list[ReferenceJob]:
        """Return the jobs that were skipped because of one that begins again; they are skipped no longer."""
        families, revived = {job.spec.family for job in begun}, list[ReferenceJob]()
        while True:
            found = [
                job
                for job in self.jobs.values()
                if job.was_impossible
                and not job.is_stopped
                and job.state == "skipped"
                and families & {dependency.job for dependency in job.spec.after}
                and dependency_state(job, self.jobs.values()) != "impossible"
            ]
            if not found:
                return revived
            found[0].waits_for, found[0].end_state = "command", ""
            revived.append(found[0])
            families.add(found[0].spec.family)

    def rearm(self, job: ReferenceJob, now: float) -> list[str]:
        if job.spec.schedule is not None and job.instant is None:
            self.set_instant(job, now + (job.spec.schedule.every or 0.0))
        return []

    def set_instant(self, job: ReferenceJob, instant: float) -> None:
        job.instant = instant
        self.set_due(job, "firing", instant)

    def set_due(self, job: ReferenceJob, name: str, when: float) -> None:
        self.deadlines_set += 1
        job.due.pop(name, None)
        if when != NEVER:
            job.due[name] = (when, self.deadlines_set)

    def disarm(self, job: ReferenceJob) -> None:
        job.instant = None
        job.due.pop("firing", None)

    def begin_firing(self, job: ReferenceJob, now: float) -> list[str]:
        """Begin the run of a firing, after the record of its instant if the schedule catches up."""
        if job.spec.schedule is None or job.spec.schedule.missed is not Missed.CATCH_UP:
            return self.begin(job, now)
        job.waits_for, job.end_state = "record", ""
        job.due.pop("backoff", None)
        self.set_due(job, "record", now + 1)
        return [f"RecordInstant {job.spec.name}"]

    def recorded(self, job: ReferenceJob, now: float) -> list[str]:
        """Begin the run whose instant is recorded, or was not in time."""
        if job.waits_for != "record":
            return []
        job.waits_for = ""
        return self.begin(job, now)

    def miss_recorded(self, job: ReferenceJob) -> list[str]:
        """Miss the instant whose record the job waits for."""
        job.due.pop("record", None)
        return [f"missed {job.spec.name}"] if job.waits_for == "record" else []

    def begin(self, job: ReferenceJob, now: float, attempt: int = 1) -> list[str]:
        spec = job.spec
        missed = self.miss_recorded(job)
        job.runs += 1
        job.number += 1
        job.is_live, job.waits_for, job.end_state, job.outcome, job.follow_up = True, "", "", "", "policy"
        job.run_spec, job.attempt, job.queued = spec, attempt, now
        job.is_started = job.is_urgent = job.is_captured = job.is_overdue = False
        job.is_unresponsive = job.is_unawaited = job.is_terminated = job.is_killed = job.is_unreachable = False
        job.place = ""
        job.has_failed = job.gave_up = False
        job.started_at = job.ready_at = job.requested_at = None
        job.first_kind, job.first_text, job.deadline = "", "", NEVER
        job.due.pop("delay", None)
        job.due.pop("backoff", None)
        self.set_limits(job)
        return [*missed, f"queued {job.run}", f"StartRun {job.run}"]

    def set_limits(self, job: ReferenceJob) -> None:
        spec = job.run_spec
        if spec is not None and job.is_running:
            self.set_due(job, "timeout", NEVER if spec.timeout is None else job.queued + spec.timeout)
            is_ready = job.ready_at is not None or spec.ready_within is None
            self.set_due(job, "ready_within", NEVER if is_ready else job.queued + (spec.ready_within or 0.0))

    def stop(self, name: str, text: str, now: float, run: str | None) -> list[str] | None:
        job = self.jobs.get(name)
        if job is None:
            return None if run is None else []
        if run is None:
            job.is_stopped = job.is_stopped or self.stop_text is None
            return self.stop_job(job, "user", text, now) + self.propagate(now)
        if not (job.is_live and job.run == run):
            return []
        if job.follow_up not in ("firing", "removal"):
            job.follow_up = "nothing"
        return self.request_cancel(job, "user", text, now) + self.propagate(now)

    def stop_job(self, job: ReferenceJob, kind: str, text: str, now: float) -> list[str]:
        self.disarm(job)
        if job.follow_up != "removal":
            job.follow_up = "nothing"
        if job.is_pending:
            job.due.pop("delay", None)
            job.due.pop("backoff", None)
            job.was_impossible = False
            missed = self.miss_recorded(job)
            job.finish("finished" if job.runs else "skipped")
            return [*missed, f"skipped {job.spec.name}"]
        return self.request_cancel(job, kind, text, now)

    def request_cancel(self, job: ReferenceJob, kind: str, text: str, now: float) -> list[str]:
        if not job.is_running:
            return []
        within = (job.run_spec or job.spec).join.within
        job.is_unawaited = within == 0 and self.stop_text is not None
        if self.progress_due is None and not job.is_unawaited:
            self._set_progress_due(now + 2)
        job.requested_at, job.first_kind, job.first_text = now, kind, text
        job.due.pop("timeout", None)
        job.due.pop("ready_within", None)
        if job.is_unawaited:
            self.set_due(job, "urgent", now)
        else:
            self.set_deadline(job, min(now + within, max(now, self.stop_deadline)))
        self.cancels.append(job.run)
        return [f"cancel_requested {job.run}", f"CancelRun {job.run}"]

    def set_deadline(self, job: ReferenceJob, deadline: float) -> None:
        if job.requested_at is None or deadline == job.deadline:
            return
        job.deadline = deadline
        if not job.is_urgent:
            self.set_due(
                job, "urgent", NEVER if deadline == NEVER else job.requested_at + (deadline - job.requested_at) * 0.75
            )
        self.set_decision(job)

    def set_decision(self, job: ReferenceJob) -> None:
        deadline = job.deadline
        if job.kills and job.requested_at is not None and not job.is_terminated:
            self.set_due(job, "terminate", deadline - min(2.0, 0.2 * (deadline - job.requested_at)))
        self.set_due(job, "capture", deadline)

    def _set_progress_due(self, when: float) -> None:
        self.deadlines_set += 1
        self.progress_due = (when, self.deadlines_set)

    def pause(self, name: str, now: float) -> list[str] | None:
        return None if self.stop_text is not None else pause_job(self, name, now)

    def resume(self, name: str, now: float) -> list[str] | None:
        return None if self.stop_text is not None else resume_job(self, name, now)

    def reload(self, specs: Sequence[JobSpec], now: float) -> list[str] | None:
        return None if self.stop_text is not None else reload_all(self, specs, now)

    def shutdown(self, text: str, within: float, now: float, kind: str = "shutdown") -> list[str]:
        return [] if self.stop_text is not None else stop_all(self, kind, text, within, now)

    def hurry(self, within: float, now: float) -> list[str]:
        return [] if self.stop_text is None or self.is_stop_over else hurry_all(self, within, now)

    def mark_urgent(self, job: ReferenceJob) -> list[str]:
        was_urgent, job.is_urgent = job.is_urgent, True
        job.due.pop("urgent", None)
        return [] if was_urgent else [f"MarkUrgent {job.run}"]

    # -- reports from runners

    def started(self, job: ReferenceJob, is_ready: bool, now: float) -> list[str]:
        job.is_started = True
        if job.is_abandoned:
            return []
        job.started_at = now
        return [f"started {job.run}"] + (self.ready(job, now) if is_ready else self.propagate(now))

    def ready(self, job: ReferenceJob, now: float) -> list[str]:
        if job.ready_at is not None:
            return []
        job.ready_at = now
        job.due.pop("ready_within", None)
        return [] if job.is_abandoned else [f"ready {job.run}", *self.propagate(now)]

    def unresponsive(self, job: ReferenceJob, text: str, now: float) -> list[str]:
        watchdog = (job.run_spec or job.spec).watchdog
        if watchdog is None or job.ready_at is None or not job.is_running or job.is_unresponsive:
            return []
        job.is_unresponsive = True
        lines = [f"unresponsive {job.run}"]
        if watchdog.then is WatchdogThen.WARN:
            return lines
        if job.follow_up == "policy":
            job.follow_up = "nothing" if watchdog.then is WatchdogThen.STOP else "retry"
        return lines + self.request_cancel(job, "watchdog", text, now)

    def responsive(self, job: ReferenceJob) -> list[str]:
        was_unresponsive, job.is_unresponsive = job.is_unresponsive, False
        return [f"responsive {job.run}"] if was_unresponsive and not job.is_abandoned else []

    def lost(self, job: ReferenceJob, now: float, until: float, *, is_early: bool = False) -> list[str]:
        """Lose the run, of which something may be left until then."""
        if until <= now:
            return self.ended(job, "lost", now, is_early=is_early)
        if job.is_abandoned:
            self.set_due(job, "release", until)
            return []
        lines = self._end(job, "lost", is_early=is_early)
        job.is_lost = job.is_abandoned = True
        job.is_unawaited, job.lost_at = False, now
        if not self.awaited():
            self.progress_due = None
        self.set_due(job, "release", until)
        job.follow_up, more = self._decide(job, now, is_permanent=False)
        return [*lines, f"blocked {job.run}", *more, *self.after_end(job, now), *continue_shutdown(self, now)]

    def released(self, job: ReferenceJob, now: float) -> list[str]:
        """Let the job go on: nothing of its lost run is left."""
        job.due.pop("release", None)
        if not job.is_lost:
            return self.ended(job, "", now)
        job.is_live = job.is_abandoned = job.is_lost = False
        run = job.run
        lines = [f"released {run}", *self._follow(job, job.follow_up if self.stop_text is None else "nothing", now)]
        return lines + release_run(self, run, now)

    def placed(self, job: ReferenceJob, place: str) -> list[str]:
        if job.is_abandoned:
            return []
        is_new = not job.place or (job.place == "worker" and place == "process")
        job.place = "process" if "process" in (place, job.place) else "worker"
        return [f"placed {job.run}"] if is_new else []

    def unreachable(self, job: ReferenceJob) -> list[str]:
        if job.is_abandoned or job.is_unreachable:
            return []
        job.is_unreachable = True
        return [f"unreachable {job.run}"]

    def reachable(self, job: ReferenceJob) -> list[str]:
        if job.is_abandoned or not job.is_unreachable:
            return []
        job.is_unreachable = False
        return [f"reachable {job.run}"]

    def _end(self, job: ReferenceJob, outcome: str, *, is_early: bool) -> list[str]:
        if is_early:
            job.first_kind = ""
            if job.follow_up == "retry":
                job.follow_up = "policy"
        job.outcomes[outcome] += 1
        job.outcome = outcome
        for name in ("timeout", "ready_within", "urgent", "terminate", "capture", "unkillable"):
            job.due.pop(name, None)
        if not self.awaited():
            self.progress_due = None
        return [f"ended {job.run} {outcome}", f"ReleaseRun {job.run}"]

    def ended(
        self, job: ReferenceJob, outcome: str, now: float, *, is_early: bool = False, is_permanent: bool = False
    ) -> list[str]:
        """End the run. `is_early`: its body returned before the cancel was requested."""
        job.is_live = False
        if job.is_abandoned:
            job.is_abandoned = False
            lines = [f"late_exit {job.run}", f"ReleaseRun {job.run}"]
            return lines + self._follow(job, job.follow_up if self.stop_text is None else "nothing", now)
        lines = self._end(job, outcome, is_early=is_early)
        job.lost_at = now
        follow_up, more = self._decide(job, now, is_permanent=is_permanent)
        run = job.run
        lines += more + self._follow(job, follow_up, now)
        return lines + release_run(self, run, now) + continue_shutdown(self, now)

    def stack_captured(self, job: ReferenceJob, now: float) -> list[str]:
        if not job.is_awaited or job.is_killed:
            return []
        lines = [f"stop_overdue {job.run}"] if job.join.within else []
        if not job.kills:
            return lines + self.outlive(job, now)
        job.is_killed = True
        self.set_due(job, "unkillable", now + 3.0)
        return [*lines, f"KillRun {job.run}"]

    def outlive(self, job: ReferenceJob, now: float) -> list[str]:
        """Decide about a run that no stop waits for any more."""
        job.is_overdue = True
        job.due = {name: due for name, due in job.due.items() if name == "firing"}
        if not self.awaited():
            self.progress_due = None
        lines: list[str] = []
        if job.is_killed or job.join.otherwise is Otherwise.ABANDON or not job.join.within:
            job.is_abandoned, job.abandoned_at = True, now
            job.outcome = "abandoned"
            job.outcomes["abandoned"] += 1
            lines += [f"ended {job.run} abandoned", f"blocked {job.run}"]
            job.follow_up, more = self._decide(job, now, is_permanent=False)
            lines += more + self.after_end(job, now)
        elif job.outlives_failure():
            lines += self.fail_essential(job, now)
        return lines + release_run(self, job.run, now) + continue_shutdown(self, now)

    # -- the follow-up of a run

    def _decide(self, job: ReferenceJob, now: float, *, is_permanent: bool) -> tuple[str, list[str]]:
        follow_up, lines = job.follow_up, []
        if self.stop_text is not None:
            follow_up = "nothing"
        elif follow_up in ("policy", "retry"):
            follow_up = "retry" if job.needs_restart() else "nothing"
            if follow_up == "retry" and (is_permanent or job.is_exhausted(now)):
                follow_up, job.gave_up = "nothing", True
                lines = [f"gave_up {job.run}"]
        job.has_failed = job.gave_up or (job.counts_as_failure() and follow_up == "nothing")
        return follow_up, lines

    def _follow(self, job: ReferenceJob, follow_up: str, now: float) -> list[str]:
        lines: list[str] = []
        if follow_up == "retry":
            job.waits_for = "backoff"
            # An abandoned run counts as healthy until it was abandoned. After a lost one the delay counts from then.
            ended = {"abandoned": job.abandoned_at, "lost": job.lost_at}.get(job.outcome, now)
            delay = job.next_delay(ended)
            self.set_due(job, "backoff", max(now, job.lost_at + delay) if job.outcome == "lost" else now + delay)
            lines = [f"restart_scheduled {job.run}"]
        elif follow_up == "firing":
            lines = self.begin_firing(job, now)
        elif follow_up == "restart":
            lines = self.begin(job, now)
        elif follow_up == "removal":
            lines = self.forget(job)
        elif job.instant is not None:
            job.waits_for = "firing"
        else:
            job.finish("finished")
        return lines + self.after_end(job, now)

    def forget(self, job: ReferenceJob) -> list[str]:
        name = job.spec.name
        self.removed[name] = job.number
        del self.jobs[name]
        return [f"job_removed {name}", f"ForgetJob {name}"]

    def after_end(self, job: ReferenceJob, now: float) -> list[str]:
        lines: list[str] = []
        if job.spec.essential and job.has_failed and (job.gave_up or job.instant is None):
            lines = self.fail_essential(job, now)
        return lines + self.propagate(now)

    def fail_essential(self, job: ReferenceJob, now: float) -> list[str]:
        return self.shutdown(f"job {job.spec.name!r} failed for good", self.stop_within, now, "essential")

    def propagate(self, now: float) -> list[str]:
        """Check all jobs that wait for dependencies, until nothing changes any more."""
        lines: list[str] = []
        while True:
            found = [line for job in list(self.jobs.values()) for line in self._check_dependencies(job, now)]
            if not found:
                return lines
            lines += [line for line in found if line]

    def _check_dependencies(self, job: ReferenceJob, now: float) -> list[str]:
        state = dependency_state(job, self.jobs.values()) if job.waits_for == "dependency" else "pending"
        if state == "impossible":
            job.waits_for, job.end_state, job.was_impossible = "", "skipped", True
            return [f"skipped {job.spec.name}"]
        if state == "pending":
            return []
        if job.spec.start.delay_seconds:
            job.waits_for = "delay"
            self.set_due(job, "delay", now + job.spec.start.delay_seconds)
            return [""]
        return self.after_delay(job, now)

    def after_delay(self, job: ReferenceJob, now: float) -> list[str]:
        job.due.pop("delay", None)
        schedule = job.spec.schedule
        if schedule is None:
            return self.begin(job, now)
        job.waits_for = "firing"
        self.rearm(job, now)
        if schedule.immediately and job.is_paused:
            return [f"missed {job.spec.name}"]
        return self.begin(job, now) if schedule.immediately else [""]

    # -- time

    def tick(self, now: float) -> list[str]:
        """Handle the deadlines that are due, the earliest first; equal ones in the order in which they were set."""
        lines: list[str] = []
        while (first := self._first_due(now)) is not None:
            lines += [line for line in first() if line]
        return lines

    def _first_due(self, now: float) -> Callable[[], list[str]] | None:
        found: list[tuple[float, int, Callable[[], list[str]]]] = []
        for job in self.jobs.values():
            for name, (when, number) in job.due.items():
                found.append((when, number, lambda job=job, name=name: handle_due(self, job, name, now)))  # type: ignore[misc]
        if self.progress_due is not None:
            found.append((*self.progress_due, lambda: self._report_progress(now)))
        due = [one for one in found if one[0] <= now]
        return min(due, key=lambda one: one[:2])[2] if due else None

    def _report_progress(self, now: float) -> list[str]:
        self._set_progress_due(now + 3)
        return ["ReportStopProgress"]

    def next_deadline(self) -> float | None:
        times = [when for job in self.jobs.values() for when, _ in job.due.values()]
        return min(times + ([self.progress_due[0]] if self.progress_due is not None else []), default=None)

    # -- awaited runs, and the end of the work

    def awaited(self) -> list[ReferenceJob]:
        return [job for job in self.jobs.values() if job.is_awaited]

    def awaited_runs(self) -> list[str]:
        awaited = {job.run for job in self.awaited()}
        return [run for run in self.cancels if run in awaited]

    def set_cancel_order(self, runs: list[str]) -> None:
        """Take over the order of the cancels of one input: any order is correct."""
        self.cancels = [run for run in self.cancels if run not in runs] + runs

    def is_work_over(self) -> bool:
        active = [job for job in self.jobs.values() if job.is_active]
        daemon_flags = [job.spec.daemon for job in active]
        # A run that a reload ends for good has counted before, if anything since has not left daemons only.
        self.had_non_daemon = self.had_non_daemon or any(
            not job.spec.daemon and job.spec.enabled and job.follow_up != "removal" for job in active
        )
        return self.stop_kind == "essential" or (
            False not in daemon_flags and (self.had_non_daemon or not daemon_flags)
        )

    def work_finished(self) -> list[str]:
        """Return WorkFinished if this input was the first after which nothing keeps the program alive."""
        was_finished, self.was_work_finished = self.was_work_finished, self.is_work_over()
        return ["WorkFinished"] if self.was_work_finished and not was_finished else []
