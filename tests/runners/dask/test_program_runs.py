"""The runs of runner dask, on a simulated cluster: how they begin, what is seen of them, and how they end."""

from __future__ import annotations

import json
import logging

import pytest
from tests.support.simulated_cluster import WHY, Child, DaskBench, hello_of, obey

from taskloom.core.endings import ErrorInfo, How
from taskloom.core.run_reports import (
    CallbackFailed,
    RunEnded,
    RunPlaced,
    RunReady,
    RunStarted,
    RunStartFailed,
    Whereabouts,
)
from taskloom.runners import ProcessInfo, Stack
from taskloom.runners.binding import Binding, Body, CannotCross, TaskReference
from taskloom.runners.dask.protocol.agent_io import ExecutionGone, ExecutionReported
from taskloom.runners.dask.protocol.messages import Command, CommandKind
from taskloom.runners.dask.reports import ProcessSeen
from taskloom.runners.gauges import Progress
from taskloom.runners.wire_messages import Gauged, Logged, Polled, StackAnswer

ERROR = ErrorInfo("ValueError", "no", "ValueError: no\n")


def test_a_run_begins_on_a_worker_and_ends_as_its_processes_say(dask: DaskBench) -> None:
    handle, child = dask.begun()
    dask.do(child.end)
    end = dask.end(handle)

    assert end == RunEnded("job#1", How.RETURNED, None, False, False)
    assert dask.reports == [
        RunPlaced("job#1", Whereabouts("host-w1", "w1", 0)),
        RunStarted("job#1", True),
        end,
    ]
    assert (handle.is_alive(), handle.is_gone(), handle.process) == (False, True, None)


def test_the_spec_has_all_that_an_execution_needs_and_nothing_of_this_machine(dask: DaskBench) -> None:
    dask.start(options={"env": {"A": "1"}, "nice": 3})
    spec = dask.cluster.child().spec

    assert (spec["job"], spec["run"], spec["attempt"], spec["poll_interval"]) == ("job", "job#1", 1, 0.5)
    assert (spec["module"], spec["qualname"], spec["params"]) == ("somewhere", "task", {"n": 3})
    assert spec["options"] == {"env": {"A": "1"}, "nice": 3}
    assert "sys_path" not in spec
    assert json.loads(json.dumps(spec)) == spec


def test_the_end_waits_until_no_process_is_left(dask: DaskBench) -> None:
    handle, child = dask.begun()
    dask.do(lambda: child.report(RunEnded("job#1", How.RAISED, ERROR, False, False)))
    dask.runner.stacks([handle], 0)  # a question and its way back come after the report

    assert not dask.ends()
    assert handle.is_alive()
    dask.do(child.end)
    assert dask.end(handle) == RunEnded("job#1", How.RAISED, ERROR, False, False)


def test_reports_of_the_run_come_through_in_order(dask: DaskBench) -> None:
    handle = dask.start()
    child = dask.cluster.child()
    failed = CallbackFailed("job#1", "stop", ERROR)
    dask.do(lambda: child.report(RunStarted("job#1", False), RunReady("job#1"), RunReady("job#1"), failed))
    dask.do(child.end)
    dask.end(handle)

    assert dask.kinds() == ["RunPlaced", "RunStarted", "RunReady", "CallbackFailed", "RunEnded"]


def test_gauges_polls_and_processes_are_seen_during_the_run(dask: DaskBench) -> None:
    handle, child = dask.begun()
    token = dask.tokens["job#1"]
    polls = token.polls
    dask.do(
        lambda: child.report(
            Gauged(Progress(1, 4, "files"), {"frames": 7}),
            Polled(3, waiting=True, wakeable=True),
            ProcessSeen(4711, 2, 1000, 0.5, "sleeping"),
        )
    )
    dask.wait_for(lambda: RunPlaced("job#1", Whereabouts("host-w1", "w1", 4711)) in dask.reports)

    assert (handle.gauges.progress, handle.gauges.counts) == (Progress(1, 4, "files"), {"frames": 7})
    assert token.polls > polls
    assert (token.is_waiting, token.is_wakeable) == (True, True)
    assert handle.process == ProcessInfo(4711, 2, 1000, 0.5, "sleeping")
    assert handle.whereabouts == Whereabouts("host-w1", "w1", 4711)


