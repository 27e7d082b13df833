"""A real program under a service manager: what systemd would be told, in a fake of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Program
from tests.support.notify_socket import FakeServiceManager

from taskloom.clock import mono

Start = Callable[..., Program]

pytestmark = pytest.mark.long

POLITE = "jobs: {one: {task: polite}}"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeServiceManager]:
    with FakeServiceManager(str(tmp_path / "notify")) as found:
        yield found


@pytest.fixture
def start(start_program: Start, manager: FakeServiceManager) -> Start:
    def start(jobs: str, *options: str, **variables: str) -> Program:
        return start_program(jobs, *options, env={"NOTIFY_SOCKET": manager.address, **variables})

    return start


def test_ready_a_reload_and_the_stop_are_told_in_order(start: Start, manager: FakeServiceManager) -> None:
    program = start(POLITE)
    assert manager.wait_for("READY=1").startswith("READY=1")
    before = mono()
    program.reload("jobs: {one: {task: polite}, two: {task: polite}}")
    manager.wait_for("READY=1", count=2)
    manager.wait_for("STATUS=2 jobs: 2 running")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    manager.wait_for("STOPPING=1")

    assert manager.names() == ["READY", "RELOADING", "MONOTONIC_USEC", "READY", "STOPPING"]
    [written] = [line.partition("=")[2] for line in manager.lines if line.startswith("MONOTONIC_USEC=")]
    assert before <= int(written) / 1e6 <= mono()


def test_a_reload_of_a_broken_file_ends_as_well(start: Start, manager: FakeServiceManager) -> None:
    program = start(POLITE)
    manager.wait_for("READY=1")
    program.reload("jobs: {one: {task: nothing}}")
    manager.wait_for("READY=1", count=2)
    program.send(signal.SIGTERM)

    assert program.end() == 0


def test_a_program_that_ends_by_itself_at_once_was_ready(start: Start, manager: FakeServiceManager) -> None:
    assert start("jobs: {one: {task: silent_leaver}}").end() == 0
    manager.wait_for("STOPPING=1")

    assert manager.names() == ["READY", "STOPPING"]


def test_a_program_whose_files_are_wrong_is_never_ready(start: Start, manager: FakeServiceManager) -> None:
    assert start("jobs: {one: {task: nothing}}").end() == 2
    assert manager.lines == []


def test_a_job_that_is_not_ready_is_named(start: Start, manager: FakeServiceManager, tmp_path: Path) -> None:
    until = tmp_path / "until"
    program = start(f"jobs: {{web: {{task: opening, params: {{until: {until}}}}}}}")
    manager.wait_for("STATUS=1 job: 1 running; not ready: waiting for web")
    until.touch()
    manager.wait_for("READY=1")
    program.send(signal.SIGTERM)

    assert program.end() == 0


def test_the_watchdog_is_fed_and_a_stop_gets_more_time(start: Start, manager: FakeServiceManager) -> None:
    program = start("jobs: {deaf: {task: deaf, join: 1s}}", WATCHDOG_USEC="400000")
    manager.wait_for("WATCHDOG=1", count=3)
    program.send(signal.SIGTERM)
    manager.wait_for("EXTEND_TIMEOUT_USEC=15000000")
    manager.wait_for("STATUS=stopping: waiting for deaf")

    assert program.end() == 3


def test_no_process_of_a_job_speaks_for_the_program(start: Start, manager: FakeServiceManager, tmp_path: Path) -> None:
    out = tmp_path / "environment"
    argv = f"[sh, -c, 'env > {out}; exec sleep 1000']"
    program = start(
        f"jobs: {{one: {{task: command, params: {{argv: {argv}}}}}}}", WATCHDOG_USEC="4000000", LISTEN_FDNAMES="x"
    )
    manager.wait_for("READY=1")
    while not out.exists() or "PATH" not in out.read_text():
        program.pass_time(0.02)
    program.send(signal.SIGTERM)
    assert program.end() == 0

    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDNAMES"}.intersection(
        line.partition("=")[0] for line in out.read_text().splitlines()
    )


def test_a_wrong_variable_is_a_warning_and_the_jobs_run(start_program: Start) -> None:
    program = start_program(POLITE, env={"NOTIFY_SOCKET": "vsock:2:1"})
    program.wait_for("started")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert "cannot notify the service manager at 'vsock:2:1'; expected NOTIFY_SOCKET=/PATH or @NAME" in program.stderr
