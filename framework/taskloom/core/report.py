"""Reports: the state of each job, how a shutdown went, which runs survived it, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from taskloom.core.events import format_wall
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import (
    ErrorInfo,
    Hold,
    How,
    JobSpec,
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
from taskloom.text import duration, finite, first_of, measured, plural

__all__ = [
    "ExitCode",
    "JobReport",
    "Killed",
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
# More names than these make a line too long to read.
_MOST_NAMED = 5
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
class Survivor:
    """A run that outlived its join policy and was alive when the shutdown ended. All times are in seconds."""

    job: str
    run: str
    where: str
    """The place of its thread when its `within` was over, as `file:line in function`; "" if unknown."""
    stack: str
    poll_age: float | None
    """Seconds since its last poll then, or since its start if it never polled; None if unknown."""
    within: float
    waited: float
    """Seconds from the request to stop until the end of the shutdown."""
    otherwise: Otherwise
    callbacks: tuple[str, ...] = ()
    """The errors of its callbacks."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **asdict(self),
            "poll_age": finite(self.poll_age),
            "within": finite(self.within),
            "waited": finite(self.waited),
            "otherwise": self.otherwise.value,
            "callbacks": list(self.callbacks),
        }

    def __str__(self) -> str:
        within, where = duration(self.within, is_rounded=True), self.where or "an unknown place"
        how = "not ended by SIGKILL" if self.otherwise is Otherwise.KILL else self.otherwise.value
        return f"{self.job}: {how} after {within}, at {where}"


@dataclass(frozen=True, slots=True)
class Killed:
    """A run that a stop ended by TERM or KILL."""

    job: str
    run: str
    how: str
    """Such as `SIGKILL after 10.0 s`; "" if its runner did not say."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.job} ({self.how})" if self.how else self.job


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
    """Of the last run; None while it is running or if there was none."""
    seconds: float
    reason: Reason | None
    error: ErrorInfo | None
    is_overdue: bool = False
    run: str | None = None
    outcomes: Mapping[str, int] | None = None
    attempt: int = 0
    """Of the last run; 0 if there was none."""
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
            "next_firing": None if self.next_firing is None else format_wall(self.next_firing),
            "failed": self.has_failed,
            "marks": list(self.marks),
            "paused": self.is_paused,
            "paused_since": None if self.paused_since is None else format_wall(self.paused_since),
            "held": self.held or None,
            "start": self.starts.value,
            "within": finite(self.within),
            "family": self.family,
            "replica": self.replica,
            "labels": list(self.labels),
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
        }

    def __str__(self) -> str:
        head = f"stopped {plural(len(self.jobs), 'job')} in {measured(self.seconds)} ({self.reason})"
        killed = [f"  {killed_text(self.killed)}"] if self.killed else []
        return "\n".join([head, *killed, *(f"  survivor: {survivor}" for survivor in self.survivors)])


def killed_text(killed: Sequence[Killed]) -> str:
    """Return which runs were killed and how: `killed 2 runs: a (SIGKILL after 10.0 s), b`."""
    return f"killed {plural(len(killed), 'run')}: {first_of([str(each) for each in killed], _MOST_NAMED)}"


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
        "is_ready": run is not None and run.ready is not None and run.ended is None,
        "is_flapping": job.backoff is not None and job.backoff.is_flapping(now.mono),
        "is_unresponsive": run is not None and run.unresponsive is not None and run.ended is None,
        "within": job.spec.join.within,
        "starts": job.spec.start.mode,
        "starts_at_once": _starts_at_once(job.spec),
        "family": job.spec.family,
        "replica": job.spec.replica,
        "labels": job.spec.labels,
        "holds": job.holds,
        "paused_since": job.hold_beginnings[Hold.PAUSED].at.wall if job.is_paused else None,
    }


def _starts_at_once(spec: JobSpec) -> bool:
    return spec.start.mode is StartMode.AUTO and not spec.start.delay_seconds and spec.schedule is None


def make_stop_report(core: Lifecycle, moment: Moment) -> StopReport:
    """Return the report of the shutdown of `core`, which has ended."""
    now = moment.mono
    requested, ended = core.shutdown.requested, core.shutdown.ended
    seconds = (ended.mono if ended else now) - (requested.mono if requested else now)
    return StopReport(
        reason=core.shutdown.reason,
        seconds=seconds,
        jobs=tuple(make_job_report(core, job, moment) for job in core.jobs.values()),
        survivors=tuple(_make_survivor(run, now) for run in core.runs.values()),
        killed=tuple(_killed(core, requested.mono if requested else now)),
    )


def _killed(core: Lifecycle, since: float) -> Iterator[Killed]:
    for job in core.jobs.values():
        run = job.last_run
        if run is None or run.how is not How.KILLED or run.reason is None:
            continue
        if run.ended is not None and run.ended.mono >= since:
            yield Killed(job.spec.name, run.id, str(run.error) if run.error is not None else "")


def _make_survivor(run: RunRecord, now: float) -> Survivor:
    captured, requested = run.captured, run.requested.mono if run.requested else now
    return Survivor(
        job=run.job.spec.name,
        run=run.id,
        where=captured.where if captured else "",
        stack=captured.stack if captured else "",
        poll_age=captured.poll_age if captured else None,
        within=round(run.overdue_at - requested, 6) if run.spec.join.is_awaited else 0.0,
        waited=round(now - requested, 6),
        otherwise=_treatment(run),
        callbacks=run.failed_callbacks + (captured.callbacks if captured else ()),
    )


def _treatment(run: RunRecord) -> Otherwise:
    """Return what the stop has done about a run that outlived its policy."""
    if run.killed is not None:
        return Otherwise.KILL
    return Otherwise.ABANDON if run.outcome is Outcome.ABANDONED else run.job.spec.join.otherwise
