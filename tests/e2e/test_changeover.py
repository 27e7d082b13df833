"""What a reload adds begins after what it removed; what it leaves decides when the program ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Each starts whole programs; test_stopping and test_signals are in the quick share.
pytestmark = pytest.mark.long

Start = Callable[..., Any]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_renamed_reader_and_its_replacement_never_want_one_port_at_the_same_time(
    start_program: Start, port: int, tmp_path: Path
) -> None:
    reader = f"{{task: socket-reader, params: {{listen: 'tcp://127.0.0.1:{port}', framing: line, output: out.log}}}}"
    program = start_program(f"jobs: {{inbox: {reader}}}")
    program.wait_for_event("ready", "inbox")

    program.reload(f"jobs: {{mail: {reader}}}")
    program.wait_for("reload: mail begins when inbox#1 has ended")
    program.wait_for_event("ready", "mail")
    program.reload(f"jobs: {{inbox: {reader}}}")
    program.wait_for_event("ready", "inbox", count=2)
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert [event["outcome"] for event in program.events("ended")] == ["cancelled"] * 3


def test_a_removed_job_that_does_not_stop_is_named_and_what_was_added_begins(start_program: Start) -> None:
    program = start_program("jobs: {deaf: {task: deaf, daemon: true, join: 200ms}, main: {task: polite}}")
    program.wait_for("main         started")

    program.reload("jobs: {new: {task: polite}, main: {task: polite}}")

    program.wait_for("new          started")
    assert "reload: new begins although deaf#1 has not ended; both may need the same port or file" in program.stderr
    program.send(signal.SIGTERM)
    assert program.end() == 0


@pytest.mark.parametrize("daemon", ["left: {task: polite, daemon: true}", "main: {task: polite, daemon: true}"])
def test_a_program_of_daemons_that_a_reload_left_runs_until_a_signal(start_program: Start, daemon: str) -> None:
    program = start_program("jobs: {main: {task: polite}, left: {task: polite, daemon: true}}")
    program.wait_for("left         started")

    program.reload(f"jobs: {{{daemon}}}")
    program.wait_for("program never ends by itself: every job is a daemon")
    program.wait_for_event("ended", "main")
    program.send(signal.SIGHUP)
    program.wait_for("nothing has changed")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert [event["reason"]["kind"] for event in program.events("scheduler_stopping")] == ["signal"]


def test_a_job_that_a_reload_adds_to_daemons_ends_the_program_when_it_has_ended(start_program: Start) -> None:
    program = start_program("jobs: {left: {task: polite, daemon: true}}")
    program.wait_for("left         started")

    program.reload("jobs: {left: {task: polite, daemon: true}, once: {task: silent_leaver}}")

    assert program.end() == 0
    assert [event["reason"]["kind"] for event in program.events("scheduler_stopping")] == ["finished"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_reload_reads_thousands_of_jobs_stops_all_at_once(start_program: Start, number: int) -> None:
    many = "".join(f"  p{count}: {{task: polite, start: manual}}\n" for count in range(3000))
    program = start_program("jobs: {first: {task: polite}}")
    program.wait_for("first        started")
    program.reload(f"jobs:\n{many}  first: {{task: polite}}\n")
    program.wait_for("reload: reading the job files again")

    program.send(number)

    assert program.end() == (130 if number == signal.SIGINT else 0)
    [stopping] = program.events("scheduler_stopping")
    [asked] = program.events("cancel_requested")
    assert asked["seq"] == stopping["seq"] + 1
    assert program.events("reloaded") == []
    assert "Traceback" not in program.stderr