def test_a_run_that_waits_for_a_slot_is_not_silent(dask: DaskBench) -> None:
    handles = [dask.start() for _ in range(5)]
    for _ in range(4):
        dask.cluster.child()

    (waiting,) = [handle for handle in handles if handle.whereabouts is None]
    assert dask.tokens[waiting.run].is_waiting


def test_log_records_arrive_with_job_and_run(dask: DaskBench, caplog: pytest.LogCaptureFixture) -> None:
    handle, child = dask.begun()
    dask.do(lambda: child.report(Logged(logging.WARNING, "acme.beats", "hot", 1.0, extra={"degrees": 90})))
    dask.do(child.end)
    dask.end(handle)

    (record,) = [each for each in caplog.records if each.name == "acme.beats"]
    assert (record.getMessage(), record.levelname) == ("hot", "WARNING")
    assert (vars(record)["job"], vars(record)["run"], vars(record)["degrees"]) == ("job", "job#1", 90)


def test_a_report_that_is_none_is_logged_and_ends_nothing(dask: DaskBench, caplog: pytest.LogCaptureFixture) -> None:
    handle, child = dask.begun()
    dask.do(lambda: child.handle(ExecutionReported(child.execution, {"nonsense": 1})))
    dask.do(child.end)

    assert dask.end(handle) == RunEnded("job#1", How.RETURNED, None, False, False)
    assert "the worker broke the protocol: it sent 'nonsense', which is not a report" in caplog.text


def test_a_run_whose_task_cannot_cross_does_not_start(dask: DaskBench) -> None:
    def refuse() -> TaskReference:
        raise CannotCross("cannot send param 'at': it is not JSON data")

    binding = Binding(lambda: Body(lambda ctx: None, None), refer=refuse)
    end = dask.end(dask.start(binding=binding))

    assert isinstance(end, RunStartFailed)
    assert (end.error.message, end.error.is_explained) == ("cannot send param 'at': it is not JSON data", True)


# -- stops


def test_a_cancel_reaches_the_processes_with_its_reason(dask: DaskBench) -> None:
    handle, child = dask.begun()
    dask.cancel(handle)
    end = dask.end(handle)

    assert end == RunEnded("job#1", How.CANCELLED, None, True, False)
    assert [(each.kind, each.reason) for each in child.commands] == [(CommandKind.CANCEL, WHY)]


def test_a_run_that_is_cancelled_while_it_waits_for_a_slot_never_begins(dask: DaskBench) -> None:
    begun = [dask.begun()[0] for _ in range(4)]
    waiting = dask.start()
    dask.cancel(waiting)

    assert dask.end(waiting) == RunEnded("job#5", How.NOT_ENTERED, None, True, False)
    assert all(handle.is_alive() for handle in begun)


def test_a_run_that_was_cancelled_before_its_start_never_begins(dask: DaskBench) -> None:
    dask.begun()  # the cluster is there
    handle = dask.start()
    dask.cancel(handle)
    end = dask.end(handle)

    assert isinstance(end, RunEnded)
    assert end.how in (How.NOT_ENTERED, How.CANCELLED)


def test_a_stop_of_many_runs_is_one_request_to_each_worker() -> None:
    bench = DaskBench("w1", "w2")
    for worker in bench.cluster.workers.values():
        worker.hello = hello_of(worker.name, slots=100)
    handles = [bench.start(f"job{number}") for number in range(200)]
    children = [bench.cluster.child() for _ in handles]

    def cancel_all() -> None:  # on the thread: none is sent in between
        for handle in handles:
            bench.cancel(handle)

    bench.do(cancel_all)
    for handle in handles:
        bench.end(handle)
    carried = [
        [sum(command.kind == CommandKind.CANCEL for command in request.commands) for request in worker.requests]
        for worker in bench.cluster.workers.values()
    ]
    bench.close()

    assert len(children) == 200
    assert [max(counts) for counts in carried] == [100, 100]
    assert bench.bugs == []


