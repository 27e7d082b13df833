"""The child processes that are left: found with their jobs, asked to end, killed; and those that are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.contexts import run_context

from taskloom.cli.program.child_owners import ChildOwners
from taskloom.cli.program.children import LeftChild, LeftChildren, names_of
from taskloom.cli.program.forks import ForkedChildren
from taskloom.clock import mono
from taskloom.runners.context import current_run
from taskloom.runners.proc import Process, children_of_thread, command_of, has_children, read_process
from taskloom.runners.run_thread import RunThread

PATIENCE_SECONDS = 30.0
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
PARENT = "import subprocess, sys; c = subprocess.Popen(['sleep', '1000']); print(c.pid, flush=True); c.wait()"


@pytest.fixture
def owners() -> Iterator[ChildOwners]:
    owners = ChildOwners(ForkedChildren().wait_if_refused)
    owners.install()
    yield owners
    owners.close()


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[Any]]]:
    started: list[subprocess.Popen[Any]] = []

    def start(*command: str, **options: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
        started.append(process)
        return process

    yield start

    for process in started:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


def as_run(job: str, call: Callable[[], object]) -> None:
    def main() -> None:
        current_run.set(run_context(job))
        call()

    thread = RunThread(target=main, name=job)
    thread.start()
    thread.join()


def found(children: LeftChildren, *processes: subprocess.Popen[Any]) -> list[LeftChild]:
    """Return those of these processes; other tests of this process may have children, too."""
    pids = [process.pid for process in processes]
    return [child for child in children.find() if child.process.pid in pids]


def test_a_process_of_subprocess_belongs_to_the_job_on_whose_thread_it_was_started(
    owners: ChildOwners, start: Callable[..., subprocess.Popen[Any]]
) -> None:
    started: list[subprocess.Popen[Any]] = []
    as_run("a", lambda: started.append(start("sleep", "1000")))
    started.append(start("sleep", "1001"))

    named = names_of(found(LeftChildren(owners), *started))

    assert named == f"pid {started[0].pid} `sleep 1000` (job a), pid {started[1].pid} `sleep 1001` (job unknown)"


def test_a_process_without_wrapper_belongs_to_the_job_while_its_thread_lives(
    start: Callable[..., subprocess.Popen[Any]],
) -> None:
    go, started = threading.Event(), threading.Event()
    processes: list[subprocess.Popen[Any]] = []

    def call() -> None:
        processes.append(start("sleep", "1000"))
        started.set()
        go.wait()

    thread = RunThread(target=call, name="a")
    thread.start()
    started.wait()
    children = LeftChildren(ChildOwners(ForkedChildren().wait_if_refused))
    try:
        assert [child.job for child in found(children, *processes)] == ["a"]
    finally:
        go.set()
        thread.join()
    assert [child.job for child in found(children, *processes)] == [None]


def test_grandchildren_are_found_and_belong_to_the_job_of_their_parent(
    owners: ChildOwners, start: Callable[..., subprocess.Popen[Any]]
) -> None:
    started: list[subprocess.Popen[Any]] = []
    as_run("a", lambda: started.append(start(sys.executable, "-c", PARENT)))
    assert started[0].stdout is not None
    grandchild = int(started[0].stdout.readline())

    jobs = {child.process.pid: child.job for child in LeftChildren(owners).find()}
    os.kill(grandchild, signal.SIGKILL)

    assert jobs[grandchild] == "a"


def test_processes_are_asked_then_killed_and_those_with_a_session_of_their_own_are_left_alone(
    owners: ChildOwners, start: Callable[..., subprocess.Popen[Any]]
) -> None:
    polite, deaf = start("sleep", "1000"), start(sys.executable, "-c", DEAF)
    detached = start("sleep", "1000", start_new_session=True)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    children = LeftChildren(owners)
    spared = {child.process.pid: child.spared for child in found(children, polite, deaf, detached)}

    children.terminate()

    assert polite.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    assert not children.wait(mono())
    children.kill()
    assert deaf.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert children.wait(mono() + PATIENCE_SECONDS)
    assert detached.poll() is None
    assert spared == {polite.pid: "", deaf.pid: "", detached.pid: "a session of its own"}


def test_helpers_of_multiprocessing_are_left_alone(
    owners: ChildOwners, start: Callable[..., subprocess.Popen[Any]]
) -> None:
    modules = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "other")
    started = [
        start(sys.executable, "-c", f"import signal; signal.pause()  # from {name} import main") for name in modules
    ]

    assert [child.spared for child in found(LeftChildren(owners), *started)] == [
        "multiprocessing's resource tracker",
        "multiprocessing's fork server",
        "",
    ]


def test_processes_of_the_program_itself_are_not_found(
    owners: ChildOwners, start: Callable[..., subprocess.Popen[Any]]
) -> None:
    own = start("sleep", "1000")

    assert found(LeftChildren(owners, [own.pid]), own) == []


def test_a_process_whose_number_was_given_to_another_one_gets_no_signal(
    monkeypatch: pytest.MonkeyPatch, owners: ChildOwners, start: Callable[..., subprocess.Popen[Any]]
) -> None:
    other = start("sleep", "1000")
    children = LeftChildren(owners)
    [child] = found(children, other)
    before = child._replace(process=child.process._replace(started=child.process.started - 1))
    monkeypatch.setattr(children, "find", lambda: [before])

    children.terminate()
    monkeypatch.undo()

    # Not its command as well: between fork and exec that is read differently.
    assert [each.process for each in found(children, other)] == [child.process]


def test_no_process_can_be_started_once_forks_are_refused(start: Callable[..., subprocess.Popen[Any]]) -> None:
    forks = ForkedChildren()
    owners = ChildOwners(forks.wait_if_refused)
    owners.install()
    began, started = threading.Event(), threading.Event()

    def call() -> None:
        began.set()
        start("true")
        started.set()

    forks.refuse()
    thread = threading.Thread(target=call, daemon=True)
    try:
        thread.start()
        began.wait()
        assert not started.wait(0.05)
    finally:
        owners.close()
        forks.allow()
        thread.join()


def test_the_owners_of_processes_that_have_ended_are_forgotten(owners: ChildOwners) -> None:
    as_run("a", lambda: [subprocess.run(["true"], check=True) for _ in range(3)])
    process = read_process(os.getpid())
    assert process is not None
    owners._many = 2

    as_run("b", lambda: owners._record(os.getpid(), "b"))

    assert owners._jobs == {(process.pid, process.started): "b"}


def test_reading_proc(start: Callable[..., subprocess.Popen[Any]]) -> None:
    child = start("sleep", "1000")
    process = read_process(child.pid)

    assert isinstance(process, Process)
    assert (process.pid, process.parent, process.session) == (child.pid, os.getpid(), os.getsid(0))
    while command_of(child.pid) == "[sleep]":
        pass  # the kernel closes the pipe that Popen waits for a moment before the arguments can be read
    assert command_of(child.pid) == "sleep 1000"
    assert child.pid in children_of_thread(threading.get_native_id())
    assert has_children()
    assert (read_process(2**22 + 1), command_of(2**22 + 1), children_of_thread(2**22 + 1)) == (None, "[ended]", [])
