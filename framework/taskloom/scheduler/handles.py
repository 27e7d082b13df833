"""The objects that the scheduler returns: jobs, runs and their status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from taskloom.core.inputs import ArmJob, PauseJob, ResetJob, RestartJob, ResumeJob, StartJob, StopJob
from taskloom.core.model import ErrorInfo, Hold, JobSpec, Moment, Otherwise, Outcome, Reason, ReasonKind
from taskloom.core.report import JobReport, read_job
from taskloom.core.run_reports import Whereabouts
from taskloom.errors import NoProcess, NoRun, SelfJoin
from taskloom.runners import ProcessInfo
from taskloom.runners.context import current_run
from taskloom.runners.gauges import Progress
from taskloom.scheduler.live_run import LiveRun
from taskloom.scheduler.why import Why, make_why
from taskloom.text import finite, plain

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle
    from taskloom.core.records import RunRecord
    from taskloom.scheduler.engine import Engine

__all__ = ["JobHandle", "JobStatus", "Run"]


class Run:
    """One execution of a job. Any thread may use it, at any time, even after the end of the run."""

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
    def runner(self) -> str:
        """The name of the runner that executes it: `thread`, `process` or that of a plugin."""
        return self._live.record.spec.runner.name

    @property
    def whereabouts(self) -> Whereabouts | None:
        """The place where it executes, or did so; None if that is here, or not known yet."""
        return self._live.record.whereabouts

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or None. An abandoned run has its outcome although its thread is still alive."""
        return self._live.record.outcome

    @property
    def error(self) -> ErrorInfo | None:
        """The exception that ended it: type, message and traceback text."""
        return self._live.record.error

    @property
    def reason(self) -> Reason | None:
        """Why it was requested to stop; None if it was not."""
        return self._live.record.reason

    @property
    def seconds(self) -> float:
        """How many seconds it ran, once it has ended."""
        return self._live.record.seconds

    def is_alive(self) -> bool:
        """Return whether its body may still be executing."""
        return self._live.is_alive()

    def cancel(self, text: str = "") -> None:
        """Request this run to stop, but no later run of its job. Returns at once; idempotent."""
        self._engine.cancel(self._live, Reason(ReasonKind.USER, text))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; return False after `timeout` seconds.

        Raises SelfJoin on the run's own thread.
        """
        self._engine.check_process()
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
    """The status of a job, with what its run reports. All times are in seconds."""

    report: JobReport
    poll_age: float | None
    """Since the run's last poll, to one second; 0.0 inside a token wait; None without a run, or if it is unobserved."""
    worst_gap: float
    is_wakeable: bool
    """Whether a stop would wake it from blocking I/O."""
    counts: dict[str, int]
    progress: Progress | None
    would_meet_join: bool | None = None
    """Whether a stop would end within the job's join policy, judged by the longest time without a poll so far; None if
    there is no run or it cannot be determined."""
    runner: str = "thread"
    """The name of the runner that executes its runs."""
    otherwise: Otherwise = Otherwise.EXIT
    """The treatment of a run that outlives its join policy."""
    process: ProcessInfo | None = None
    """The processes of its run; None if there are none, or if they could not be read in time."""

    @property
    def state(self) -> str:
        """The job's state."""
        return self.report.state.value

    @property
    def hold(self) -> Hold | None:
        """How a user holds the job back: paused, stopped, or None."""
        return self.report.hold

    def as_dict(self) -> dict[str, Any]:
        """Return the values as they are written to JSON."""
        return {
            **self.report.as_dict(),
            "poll_age": finite(self.poll_age),
            "worst_gap": finite(self.worst_gap),
            "wakeable": self.is_wakeable,
            "would_meet_join": self.would_meet_join,
            "counts": self.counts,
            "progress": plain(self.progress._asdict()) if self.progress else None,
            "otherwise": self.otherwise.value,
            "runner": self.runner,
            "process": process_data(self.process),
        }


def process_data(process: ProcessInfo | None) -> dict[str, Any] | None:
    """Return the processes of a run as they are written to JSON; None if there are none."""
    return {**process._asdict(), "cpu": finite(process.cpu)} if process is not None else None


