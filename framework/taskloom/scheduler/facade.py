"""The scheduler as a library: declare jobs, start them, stop every one of them on time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from taskloom.clock import Clock, MonotonicClock, mono
from taskloom.core.events import Event
from taskloom.core.inputs import AddJob, HurryShutdown, Reload, Shutdown, StartAll
from taskloom.core.model import JobSpec, Phase, Reason, ReasonKind
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.core.reload import Change
from taskloom.core.report import StopReport, make_stop_report
from taskloom.errors import Replicated
from taskloom.runners import Runner, Stack
from taskloom.runners.context import current_run
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler.engine import Engine
from taskloom.scheduler.handles import JobHandle, JobStatus, Run, make_status
from taskloom.scheduler.subscribers import QUEUE_LIMIT, Listener
from taskloom.sync.cancel_token import lock_timeout
from taskloom.sync.gc_pause import paused_gc

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog
    from taskloom.job import Job

__all__ = ["STOP_WITHIN_SECONDS", "JobHandle", "JobStatus", "Listener", "Run", "Scheduler"]


class Scheduler:
    """Owns jobs and decides when runs start and stop.

    Any thread may call any method, tasks and listeners included; several schedulers live in one process. No
    signal handler is installed and the process is never ended. `stop_within` is what a stop of everything gets, in
    seconds, that the failure of an essential job brings about. `on_stopping` is called when such a stop begins, or
    any other of everything, before a run is asked; on whatever thread that is, and it must not block. `clock`,
    `runners` and `catalog` are for tests and for hosts that bring their own.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        runners: Mapping[str, Runner] | None = None,
        catalog: Catalog | None = None,
        stop_within: float = STOP_WITHIN_SECONDS,
        on_stopping: Callable[[], object] | None = None,
    ) -> None:
        lock_timeout(stop_within)
        self._catalog = catalog
        runners = runners or {"thread": ThreadRunner()}
        self._engine = Engine(clock or MonotonicClock(), runners, stop_within, on_stopping)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # -- jobs

    def add(self, job: Job | JobSpec) -> JobHandle:
        """Declare a job; nothing starts.

        Raises InvalidJob, a CatalogError for a task that cannot be loaded, DependencyCycle, DuplicateJob or
        SchedulerStopped; and Replicated for a job of several replicas, which `add_all` takes.
        """
        specs = self._specs([job])
        if len(specs) != 1:
            raise Replicated(specs[0].family, len(specs))
        return self._add(specs)[0]

    def add_all(self, jobs: Iterable[Job | JobSpec]) -> list[JobHandle]:
        """Declare several jobs, in order; one of n replicas is declared as the jobs `name.1` to `name.n`."""
        with paused_gc():  # as for a start: none of it is garbage
            return self._add(self._specs(jobs))

    def reload(self, jobs: Iterable[Job | JobSpec]) -> list[Change]:
        """Put these declarations in the place of all that there are, and return what that does with each job.

        All or nothing: raises InvalidJob, a CatalogError, DependencyCycle or SchedulerStopped, and nothing is
        changed then. Runs that have to end are asked, and not awaited.
        """
        with paused_gc():
            specs = tuple(self._specs(jobs))
            return self._engine.query(Reload(specs), lambda core: core.changes)

    def preview(self, jobs: Iterable[Job | JobSpec]) -> list[Change]:
        """Say what `reload` with these declarations would do with each job; nothing is changed."""
        specs = self._specs(jobs)
        return self._engine.query(None, lambda core: core.preview(specs))

    def _add(self, specs: Iterable[JobSpec]) -> list[JobHandle]:
        self._engine.query_all([AddJob(spec) for spec in specs], lambda _: None)
        return [JobHandle(spec.name, self._engine) for spec in specs]

    def _specs(self, jobs: Iterable[Job | JobSpec]) -> list[JobSpec]:
        declared = (job if isinstance(job, JobSpec) else self._spec(job) for job in jobs)
        return [spec for job in declared for spec in job.replicated()]

    def job(self, name: str) -> JobHandle:
        """Return the handle of a job. Raises UnknownJob."""
        self._engine.query(None, lambda core: core.job(name))
        return JobHandle(name, self._engine)

    def _spec(self, job: Job) -> JobSpec:
        from taskloom.jobfile.job_spec import spec_of

        if self._catalog is None:
            from taskloom.catalog.entry_points import Catalog

            self._catalog = Catalog()
        return spec_of(job, self._catalog)

    # -- starting and waiting

    def start(self) -> None:
        """Start every `start: auto` job that was not started yet. Raises SchedulerStopped."""
        with paused_gc():  # some twenty objects a run, and none is garbage: collections are an eighth of the time
            self._engine.call(StartAll())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing keeps the program alive; False when that took longer than `timeout` seconds.

        That is when `taskloom run` would end: no job that is no daemon is running, stopping or waiting for
        something that comes by itself, and no daemon lives where only daemons were started; or an essential job
        has failed for good, or a stop is over.
        """
        return self._engine.wait_until(lambda core: core.is_work_over or core.phase is Phase.STOPPED, timeout)

    # -- stopping

    def stop(self, within: float = STOP_WITHIN_SECONDS, *, reason: Reason | None = None) -> StopReport:
        """Stop everything for good, by the join policies and in `within` seconds (inf: however long it takes).

        Twice is once: the second call waits for the same stop and returns the same report. Called from a run,
        it waits for all but that run. Nothing can be added or started afterwards.
        """
        engine = self._engine
        until = mono() + within
        engine.call(_shutdown(within, reason))
        caller = self._calling_run()
        if caller is None:
            engine.stopped.wait()
            engine.close(until)
        else:
            engine.wait_for_others(caller)
        return engine.report or engine.query(None, lambda core: make_stop_report(core, engine.now()))

    def request_stop(self, within: float = STOP_WITHIN_SECONDS, *, reason: Reason | None = None) -> None:
        """Begin what `stop` does, and return at once; a signal handler may call it too. Twice is once.

        It leaves its wish and waits for nothing, so it may be carried out a moment later.
        """
        self._engine.post(_shutdown(within, reason))

    def wait_stopped(self, timeout: float | None = None) -> bool:
        """Wait until a stop, whoever asked for it, is over; False when that took longer than `timeout` seconds."""
        return self._engine.stopped.wait(timeout)

    @property
    def stop_reason(self) -> Reason | None:
        """Why everything is being stopped, or was; None before that."""
        return self._engine.query(None, lambda core: core.shutdown.reason if core.phase is not Phase.OPEN else None)

    def hurry(self, within: float) -> None:
        """Give the stop that goes on at most so many more seconds, and tell every run that it is urgent."""
        lock_timeout(within)
        self._engine.call(HurryShutdown(within))

    def _calling_run(self) -> str | None:
        """Return the id of the run whose thread this is, if it is one of ours."""
        context = current_run.get()
        if context is None:
            return None
        live = self._engine.live.get(context.run_id)
        return live.id if live is not None and context.belongs_to(live.token) else None

    # -- watching

    def listen(self, callback: Callable[[Event], object], *, limit: int = QUEUE_LIMIT) -> Listener:
        """Have every event from now on given to the callback, in order, on a thread of its own.

        More than `limit` events that wait are dropped, and counted, as are those that the callback raised at.
        """
        listener = Listener(callback, limit)
        self._engine.add_listener(listener)
        return listener

    @property
    def bug(self) -> Exception | None:
        """The first breach of Taskloom's own rules, if there was one; the scheduler went on without that message."""
        return self._engine.bug

    def stacks(self) -> list[tuple[Run, Stack]]:
        """Say where each run that may be executing stands."""
        engine = self._engine
        return [(Run(live, engine), stack) for live, stack in engine.locate_runs(list(engine.live.values()))]

    def status(self) -> list[JobStatus]:
        """Return where each job stands, in the order in which they were added."""
        engine = self._engine
        with paused_gc():
            return engine.query(None, lambda core: [make_status(engine, core, name) for name in core.jobs])


def _shutdown(within: float, reason: Reason | None) -> Shutdown:
    lock_timeout(within)  # nan is no time, and would never be over
    return Shutdown(reason or Reason(ReasonKind.SHUTDOWN), within)
