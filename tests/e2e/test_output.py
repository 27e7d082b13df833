"""Readers that have gone, full pipes, and descriptors that were never open."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Each starts whole programs; test_stopping and test_signals are in the quick share.
pytestmark = pytest.mark.long

Start = Callable[..., Any]

PRINTER = "jobs: {printer: {task: printer, join: 3s}}"


def test_lines_of_two_jobs_are_whole_on_stdout(start_program: Start, tmp_path: Path) -> None:
    jobs = "{task: printer, params: {text: %s}}"
    with (tmp_path / "out").open("wb") as out:
        program = start_program(f"jobs: {{a: {jobs % 'a'}, b: {jobs % 'b'}}}", stdout=out)
        program.wait_for("b            started")
        program.send(signal.SIGTERM)

        assert program.end() == 0

    lines = set((tmp_path / "out").read_text().splitlines()[:-1])
    assert lines <= {"a" * 100, "b" * 100}


def test_a_reader_that_has_gone_does_not_stop_the_program(start_program: Start) -> None:
    reading, writing = os.pipe()
    program = start_program(PRINTER, stdout=writing)
    os.close(writing)
    os.read(reading, 100)

    os.close(reading)
    program.wait_for("printer      started")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert "Traceback" not in program.stderr


def test_a_full_stdout_does_not_delay_the_stop(start_program: Start) -> None:
    reading, writing = os.pipe()
    program = start_program(PRINTER, stdout=writing)
    os.close(writing)
    program.wait_for("printer      started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    os.close(reading)


def test_a_full_stderr_does_not_delay_the_stop(toy_packages: Path, child_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: polite}}")
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    command = [sys.executable, "-m", "taskloom", "run", "jobs.yaml", "--events", "events"]
    env = child_env | {"PYTHONPATH": str(toy_packages)}
    os.mkfifo(tmp_path / "events")
    events = os.open(tmp_path / "events", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(events, True)
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=writing, stdout=subprocess.DEVNULL) as process:
        os.close(writing)
        with os.fdopen(events, encoding="utf-8") as lines:
            _wait_for_line(lines, '"started"')
            process.send_signal(signal.SIGTERM)

            assert process.wait(20) == 0
    os.close(reading)


def _wait_for_line(lines: Any, text: str) -> None:
    for line in iter(lines.readline, None):
        if text in line:
            return


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&- <&-", ">/dev/full 2>/dev/full"])
def test_closed_and_full_descriptors_never_change_the_exit_code(
    toy_packages: Path, child_env: dict[str, str], tmp_path: Path, closing: str
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: bad}}")
    env = child_env | {"PYTHONPATH": str(toy_packages)}

    command = f"exec {shlex.quote(sys.executable)} -m taskloom run jobs.yaml {closing}"
    answer = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=env, timeout=30, capture_output=True, check=False
    )

    assert answer.returncode == 1


def test_an_event_file_that_cannot_be_written_is_a_usage_error(
    taskloom_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: countdown}}")

    answer = taskloom_cli("run", "jobs.yaml", "--events", tmp_path / "no" / "such")

    assert answer.returncode == 2
    assert "cannot write events to" in answer.stderr
    assert "No such file or directory" in answer.stderr


def test_labels_select_the_jobs_that_run(start_program: Start) -> None:
    jobs = "jobs: {a: {task: silent_leaver, labels: [x]}, b: {task: bad, labels: [y]}}"

    program = start_program(jobs, "-l", "x")

    assert program.end() == 0
    assert "loaded 1 job from jobs.yaml: a" in program.stderr


def test_a_label_that_no_job_has_is_a_usage_error(start_program: Start) -> None:
    program = start_program("jobs: {a: {task: polite, labels: [x]}}", "-l", "z")

    assert program.end() == 2
    assert "cannot find a job with label 'z'; labels: x" in program.stderr


def test_a_list_whose_reader_has_gone_is_not_a_failure(child_env: dict[str, str]) -> None:
    command = f"{shlex.quote(sys.executable)} -m taskloom tasks | true; exit ${{PIPESTATUS[0]}}"

    answer = subprocess.run(["bash", "-c", command], env=child_env, timeout=30, capture_output=True, check=False)

    assert (answer.returncode, answer.stderr) == (0, b"")
