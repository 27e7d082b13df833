"""A run in a worker: the same context, reports and ends as in a thread, told by messages."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import worker_tasks as tasks
from tests.support.driven_worker import DrivenWorker, spec_for

from taskloom.cli.limits import THREADS_OF_WORKER_RUN
from taskloom.clock import mono
from taskloom.core.endings import How
from taskloom.runners.gauges import Progress
from taskloom.runners.wire import (
    CallbackFailed,
    Ended,
    Gauged,
    Hello,
    Logged,
    Polled,
    PollInterval,
    Ready,
    StackAnswer,
    StackRequest,
    Started,
    StartFailed,
    Urgent,
)

Start = Callable[..., DrivenWorker]

INFO = {"": logging.INFO}


def test_a_run_reports_its_start_progress_counters_logs_and_end(start_worker: Start) -> None:
    worker = start_worker(tasks.Reporter, params={"every": "500ms"}, log_levels=INFO)

    hello = worker.hello()
    worker.until(Started)
    worker.until(Gauged)
    worker.send(Urgent())
    worker.cancel()
    ends = worker.all(Ended)

    first, last = worker.all(Logged)
    gauges = worker.all(Gauged)
    assert hello.pid == worker.process.pid
    assert ends == [Ended(How.RETURNED, None, True, False)]
    assert worker.received[-1] is ends[0]
    assert (first.message, first.level, first.name) == ("every 0.5", logging.INFO, "taskloom.task")
    assert first.extra == {"answer": 42, "odd": "{1}"}
    assert last.message.startswith("stopped: user: the test")
    assert gauges == [
        Gauged(Progress(1, 3, "steps"), {"seen": 2}),
        Gauged(Progress(2, 3, "steps"), {"seen": 3}),
    ]
    assert worker.output() == ("printed\n", "on stderr\n", 0)


def test_terminate_and_callbacks_are_called_on_helper_threads(start_worker: Start) -> None:
    first = mono()
    worker = start_worker(tasks.Announcer)

    started = worker.until(Started)

    assert not started.is_ready
    assert first <= started.at <= mono()  # the clock of all processes
    worker.until(Ready)
    worker.cancel()

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, True)]
    assert [record.message.rstrip("0123456789") for record in worker.all(Logged)] == [
        "terminated on taskloom-callback-"
    ]
    (failed,) = worker.all(CallbackFailed)
    assert failed.name == "bad_callback"
    assert failed.error.message == "bad callback"
    assert worker.output()[2] == 0


@pytest.mark.long
def test_terminate_returns_before_the_process_ends(start_worker: Start) -> None:
    worker = start_worker(tasks.LateTerminate)
    worker.until(Polled)

    worker.cancel()

    assert [record.message for record in worker.all(Logged)] == ["terminated"]
    assert worker.output()[2] == 0


@pytest.mark.long
def test_the_run_has_its_identity_and_the_main_thread(start_worker: Start) -> None:
    worker = start_worker(tasks.identity, job="a job", run="a job#7", attempt=3, replica=2, poll_interval=2.5)

    (record,) = worker.all(Logged)

    assert record.message == "a job a job#7 3 2 2.5 [True, 'a job']"


ENDS: list[tuple[Any, How, str, str]] = [
    (tasks.fails, How.RAISED, "ValueError", "boom"),
    (tasks.fails_for_good, How.PERMANENT, "PermanentFailure", "never again"),
    (tasks.fails_explained, How.RAISED, "TaskFailure", "the disk is full"),
    (tasks.raises_odd, How.RAISED, "BaseException", "odd"),
    (tasks.exits, How.RAISED, "SystemExit", "3"),
    (tasks.needs_memory, How.RAISED, "MemoryError", ""),
    (tasks.recurses, How.RAISED, "RecursionError", "maximum recursion depth exceeded"),
]


@pytest.mark.long
@pytest.mark.parametrize(("task", "how", "kind", "message"), ENDS, ids=[task.__name__ for task, *_ in ENDS])
def test_an_exception_is_reported_with_a_traceback_that_begins_with_the_task(
    start_worker: Start, task: Any, how: How, kind: str, message: str
) -> None:
    worker = start_worker(task)

    (end,) = worker.all(Ended)

    assert end.error is not None
    assert (end.how, end.error.type, end.was_requested) == (how, kind, False)
    assert end.error.message.startswith(message)
    assert end.error.traceback.splitlines()[1].startswith(f'  File "{tasks.__file__}"')
    assert end.error.is_explained is (kind in ("PermanentFailure", "TaskFailure"))
    assert worker.output()[2] == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("task", "how", "messages"),
    [(tasks.waits_async, How.RETURNED, ["async", "told"]), (tasks.sleeps_async, How.CANCELLED, ["async"])],
    ids=["waits", "sleeps"],
)
def test_a_coroutine_is_cancelled(start_worker: Start, task: Any, how: How, messages: list[str]) -> None:
    worker = start_worker(task, log_levels={"": logging.INFO})
    worker.until(Logged)

    worker.cancel()

    (end,) = worker.all(Ended)
    assert (end.how, end.was_requested) == (how, True)
    assert [record.message for record in worker.all(Logged) if record.name == "taskloom.task"] == messages


@pytest.mark.long
def test_the_poll_interval_changes_during_the_run(start_worker: Start) -> None:
    worker = start_worker(tasks.polls_interval)
    worker.until(Logged)

    worker.send(PollInterval(7.5))

    assert [record.message for record in worker.all(Logged)] == ["first 1.0", "then 7.5"]


@pytest.mark.long
def test_the_run_sees_that_the_stop_is_urgent(start_worker: Start) -> None:
    worker = start_worker(tasks.waits_for_urgent)
    worker.until(Logged)

    worker.cancel()
    worker.send(Urgent())

    assert [record.message for record in worker.all(Logged)] == ["waits", "urgent"]


@pytest.mark.long
def test_the_descriptor_of_the_context_wakes_the_run(start_worker: Start) -> None:
    worker = start_worker(tasks.uses_descriptor)
    worker.until(Logged)

    worker.cancel()

    (end,) = worker.all(Ended)
    assert (end.was_requested, end.callback_ran) == (True, True)


@pytest.mark.long
def test_the_heartbeat_shows_a_wait_and_stays_silent_during_it(start_worker: Start) -> None:
    worker = start_worker(tasks.counts_in_thread)

    assert worker.until(Polled).waiting
    # The thread counts half a second later, with no sample in between.
    assert worker.until(Gauged).counts == {"late": 5}
    worker.cancel()

    assert len(worker.all(Polled)) <= 2


@pytest.mark.long
def test_a_request_before_the_body_prevents_it(start_worker: Start, child_env: dict[str, str]) -> None:
    worker = start_worker(tasks.identity)
    # Both lines are there before the worker has started.
    worker.cancel()

    ends = worker.all(Ended)

    assert ends == [Ended(How.NOT_ENTERED, None, True, False)] or ends[0].how is How.RETURNED


@pytest.mark.long
def test_params_that_are_not_plain_are_checked_in_the_worker(start_worker: Start) -> None:
    worker = start_worker(tasks.with_params, params={"numbers": [1, 2.5]})

    (record,) = worker.all(Logged)

    assert record.message == "[1.0, 2.5] 'x'"


@pytest.mark.long
def test_checked_values_are_not_checked_again(start_worker: Start) -> None:
    worker = start_worker(tasks.with_params, params={"numbers": [1]}, values={"numbers": [1.0], "name": "y"})

    (record,) = worker.all(Logged)

    assert record.message == "[1.0] 'y'"


@pytest.mark.long
def test_params_that_do_not_fit_any_more_fail_the_start(start_worker: Start) -> None:
    worker = start_worker(tasks.with_params, params={"numbers": "many"})

    (failed,) = worker.all(StartFailed)

    assert "numbers" in failed.error.message
    assert worker.all(Ended) == []


@pytest.mark.long
def test_the_stack_shows_the_line_of_the_task(start_worker: Start) -> None:
    worker = start_worker(tasks.works)
    worker.until(Logged)

    worker.send(StackRequest(7))
    answer = worker.until(StackAnswer)

    assert answer.id == 7
    assert answer.where.startswith(f"{tasks.__file__}:")
    assert answer.where.endswith(" in works")
    assert answer.text.startswith(f'  File "{tasks.__file__}"')


@pytest.mark.long
def test_the_end_of_the_program_is_a_request_to_stop(start_worker: Start) -> None:
    worker = start_worker(tasks.Reporter)
    worker.until(Logged)

    worker.control.shutdown(1)

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, False)]
    assert "shutdown: the program that started it has ended" in worker.all(Logged)[-1].message


@pytest.mark.long
def test_the_worker_ends_quietly_when_the_program_is_gone(start_worker: Start) -> None:
    worker = start_worker(tasks.waits)
    worker.until(Started)

    worker.control.close()

    assert worker.output() == ("", "", 0)


@pytest.mark.long
def test_a_worker_that_is_killed_by_its_task_says_nothing_about_it(start_worker: Start) -> None:
    worker = start_worker(tasks.kills_itself)

    assert worker.all(Ended) == []
    assert worker.output()[2] == -signal.SIGSEGV


@pytest.mark.long
def test_a_waiting_run_has_the_threads_that_the_limits_are_compared_with(start_worker: Start) -> None:
    worker = start_worker(tasks.waits)
    worker.until(Started)

    threads = list(Path(f"/proc/{worker.process.pid}/task").iterdir())

    supervisor = 1
    assert len(threads) + supervisor == THREADS_OF_WORKER_RUN


@pytest.mark.long
def test_a_process_that_gets_no_thread_fails_the_start_in_words(child_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import threading\n"
        "def refuse(self):\n"
        '    raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = refuse\n"
    )
    with DrivenWorker(child_env | {"PYTHONPATH": str(tmp_path)}, spec_for(tasks.waits)) as worker:
        (failed,) = worker.all(StartFailed)

    assert failed.error.message.startswith("cannot start a thread in the process: the system has no more processes")


@pytest.mark.long
def test_the_first_message_is_the_hello(start_worker: Start) -> None:
    worker = start_worker(tasks.identity)

    worker.all(Ended)

    assert [type(message) for message in worker.received[:2]] == [Hello, Started]
