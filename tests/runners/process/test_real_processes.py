"""Runs in real processes: what only the kernel can show."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from tests.support import process_tasks_of_runner as tasks
from tests.support.descriptors import no_descriptor_is_left

from taskloom.core.inputs import RunEnded, RunStarted
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.runners import Report, RunOrder
from taskloom.runners.binding import Binding, Body, TaskReference
from taskloom.runners.proc import processes, read_process
from taskloom.runners.process import ProcessRunner
from taskloom.runners.process.handle import ProcessHandle
from taskloom.sync.cancel_token import CancelToken

SOON = 30.0
WHY = Reason(ReasonKind.USER, "enough")

pytestmark = pytest.mark.long


class Bench:
    """A runner and its reports."""

    def __init__(self) -> None:
        self.runner = ProcessRunner()
        self.bugs: list[BaseException] = []
        self.runner.record_bug = self.bugs.append
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self.handles: list[ProcessHandle] = []
        self.tokens: list[CancelToken] = []

    def start(self, task: Callable[[Any], object]) -> ProcessHandle:
        reference = TaskReference(task.__module__, task.__qualname__, {}, task.__qualname__)
        binding = Binding(lambda: Body(task, None), refer=lambda: reference, label=reference.label)
        token = CancelToken()
        order = RunOrder(f"job#{len(self.handles) + 1}", "job", "task", 1, 1, False, 0.5, binding)
        handle = self.runner.start(order, token, self.reports.put)
        self.handles.append(handle)
        self.tokens.append(token)
        return handle

    def begin(self, task: Callable[[Any], object]) -> ProcessHandle:
        handle = self.start(task)
        assert isinstance(self.report(), RunStarted)
        return handle

    def report(self) -> Report:
        return self.reports.get(timeout=SOON)

    def end(self) -> RunEnded:
        while not isinstance(report := self.report(), RunEnded):
            pass
        return report

    def cancel(self) -> None:
        for token in self.tokens:
            token.request(WHY)
            token.wake()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    with no_descriptor_is_left():
        yield made
        made.runner.close()
        for handle in made.handles:
            handle.kill()
        for handle in made.handles:
            assert handle.join(SOON)
        assert made.runner.join(SOON)
    assert made.bugs == []


def test_a_run_ends_with_its_cancel_and_nothing_is_left(bench: Bench) -> None:
    handle = bench.begin(tasks.waits)
    info = handle.process

    bench.cancel()
    end = bench.end()
    assert handle.join(SOON)

    assert info is not None
    assert (info.processes, info.pid) == (1, handle.main)
    assert end == RunEnded("job#1", How.RETURNED, None, True, False)
    assert read_process(handle.main) is None
    assert read_process(handle.supervisor) is None


def test_a_run_that_ignores_everything_is_killed_with_its_children(bench: Bench) -> None:
    handle = bench.begin(tasks.forks_and_ignores)
    bench.cancel()

    handle.terminate()
    handle.kill()
    end = bench.end()
    assert handle.join(SOON)

    assert end.how is How.KILLED
    assert str(end.error).startswith("SIGKILL after ")


def test_a_supervisor_that_was_stopped_kills_all_the_same(bench: Bench) -> None:
    handle = bench.begin(tasks.ignores)
    os.kill(handle.supervisor, signal.SIGSTOP)
    bench.cancel()

    handle.kill()
    end = bench.end()

    assert end.how is How.KILLED


def test_a_worker_that_was_stopped_is_killed(bench: Bench) -> None:
    handle = bench.begin(tasks.waits)
    os.kill(handle.main, signal.SIGSTOP)
    bench.cancel()

    handle.kill()

    assert bench.end().how is How.KILLED


def test_a_run_whose_supervisor_is_killed_is_lost_and_so_are_its_children(bench: Bench) -> None:
    handle = bench.begin(tasks.forks_and_ignores)
    main = handle.main
    group: list[int] = []
    while len(group) < 2:  # until it has forked
        group = [process.pid for process in processes() if _group_of(process.pid) == main]

    os.kill(handle.supervisor, signal.SIGKILL)
    end = bench.end()
    assert handle.join(SOON)
    left = threading.Event()
    for _ in range(500):
        if not any(_is_there(pid) for pid in group):
            break
        left.wait(0.01)

    assert (end.how, str(end.error)) == (How.LOST, "its supervisor is gone: SIGKILL")
    assert len(group) == 2
    assert [pid for pid in group if _is_there(pid)] == []


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _is_there(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and not process.is_zombie


@pytest.mark.parametrize("task", [tasks.waits, tasks.holds_the_gil], ids=["waits", "holds the GIL"])
def test_the_stack_of_a_run_names_its_line(bench: Bench, task: Callable[[Any], object]) -> None:
    handle = bench.begin(task)

    # A busy process may need longer for its answer than the runner waits. The test's timeout limits it.
    while f"in {task.__name__}" not in (stack := bench.runner.stacks([handle], 1)[0]).where:
        pass

    assert f"in {task.__name__}" in stack.text


def test_a_thousand_cancels_of_runs_that_start_leave_nothing(bench: Bench) -> None:
    for _ in range(1000):
        bench.start(tasks.waits)
    bench.cancel()

    ends = [bench.end() for _ in range(1000)]
    for handle in bench.handles:
        assert handle.join(SOON)

    assert {end.how for end in ends} <= {How.NOT_ENTERED, How.RETURNED}
    assert len({end.run for end in ends}) == 1000