class JobHandle:
    """A job that was added to a scheduler. Any thread may use it."""

    __slots__ = ("_engine", "name")

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine

    @property
    def run(self) -> Run | None:
        """The job's latest run, ended or not; None if it never had one."""
        live = self._engine.executor.last.get(self.name)
        return Run(live, self._engine) if live is not None else None

    def start(self, *, now: bool = False, text: str = "", timeout: float | None = None) -> Run:
        """Start a run now, even if the job waits for a delay, a backoff or its schedule.

        The run of a scheduled job is an additional one. If the job was stopped, its schedule is armed again; if it is
        paused, it stays paused. With `text`, the event `queued` of the run says who started it and why.

        Raises DependencyUnmet if a dependency is not satisfied, unless `now` is set; and AlreadyRunning, JobStopping,
        JobBlocked, JobDisabled or SchedulerStopped. If it raises, nothing is changed. A run that could not begin is
        returned as well, with the outcome start_failed: this waits until that is known, for at most `timeout` seconds.
        """
        engine = self._engine
        reason = Reason(ReasonKind.USER, text) if text else None
        live = engine.query(StartJob(self.name, now, reason), lambda _: engine.executor.last[self.name])
        if live.decided is not None:
            live.decided.wait(timeout)
        return Run(live, engine)

    def arm(self) -> None:
        """Let the job start by itself, as `Scheduler.start` does: after its dependencies and delay, by its schedule.

        A job that was stopped is held back no longer; a paused one stays paused. Raises AlreadyRunning, JobStopping,
        JobBlocked, JobDisabled or SchedulerStopped. Has no effect on a job that is waiting already.
        """
        self._engine.call(ArmJob(self.name))

    def restart(self, text: str = "", *, now: bool = False) -> None:
        """Stop the job's run, if it has one, and start another as soon as it has ended. Returns at once.

        The new run waits for no delay and is not counted as a restart. Without a run this is a start: it raises
        DependencyUnmet if a dependency is not satisfied, unless `now` is set. Also raises JobBlocked, JobDisabled or
        SchedulerStopped. If it raises, nothing is changed.
        """
        self._engine.call(RestartJob(self.name, Reason(ReasonKind.USER, text or "restart"), now))

    def reset(self, text: str = "") -> None:
        """Forget the failures of the job, for when their cause is removed. Returns at once; idempotent.

        That is: its restart delay, the restarts that its limit counts, and the marks `flapping` and `gave up`. If it
        waits for its restart delay, it starts at once; the run is attempt 1 and not counted. A job that gave up starts
        as well, after its dependencies; if its schedule is armed, it waits for the next firing instead. If it is
        blocked, what was to follow starts without a delay once the thread has ended. A live run is not touched, and
        nothing else is started. Raises SchedulerStopped.
        """
        self._engine.call(ResetJob(self.name, Reason(ReasonKind.USER, text or "reset")))

    def pause(self, text: str = "") -> None:
        """Pause the job's schedule: each firing is missed with the reason `paused`. Returns at once; idempotent.

        A live run goes on, and so does a pending restart; a firing that waits for the end of the run is missed. `start`
        and `restart` still work, and leave the schedule paused; so does a reload, unless it removes the schedule. A
        paused schedule keeps the program alive. Raises NotScheduled or SchedulerStopped.
        """
        self._engine.call(PauseJob(self.name, Reason(ReasonKind.USER, text or "pause")))

    def resume(self, text: str = "") -> None:
        """Resume the job's schedule after a pause or a stop. Returns at once; idempotent.

        No run begins, and no firing is made up for: the next one is the next instant of the schedule. Raises
        NotScheduled for a job without a schedule: it is started instead. Raises DependencyUnmet for a stopped job
        whose dependencies are not satisfied. Also raises SchedulerStopped.
        """
        self._engine.call(ResumeJob(self.name, Reason(ReasonKind.USER, text or "resume")))

    def stop(self, text: str = "", *, timeout: float | None = None) -> bool:
        """Stop the job's run by its join policy, and wait up to `timeout` seconds for its end.

        Nothing but a user starts the job from then on: its schedule has ended, no restart follows, and a reload leaves
        it stopped, whatever it changes. `start`, `restart`, `arm` and `resume` end that.

        Returns True if no run of the job is alive any more. Returns False once `within` has passed: then the run is
        overdue, as `status()` shows, or abandoned. With `join: 0s` that is at once. A run with `otherwise: kill` is
        killed then, and its end awaited. It never ends the process. On the run's own thread it only requests the stop
        and returns False.
        """
        engine = self._engine
        run = engine.query(
            StopJob(self.name, Reason(ReasonKind.USER, text)),
            lambda core: engine.executor.live.get(record.id) if (record := core.job(self.name).run) else None,
        )
        if run is None:
            return True
        if _is_on_thread_of(run):
            return False
        engine.wait_until(lambda _: run.over.is_open or _is_given_up(run.record), timeout)
        return run.over.is_open

    def signal(self, number: int | str) -> None:
        """Send a signal to the process of the job's run: to the worker, or to the main process of a program.

        `number` may also be a name, such as `HUP` or `SIGHUP`. Returns at once, before the process has handled it. It
        is not a request to stop: a run that it ends has failed.

        Raises UnknownSignal, NoRun for a job without a run, and NoProcess for a run in a thread.
        """
        # Imported here, as below: programs whose jobs are all threads do not pay for it.
        from taskloom.scheduler.process_reads import read_processes
        from taskloom.signal_names import require_signal

        signal_number, engine = require_signal(number), self._engine

        def read(core: Lifecycle) -> tuple[str, str, LiveRun | None]:
            job = core.job(self.name)
            run = job.run
            name = (run.spec if run is not None else job.spec).runner.name
            return job.state.value, name, engine.executor.live.get(run.id) if run is not None else None

        state, runner, live = engine.query(None, read)
        if live is None or live.over.is_open:
            raise NoRun("signal", self.name, state)
        send = getattr(live.handle, "signal", None)
        if live.handle is not None and send is None:
            raise NoProcess("signal", self.name, live.id, runner)
        if send is None or not read_processes([live]):
            raise NoProcess("signal", self.name, live.id, "")
        send(signal_number)

    def status(self) -> JobStatus:
        """Return the status of the job."""
        engine = self._engine
        read = engine.query(None, lambda core: read_status(engine, core, self.name, engine.clock.now()))
        return with_processes([status_of(read)], [read])[0]

    def declaration(self) -> JobSpec:
        """Return the declaration of the job, all of it in final form."""
        return self._engine.query(None, lambda core: core.job(self.name).spec)

    def why(self) -> Why:
        """Return why the job is, or is not, running: one paragraph, and the facts that it was made from."""
        engine = self._engine
        return make_why(engine, self.name, lambda core: make_status(engine, core, self.name))

    def __repr__(self) -> str:
        return f"<JobHandle {self.name}>"


