"""The part of `RunnerConformance` about the stop of a single run, and about what stays behind."""

from __future__ import annotations

import gc
import json
import threading
from unittest import SkipTest

from taskloom.core.inputs import RunEnded, RunStarted, RunStartFailed
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.runners import RetainsOptions
from taskloom.sync.cancel_token import CancelToken
from taskloom.testing import runner_tasks as tasks
from taskloom.testing.requirement import require
from taskloom.testing.run_rules import require_error, require_how
from taskloom.testing.runner_bench import (
    WHY,
    BenchRun,
    RunnerBench,
    RunnerRules,
    open_descriptors,
    own_children,
    shared_folder,
)
from taskloom.testing.runner_tasks import ENTERED, RELEASE
from taskloom.text import duration

__all__ = ["StopRules"]

Ending = RunEnded | RunStartFailed

# What a cancel takes at most to arrive where the run executes, unless the machine is busy.
CROSSING_SECONDS = 0.3


class StopRules(RunnerRules):
    """Rules for the cancel of a run, and for the end of a runner."""

    def test_a_cancel_arrives_with_its_reason(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.wait)
            bench.cancel(run, Reason(ReasonKind.SIGNAL, "SIGTERM, ünï cödé", 15))
            report = bench.ended(run)
            seen = json.loads(bench.folder.read("reason") or "null")

        require(seen == ["signal", "SIGTERM, ünï cödé", 15], f"the task saw the reason {seen}")
        require(report == RunEnded(run.id, How.RETURNED, None, True, False), f"reported {report}")

    def test_a_run_that_only_polls_sees_the_cancel(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.poll)
            bench.cancel(run)
            report = bench.ended(run)

        require_how(report, How.RETURNED)
        require(report.was_requested, "was_requested is False after a cancel")

    def test_a_run_that_raises_cancelled_was_cancelled(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.raise_when_cancelled)
            bench.cancel(run)
            report = bench.ended(run)

        require_how(report, How.CANCELLED)
        require(report.was_requested, "was_requested is False after a cancel")

    def test_an_error_while_stopping_is_the_error_of_the_run(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.fail_when_cancelled)
            bench.cancel(run)
            report = bench.ended(run)

        require_how(report, How.RAISED)
        require_error(report.error, "ValueError", "failed while stopping", "in fail_when_cancelled")
        require(report.was_requested, "was_requested is False after a cancel")

    def test_terminate_is_called_once(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.Terminated)
            for _ in range(3):
                bench.cancel(run)
            report = bench.ended(run)
            calls = bench.folder.read("terminated")

        require(calls == "once\n", f"terminate has written {calls!r}")
        require((report.was_requested, report.callback_ran) == (True, True), f"reported {report}")

    def test_terminate_is_not_called_after_the_end(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.Terminated)
            bench.folder.write(RELEASE)
            report = bench.ended(run)
            bench.cancel(run)
            calls = bench.folder.read("terminated")

        require(calls == "", f"terminate has written {calls!r}")
        require((report.was_requested, report.callback_ran) == (False, False), f"reported {report}")

    def test_a_callback_of_the_cancel_is_called_once(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.call_back)
            bench.cancel(run)
            report = bench.ended(run)
            calls = bench.folder.read("called back")

        require(calls == "once\n", f"the callback has written {calls!r}")
        require(report.callback_ran, "callback_ran is False though the callback has begun")

    def test_a_task_with_a_coroutine_sees_the_cancel(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.wait_async)
            bench.cancel(run)
            report = bench.ended(run)
            seen = bench.folder.read("reason")

        require_how(report, How.RETURNED)
        require(seen == WHY.text, f"the task saw the reason {seen!r}")

    def test_a_coroutine_that_awaits_something_else_is_cancelled(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.await_something_else)
            bench.cancel(run)
            report = bench.ended(run)

        require_how(report, How.CANCELLED)

    # -- cancelled too early, or nearly too late

    def test_a_run_that_was_cancelled_before_its_start_never_enters_the_task(self) -> None:
        token = CancelToken()
        token.request(WHY)
        token.wake()
        with self.bench() as bench:
            run = bench.start(tasks.Terminated, token=token)
            report = bench.end(run)

            require(report == RunEnded(run.id, How.NOT_ENTERED, None, True, False), f"reported {report}")
            require(bench.reports_of(run) == [report], f"reported {bench.reports_of(run)}")
            require(not bench.folder.has(ENTERED), "the task was entered all the same")

    def test_a_run_that_is_cancelled_while_its_task_is_made_never_enters_it(self) -> None:
        """No test can see when the cancel has arrived. If the task was entered, another try gives it more time."""
        run, report, was_entered = self._cancel_while_made(CROSSING_SECONDS)
        if was_entered:
            run, report, was_entered = self._cancel_while_made(self.patience / 2)

        require(report == RunEnded(run.id, How.NOT_ENTERED, None, True, False), f"reported {report}")
        require(not was_entered, "the task was entered all the same")

    def _cancel_while_made(self, seconds: float) -> tuple[BenchRun, Ending, bool]:
        """Cancel a run while its task is made, for this long; return it, its end, and whether the task was entered."""
        with self.bench() as bench:
            run = bench.start(tasks.Constructed, before=lambda: bench.folder.write("hold"))
            bench.await_file("making")
            bench.cancel(run)
            tasks.pause(seconds)
            bench.folder.write("make")
            return run, bench.end(run), bench.folder.has(ENTERED)

    def test_a_cancel_that_races_with_the_end_ends_the_run_once(self) -> None:
        """The cancel comes at another moment each time: at once, when the run was reported to begin, or at its end."""
        with self.bench() as bench:
            for number in range(self.races):
                run = bench.start(tasks.note_facts, attempt=number + 1)
                if number % 3:
                    bench.await_true(lambda run=run: bench.reports_of(run), "the run has begun")  # type: ignore[misc]
                if number % 3 == 2:
                    bench.await_true(lambda run=run: not run.handle.is_alive(), "the run is over")  # type: ignore[misc]
                bench.cancel(run)
                report = bench.end(run)

                require_how(report, How.NOT_ENTERED, How.RETURNED)
                ends = bench.ends(run)
                require(len(ends) == 1, f"reported the end {len(ends)} times: {ends}")
                has_begun = any(isinstance(each, RunStarted) for each in bench.reports_of(run))
                is_entered = bench.folder.has(f"{ENTERED}-{number + 1}-1")
                how = report.how if isinstance(report, RunEnded) else None
                require(is_entered == (how is How.RETURNED), f"the task was entered: {is_entered}; reported {report}")
                require(has_begun or not is_entered, "RunStarted was not reported for a run that was entered")

    # -- after the end

    def test_the_runner_may_be_closed_while_a_run_goes_on(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.wait)
            bench.runner.close()
            bench.cancel(run)
            report = bench.ended(run)
            has_ended = bench.runner.join(self.patience)
            seen = json.loads(bench.folder.read("reason") or "null")

        require(seen is not None and seen[1] == WHY.text, f"close has ended the run, with the reason {seen}")
        require_how(report, How.RETURNED)
        require(has_ended, "join returned False though the last run has ended")

    def test_what_no_job_needs_is_released_after_its_last_run(self) -> None:
        """By `retain`, if the runner has it: it ends no run, and a later run may have the same options."""
        with self.bench() as bench:
            runner = bench.runner
            if not isinstance(runner, RetainsOptions):
                raise SkipTest("this runner has no method `retain`")
            run = bench.started(tasks.wait)
            runner.retain([])
            bench.cancel(run)
            report = bench.ended(run)
            seen = json.loads(bench.folder.read("reason") or "null")
            later = bench.ended(bench.start(tasks.note_facts))

        require(seen is not None and seen[1] == WHY.text, f"retain has ended the run, with the reason {seen}")
        require_how(report, How.RETURNED)
        require_how(later, How.RETURNED)

    def test_closing_twice_does_no_harm(self) -> None:
        runner = self.make_runner()
        for _ in range(2):
            runner.close()
            require(runner.join(self.patience), "join returned False for a runner that has started nothing")

    def test_nothing_is_left_after_the_end(self) -> None:
        """No thread, no process, no descriptor of this process, whichever way the runs have ended."""
        self._run_everything(3)  # what Python itself keeps from the first use of a module
        gc.collect()  # here and below: a descriptor may be open for as long as an object in a cycle
        threads, children, descriptors = set(threading.enumerate()), own_children(), open_descriptors()
        has_ended = self._run_everything(3)

        require(has_ended, f"join returned False after {duration(self.patience)}")
        left = [thread for thread in threading.enumerate() if thread not in threads]
        for thread in left:
            thread.join(self.patience)
        names = sorted(thread.name for thread in left if thread.is_alive())
        require(not names, f"threads are left: {', '.join(names)}")
        require(not own_children() - children, f"child processes are left: {sorted(own_children() - children)}")
        gc.collect()
        found = open_descriptors() - descriptors
        require(not found, f"descriptors are left open: {sorted(found)}")

    def _run_everything(self, times: int) -> bool:
        with shared_folder() as folder:
            bench = RunnerBench(self.make_runner(), folder, self.options, self.patience)
            for _ in range(times):
                waiting, brief = bench.started(tasks.wait), bench.start(tasks.note_facts)
                failing = bench.start(tasks.fail, how="ValueError")
                bench.cancel(waiting)
                for run in (waiting, brief, failing):
                    bench.end(run)
            return bench.close()
