"""Reports: the state of each job, how a shutdown went, which runs survived it, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import isinf
from typing import Any

from taskloom.core.events import format_wall
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import (
    ErrorInfo,
    Hold,
    JobState,
    Moment,
    Otherwise,
    Outcome,
    Reason,
    ReasonKind,
    StartMode,
    WaitingFor,
)
from taskloom.core.records import JobRecord, RunRecord
from taskloom.core.run_reports import Whereabouts
from taskloom.core.survivors import (
    Killed,
    Lost,
    Survivor,
    find_killed,
    find_lost,
    killed_text,
    make_survivor,
)
from taskloom.text import finite, measured, plural

__all__ = [
    "ExitCode",
    "JobReport",
    "Killed",
    "Lost",
    "StopReport",
    "Survivor",
    "exit_code",
    "held_by",
    "killed_text",
    "make_job_report",
    "make_stop_report",
    "read_job",
]

_VERBS = {Hold.PAUSED: "pause", Hold.STOPPED: "stop"}
_TIMED = (WaitingFor.DELAY, WaitingFor.BACKOFF)
# The same number on every system; the module `signal` is not imported into the core.
_SIGINT = 2


class ExitCode(IntEnum):
    """The exit codes of `taskloom run`; the first that applies, in this order."""

    UNUSABLE = 2
    """The job files or the command line cannot be used; nothing was started."""
    NO_RESOURCES = 75
    """No thread, process, memory or descriptor to begin with: nothing was started. Or the main thread ran out of memory
    later, and all jobs were stopped."""
    KILLED = 137
    """The watcher process had to kill the program."""
    SURVIVOR = 3
    """A job whose `otherwise` is `exit` outlived its join policy, or one that is not a daemon could not be killed."""
    FAILED = 1
    """The last run of a job ended failed, timed_out, start_failed or lost with no restart pending, or the job gave
    up."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or SIGINT."""
    FINE = 0
    """Any other end, including a stop by SIGTERM."""
    BUG = 70
    """A bug in Taskloom."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """The state of one job at one moment; all views use the same names."""

    job: str
    task: str
    daemon: bool
    state: JobState
    waiting_for: WaitingFor | None
    runs: int
    outcome: Outcome | None
    """The outcome of the last run; None while it is running or if there was none."""
    seconds: float
    reason: Reason | None
    error: ErrorInfo | None
    is_overdue: bool = False
    run: str | None = None
    outcomes: Mapping[str, int] | None = None
    attempt: int = 0
    """The attempt of the last run; 0 if there was none."""
    restarts: int = 0
    """How often its policy restarted it."""
    missed: int = 0
    """How many instants of its schedule passed without a run."""
    waits_for: str = ""
    """The pending condition of another job, if it waits for one."""
    due_in: float | None = None
    """Seconds until its start delay or its restart delay is over."""
    next_firing: float | None = None
    """When its schedule fires next, in seconds since the epoch."""
    has_failed: bool = False
    """Whether it failed for good: its last run failed and no run followed, or it gave up."""
    has_given_up: bool = False
    is_ready: bool = False
    is_flapping: bool = False
    is_unresponsive: bool = False
    within: float = 0.0
    """The `within` of its join policy, in seconds."""
    starts: StartMode = StartMode.AUTO
    """Whether it starts by itself, or by a user only."""
    starts_at_once: bool = False
    """Whether it starts with the program: by itself, without a delay and without a schedule."""
    family: str = ""
    replica: int = 1
    labels: tuple[str, ...] = ()
    holds: Mapping[Hold, Reason] | None = None
    """How users hold it back, and why; None or empty if they do not."""
    paused_since: float | None = None
    """Since when its schedule is paused, in seconds since the epoch: perhaps since an earlier start of the program."""
    whereabouts: Whereabouts | None = None
    """The place of its last run, if that executes elsewhere, or did; None while it is not known."""
    unreachable_since: float | None = None
    """Since when nothing is heard of its run, in seconds since the epoch."""
    blocked_until: float | None = None
    """When nothing is left of the lost run that blocks it, at the latest, in seconds since the epoch."""
    stopping_for: float | None = None
    """Seconds since its run was requested to stop; None if that has ended, or was not."""
    stop_left: float | None = None
    """Seconds until the join policy decides about a run that was requested to stop; None if there is no such limit."""

    @property
    def is_paused(self) -> bool:
        """Whether a user paused its schedule: each firing is missed."""
        return bool(self.holds) and Hold.PAUSED in (self.holds or {})

    @property
    def hold(self) -> Hold | None:
        """How it is held back, or None. A stop comes before a pause: a job may be both stopped and paused."""
        holds = self.holds
        if not holds:
            return None
        return Hold.STOPPED if Hold.STOPPED in holds else Hold.PAUSED

    @property
    def is_stopped(self) -> bool:
        """Whether a user stopped it, so that nothing but a user starts it."""
        return self.hold is Hold.STOPPED

    @property
    def held(self) -> str:
        """How it is held back and why, such as `stopped by alice` or `paused: maintenance`; "" if it is not."""
        hold = self.hold
        return f"{hold.value}{held_by(hold, self.holds[hold])}" if hold is not None and self.holds else ""

    @property
    def marks(self) -> tuple[str, ...]:
        """Marks that are shown next to its state."""
        holds = self.holds or {}
        marks = {
            "ready": self.is_ready,
            "overdue": self.is_overdue,
            "unresponsive": self.is_unresponsive,
            "unreachable": self.unreachable_since is not None,
            "flapping": self.is_flapping,
            "gave up": self.has_given_up,
            "paused": Hold.PAUSED in holds,
            "stopped by user": Hold.STOPPED in holds,
        }
        return tuple(mark for mark, is_set in marks.items() if is_set)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "job": self.job,
            "task": self.task,
            "daemon": self.daemon,
            "state": self.state.value,
            "waiting_for": self.waiting_for.value if self.waiting_for else None,
            "runs": self.runs,
            "run": self.run,
            "outcome": self.outcome.value if self.outcome else None,
            "seconds": finite(self.seconds),
            "reason": str(self.reason) if self.reason else None,
            "error": str(self.error) if self.error else None,
            "overdue": self.is_overdue,
            "outcomes": dict(self.outcomes or {}),
            "attempt": self.attempt,
            "restarts": self.restarts,
            "missed": self.missed,
            "waits_for": self.waits_for or None,
            "due_in": finite(self.due_in),
            "next_firing": _instant(self.next_firing),
            "failed": self.has_failed,
            "marks": list(self.marks),
            "paused": self.is_paused,
            "paused_since": _instant(self.paused_since),
            "held": self.held or None,
            "start": self.starts.value,
            "within": finite(self.within),
            "family": self.family,
            "replica": self.replica,
            "labels": list(self.labels),
            "whereabouts": self.whereabouts._asdict() if self.whereabouts is not None else None,
            "unreachable_since": _instant(self.unreachable_since),
            "blocked_until": _instant(self.blocked_until),
            "stopping_for": finite(self.stopping_for),
            "stop_left": finite(self.stop_left),
        }


@dataclass(frozen=True, slots=True)
class StopReport:
    """How a whole shutdown went."""

    reason: Reason
    seconds: float
    jobs: tuple[JobReport, ...]
    survivors: tuple[Survivor, ...]
    killed: tuple[Killed, ...] = ()
    """The runs that the shutdown ended by TERM or KILL, in the order of their jobs."""
    lost: tuple[Lost, ...] = ()
    """The lost runs of which something may still be executing; their outcome is known, so they are not survivors."""

    @property
    def is_clean(self) -> bool:
        """Whether every run has ended."""
        return not self.survivors

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of `taskloom run` for this report."""
        return exit_code(self.jobs, self.survivors, self.reason)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "exit_code": int(self.exit_code),
            "reason": {"kind": self.reason.kind.value, "text": self.reason.text},
            "seconds": finite(self.seconds),
            "jobs": [job.as_dict() for job in self.jobs],
            "survivors": [survivor.as_dict() for survivor in self.survivors],
            "killed": [killed.as_dict() for killed in self.killed],
            "lost": [lost.as_dict() for lost in self.lost],
        }

    def __str__(self) -> str:
        head = f"stopped {plural(len(self.jobs), 'job')} in {measured(self.seconds)} ({self.reason})"
        killed = [f"  {killed_text(self.killed)}"] if self.killed else []
        left = [*(f"  survivor: {survivor}" for survivor in self.survivors), *(f"  {lost}" for lost in self.lost)]
        return "\n".join([head, *killed, *left])


