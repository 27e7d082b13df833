"""The part of `RunnerConformance` that runs whole jobs: a real scheduler with the runner, and all join policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from taskloom.catalog.params import inspect_task
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec, Outcome, RunnerSpec
from taskloom.core.policies import WAIT_FOR_EVER, Otherwise, RestartPolicy, RestartWhen
from taskloom.core.report import StopReport
from taskloom.invariants.checker import check_events
from taskloom.runners import Runner
from taskloom.scheduler import JobHandle, Scheduler
from taskloom.testing import runner_tasks as tasks
from taskloom.testing.jobs import make_job
from taskloom.testing.requirement import require
from taskloom.testing.runner_bench import RunnerRules, needs_folder, shared_folder
from taskloom.testing.runner_tasks import ENTERED, NEW_POLL_INTERVAL, RELEASE, RunFolder, wait_until
from taskloom.text import duration

__all__ = ["JoinRules"]

NAME = "tested"
# Long enough for a busy machine, and short enough for a test that has to wait until it has passed.
WITHIN_SECONDS = 1.0
LONG_SECONDS = 60.0
# The last quarter of it is the time that a busy machine has to pass on that a stop is urgent.
URGENT_WITHIN_SECONDS = 4.0
SIDE_BY_SIDE = 10


class RunnerProgram:
    """A scheduler whose only runner is the one that is tested."""

    def __init__(self, rules: JoinRules, folder: RunFolder) -> None:
        self.folder = folder
        self.patience = rules.patience
        self.events: list[Event] = []
        self.runner: Runner = rules.make_runner()
        self.scheduler = Scheduler(runners={NAME: self.runner}, log=False)
        self.listener = self.scheduler.listen(self.events.append)
        self._rules = rules
        self._jobs: list[JobHandle] = []
        # The default of job files for this runner.
        self._otherwise = Otherwise.KILL if rules.can_kill else None

    def declare(self, name: str, task: Callable[..., object], params: dict[str, Any], **policies: Any) -> JobSpec:
        """Return the declaration of a job, which is a daemon unless the policies say otherwise."""
        if needs_folder(task):
            params = {**params, "folder": str(self.folder.path)}
        shape = inspect_task(task)
        policies = {"daemon": True, "otherwise": self._otherwise, "within": LONG_SECONDS, **policies}
        options = self._rules.options_of(daemon=policies["daemon"])
        spec = make_job(name, runner=RunnerSpec(NAME, dict(options)), **policies)
        return replace(spec, task=shape.name, params=params, binding=shape.bind(params)[1])

    def add(
        self,
        task: Callable[..., object],
        *,
        name: str = "a",
        before: Callable[[], object] = lambda: None,
        params: dict[str, Any] | None = None,
        **policies: Any,
    ) -> JobHandle:
        """Add a job and start it. `before` is called once the task is bound."""
        spec = self.declare(name, task, params or {}, **policies)
        before()
        handle = self.scheduler.add(spec)
        self._jobs.append(handle)
        handle.start()
        return handle

    def begun(self, task: Callable[..., object], **policies: Any) -> JobHandle:
        """Add a job, start it, and wait until its task writes that it was entered."""
        handle = self.add(task, **policies)
        self.await_file(ENTERED)
        return handle

    def await_file(self, name: str) -> str:
        """Return the text of a file once a task has written it."""
        self.await_true(lambda: self.folder.has(name), f"the task has come to {name!r}")
        return self.folder.read(name)

    def await_true(self, is_true: Callable[[], object], claim: str) -> None:
        """Wait until the condition is true."""
        came = wait_until(lambda: bool(is_true()), self.patience)
        require(came, f"not within {duration(self.patience)}: {claim}; events: {', '.join(map(_shown, self.events))}")

    def of(self, name: EventName) -> list[Event]:
        """Return the events of this name so far."""
        return [event for event in list(self.events) if event.event is name]

    def end(self, job: JobHandle) -> Outcome | None:
        """Wait until the job's run has ended; return its outcome."""
        self.await_true(lambda: job.run is not None and job.run.join(0), f"the run of {job.name} has ended")
        return job.run.outcome if job.run is not None else None

    def stop(self) -> StopReport:
        """Stop everything, check the events, and return the report."""
        report = self.scheduler.stop(LONG_SECONDS)
        self.listener.close(self.patience)
        require(self.scheduler.bug is None, f"an internal error: {self.scheduler.bug!r}")
        violations = check_events(list(self.events), is_whole=True)
        require(not violations, f"the events break the rules of every history: {violations}")
        return report

    def close(self) -> None:
        """End everything, whatever has happened."""
        self.folder.write(RELEASE)
        self.scheduler.stop(self.patience)
        for job in self._jobs:
            if job.run is not None:
                job.run.join(self.patience)
        self.runner.join(self.patience)


