"""Signals to a running program: one, two, three, a thousand, from a shell and from a terminal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]

TWO_POLITE = "jobs: {one: {task: polite}, two: {task: polite}}"
ONE_DEAF = "jobs: {deaf: {task: deaf, join: 8s}, polite: {task: polite}}"


def quiet(stderr: str) -> bool:
    return "Fatal Python error" not in stderr and "Traceback" not in stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_one_signal_stops_polite_jobs_and_logs_how_they_ended(start_program: Start, number: int, code: int) -> None:
    program = start_program(TWO_POLITE)
    program.wait_for("two          started")

    program.send(number)

    assert program.end() == code
    assert program.stderr.count("cancelled after") == 2
    assert quiet(program.stderr)


@pytest.mark.long
def test_a_second_signal_allows_two_more_seconds_and_the_stuck_job_is_named(start_program: Start) -> None:
    program = start_program(ONE_DEAF)
    program.wait_for("polite       started")

    program.send(signal.SIGTERM)
    program.wait_for("polite       cancelled")
    is_hurried = _send_until(program, signal.SIGTERM, "SIGTERM: at most")

    assert program.end() == 3
    overdue = next(event for event in program.events() if event["event"] == "stop_overdue")
    assert overdue["within"] < 8
    assert "misbehaving.py" in overdue["where"]
    assert is_hurried
    assert quiet(program.stderr.partition("its stack")[0])


def _send_until(program: Any, number: int, text: str) -> bool:
    """Send the signal until the text is logged: one too soon after the last counts as a double press."""
    while text not in program.stderr and program.process.poll() is None:
        program.send(number)
        try:
            program.process.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    return text in program.stderr


def test_a_third_signal_exits_at_once_with_its_own_code(start_program: Start) -> None:
    program = start_program("jobs: {deaf: {task: deaf, join: wait}}", "--stop-within", "forever")
    program.wait_for("deaf         started")

    program.send(signal.SIGINT)
    program.wait_for("Ctrl-C: stopping all jobs")
    _send_until(program, signal.SIGTERM, "SIGTERM: at most")
    _send_until(program, signal.SIGTERM, "never said")

    assert program.end() == 128 + signal.SIGTERM
    assert quiet(program.stderr)
    [left] = [line for line in program.stderr.splitlines() if "exiting at once" in line]
    assert left.partition("SIGTERM: exiting at once; left: deaf at ")[2].endswith("misbehaving.py:13 in deaf")


@pytest.mark.long
def test_a_third_signal_is_not_delayed_by_an_output_that_is_not_read(
    toy_packages: Path, child_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {deaf: {task: deaf, join: wait}}")
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "taskloom", "run", "jobs.yaml", "--stop-within", "forever"]
    env = child_env | {"PYTHONPATH": str(toy_packages)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=writing, stdout=subprocess.DEVNULL) as process:
        _read_until(reading, b"deaf         started")
        process.send_signal(signal.SIGINT)
        _read_until(reading, b"Ctrl-C: stopping all jobs")
        while not select.select([reading], [], [], 0.1)[0]:
            process.send_signal(signal.SIGINT)
        _read_until(reading, b"press again to exit at once")
        _fill(writing)
        began = time.monotonic()
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        took = time.monotonic() - began
    os.close(reading)
    os.close(writing)

    assert process.returncode == 128 + signal.SIGINT
    assert took < 10.0  # the debouncing of half a second, the exit within half a second, and a busy machine


def _read_until(descriptor: int, text: bytes) -> None:
    read = b""
    while text not in read:
        piece = os.read(descriptor, 65536)
        assert piece, read
        read += piece


def _fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(descriptor, True)


@pytest.mark.long
def test_a_thousand_signals_in_a_row_count_as_one(start_program: Start) -> None:
    program = start_program(TWO_POLITE)
    program.wait_for("two          started")

    for _ in range(1000):
        if program.process.poll() is None:
            program.send(signal.SIGTERM)

    assert program.end() == 0
    assert quiet(program.stderr)


@pytest.mark.parametrize(
    "tenth", [pytest.param(tenth, marks=[] if tenth in (1, 4, 7) else [pytest.mark.long]) for tenth in range(8)]
)
def test_a_signal_during_the_start_ends_the_program_and_leaves_no_process(start_program: Start, tenth: int) -> None:
    program = start_program(TWO_POLITE)

    try:
        program.process.wait(tenth * 0.05)
    except subprocess.TimeoutExpired:
        pass
    program.send(signal.SIGTERM)

    # Until the handlers are installed, the signal ends it as it ends any program.
    assert program.end() in (0, -signal.SIGTERM)
    assert quiet(program.stderr)


def test_quit_shows_where_each_job_is_and_stops_nothing(start_program: Start) -> None:
    program = start_program(ONE_DEAF)
    program.wait_for("polite       started")

    program.send(signal.SIGQUIT)

    program.wait_for("deaf#1 is at")
    assert "DEAF STANDS HERE" in program.stderr
    assert program.process.poll() is None
    program.kill()


def test_ctrl_c_at_a_terminal_stops_all_jobs(start_program: Start, terminal: tuple[int, int]) -> None:
    master, slave = terminal
    program = start_program(TWO_POLITE, stdin=slave, stdout=slave, preexec_fn=lambda: _own_terminal(slave))
    program.wait_for("two          started")

    os.write(master, b"\x03")

    assert program.end() == 130
    assert quiet(program.stderr)


def test_closing_the_terminal_stops_all_jobs(start_program: Start, terminal: tuple[int, int]) -> None:
    master, slave = terminal
    program = start_program(TWO_POLITE, stdin=slave, preexec_fn=lambda: _own_terminal(slave))
    os.close(slave)
    program.wait_for("two          started")

    os.close(master)

    assert program.end() == 0
    assert "SIGHUP: stopping all jobs" in program.stderr


def _own_terminal(descriptor: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