def _instant(wall: float | None) -> str | None:
    return None if wall is None else format_wall(wall)


def held_by(hold: Hold, reason: Reason) -> str:
    """Return who held a job back, or why, as it follows the word for the hold: ` by alice`, `: maintenance` or ""."""
    # The text of a verb is `stop`, or `stop, by alice`.
    verb, text = _VERBS[hold], reason.text
    if not text or text == verb:
        return ""
    return f" {text[len(verb) + 2 :]}" if text.startswith(f"{verb}, ") else f": {text}"


def exit_code(jobs: Iterable[JobReport], survivors: Iterable[Survivor], reason: Reason) -> ExitCode:
    """Return the exit code; `ExitCode` has the order."""
    jobs = list(jobs)
    daemons = {job.job for job in jobs if job.daemon}
    for survivor in survivors:
        is_unkillable = survivor.otherwise is Otherwise.KILL and survivor.job not in daemons
        if survivor.otherwise is Otherwise.EXIT or is_unkillable:
            return ExitCode.SURVIVOR
    if any(job.has_failed for job in jobs):
        return ExitCode.FAILED
    if reason.kind is ReasonKind.SIGNAL and reason.signal == _SIGINT:  # never by the text, which anyone may write
        return ExitCode.INTERRUPTED
    return ExitCode.FINE


