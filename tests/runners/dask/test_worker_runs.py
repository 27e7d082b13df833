"""Runs in the worker of a cluster: the agent, its thread and real processes, with a worker that is not Dask's."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support import dask_tasks as tasks
from tests.support.dask_program import SHORT, SOON, WHY, FakeWorker, WorkerProgram, spec_of

from taskloom import __version__
from taskloom.core.endings import How
from taskloom.core.run_reports import RunEnded, RunStarted, RunStartFailed
from taskloom.runners.dask import agent_shell, child_run, on_worker
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Reply
from taskloom.runners.dask.reports import ProcessSeen, RunReportElsewhere, encode
from taskloom.runners.gauges import Progress
from taskloom.runners.wire import Gauged, Logged, Polled, StackAnswer

RUN = "job#1"


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def program(worker: FakeWorker) -> Iterator[WorkerProgram]:
    made = WorkerProgram(worker)
    yield made
    made.end()
    assert on_worker._AGENTS.get(worker, {}) == {}


def test_a_granted_run_is_executed_and_its_caller_returns_when_nothing_is_left(program: WorkerProgram) -> None:
    execution, verdict = program.begin(spec_of(tasks.brief, RUN))

    program.gone(execution)

    assert verdict.result(SOON) == "ended"
    kept = [report for report in program.reports(execution) if isinstance(report, RunStarted | RunEnded)]
    assert kept == [RunStarted("run", True), RunEnded("run", How.RETURNED, None, False, False)]


def test_a_run_that_is_denied_never_begins(program: WorkerProgram) -> None:
    verdict = program.execute(spec_of(tasks.brief, RUN))
    execution = program.claim(RUN)

    program.command(CommandKind.DENY, execution)

    assert verdict.result(SOON) == "denied"
    assert program.reports(execution) == []


def test_logs_prints_counters_and_the_process_arrive_and_nothing_is_logged_here(
    program: WorkerProgram, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    execution, _ = program.begin(spec_of(tasks.chatty, RUN))

    program.wait_for(lambda entry: entry.data.get("log", {}).get("message") == "a print")
    seen = program.report(execution, ProcessSeen)
    program.wait_for(lambda entry: entry.data.get("poll", {}).get("waiting") is True)
    program.wait_for(lambda entry: entry.data.get("counts") == {"frames": 7})
    records = [report for report in program.reports(execution) if isinstance(report, Logged)]
    gauged = [report for report in program.reports(execution) if isinstance(report, Gauged)]
    program.cancel(execution)
    program.gone(execution)

    assert {(record.level, record.message) for record in records} == {(30, "a record"), (20, "a print")}
    assert [record.extra for record in records if record.level == 30] == [{"shelf": 3}]
    assert gauged[-1].progress == Progress(1, 4, "files")
    assert seen.pid > 0
    assert seen.memory > 0
    assert any(isinstance(report, Polled) for report in program.reports(execution))
    assert [record for record in caplog.records if record.name.startswith("taskloom")] == []


def test_a_burst_of_a_thousand_lines_arrives_whole_and_in_order(program: WorkerProgram) -> None:
    execution, _ = program.begin(spec_of(tasks.burst, RUN))

    program.gone(execution)

    lines = [report.message for report in program.reports(execution) if isinstance(report, Logged)]
    assert lines == [f"number {number}" for number in range(1000)]


def test_a_cancel_reaches_the_run(program: WorkerProgram) -> None:
    execution, verdict = program.begin(spec_of(tasks.polite, RUN))
    program.waits(execution)

    program.cancel(execution)

    assert program.report(execution, RunEnded).how is How.RETURNED
    assert program.report(execution, RunEnded).was_requested
    assert verdict.result(SOON) == "ended"


def test_a_run_that_is_cancelled_with_its_grant_is_never_entered(program: WorkerProgram) -> None:
    program.execute(spec_of(tasks.brief, RUN))
    execution = program.claim(RUN)
    program.request()
    program._granted.append(execution)

    program.request([Command(CommandKind.GRANT, execution), Command(CommandKind.CANCEL, execution, WHY)])

    assert program.report(execution, RunEnded).how is How.NOT_ENTERED
    program.gone(execution)
    assert not any(isinstance(report, RunStarted) for report in program.reports(execution))


@pytest.mark.long
def test_a_signal_term_and_a_kill_reach_the_processes(program: WorkerProgram) -> None:
    killed, _ = program.begin(spec_of(tasks.deaf, "a#1"))
    ended, _ = program.begin(spec_of(tasks.polite, "b#1"))
    signalled, _ = program.begin(spec_of(tasks.polite, "c#1"))
    program.report(killed, Logged)
    program.waits(ended)
    program.waits(signalled)

    program.command(CommandKind.TERMINATE, ended)
    program.command(CommandKind.SIGNAL, signalled, number=signal.SIGUSR1)
    program.command(CommandKind.KILL, killed)

    assert program.report(ended, RunEnded).error.message == "SIGTERM"
    assert program.report(signalled, RunEnded).error.message == "SIGUSR1"
    assert program.report(killed, RunEnded).error.message == "SIGKILL"


@pytest.mark.long
def test_a_new_poll_interval_reaches_the_run(program: WorkerProgram) -> None:
    execution, _ = program.begin(spec_of(tasks.tells_interval, RUN))
    program.report(execution, RunStarted)

    program.command(CommandKind.POLL_INTERVAL, execution, number=3.0)

    assert program.report(execution, Logged).message == "interval 3.0"


@pytest.mark.long
def test_stacks_are_answered_also_by_a_run_that_holds_the_gil(program: WorkerProgram) -> None:
    stuck, _ = program.begin(spec_of(tasks.hog, "a#1"))
    waiting, _ = program.begin(spec_of(tasks.polite, "b#1"))
    program.report(stuck, Logged)
    program.waits(waiting)

    program.command(CommandKind.STACK, stuck, waiting, number=7)

    assert program.report(waiting, StackAnswer).id == 7
    assert "in polite" in program.report(waiting, StackAnswer).text
    assert "dask_tasks.py" in program.report(stuck, StackAnswer).where


def test_a_failure_arrives_with_its_traceback(program: WorkerProgram) -> None:
    execution, _ = program.begin(spec_of(tasks.bad, RUN))

    ended = program.report(execution, RunEnded)

    assert (ended.how, ended.error.type, ended.error.message) == (How.RAISED, "ValueError", "boom")
    assert "in bad" in ended.error.traceback


# -- starts that fail


def test_a_task_that_is_not_there_names_the_host_the_interpreter_and_what_is_installed(program: WorkerProgram) -> None:
    spec = spec_of(tasks.brief, RUN, module="nowhere_at_all", values=None)
    execution, verdict = program.begin(spec)

    error = program.report(execution, RunStartFailed).error
    program.gone(execution)

    place = f"host {socket.gethostname()}, {sys.executable} (Python {platform.python_version()})"
    assert error.type == "ModuleNotFoundError"
    assert error.message.startswith(f"No module named 'nowhere_at_all' (on {place}; installed tasks there: ")
    assert f"(taskloom {__version__})" in error.message
    assert verdict.result(SOON) == "ended"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "0.0"}, f"cannot execute the run: the program has Taskloom 0.0, not {__version__} (on host "),
        (
            {"attempt": "first"},
            "cannot execute the run: the program broke the protocol: 'attempt' is 'first'; expected a whole number (on",
        ),
        (
            {"options": {"user": "no-such-user"}},
            "process for job 'job': there is no user 'no-such-user'",
        ),
        ({"qualname": "no_such_task"}, "cannot find 'no_such_task' in module 'tests.support.dask_tasks'"),
    ],
)
def test_a_start_that_fails_says_why(program: WorkerProgram, changed: dict[str, object], message: str) -> None:
    execution, _ = program.begin(spec_of(tasks.brief, RUN, **changed))

    error = program.report(execution, RunStartFailed).error
    program.gone(execution)

    assert message in error.message
    assert not any(isinstance(report, RunStarted) for report in program.reports(execution))


# -- the lease


@pytest.mark.long
def test_the_runs_of_a_program_that_is_not_heard_of_are_cancelled_and_killed(worker: FakeWorker) -> None:
    program = WorkerProgram(worker, lease=SHORT)
    obedient, _ = program.begin(spec_of(tasks.polite, "a#1"))
    deaf, verdict = program.begin(spec_of(tasks.deaf, "b#1"))

    program.gone(obedient)
    program.gone(deaf)

    lease = "the lease has ended: nothing was heard of the program for 2s"
    assert program.report(obedient, RunEnded).how in (How.RETURNED, How.NOT_ENTERED)
    ended = program.report(deaf, RunEnded)
    assert ended.how is How.KILLED
    assert ended.error.message.endswith(lease) or ended.error.type == "LeaseEnded"
    assert verdict.result(SOON) == "ended"
    program.end()


def test_the_supervisor_of_each_run_is_told_the_renewed_lease(program: WorkerProgram, worker: FakeWorker) -> None:
    execution, _ = program.begin(spec_of(tasks.polite, RUN))
    shell = on_worker._AGENTS[worker]["session"]
    first = shell._children[execution].until
    program.waits(execution)

    program.request()

    child = shell._children[execution]
    connection = child.handle.connection  # type: ignore[union-attr]
    program.cancel(execution)
    program.gone(execution)
    assert connection is not None
    assert connection.lease == child.until > first


# -- the end of the worker


@pytest.mark.parametrize("status", ["closing", "closing_gracefully", "failed"])
def test_the_runs_of_a_worker_that_closes_are_cancelled(
    program: WorkerProgram, worker: FakeWorker, status: str
) -> None:
    execution, verdict = program.begin(spec_of(tasks.polite, RUN))
    claiming = program.execute(spec_of(tasks.brief, "other#1"))
    program.claim("other#1")
    program.waits(execution)

    worker.status = SimpleNamespace(name=status)

    assert verdict.result(SOON) == "ended"
    assert claiming.result(SOON) == "closing"
    assert program.report(execution, RunEnded).was_requested


def test_a_worker_that_closes_waits_until_its_runs_have_ended_and_were_reported(
    program: WorkerProgram, worker: FakeWorker
) -> None:
    program.hello()
    [plugin] = worker.plugins.values()
    execution, verdict = program.begin(spec_of(tasks.polite, RUN))
    program.waits(execution)
    worker.status = SimpleNamespace(name="closing")

    asyncio.run(plugin.teardown(worker))

    assert not on_worker._AGENTS[worker][program.session].live_runs()
    sent = [Reply.from_json(event["reply"]) for _, event in iter_queue(worker.events)]
    assert [entry.kind for reply in sent for entry in reply.entries].count("gone") == 1
    assert verdict.result(SOON) == "ended"


def test_a_worker_that_closes_sends_also_what_was_left_for_the_next_request(
    program: WorkerProgram, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.hello()
    [plugin] = worker.plugins.values()
    execution, _ = program.begin(spec_of(tasks.polite, RUN))
    program.waits(execution)
    monkeypatch.setattr(agent_shell, "_MOST_PUBLISHED", -1)
    worker.status = SimpleNamespace(name="closing")

    asyncio.run(plugin.teardown(worker))

    sent = [Reply.from_json(event["reply"]) for _, event in iter_queue(worker.events)]
    assert [entry.kind for reply in sent for entry in reply.entries].count("gone") == 1


def test_a_worker_that_closes_does_not_wait_longer_than_its_operator(
    program: WorkerProgram, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_worker, "DRAIN_SECONDS", 0.01)
    program.hello()
    program.hello()
    [plugin] = worker.plugins.values()
    execution, _ = program.begin(spec_of(tasks.deaf, RUN))
    program.report(execution, RunStarted)
    worker.status = SimpleNamespace(name="closing")

    asyncio.run(plugin.teardown(worker))

    assert on_worker._AGENTS[worker][program.session].live_runs()


def test_a_worker_without_runs_closes_at_once(program: WorkerProgram, worker: FakeWorker) -> None:
    program.request()
    worker.status = SimpleNamespace(name="closing")

    asyncio.run(on_worker._drain(worker))

    assert worker.events.empty()


def iter_queue(queue: SimpleQueue[Any]) -> Iterator[Any]:
    while not queue.empty():
        yield queue.get()


def test_a_worker_that_is_not_retired_after_all_takes_runs_again(program: WorkerProgram, worker: FakeWorker) -> None:
    _, verdict = program.begin(spec_of(tasks.polite, RUN))
    worker.status = SimpleNamespace(name="closing_gracefully")
    assert verdict.result(SOON) == "ended"
    assert program.execute(spec_of(tasks.brief, "job#2")).result(SOON) == "closing"

    worker.status = SimpleNamespace(name="running")
    before = program.request().agent
    execution, again = program.begin(spec_of(tasks.brief, "job#3"))

    assert again.result(SOON) == "ended"
    assert program.reply.agent != before
    program.gone(execution)


def test_a_claim_that_dask_has_given_up_leaves_its_slot(program: WorkerProgram, worker: FakeWorker) -> None:
    verdict = program.execute(spec_of(tasks.brief, RUN))
    program.claim(RUN)

    worker.state.tasks[f"key of {RUN}"] = SimpleNamespace(state="cancelled")

    assert verdict.result(SOON) == "cancelled"


# -- the hello


def test_the_hello_says_what_the_worker_is(program: WorkerProgram) -> None:
    hello = program.hello()

    assert hello["protocol"] == 1
    assert hello["version"] == __version__
    assert (hello["host"], hello["pid"]) == (socket.gethostname(), os.getpid())
    assert (hello["name"], hello["slots"]) == ("worker-1", 4)
    assert hello["executable"] == sys.executable
    assert hello["tasks"]["countdown"] == hello["tasks"]["taskloom/countdown"] == f"taskloom {__version__}"
    assert (hello["problems"], hello["elder"]) == ([], [])


def test_the_hello_names_the_runs_of_other_sessions(program: WorkerProgram, worker: FakeWorker) -> None:
    execution, _ = program.begin(spec_of(tasks.polite, RUN))
    program.waits(execution)

    (elder,) = WorkerProgram(worker, "younger").hello()["elder"]

    assert (elder["session"], elder["runs"]) == ("session", [RUN])
    assert 20 < elder["stopped_by_seconds"] <= 30
    assert program.hello()["elder"] == []


def test_an_exception_in_the_agent_ends_its_runs_and_the_session_gets_another_one(
    program: WorkerProgram, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, verdict = program.begin(spec_of(tasks.polite, RUN))
    before = program.request().agent
    shell = on_worker._AGENTS[worker]["session"]

    def strike(_: float) -> None:
        raise MemoryError("struck")

    monkeypatch.setattr(shell, "_check_status", strike)

    assert verdict.result(SOON) == "closing"
    assert shell.join(SOON)
    assert program.request().agent != before
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [MemoryError]
    for child in shell._children.values():
        assert child.handle is not None
        assert child.handle.join(SOON)


@pytest.mark.parametrize("struck", [RunStarted, RunEnded, RunStartFailed])
def test_a_run_whose_report_is_struck_by_an_exception_ends_and_frees_its_slot(
    program: WorkerProgram, monkeypatch: pytest.MonkeyPatch, struck: type
) -> None:
    def strike(report: RunReportElsewhere) -> dict[str, Any]:
        if isinstance(report, struck):
            raise MemoryError("struck")
        return encode(report)

    monkeypatch.setattr(child_run, "encode", strike)
    changed = {"qualname": "missing"} if struck is RunStartFailed else {}

    execution, verdict = program.begin(spec_of(tasks.polite, RUN, **changed))
    if struck is RunEnded:
        program.waits(execution)
        program.cancel(execution)

    assert verdict.result(SOON) == "ended"
    program.gone(execution)
    assert program.request().entries == ()


def test_what_the_constructor_of_a_task_raises_is_reported_as_it_is(program: WorkerProgram) -> None:
    execution, _ = program.begin(spec_of(tasks.Refuses, RUN))

    error = program.report(execution, RunStartFailed).error
    program.gone(execution)

    assert error.message == "the shelf is empty"