class JoinRules(RunnerRules):
    """Rules for jobs of the runner."""

    @contextmanager
    def program(self) -> Iterator[RunnerProgram]:
        """Make a scheduler with the runner, and stop it afterwards."""
        with shared_folder() as folder:
            program = RunnerProgram(self, folder)
            try:
                yield program
            finally:
                program.close()

    # -- the stop of a job, and of everything

    def test_a_run_that_stops_in_time_is_cancelled(self) -> None:
        with self.program() as program:
            job = program.begun(tasks.wait)
            has_ended = job.stop("enough", timeout=self.patience)
            outcome, reason = program.end(job), json.loads(program.folder.read("reason") or "null")
            report = program.stop()

        require(has_ended, f"the stop took longer than {duration(self.patience)}")
        require(outcome is Outcome.CANCELLED, f"the outcome is {outcome}")
        require(reason == ["user", "enough", None], f"the task saw the reason {reason}")
        require(report.is_clean, f"{report}")

    def test_a_run_that_stops_by_terminate_is_cancelled(self) -> None:
        with self.program() as program:
            job = program.begun(tasks.Terminated)
            program.stop()
            outcome, calls = program.end(job), program.folder.read("terminated")

        require((outcome, calls) == (Outcome.CANCELLED, "once\n"), f"the outcome is {outcome}, the calls {calls!r}")

    def test_a_stop_waits_for_a_run_without_a_limit(self) -> None:
        """With `join: wait`; the run goes on after the cancel until the whole stop becomes urgent."""
        with self.program() as program:
            job = program.begun(tasks.await_urgency, within=WAIT_FOR_EVER, daemon=False)
            program.scheduler.request_stop(LONG_SECONDS)
            was_waited_for = not program.scheduler.wait_stopped(WITHIN_SECONDS / 4)
            program.scheduler.hurry(LONG_SECONDS)
            program.await_file("urgent")
            report, outcome = program.stop(), program.end(job)

        require(was_waited_for, "the stop did not wait for the run")
        require(report.is_clean and outcome is Outcome.CANCELLED, f"the outcome is {outcome}: {report}")

    def test_a_run_learns_that_its_stop_is_urgent(self) -> None:
        """After three quarters of its `join`."""
        with self.program() as program:
            program.begun(tasks.await_urgency, within=URGENT_WITHIN_SECONDS)
            program.scheduler.job("a").stop(timeout=0)
            program.await_file("urgent")
            report = program.stop()

        require(report.is_clean, f"{report}")

    def test_a_run_that_ignores_the_stop_is_abandoned(self) -> None:
        self.needs_no_kills()
        report, outcome = self._stop_of_a_deaf_run(Otherwise.ABANDON, daemon=True)

        require(outcome is Outcome.ABANDONED, f"the outcome is {outcome}")
        require(len(report.survivors) == 1 and report.exit_code == 0, f"{report}")

    def test_a_run_that_ignores_the_stop_makes_the_program_exit(self) -> None:
        self.needs_no_kills()
        report, outcome = self._stop_of_a_deaf_run(Otherwise.EXIT, daemon=False)

        require(outcome is not Outcome.CANCELLED, f"the outcome is {outcome}")
        require(len(report.survivors) == 1 and report.exit_code == 3, f"exit code {report.exit_code}: {report}")

    def test_a_run_that_ignores_the_stop_is_killed(self) -> None:
        self.needs_kills()
        for daemon in (True, False):
            report, outcome = self._stop_of_a_deaf_run(Otherwise.KILL, daemon=daemon)

            require(outcome is Outcome.CANCELLED, f"the outcome is {outcome}")
            require(report.is_clean and report.exit_code == 0, f"exit code {report.exit_code}: {report}")

    def test_a_run_that_the_stop_does_not_wait_for_is_killed(self) -> None:
        """With `join: 0s`."""
        self.needs_kills()
        report, outcome = self._stop_of_a_deaf_run(Otherwise.KILL, daemon=True, within=0.0)

        require(outcome is Outcome.CANCELLED, f"the outcome is {outcome}")
        require(report.is_clean and report.exit_code == 0, f"exit code {report.exit_code}: {report}")

    def test_the_stop_of_one_job_kills_its_run(self) -> None:
        self.needs_kills()
        with self.program() as program:
            job = program.begun(tasks.swallow, within=WITHIN_SECONDS)
            job.stop(timeout=self.patience)
            outcome, error = program.end(job), job.run.error if job.run is not None else None
            report = program.stop()

        require(outcome is Outcome.CANCELLED, f"the outcome is {outcome}")
        require(report.is_clean, f"{report}")
        require(error is not None and error.is_explained, f"the error of the killed run is {error}")

    def test_where_a_stuck_run_is_stands_in_the_event(self) -> None:
        with self.program() as program:
            job = program.begun(tasks.stick, within=WITHIN_SECONDS)
            job.stop(timeout=0)
            program.await_true(lambda: program.of(EventName.STOP_OVERDUE), "an event stop_overdue")
            (event,) = program.of(EventName.STOP_OVERDUE)
            program.folder.write(RELEASE)
            program.end(job)
            program.stop()

        shown = str(event.data)
        require("stuck_here" in shown, f"the run is in stuck_here, and the event says {shown}")

    def test_many_runs_stop_side_by_side(self) -> None:
        with self.program() as program:
            jobs = [program.add(tasks.wait, name=f"a{number}") for number in range(SIDE_BY_SIDE)]
            program.await_true(lambda: len(program.of(EventName.STARTED)) == SIDE_BY_SIDE, "all runs have started")
            report = program.stop()
            outcomes = [program.end(job) for job in jobs]

        require(report.is_clean, f"{report}")
        require(set(outcomes) == {Outcome.CANCELLED}, f"the outcomes are {outcomes}")

    # -- the policies of a job

    def test_a_run_that_takes_too_long_has_timed_out(self) -> None:
        with self.program() as program:
            job = program.add(tasks.wait, timeout=WITHIN_SECONDS)
            outcome, reason = program.end(job), json.loads(program.folder.read("reason") or "null")
            program.stop()

        # It may not have been entered yet, on a busy machine.
        require(outcome is Outcome.TIMED_OUT, f"the outcome is {outcome}")
        require(reason is None or reason[0] == "deadline", f"the task saw the reason {reason}")

    def test_a_killed_run_that_took_too_long_has_timed_out(self) -> None:
        self.needs_kills()
        with self.program() as program:
            job = program.add(tasks.swallow, timeout=WITHIN_SECONDS, within=WITHIN_SECONDS / 2)
            outcome = program.end(job)
            program.stop()

        require(outcome is Outcome.TIMED_OUT, f"the outcome is {outcome}")

    def test_a_failed_run_is_followed_by_a_second_attempt(self) -> None:
        restart = RestartPolicy(RestartWhen.ON_FAILURE, delay=0.0, jitter=0.0)
        with self.program() as program:
            job = program.add(tasks.fail_until_second_attempt, restart=restart)
            program.await_file(f"{ENTERED}-2")
            program.await_true(lambda: len(program.of(EventName.ENDED)) == 2, "the second run has ended")
            program.stop()
            outcomes = [event.outcome for event in program.of(EventName.ENDED)]

        require(outcomes == [Outcome.FAILED, Outcome.SUCCEEDED], f"the outcomes are {outcomes}")
        require(job.run is not None and job.run.error is None, "the second run has the error of the first one")

    def test_a_start_that_fails_is_the_outcome_of_the_run(self) -> None:
        with self.program() as program:
            job = program.add(tasks.Constructed, before=lambda: program.folder.write("refuse"))
            outcome = program.end(job)
            program.stop()

        require(outcome is Outcome.START_FAILED, f"the outcome is {outcome}")

    def test_a_changed_poll_interval_reaches_the_run(self) -> None:
        with self.program() as program:
            spec = program.declare("a", tasks.await_poll_interval, {})
            job = program.scheduler.add(spec)
            run = job.start()
            program.await_file(ENTERED)
            program.scheduler.reload([replace(spec, poll_interval=NEW_POLL_INTERVAL)])
            program.await_file("interval")
            is_same = job.run is not None and job.run.id == run.id
            report = program.stop()

        require(is_same, "the run was replaced by another one")
        require(report.is_clean, f"{report}")

    def test_a_daemon_keeps_nothing_alive(self) -> None:
        with self.program() as program:
            program.begun(tasks.wait, daemon=True)
            brief = program.add(tasks.note_facts, name="brief", daemon=False)
            is_over = program.scheduler.wait(self.patience)
            is_daemon_alive = program.scheduler.job("a").status().state == "running"
            outcome = program.end(brief)
            program.stop()

        require(is_over, "the work is not over, though all that lives is a daemon")
        require(is_daemon_alive, "the daemon has ended before the stop")
        require(outcome is Outcome.SUCCEEDED, f"the outcome of the other run is {outcome}")

    def test_a_run_that_is_not_a_daemon_keeps_the_program_alive(self) -> None:
        with self.program() as program:
            program.begun(tasks.wait, daemon=False)
            is_over = program.scheduler.wait(WITHIN_SECONDS / 4)
            report = program.stop()

        require(not is_over, "the work is over, though a run lives that is not a daemon")
        require(report.is_clean, f"{report}")

    def test_a_waiting_run_has_no_poll_age(self) -> None:
        with self.program() as program:
            job = program.begun(tasks.wait)
            program.await_true(lambda: job.status().poll_age == 0.0, "the poll age of a waiting run is 0")
            program.stop()

    def test_a_run_that_does_not_poll_grows_old(self) -> None:
        with self.program() as program:
            job = program.begun(tasks.ignore)
            program.await_true(lambda: (job.status().poll_age or 0.0) >= 1.0, "the poll age has come to 1 s")
            program.folder.write(RELEASE)
            program.end(job)
            program.stop()

    # -- helpers

    def _stop_of_a_deaf_run(
        self, otherwise: Otherwise, *, daemon: bool, within: float = WITHIN_SECONDS
    ) -> tuple[StopReport, Outcome | None]:
        with self.program() as program:
            job = program.begun(tasks.swallow, within=within, otherwise=otherwise, daemon=daemon)
            report = program.scheduler.stop(LONG_SECONDS)
            return report, job.run.outcome if job.run is not None else None


def _shown(event: Event) -> str:
    return f"{event.event.value} {event.job}" + (f" {event.outcome.value}" if event.outcome else "")