def make_job_report(core: Lifecycle, job: JobRecord, now: Moment) -> JobReport:
    """Return the report of one job."""
    return JobReport(**read_job(core, job, now))


def read_job(core: Lifecycle, job: JobRecord, now: Moment) -> dict[str, Any]:
    """Return the values of the report of one job, which do not change any more: any thread may make the report.

    That takes several times as long as to read them, and the scheduler thread reads those of ten thousand at once.
    """
    run = job.last_run
    seconds = 0.0
    if run is not None and run.started is not None:
        seconds = run.seconds if run.ended is not None else now.mono - run.started.mono
    return {
        "job": job.spec.name,
        "task": job.spec.task,
        "daemon": job.spec.daemon,
        "state": job.state,
        "waiting_for": job.waiting_for,
        "runs": job.runs,
        "outcome": run.outcome if run is not None else None,
        "seconds": seconds,
        "reason": run.reason if run is not None and job.state is not JobState.SKIPPED else job.reason,
        "error": run.error if run is not None else None,
        "is_overdue": run is not None and run.is_overdue and run.ended is None,
        "run": run.id if run is not None else None,
        "outcomes": {outcome.value: count for outcome, count in job.outcomes.items()},
        "attempt": run.attempt if run is not None else 0,
        "restarts": job.restarts,
        "missed": job.missed,
        "waits_for": core.describe_dependency_wait(job),
        "due_in": max(0.0, job.due_at - now.mono) if job.due_at is not None and job.waiting_for in _TIMED else None,
        "next_firing": None if job.next_firing is None else now.wall + job.next_firing.due_at - now.mono,
        "has_failed": job.has_failed,
        "has_given_up": job.has_given_up,
        "is_ready": job.is_ready,
        "is_flapping": job.backoff is not None and job.backoff.is_flapping(now.mono),
        "is_unresponsive": run is not None and run.unresponsive is not None and run.ended is None,
        "within": job.spec.join.within,
        "starts": job.spec.start.mode,
        "starts_at_once": job.starts_at_once,
        "family": job.spec.family,
        "replica": job.spec.replica,
        "labels": job.spec.labels,
        "holds": job.holds,
        "paused_since": job.hold_beginnings[Hold.PAUSED].at.wall if job.is_paused else None,
        "whereabouts": run.whereabouts if run is not None else None,
        "unreachable_since": run.unreachable.wall if run is not None and run.unreachable and not run.ended else None,
        "blocked_until": run.stopped_by.wall if run is not None and run is job.run and run.stopped_by else None,
        "stopping_for": now.mono - run.requested.mono if run is not None and run.requested and not run.ended else None,
        "stop_left": _stop_left(run, now) if run is not None else None,
    }


def _stop_left(run: RunRecord, now: Moment) -> float | None:
    """Return the seconds until the join policy decides about a run that was requested to stop; None for no limit."""
    if run.requested is None or run.ended is not None or isinf(run.overdue_at):
        return None
    return max(0.0, run.overdue_at - now.mono)


def make_stop_report(core: Lifecycle, moment: Moment) -> StopReport:
    """Return the report of the shutdown of `core`, which has ended."""
    now = moment.mono
    requested, ended = core.shutdown.requested, core.shutdown.ended
    seconds = (ended.mono if ended else now) - (requested.mono if requested else now)
    return StopReport(
        reason=core.shutdown.reason,
        seconds=seconds,
        jobs=tuple(make_job_report(core, job, moment) for job in core.jobs.values()),
        survivors=tuple(make_survivor(run, now) for run in core.runs.values()),
        killed=tuple(find_killed(core, requested.mono if requested else now)),
        lost=tuple(find_lost(core, now)),
    )
