"""SIGTERM ends a task that ignores its cancellation; the stacks are written even while the GIL is held."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from tests.support import worker_tasks as tasks
from tests.support.driven_worker import DrivenWorker

from taskloom.clock import mono
from taskloom.core.endings import How
from taskloom.runners.process.stack_dump import dump_stack
from taskloom.runners.wire import Ended, Logged, Polled, Urgent

pytestmark = pytest.mark.long

Start = Callable[..., DrivenWorker]


def test_sigterm_raises_cancelled_in_a_task_that_has_not_polled(start_worker: Start) -> None:
    worker = start_worker(tasks.deaf)
    worker.until(Logged)

    worker.cancel()
    worker.terminate()

    (end,) = worker.all(Ended)
    assert (end.how, end.was_requested) == (How.CANCELLED, True)
    assert worker.output()[2] == 0


def test_sigterm_interrupts_a_loop_that_never_gives_up_the_gil_for_long(start_worker: Start) -> None:
    worker = start_worker(tasks.works)
    worker.until(Logged)

    worker.cancel()
    worker.terminate()

    assert [end.how for end in worker.all(Ended)] == [How.CANCELLED]


def test_sigterm_raises_once(start_worker: Start) -> None:
    worker = start_worker(tasks.deaf_twice)
    worker.until(Logged)
    worker.cancel()
    worker.terminate()
    assert worker.until(Logged).message == "swallowed"

    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGKILL)

    assert worker.all(Ended) == []
    assert worker.output()[2] == -signal.SIGKILL


def test_sigterm_leaves_a_task_alone_that_is_finishing(start_worker: Start) -> None:
    worker = start_worker(tasks.finishes_slowly)
    worker.until(Logged)
    worker.cancel()
    assert worker.until(Logged).message == "finishing"

    worker.signal(signal.SIGTERM)
    worker.send(Urgent())

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, False)]
    assert worker.all(Logged)[-1].message == "finished"


def test_sigterm_without_a_request_ends_the_process(start_worker: Start) -> None:
    worker = start_worker(tasks.deaf)
    worker.until(Logged)

    worker.terminate()

    assert worker.all(Ended) == []
    assert worker.output()[2] == -signal.SIGTERM


def test_ctrl_c_has_no_effect(start_worker: Start) -> None:
    worker = start_worker(tasks.ignores_interrupt)
    worker.until(Logged)

    worker.signal(signal.SIGINT)
    worker.cancel()

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, False)]
    assert worker.output() == ("", "", 0)


def test_a_task_may_set_handlers_of_its_own(start_worker: Start) -> None:
    worker = start_worker(tasks.sets_signals)
    worker.until(Logged)

    worker.cancel()

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, False)]
    assert worker.output() == ("own handler\n", "", 0)


def test_the_stack_of_a_task_that_holds_the_gil_is_read(start_worker: Start) -> None:
    worker = start_worker(tasks.hogs)
    hello = worker.hello()
    worker.until(Logged)

    stack = dump_stack(hello, worker.signal, mono() + 0.1)  # perhaps before it holds it
    while ":" not in stack.where or "max(itertools" not in stack.text:
        stack = dump_stack(hello, worker.signal, mono() + 0.1)

    assert stack.where.startswith(f"{tasks.__file__}:")
    assert stack.where.endswith(" in hogs")
    assert stack.text.startswith(f'  File "{tasks.__file__}"')
    worker.signal(signal.SIGKILL)
    out, err, _ = worker.output()
    assert (out, err) == ("", "")


def test_a_task_that_takes_the_gil_after_a_wait_is_not_taken_for_waiting(start_worker: Start) -> None:
    worker = start_worker(tasks.hogs)
    while not worker.until(Polled).waiting:
        pass

    assert not worker.until(Polled).waiting

    worker.signal(signal.SIGKILL)


def test_a_dump_of_a_worker_that_is_gone_is_empty(start_worker: Start) -> None:
    worker = start_worker(tasks.identity)
    hello = worker.hello()
    worker.all(Ended)
    worker.process.wait()

    assert dump_stack(hello, lambda _: None, mono() + 30.0) == ("", "")
