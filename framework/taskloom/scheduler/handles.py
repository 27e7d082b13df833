"""What the library hands out: a run, a job, and the status of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskloom.core.inputs import ArmJob, RestartJob, StartJob, StopJob
from taskloom.core.model import ErrorInfo, Outcome, Reason, ReasonKind
from taskloom.core.report import JobReport, make_job_report
from taskloom.errors import SelfJoin
from taskloom.runners.context import current_run
from taskloom.runners.gauges import Progress
from taskloom.scheduler.live_run import LiveRun

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle
    from taskloom.scheduler.engine import Engine

__all__ = ["JobHandle", "JobStatus", "Run"]


class Run:
    """One execution of a job. Any thread may use it, for as long as it likes."""

    __slots__ = ("_engine", "_live")

    def __init__(self, live: LiveRun, engine: Engine) -> None:
        self._live = live
        self._engine = engine

    @property
    def id(self) -> str:
        """The run's name, unique in its scheduler."""
        return self._live.id

    @property
    def job(self) -> str:
        """The job's name."""
        return self._live.job

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or None. An abandoned run has its outcome while its thread lives."""
        return self._live.record.outcome

    @property
    def error(self) -> ErrorInfo | None:
        """What escaped from it: type, message and traceback text."""
        return self._live.record.error

    @property
    def reason(self) -> Reason | None:
        """Why it was asked to stop."""
        return self._live.record.reason

    @property
    def seconds(self) -> float:
        """How long it ran, once it has ended."""
        return self._live.record.seconds

    def is_alive(self) -> bool:
        """Tell whether its body may still be executing."""
        return self._live.is_alive()

    def cancel(self, text: str = "") -> None:
        """Ask this run, and no later one of its job, to stop. Returns at once; twice is once."""
        self._engine.cancel(self._live, Reason(ReasonKind.USER, text))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False when that took longer than `timeout` seconds.

        Raises SelfJoin on the run's own thread.
        """
        if _is_on_thread_of(self._live):
            raise SelfJoin(self.id)
        return self._live.over.wait(timeout)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.outcome.value if self.outcome else 'alive'}>"


def _is_on_thread_of(run: LiveRun) -> bool:
    context = current_run.get()
    return context is not None and context.belongs_to(run.token)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as it stands, with what its run tells of itself. Seconds throughout."""

    report: JobReport
    poll_age: float | None
    """Since the run last polled, known to a second; 0.0 inside a token wait; None without a run or unobserved."""
    worst_gap: float
    is_wakeable: bool
    """Whether a stop would wake it out of blocked I/O."""
    counts: dict[str, int]
    progress: Progress | None
    would_meet_join: bool | None = None
    """Whether a stop would be over within the job's join policy, by its longest time without a poll so far; None
    without a run, or where nobody can tell."""

    @property
    def state(self) -> str:
        """The job's state, in the words of the design."""
        return self.report.state.value

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            **self.report.as_dict(),
            "poll_age": None if self.poll_age is None else round(self.poll_age, 6),
            "worst_gap": round(self.worst_gap, 6),
            "wakeable": self.is_wakeable,
            "would_meet_join": self.would_meet_join,
            "counts": self.counts,
            "progress": self.progress._asdict() if self.progress else None,
        }


class JobHandle:
    """A job that was added to a scheduler. Any thread may use it."""

    __slots__ = ("_engine", "name")

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine

    @property
    def run(self) -> Run | None:
        """The job's latest run, ended or not; None when it never had one."""
        live = self._engine.last.get(self.name)
        return Run(live, self._engine) if live is not None else None

    def start(self, *, now: bool = False) -> Run:
        """Start a run now, whatever delay, backoff or firing the job waits for.

        Raises DependencyUnmet where the jobs that it needs are not what it needs them to be, unless `now`; and
        AlreadyRunning, JobStopping, JobBlocked, JobDisabled or SchedulerStopped. Nothing is changed then.
        A run that could not be begun is returned too, with the outcome start_failed.
        """
        engine = self._engine
        return engine.query(StartJob(self.name, now), lambda _: Run(engine.last[self.name], engine))

    def arm(self) -> None:
        """Let the job start by itself, as `Scheduler.start` does: after its dependencies and delay, by its schedule.

        Raises AlreadyRunning, JobStopping, JobBlocked, JobDisabled or SchedulerStopped; a job that waits already
        goes on waiting.
        """
        self._engine.call(ArmJob(self.name))

    def restart(self, text: str = "") -> None:
        """Stop the job's run, if it has one, and start another as soon as it has ended. Returns at once.

        It waits for no delay and is not counted as a restart. Raises JobBlocked, JobDisabled or SchedulerStopped.
        """
        self._engine.call(RestartJob(self.name, Reason(ReasonKind.USER, text or "restart")))

    def stop(self, text: str = "", *, timeout: float | None = None) -> bool:
        """Stop the job's run by its join policy and wait for that, or for `timeout` seconds.

        Returns True when no run of the job is alive any more. Past `within` it returns False: the run is
        overdue, and `status()` says so. The process is never ended by it. On the run's own thread it asks
        and does not wait.
        """
        engine = self._engine
        run = engine.query(
            StopJob(self.name, Reason(ReasonKind.USER, text)),
            lambda core: engine.live.get(record.id) if (record := core.job(self.name).run) else None,
        )
        if run is None:
            return True
        if _is_on_thread_of(run):
            return False
        engine.wait_until(lambda _: run.over.is_open or run.record.is_overdue, timeout)
        return run.over.is_open

    def status(self) -> JobStatus:
        """Return where the job stands."""
        engine = self._engine
        return engine.query(None, lambda core: make_status(engine, core, self.name))

    def __repr__(self) -> str:
        return f"<JobHandle {self.name}>"


def make_status(engine: Engine, core: Lifecycle, name: str) -> JobStatus:
    """Copy what is seen of a job; called in the engine's turn. Raises UnknownJob."""
    now = engine.now()
    report = make_job_report(core, core.job(name), now)
    run = engine.last.get(name)
    if run is None:
        return JobStatus(report, None, 0.0, False, {}, None)
    gauges = run.gauges
    age = run.poll_age(now.mono) if run.is_alive() else None
    is_wakeable = run.token.is_wakeable
    meets = None if age is None else is_wakeable or max(age, run.worst_gap) <= report.within
    return JobStatus(report, age, run.worst_gap, is_wakeable, gauges.counts, gauges.progress, meets)
