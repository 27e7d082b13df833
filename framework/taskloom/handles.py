"""What the library hands out: a run, a job, and the status of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskloom.core.inputs import StartJob, StopJob
from taskloom.core.model import ErrorInfo, Outcome, Reason, ReasonKind
from taskloom.core.records import RunRecord
from taskloom.core.report import JobReport, make_job_report
from taskloom.errors import SelfJoin
from taskloom.latch import Latch
from taskloom.polls import PollSampler, PollTrack
from taskloom.runners import RunHandle, Runner, RunOrder
from taskloom.runners.context import current_run
from taskloom.runners.gauges import Gauges, Progress
from taskloom.token import CancelToken

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle
    from taskloom.shell import Shell

__all__ = ["JobHandle", "JobStatus", "Run"]


class Run:
    """One execution of a job. Any thread may use it, for as long as it likes."""

    __slots__ = ("_order", "_record", "_shell", "_track", "handle", "over", "token")

    def __init__(self, record: RunRecord, shell: Shell, order: RunOrder) -> None:
        self.over = Latch()
        self.token = CancelToken(shell.sampler)
        self._record = record
        self._shell = shell
        self._order = order
        self._track: PollTrack | None = None
        self.handle: RunHandle | None = None

    @property
    def id(self) -> str:
        """The run's name, unique in its scheduler."""
        return self._record.id

    @property
    def job(self) -> str:
        """The job's name."""
        return self._order.job

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or None. An abandoned run has its outcome while its thread lives."""
        return self._record.outcome

    @property
    def error(self) -> ErrorInfo | None:
        """What escaped from it: type, message and traceback text."""
        return self._record.error

    @property
    def reason(self) -> Reason | None:
        """Why it was asked to stop."""
        return self._record.reason

    @property
    def seconds(self) -> float:
        """How long it ran, once it has ended."""
        return self._record.seconds

    def is_alive(self) -> bool:
        """Tell whether its body may still be executing."""
        return not self.over.is_open

    def cancel(self, text: str = "") -> None:
        """Ask this run, and no later one of its job, to stop. Returns at once; twice is once."""
        self._shell.order(StopJob(self.job, Reason(ReasonKind.USER, text), self.id))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False when that took longer than `timeout` seconds.

        Raises SelfJoin on the run's own thread.
        """
        context = current_run.get()
        if context is not None and context.belongs_to(self.token):
            raise SelfJoin(self.id)
        return self.over.wait(timeout)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.outcome.value if self.outcome else 'alive'}>"

    # -- for the shell

    @property
    def runner_name(self) -> str:
        """The name of the runner that executes it."""
        return self._record.job.spec.runner.name

    def begin(self, runner: Runner, sampler: PollSampler) -> None:
        """Have the runner start it. Raises whatever kept it from starting."""
        now = self._record.queued.mono
        self._track = PollTrack(self.token, now, is_unobserved=self._order.binding.has_terminate)
        self.handle = runner.start(self._order, self.token, self._shell.tell)
        sampler.watch(self.id, self._track)

    def poll_age(self, now: float) -> float | None:
        """Seconds since its last poll; None where unobserved."""
        return self._track.age(now) if self._track else None

    @property
    def worst_gap(self) -> float:
        """The longest time without a poll that was seen, in seconds."""
        return self._track.worst_gap if self._track else 0.0

    def unfinished_callbacks(self) -> tuple[str, ...]:
        """Name the callbacks that were handed out and have not come back."""
        return tuple(
            f"{callback.name}: {'still running' if callback.is_begun else 'not begun'}"
            for callback in self.token.handed_out
            if not callback.is_done
        )

    @property
    def gauges(self) -> Gauges:
        """Progress and counters."""
        return self.handle.gauges if self.handle is not None else Gauges()

    def is_gone(self, timeout: float = 0.0) -> bool:
        """Wait so many seconds for the last of it to be gone: the thread itself, which has left the body."""
        return self.handle is None or self.handle.join(timeout)

    @property
    def record(self) -> RunRecord:
        """What the core remembers of it; to look at only."""
        return self._record


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

    @property
    def state(self) -> str:
        """The job's state, in the words of the design."""
        return self.report.state.value

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            **self.report.as_dict(),
            "poll_age": self.poll_age,
            "worst_gap": self.worst_gap,
            "wakeable": self.is_wakeable,
            "counts": self.counts,
            "progress": self.progress._asdict() if self.progress else None,
        }


class JobHandle:
    """A job that was added to a scheduler. Any thread may use it."""

    __slots__ = ("_shell", "name")

    def __init__(self, name: str, shell: Shell) -> None:
        self.name = name
        self._shell = shell

    def start(self) -> Run:
        """Start a run now.

        Raises AlreadyRunning, JobStopping, JobBlocked, JobDisabled or SchedulerStopped; nothing is changed then.
        A run that could not be begun is returned too, with the outcome start_failed.
        """
        shell = self._shell
        return shell.ask(StartJob(self.name), lambda _: shell.last[self.name])

    def stop(self, text: str = "", *, timeout: float | None = None) -> bool:
        """Stop the job's run by its join policy and wait for that, or for `timeout` seconds.

        Returns True when no run of the job is alive any more. Past `within` it returns False: the run is
        overdue, and `status()` says so. The process is never ended by it. On the run's own thread it asks
        and does not wait.
        """
        shell = self._shell
        run = shell.ask(
            StopJob(self.name, Reason(ReasonKind.USER, text)),
            lambda core: shell.live.get(record.id) if (record := core.job(self.name).run) else None,
        )
        if run is None:
            return True
        context = current_run.get()
        if context is not None and context.belongs_to(run.token):
            return False
        shell.wait_until(lambda _: run.over.is_open or run.record.is_overdue, timeout)
        return run.over.is_open

    def status(self) -> JobStatus:
        """Return where the job stands."""
        shell = self._shell
        return shell.ask(None, lambda core: make_status(shell, core, self.name))

    def __repr__(self) -> str:
        return f"<JobHandle {self.name}>"


def make_status(shell: Shell, core: Lifecycle, name: str) -> JobStatus:
    """Copy what is seen of a job; called in the shell's turn. Raises UnknownJob."""
    now = shell.now().mono
    report = make_job_report(core.job(name), now)
    run = shell.last.get(name)
    if run is None:
        return JobStatus(report, None, 0.0, False, {}, None)
    gauges = run.gauges
    age = run.poll_age(now) if run.is_alive() else None
    return JobStatus(report, age, run.worst_gap, run.token.is_wakeable, gauges.counts, gauges.progress)
