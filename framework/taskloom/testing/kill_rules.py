"""The part of `RunnerConformance` about runs that can be killed, and about runs that are lost."""

from __future__ import annotations

import os
import signal
from typing import Any
from unittest import SkipTest

from taskloom.core.model import ErrorInfo, How
from taskloom.runners import RunHandle
from taskloom.testing import runner_tasks as tasks
from taskloom.testing.requirement import require
from taskloom.testing.run_rules import require_how
from taskloom.testing.runner_bench import RunnerRules, living
from taskloom.testing.runner_tasks import ENTERED, RELEASE

__all__ = ["KillRules"]


class KillRules(RunnerRules):
    """Rules for a runner with `kills = True`; they are skipped for every other. The runs are on this machine."""

    def lose(self, handle: RunHandle) -> None:
        """Break what connects the runner with this run, so that the runner loses it. Override it if that can happen."""
        raise SkipTest("this runner cannot lose a run, or the test does not say how: override `lose`")

    def test_a_run_that_ignores_everything_can_be_killed(self) -> None:
        self.needs_kills()
        with self.bench() as bench:
            run = bench.started(tasks.swallow)
            bench.cancel(run)
            _killable(run).kill()
            report = bench.ended(run)

            require_how(report, How.KILLED)
            require(report.was_requested, "was_requested is False after a cancel")
            require_explained(report.error)
            require(len(bench.ends(run)) == 1, f"reported the end more than once: {bench.ends(run)}")
            left = living([int(bench.folder.read(ENTERED))])
            require(not left, f"process {left} is alive after the run is gone")

    def test_a_run_whose_process_is_stopped_can_be_killed(self) -> None:
        """By SIGSTOP, or Ctrl-Z: then no signal but KILL has an effect."""
        self.needs_kills()
        with self.bench() as bench:
            run = bench.started(tasks.stop_itself)
            bench.cancel(run)
            _killable(run).terminate()
            _killable(run).kill()
            report = bench.ended(run)

        require_how(report, How.KILLED)

    def test_terminate_ends_a_run_that_does_not_poll(self) -> None:
        self.needs_kills()
        with self.bench() as bench:
            run = bench.started(tasks.ignore)
            bench.cancel(run)
            _killable(run).terminate()
            report = bench.ended(run)

        require_how(report, How.KILLED, How.CANCELLED)
        require(report.was_requested, "was_requested is False after a cancel")

    def test_the_children_of_a_killed_run_are_killed_as_well(self) -> None:
        """Also one that ignores signals, or that has a session of its own."""
        self.needs_kills()
        with self.bench() as bench:
            run = bench.started(tasks.start_children)
            children = [int(line) for line in bench.folder.read("children").split()]
            bench.cancel(run)
            _killable(run).kill()
            bench.ended(run)

            left = living(children)
        require(len(children) == 2, f"the task has started {len(children)} of 2 children")
        require(not left, f"children of the run are alive after the run is gone: {left}")

    def test_the_children_that_a_run_leaves_are_gone_when_it_is(self) -> None:
        self.needs_kills()
        with self.bench() as bench:
            run = bench.started(tasks.start_children)
            children = [int(line) for line in bench.folder.read("children").split()]
            bench.folder.write(RELEASE)
            bench.ended(run)

            left = living(children)
        require(not left, f"children of the run are alive after the run is gone: {left}")

    def test_a_process_that_dies_unasked_has_failed(self) -> None:
        self.needs_kills()
        for number in (signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM):
            with self.bench() as bench:
                run = bench.start(tasks.die, number=int(number))
                report = bench.ended(run)

            require_how(report, How.RAISED)
            require_explained(report.error)
            require(number.name in str(report.error), f"the error does not name {number.name}: {report.error}")

    def test_a_process_that_exits_without_a_word_has_failed(self) -> None:
        self.needs_kills()
        with self.bench() as bench:
            report = bench.ended(bench.start(tasks.exit_hard))

        require_how(report, How.RAISED)
        require_explained(report.error)

    def test_a_signal_reaches_the_main_process_of_the_run(self) -> None:
        self.needs_kills()
        with self.bench() as bench:
            run = bench.started(tasks.note_signal)
            _killable(run).signal(signal.SIGUSR1)
            bench.await_file("signalled")
            report = bench.ended(run)

        require_how(report, How.RETURNED)

    def test_the_processes_of_a_run_are_seen(self) -> None:
        self.needs_kills()
        with self.bench() as bench:
            run = bench.started(tasks.ignore)
            handle = _killable(run)
            pid = int(bench.folder.read(ENTERED))
            # A runner elsewhere may hear of the processes a moment after the task was entered.
            bench.await_true(lambda: handle.process, "handle.process has the processes of the run")
            info = handle.process
            require(info is not None, "handle.process is None during the run")
            require(info.pid == pid, f"handle.process.pid is {info.pid}, and the run is in process {pid}")
            require(pid != os.getpid(), "the run is in the process of the runner, which cannot be killed")
            require(info.processes >= 1 and info.memory > 0, f"handle.process is {info}")
            bench.folder.write(RELEASE)
            bench.end(run)
            after = handle.process
        require(after is None, f"handle.process is {after} after the end of the run")

    def test_everything_that_can_be_done_to_a_run_is_harmless_after_its_end(self) -> None:
        self.needs_kills()
        with self.bench() as bench:
            run = bench.start(tasks.note_facts)
            report = bench.end(run)
            handle = _killable(run)
            for _ in range(2):
                handle.set_urgent()
                handle.set_poll_interval(1.0)
                handle.signal(signal.SIGTERM)
                handle.terminate()
                handle.kill()
            found = bench.ends(run)

        require(found == [report], f"reported {found}")

    def test_a_run_that_is_lost_ends_as_lost(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.ignore)
            self.lose(run.handle)
            report = bench.ended(run)

        require_how(report, How.LOST)
        require_explained(report.error)


def require_explained(error: ErrorInfo | None) -> None:
    """Raise AssertionError unless there is an error whose message is all that users need."""
    require(error is not None and error.message != "", f"no error with a message was reported: {error}")
    require(error is not None and error.is_explained, f"is_explained is not set, so users get a traceback of {error}")


def _killable(run: Any) -> Any:
    """Return the handle, which has more methods than every RunHandle."""
    return run.handle