def make_status(engine: Engine, core: Lifecycle, name: str) -> JobStatus:
    """Return the status of a job; called on the scheduler thread. Raises UnknownJob."""
    return status_of(read_status(engine, core, name, engine.clock.now()))


def _is_given_up(run: RunRecord) -> bool:
    """Return whether a stop does not wait for the end of the run any longer."""
    return run.outcome is Outcome.ABANDONED or (run.is_overdue and not run.spec.join.kills)


def read_status(engine: Engine, core: Lifecycle, name: str, now: Moment) -> tuple[Any, ...]:
    """Return what `status_of` makes the status of a job from; called on the scheduler thread. Raises UnknownJob.

    `now`: read once for many jobs, so that their times belong together and the clock is not read ten thousand times.
    """
    job = core.job(name)
    facts = read_job(core, job, now)
    run = engine.executor.last.get(name)
    if run is None:
        return facts, None, 0.0, False, {}, None, job.spec, None
    gauges = run.gauges
    age = run.poll_age(now.mono) if run.is_alive() else None
    in_process = run if run.is_in_process else None
    return facts, age, run.worst_gap, run.token.is_wakeable, gauges.counts, gauges.progress, job.spec, in_process


def status_of(read: tuple[Any, ...]) -> JobStatus:
    """Return the status of a job from what `read_status` has returned; any thread may call it."""
    facts, age, worst_gap, is_wakeable, counts, progress, spec, _ = read
    report = JobReport(**facts)
    meets = None if age is None else is_wakeable or max(age, worst_gap) <= report.within
    return JobStatus(
        report, age, worst_gap, is_wakeable, counts, progress, meets, spec.runner.name, spec.join.otherwise
    )


def with_processes(statuses: list[JobStatus], read: Sequence[tuple[Any, ...]]) -> list[JobStatus]:
    """Return the statuses with the processes of their runs, which are read from /proc now. Any thread but the engine's.

    `read`: what `read_status` has returned for each.
    """
    runs = [each[-1] for each in read if each[-1] is not None]
    if not runs:
        return statuses
    from taskloom.scheduler.process_reads import read_processes

    found = read_processes(runs)
    ids = [each[-1].id if each[-1] is not None else "" for each in read]
    return [
        _with_process(status, found[run]) if run in found else status for status, run in zip(statuses, ids, strict=True)
    ]


def _with_process(status: JobStatus, process: ProcessInfo) -> JobStatus:
    if process.state != "stopped" or status.would_meet_join is None:
        return replace(status, process=process)
    # It gets no request before a signal lets it go on.
    return replace(status, process=process, is_wakeable=False, would_meet_join=False)
