"""The part of `RunnerConformance` about a single run: how it begins, what it reports, and how it ends."""

from __future__ import annotations

import json
import logging
from typing import Any

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners import RunHandle, Stack
from taskloom.sync.latch import Latch
from taskloom.testing import runner_tasks as tasks
from taskloom.testing.requirement import require
from taskloom.testing.runner_bench import JOB, RunnerBench, RunnerRules, caught_log
from taskloom.testing.runner_tasks import ENTERED, LINES_AT_ONCE, MANY, RELEASE

__all__ = ["RunRules"]

# Longer than any start should take; a runner that does not wait at all has entered the task by then.
HOLD_SECONDS = 0.3
# For a stack that does not come: ten seconds with the runner of processes, which waits for each answer.
MOST_QUESTIONS = 100


class RunRules(RunnerRules):
    """Rules for the life of a run that is not requested to stop."""

    # -- how it begins

    def test_a_run_is_reported_once_when_it_begins_and_once_when_it_ends(self) -> None:
        with self.bench() as bench:
            run = bench.start(tasks.note_facts)
            bench.end(run)

            wanted = [RunStarted(run.id, True), RunEnded(run.id, How.RETURNED, None, False, False)]
            found = bench.reports_of(run)
        require(found == wanted, f"reported {found} instead of {wanted}")

    def test_start_returns_while_the_run_goes_on(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.ignore)
            before = (run.handle.is_alive(), run.handle.is_gone(), run.handle.join(0), run.handle.join(0.01))
            bench.folder.write(RELEASE)
            bench.end(run)
            after = (run.handle.is_alive(), run.handle.is_gone(), run.handle.join(0), run.handle.join())

        require(before == (True, False, False, False), f"during the run is_alive, is_gone, join, join were {before}")
        require(after == (False, True, True, True), f"after the run is_alive, is_gone, join, join were {after}")

    def test_the_task_sees_which_run_it_is(self) -> None:
        with self.bench() as bench:
            run = bench.start(tasks.note_facts, attempt=3, replica=2)
            bench.end(run)
            facts = json.loads(bench.folder.read(f"{ENTERED}-3-2") or "{}")

        facts.pop("pid", None)
        wanted: dict[str, Any] = {"job": JOB, "run": run.id, "attempt": 3, "replica": 2, "poll_interval": 0.5}
        wanted |= {"cancelled": False, "urgent": False, "reason": None}
        require(facts == wanted, f"the context says {facts} instead of {wanted}")

    def test_runs_side_by_side_do_not_mix(self) -> None:
        with self.bench() as bench:
            runs = [bench.start(tasks.note_facts, replica=number) for number in (1, 2, 3)]
            for run in runs:
                bench.ended(run)
            seen = [json.loads(bench.folder.read(f"{ENTERED}-1-{number}") or "{}") for number in (1, 2, 3)]

        require([each.get("run") for each in seen] == [run.id for run in runs], f"the contexts say {seen}")

    def test_a_constructor_that_raises_is_a_failed_start(self) -> None:
        with self.bench() as bench:
            run = bench.start(tasks.Constructed, before=lambda: bench.folder.write("refuse"))
            report = bench.end(run)

            require(isinstance(report, RunStartFailed), f"reported {report} instead of RunStartFailed")
            require(bench.reports_of(run) == [report], f"reported {bench.reports_of(run)}, and only the end was right")
            require_error(report.error, "FileNotFoundError", "no such device", "in __init__")
            require(not bench.folder.has(ENTERED), "the task was entered all the same")

    def test_a_run_waits_for_the_terminate_of_the_run_before_it(self) -> None:
        """At most TERMINATE_SECONDS; so two attempts of a job do not overlap without need."""
        returned = Latch()
        with self.bench() as bench:
            run = bench.start(tasks.wait, terminate_returned=returned)
            is_early = tasks.wait_until(lambda: bench.folder.has(ENTERED), HOLD_SECONDS)
            returned.open()
            bench.await_file(ENTERED)
            bench.cancel(run)
            bench.end(run)

        require(not is_early, "the task was entered before order.terminate_returned was open")

    def test_a_run_that_waits_for_the_run_before_it_can_be_cancelled(self) -> None:
        with self.bench() as bench:
            run = bench.start(tasks.wait, terminate_returned=Latch())
            bench.cancel(run)
            report = bench.end(run)

        # It may have waited TERMINATE_SECONDS already, on a busy machine.
        require_how(report, How.NOT_ENTERED, How.RETURNED)

    # -- what it reports

    def test_counters_and_progress_are_seen_during_the_run_and_after_it(self) -> None:
        first = {"lines": 3, "ünï cödé": 5}
        with self.bench() as bench:
            run = bench.started(tasks.report)
            gauges = run.handle.gauges
            bench.await_true(lambda: gauges.counts == first, f"the counters are {first} during the run")
            bench.await_true(lambda: gauges.progress == (1, 4, "files"), "the progress is 1 of 4 files during the run")
            bench.folder.write("more")
            bench.ended(run)
            counts, progress = run.handle.gauges.counts, run.handle.gauges.progress

        require(counts == first | {"many": MANY}, f"the counters were {counts} after the end of the run")
        require(progress == (4, 4, "files"), f"the progress was {progress} after the end of the run")

    def test_everything_that_a_task_logs_arrives_in_order(self) -> None:
        with caught_log() as records, self.bench() as bench:
            run = bench.start(tasks.log)
            for count in range(LINES_AT_ONCE, MANY, LINES_AT_ONCE):
                bench.await_true(lambda: len(records) >= count + 4, f"{count + 4} log records arrive")  # noqa: B023
                bench.folder.write(f"{count} lines")
            bench.ended(run)
            bench.await_true(lambda: len(records) >= MANY + 4, f"{MANY + 4} log records arrive")

        texts = [record.getMessage() for record in records]
        wanted = ["first, 100%", "line\nbreak", "with a traceback", "ünï cödé \udc80"]
        wanted += [f"number {number}" for number in range(MANY)]
        odd = next((pair for pair in zip(texts, wanted, strict=False) if len(set(pair)) > 1), None)
        require(odd is None, f"logged {odd and odd[0]!r} instead of {odd and odd[1]!r}")
        require(len(texts) == len(wanted), f"logged {texts[len(wanted) :]} at the end, which the task did not")
        levels = [record.levelno for record in records[:4]]
        require(
            levels == [logging.DEBUG, logging.INFO, logging.ERROR, logging.WARNING], f"the levels of them were {levels}"
        )
        whose = {(getattr(record, "job", ""), getattr(record, "run", "")) for record in records}
        require(whose == {(JOB, run.id)}, f"the records belong to {whose}")
        shown = logging.Formatter().format(records[2])
        require("ValueError: inner" in shown, f"the traceback is missing: {shown}")

    def test_ready_is_reported_once_between_start_and_end(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.Announcing)
            bench.folder.write("ready")
            bench.end(run)
            found = bench.reports_of(run)

        wanted = [RunStarted(run.id, False), RunReady(run.id), RunEnded(run.id, How.RETURNED, None, False, False)]
        require(found == wanted, f"reported {found} instead of {wanted}")

    def test_polls_are_counted_and_waits_are_seen(self) -> None:
        """From these the poll age is computed: a run that polls or waits is alive, a run that does neither is not."""
        with self.bench() as bench:
            polling = bench.started(tasks.poll)
            first = polling.token.polls
            bench.await_true(lambda: polling.token.polls > first, "token.polls rises while the task polls")
            later = polling.token.polls
            bench.await_true(lambda: polling.token.polls > later, "token.polls rises further while the task polls")
            waiting = bench.start(tasks.wait)
            bench.await_true(lambda: waiting.token.is_waiting, "token.is_waiting while the task waits")

    def test_a_run_that_never_polls_does_not_count_as_waiting(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.ignore)
            bench.await_true(lambda: bench.reports_of(run), "RunStarted is reported")
            is_waiting, polls = run.token.is_waiting, run.token.polls

        require(not is_waiting, "token.is_waiting was True")
        require(polls == 0, f"token.polls was {polls}")

    def test_a_run_with_terminate_is_seen_to_be_wakeable(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.Terminated)
            bench.await_true(lambda: run.token.is_wakeable, "token.is_wakeable, because the task has `terminate`")

    def test_the_stack_of_a_run_that_is_stuck_is_found(self) -> None:
        with self.bench() as bench:
            run = bench.started(tasks.stick)
            other = bench.start(tasks.wait)
            stuck = self._stack_of(bench, [run.handle, other.handle], 2)
            place = self._stack_of(bench, [run.handle], 0)
            bench.folder.write(RELEASE)
            bench.end(run)
            after = bench.runner.stacks([run.handle], 1)

        require(stuck.where.endswith("in stuck_here"), f"the run is in stuck_here, and the runner says {stuck.where!r}")
        require("stuck_here" in stuck.text and "await_file" in stuck.text, f"the whole stack is {stuck.text!r}")
        require(place.where == stuck.where, f"without a text the place is {place.where!r} instead of {stuck.where!r}")
        require(after == [("", "")], f"after the end of the run its stack is {after}")

    def _stack_of(self, bench: RunnerBench, handles: list[RunHandle], texts: int) -> Stack:
        """Ask for the stack of the first run until it is in `stuck_here`; return the last answer.

        A run that has begun may not be there yet, and a busy process may need longer than a runner waits for it.
        """
        found = bench.runner.stacks(handles, texts)[0]
        for _ in range(MOST_QUESTIONS):
            if found.where.endswith("in stuck_here"):
                break
            tasks.pause(tasks.CHECK_SECONDS)
            found = bench.runner.stacks(handles, texts)[0]
        return found

    # -- how it fails

    def test_an_error_arrives_with_its_type_message_and_traceback(self) -> None:
        report = self._failure("ValueError")

        require_how(report, How.RAISED)
        require_error(report.error, "ValueError", str(tasks.FAILURES["ValueError"]()), "in fail")
        require((report.was_requested, report.callback_ran) == (False, False), f"a stop was requested: {report}")

    def test_whatever_leaves_the_task_is_its_error(self) -> None:
        names = "SystemExit KeyboardInterrupt GeneratorExit MemoryError RecursionError ExceptionGroup"
        for name in names.split():
            report = self._failure(name)

            require_how(report, How.RAISED)
            require_error(report.error, name, str(tasks.FAILURES[name]()), "in fail")

    def test_an_error_that_cannot_be_shown_is_reported(self) -> None:
        report = self._failure("Unprintable")

        require_how(report, How.RAISED)
        require(report.error is not None and report.error.type == "Unprintable", f"the error is {report.error}")

    def test_an_error_with_an_endless_message_is_reported(self) -> None:
        """The message may be shortened."""
        report = self._failure("OSError")

        require_how(report, How.RAISED)
        require(report.error is not None and report.error.type == "OSError", f"the error is {report.error!r:.300}")
        require("xxxx" in str(report.error), f"the message is {report.error!r:.300}")

    def test_a_permanent_failure_is_told_apart(self) -> None:
        report = self._failure("PermanentFailure")

        require_how(report, How.PERMANENT)
        require_error(report.error, "PermanentFailure", "never again")

    def test_a_task_failure_is_explained(self) -> None:
        report = self._failure("TaskFailure")

        require_how(report, How.RAISED)
        require_error(report.error, "TaskFailure", "the device is off")
        require(report.error is not None and report.error.is_explained, "its message is all that users need")

    def test_cancelled_without_a_request_is_told_apart(self) -> None:
        report = self._failure("Cancelled")

        require_how(report, How.CANCELLED)
        require(not report.was_requested, "was_requested is True, and no stop was requested")

    def test_a_task_that_returns_a_generator_has_failed(self) -> None:
        """Its code was never executed."""
        with self.bench() as bench:
            report = bench.ended(bench.start(tasks.give_back_a_generator))

        require_how(report, How.RAISED)

    def test_a_value_that_a_task_returns_is_ignored(self) -> None:
        with self.bench() as bench:
            report = bench.ended(bench.start(tasks.give_back_a_number))

        require_how(report, How.RETURNED)

    def _failure(self, how: str) -> RunEnded:
        with self.bench() as bench:
            run = bench.start(tasks.fail, how=how)
            report = bench.ended(run)
            require(len(bench.ends(run)) == 1, f"{how}: reported the end more than once: {bench.ends(run)}")
            return report


def require_how(report: RunEnded | RunStartFailed, *wanted: How) -> None:
    """Raise AssertionError unless the run has ended in one of these ways."""
    how = report.how if isinstance(report, RunEnded) else None
    names = " or ".join(each.name for each in wanted)
    require(how in wanted, f"reported {report!r:.600} instead of {names}")


def require_error(error: ErrorInfo | None, kind: str, message: str, in_traceback: str = "") -> None:
    """Raise AssertionError unless the error is of this type and has this message."""
    if error is None:
        raise AssertionError(f"no error was reported instead of {kind}: {message}")
    require((error.type, error.message) == (kind, message), f"the error is {error!r:.600}, not {kind}: {message}")
    require(in_traceback in error.traceback, f"{in_traceback!r} is not in the traceback {error.traceback!r:.1000}")
