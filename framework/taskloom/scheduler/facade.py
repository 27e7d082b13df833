"""The scheduler as a library: declare jobs, start them, stop every one of them on time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from taskloom.clock import Clock, MonotonicClock, mono
from taskloom.core.changes import Change
from taskloom.core.events import Event
from taskloom.core.inputs import HurryShutdown, Reload, Shutdown, StartAll
from taskloom.core.model import JobSpec, Phase, Reason, ReasonKind
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.core.remembered import NOTHING_REMEMBERED, RememberedJob
from taskloom.core.report import StopReport
from taskloom.core.waits import Wait
from taskloom.diagnostics import quoted
from taskloom.errors import Replicated
from taskloom.runners import ProcessInfo, Runner, Stack
from taskloom.runners.context import current_run
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler import async_host, run_views
from taskloom.scheduler.at_exit import AtExit
from taskloom.scheduler.declarations import Declarations
from taskloom.scheduler.engine import Engine
from taskloom.scheduler.failure_log import make_failure_log
from taskloom.scheduler.firings import Firing, armed_schedules, coming_firings
from taskloom.scheduler.handles import JobHandle, JobStatus, Run
from taskloom.scheduler.live_run import RunGauges
from taskloom.scheduler.memory import Memory
from taskloom.scheduler.patience import patience
from taskloom.scheduler.snapshots import Jobs, Snapshot, complete, read_snapshot
from taskloom.scheduler.subscribers import QUEUE_LIMIT, Listener
from taskloom.sync.cancel_token import lock_timeout
from taskloom.sync.gc_pause import paused_gc

if TYPE_CHECKING:
    import logging

    from taskloom.catalog.entry_points import Catalog
    from taskloom.job import Job

__all__ = ["STOP_WITHIN_SECONDS", "Firing", "JobHandle", "JobStatus", "Listener", "Run", "Scheduler", "Snapshot"]

_NOTHING: Mapping[str, RememberedJob] = NOTHING_REMEMBERED.jobs


class Scheduler:
    """Owns jobs and decides when runs start and stop.

    Any thread may call any method, including tasks and listeners. One process may have several schedulers. A scheduler
    installs no signal handler and never ends the process. `stop_within`: the seconds allowed for stopping everything
    after an essential job has failed. `on_stopping` is called when a stop of everything begins, before any run is
    requested to stop: on a helper thread, and the stop waits for it for a tenth of a second at most. `clock`, `runners`
    and `catalog` are for tests, and for host programs that bring their own. The scheduler's thread reads the clock.

    `log`: failures are logged to the logger `taskloom` (True), to the given logger, or not at all (False).
    `stop_at_exit`: whether a program that ends without `stop` stops everything, within `stop_within` seconds. By
    default it waits for all runs that are not daemons, as Python waits for threads, and logs a warning that names them.
    `memory`: records the instants of schedules with `missed: catch-up`; without one, such jobs are refused.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        runners: Mapping[str, Runner] | None = None,
        catalog: Catalog | None = None,
        stop_within: float = STOP_WITHIN_SECONDS,
        on_stopping: Callable[[], object] | None = None,
        log: bool | logging.Logger = True,
        stop_at_exit: bool = False,
        memory: Memory | None = None,
    ) -> None:
        try:
            lock_timeout(stop_within)
        except TypeError:
            raise TypeError(f"cannot use {quoted(stop_within)} as stop_within; expected seconds") from None
        runners = runners or {"thread": ThreadRunner()}
        log_of_failures = make_failure_log(log)
        self._engine = Engine(
            clock or MonotonicClock(), runners, stop_within, on_stopping, log_of_failures, memory=memory
        )
        self._declarations = Declarations(self._engine, catalog, memory)
        self._engine.at_exit = AtExit(self, self._engine, is_stopped=stop_at_exit, within=stop_within)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        except BaseException:
            # A Ctrl-C, or what another signal handler raised. Everything is stopped all the same, and awaited.
            self._stop_despite_interrupts()
            raise

    def _stop_despite_interrupts(self) -> None:
        """Stop everything and wait, by whatever number of interrupts. It ends: the stop has a deadline."""
        while self._engine.executor.report is None:
            try:
                self.stop()
            except BaseException as error:  # noqa: BLE001 - the first one is raised at the end
                if isinstance(error, Exception):
                    return  # no interrupt: the stop itself is impossible, such as on the scheduler's own thread

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await async_host.leave(self, STOP_WITHIN_SECONDS)

    # -- jobs

    def add(self, job: Job | JobSpec) -> JobHandle:
        """Declare a job; nothing starts.

        Raises InvalidJob, DependencyCycle, DuplicateJob, SchedulerStopped, or a CatalogError if the task cannot be
        loaded. Raises Replicated for a job with several replicas: use `add_all` for it.
        """
        specs = self._declarations.specs([job])
        if len(specs) != 1:
            raise Replicated(specs[0].family, len(specs))
        return self._declarations.add(specs, _NOTHING)[0]

    def add_all(
        self, jobs: Iterable[Job | JobSpec], *, remembered: Mapping[str, RememberedJob] = _NOTHING
    ) -> list[JobHandle]:
        """Declare several jobs, in order; one with n replicas is declared as the jobs `name.1` to `name.n`.

        All or nothing: if it raises what `add` raises, no job was added. `remembered`: by the names of the declared
        jobs, what they know from earlier starts of the program: a pause, restarts, the last instant of a schedule.
        """
        with paused_gc():  # as in `start`: many new objects, and none is garbage
            return self._declarations.add(self._declarations.specs(jobs), remembered)

    def reload(
        self, jobs: Iterable[Job | JobSpec], *, remembered: Mapping[str, RememberedJob] = _NOTHING
    ) -> list[Change]:
        """Replace all declarations by these, and return what changes for each job.

        All or nothing: if it raises InvalidJob, a CatalogError, DependencyCycle or SchedulerStopped, nothing is
        changed. Runs that have to end are requested to stop; this call does not wait for their end. Jobs that are new
        or begin again do: they start when these runs have ended or are overdue. A program whose run goes on gets its
        `reload_signal`. `remembered`: as in `add_all`, for the jobs that are new.
        """
        with paused_gc():
            specs = tuple(self._declarations.specs(jobs))
            plan = self._declarations.plan(specs)
            live = self._engine.executor.live
            runs, changes = self._engine.query(
                Reload(specs, plan, self._declarations.recollect(specs, remembered)),
                lambda core: ([*live.values()], core.reloader.changes),
            )
        if any(run.is_in_process for run in runs):
            from taskloom.scheduler.kept_runs import tell_kept_runs

            tell_kept_runs(runs, changes)
        self._engine.executor.retain_options(specs)
        return changes

    def preview(self, jobs: Iterable[Job | JobSpec]) -> list[Change]:
        """Return what `reload` with these declarations would change for each job; changes nothing."""
        specs = tuple(self._declarations.specs(jobs))
        plan = self._declarations.plan(specs)
        return self._engine.query(None, lambda core: core.reloader.preview(specs, plan))

    def job(self, name: str) -> JobHandle:
        """Return the handle of a job. Raises UnknownJob."""
        self._engine.query(None, lambda core: core.job(name))
        return JobHandle(name, self._engine)

    # -- starting and waiting

    def start(self) -> None:
        """Start every `start: auto` job that was not started yet. Raises SchedulerStopped."""
        # Each run creates some twenty objects, none of them garbage: collections would take an eighth of the time.
        with paused_gc():
            self._engine.call(StartAll())

    def prepare(self) -> None:
        """Start the threads that a stop needs, before the first run; idempotent.

        Raises RuntimeError or MemoryError if one cannot be started.
        """
        if not self._engine.query(None, lambda _: self._engine.executor.prepare()):
            raise RuntimeError("can't start new thread")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing keeps the program alive; return False after `timeout` seconds.

        `taskloom run` ends at the same moment. No non-daemon job is running, stopping or waiting for something that
        happens by itself; if only daemons were started, no daemon is alive either. It also returns when an essential
        job has failed for good, or when a stop is over.
        """
        return self._engine.wait_until(lambda core: core.is_work_over or self._engine.is_stopped, timeout)

    # -- stopping

    def stop(self, within: float = STOP_WITHIN_SECONDS, *, reason: Reason | None = None) -> StopReport:
        """Stop everything for good, by the join policies and within `within` seconds (inf: no limit).

        Idempotent: a second call waits for the same stop and returns the same report. On the thread of a run, it waits
        for all other runs. Nothing can be added or started afterwards.

        In a child process that was forked from the one that made the scheduler, it returns an empty report at once:
        no run exists there.
        """
        engine = self._engine
        if engine.is_left_behind:
            return StopReport(reason or Reason(ReasonKind.SHUTDOWN), 0.0, (), ())
        until = mono() + within
        engine.refuse_own_thread("wait for a stop")
        engine.request_stop(_shutdown(within, reason))
        caller = self._calling_run()
        if caller is None:
            engine.wait_stopped()
            engine.close(until)
        else:
            engine.wait_for_others(caller)
        return engine.stop_report()

    def request_stop(self, within: float = STOP_WITHIN_SECONDS, *, reason: Reason | None = None) -> None:
        """Begin what `stop` does, and return at once; idempotent. A signal handler or a finalizer may call it, too.

        Once it has returned, no body of a task is entered.
        """
        self._engine.request_stop(_shutdown(within, reason))

    def wait_stopped(self, timeout: float | None = None) -> bool:
        """Wait until a stop of everything is over, whatever caused it; return False after `timeout` seconds."""
        return self._engine.wait_stopped(timeout)

    # -- for asyncio programs

    async def astop(self, within: float = STOP_WITHIN_SECONDS, *, reason: Reason | None = None) -> StopReport:
        """Do what `stop` does, without blocking the event loop. If the caller is cancelled, the stop goes on.

        `async with Scheduler()` stops everything at its end; if it is cancelled there, it waits all the same.
        """
        return await async_host.stop(self, within, reason)

    async def await_finished(self, timeout: float | None = None) -> bool:
        """Do what `wait` does, without blocking the event loop."""
        return await async_host.wait(self.wait, timeout)

    async def await_stopped(self, timeout: float | None = None) -> bool:
        """Do what `wait_stopped` does, without blocking the event loop."""
        return await async_host.wait(self.wait_stopped, timeout)

    @property
    def stop_reason(self) -> Reason | None:
        """Why everything is stopping or was stopped; None before a stop."""
        return self._engine.query(None, lambda core: core.shutdown.reason if core.phase is not Phase.OPEN else None)

    @property
    def stop_report(self) -> StopReport | None:
        """The report of the stop of everything; None before it is over. Reading it waits for nothing."""
        return self._engine.executor.report

    def hurry(self, within: float) -> None:
        """Allow the current stop at most `within` more seconds, and set `urgent` for every run."""
        lock_timeout(within)
        self._engine.check_process()
        self._engine.post(HurryShutdown(within))

    def _calling_run(self) -> str | None:
        """Return the id of the run on whose thread this is called, or None if it is not a run of this scheduler."""
        context = current_run.get()
        if context is None:
            return None
        live = self._engine.executor.live.get(context.run_id)
        return live.id if live is not None and context.belongs_to(live.token) else None

    # -- watching

    def listen(
        self,
        callback: Callable[[Event], object],
        *,
        limit: int = QUEUE_LIMIT,
        on_wait: Callable[[Wait], object] | None = None,
    ) -> Listener:
        """Call the callback with every event from now on, in order, on a thread of its own.

        Events that come while `limit` events are queued are dropped. Those, and events at which the callback raised,
        are counted. `on_wait` is called among them with what a job waits for, whenever that changes: `taskloom run -v`
        logs it.
        """
        self._engine.check_process()
        listener = Listener(callback, limit, remove=self._engine.executor.remove_listener, on_wait=on_wait)
        self._engine.add_listener(listener)
        return listener

    @property
    def bug(self) -> BaseException | None:
        """The first internal error of Taskloom, or None. The scheduler went on without the message that caused it."""
        return self._engine.bug

    @contextmanager
    def answers_within(self, seconds: float) -> Iterator[None]:
        """Limit how long the calling thread waits for the scheduler's thread, in all calls within the block together.

        After `seconds` such a call raises SchedulerBusy. For callers that have to answer in time whatever happens:
        code of a task may hold the interpreter lock, so that no other thread gets far.
        """
        lock_timeout(seconds)
        with patience(seconds):
            yield

    def call_after_samples(self, callback: Callable[[], object]) -> None:
        """Call `callback` once a second while any run is outside a wait on its context; it must not block or raise.

        It is called on a thread of the scheduler, after the polls of all runs were counted. A program can do there
        what need not be done while everything waits, without a wake-up of its own.
        """
        self._engine.executor.call_after_samples(callback)

    def stacks(self, *, timeout: float | None = None) -> list[tuple[Run, Stack]]:
        """Return where each run that may be executing currently is.

        The texts quote lines of source files, which may be on a disk that does not answer. With `timeout` this waits
        at most that many seconds for them; after that, the places alone are returned.
        """
        return run_views.stacks(self._engine, timeout)

    def places(self) -> list[tuple[Run, str]]:
        """Return each run that has not ended, and where it is: `file:line in function`, "" if that is not known.

        Unlike `stacks` it waits for nothing: it reads no file, and asks no runner that may block.
        """
        return run_views.places(self._engine)

    def gauges(self) -> list[RunGauges]:
        """Return what each run that has not ended has counted and reported so far, and when it last polled.

        It waits for nothing, not even for the scheduler's thread. Any thread may call it.
        """
        return run_views.gauges(self._engine)

    def processes(self) -> list[tuple[Run, ProcessInfo]]:
        """Return each run that is in a process of its own, and its processes as /proc shows them now.

        It costs nothing for runs in threads. After a third of a second no more is read: then the values of an earlier
        call are returned, and runs that have none are left out.
        """
        return run_views.processes(self._engine)

    def status(self) -> list[JobStatus]:
        """Return the status of each job, in the order in which they were added."""
        return self.snapshot().jobs

    def snapshot(self, jobs: Iterable[str] | None = None) -> Snapshot:
        """Return the status of all jobs, or of the named ones, with the number of the last event that it contains.

        A caller who listens to the events first, and applies those with a higher `seq` to the snapshot, misses none.
        Raises UnknownJob. The status of one job among ten thousand costs as much as that of one job alone.
        """
        engine, names = self._engine, None if jobs is None else tuple(jobs)
        with paused_gc():
            return complete(engine.query(None, lambda core: read_snapshot(engine, core, names)))

    def request_snapshot(self, done: Callable[[Snapshot], object], jobs: Jobs = None) -> None:
        """Have `done` called with a snapshot that `snapshots.complete` makes whole; waits for nothing.

        It is called on the scheduler's thread, so it must not block or raise. For servers, which have other clients.
        Raises SchedulerForked, and RuntimeError if the thread cannot be started.
        """
        engine, names = self._engine, jobs if jobs is None or callable(jobs) else tuple(jobs)
        engine.request(lambda core: done(read_snapshot(engine, core, names)))

    @property
    def last_seq(self) -> int:
        """The number of the last event; 0 before the first. Reading it waits for nothing.

        An action that is requested after this has only events with higher numbers. Read it first to follow what the
        action does.
        """
        return self._engine.last_seq

    def next_firings(self, count: int = 20, jobs: Iterable[str] | None = None) -> list[Firing]:
        """Return the first `count` coming firings of all jobs, or of the named ones, soonest first.

        A schedule may be among them several times. Those of paused jobs are included, and marked. A schedule that is
        not armed has none: its job is stopped, disabled, finished, or waits for its dependencies or its start delay.
        The jitter is not included. Raises UnknownJob, and what the calendar of a plugin raises.
        """
        engine, names = self._engine, None if jobs is None else tuple(jobs)
        with paused_gc():
            armed = engine.query(None, lambda core: armed_schedules(core, names, engine.clock.now()))
        return coming_firings(armed, count)


def _shutdown(within: float, reason: Reason | None) -> Shutdown:
    lock_timeout(within)  # raises ValueError for nan: a stop with that limit would never be over
    reason = reason or Reason(ReasonKind.SHUTDOWN)
    # The kind may be its text, which is equal to it. Raises ValueError for another text.
    return Shutdown(reason._replace(kind=ReasonKind(reason.kind)), within)