@pytest.mark.parametrize(
    ("steer", "kind", "number"),
    [
        ("terminate", CommandKind.TERMINATE, 0.0),
        ("set_urgent", CommandKind.URGENT, 0.0),
        ("kill", CommandKind.KILL, 0.0),
    ],
)
def test_the_handle_steers_the_processes(dask: DaskBench, steer: str, kind: str, number: float) -> None:
    handle, child = dask.begun()
    getattr(handle, steer)()
    dask.runner.stacks([handle], 0)
    dask.cancel(handle)
    dask.end(handle)

    assert (kind, number) in [(each.kind, each.number) for each in child.commands]


def test_signals_and_poll_intervals_carry_their_number(dask: DaskBench) -> None:
    handle, child = dask.begun()
    handle.signal(10)
    handle.set_poll_interval(0.25)
    dask.runner.stacks([handle], 0)

    found = [(each.kind, each.number) for each in child.commands if each.kind != CommandKind.STACK]
    assert sorted(found) == [(CommandKind.POLL_INTERVAL, 0.25), (CommandKind.SIGNAL, 10)]


def test_a_kill_ends_the_run_as_killed(dask: DaskBench) -> None:
    handle, _ = dask.begun()
    dask.cluster.on_command = lambda child, command: (
        child.end(How.KILLED, ERROR, was_requested=True) if command.kind == CommandKind.KILL else None
    )
    dask.cancel(handle)
    handle.kill()
    end = dask.end(handle)

    assert end == RunEnded("job#1", How.KILLED, ERROR, True, False)


def test_commands_after_the_end_have_no_effect(dask: DaskBench) -> None:
    handle, child = dask.begun()
    dask.do(child.end)
    dask.end(handle)
    handle.kill()
    handle.terminate()

    assert dask.runner.stacks([handle], 1) == [Stack("", "")]


def test_a_stack_comes_from_the_processes(dask: DaskBench) -> None:
    handle, _ = dask.begun()
    other, _ = dask.begun()

    def answer(child: Child, command: Command) -> None:
        if command.kind == CommandKind.STACK:
            child.report(StackAnswer(int(command.number), "f.py:3 in run", "whole"))
        obey(child, command)

    dask.cluster.on_command = answer
    assert dask.runner.stacks([handle, other], 1) == [Stack("f.py:3 in run", "whole"), Stack("f.py:3 in run", "")]


def test_a_run_that_does_not_answer_is_named_with_its_place(dask: DaskBench) -> None:
    handle, _ = dask.begun()
    assert dask.runner.stacks([handle], 1) == [Stack("worker w1 on host-w1, pid unknown (no answer)", "")]


# -- unexpected ends


def test_a_run_that_its_worker_has_stopped_by_itself_has_failed(dask: DaskBench) -> None:
    handle, child = dask.begun()
    dask.do(lambda: child.end(How.RETURNED, was_requested=True))
    end = dask.end(handle)

    assert isinstance(end, RunEnded)
    assert (end.how, end.was_requested) == (How.RAISED, False)
    assert end.error is not None
    assert str(end.error).startswith("its worker w1 on host-w1 has stopped it: the worker is closing, or has heard")


def test_a_run_that_cannot_begin_there_says_why(dask: DaskBench) -> None:
    handle = dask.start()
    child = dask.cluster.child()

    def fail() -> None:
        child.report(RunStartFailed("job#1", ERROR))
        child.handle(ExecutionGone(child.execution))

    dask.do(fail)
    assert dask.end(handle) == RunStartFailed("job#1", ERROR)
