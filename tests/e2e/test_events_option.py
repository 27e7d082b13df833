"""`taskloom run --events`: on standard output, and in files that cannot be written for a while."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.distribution import write_distribution

from taskloom.invariants.checker import check_events

Start = Callable[..., Any]

SOURCE = """
import os, subprocess, sys

def noisy(ctx):
    print("printed")
    sys.__stdout__.write("to the first stream\\n")
    sys.__stdout__.flush()
    os.write(1, b"to the descriptor\\n")
    subprocess.run(["echo", "by a child"])

def failing(ctx):
    raise ValueError("boom")
"""
PRINTS = ("printed", "to the first stream", "to the descriptor", "by a child")


class Ended(NamedTuple):
    """What a program has written, and its exit code."""

    out: str
    err: str
    code: int


@pytest.fixture
def run(tmp_path: Path, child_env: dict[str, str]) -> Callable[..., Ended]:
    """Run `taskloom run` with one job of a task to its end."""
    packages = write_distribution(tmp_path / "packages", "toys", SOURCE, ["noisy", "failing"])

    def call(task: str, *options: str, **streams: Any) -> Ended:
        (tmp_path / "jobs.yaml").write_text(f"jobs: {{one: {{task: {task}}}}}")
        command = [sys.executable, "-P", "-m", "taskloom", "run", "jobs.yaml", *options]
        env = child_env | {"PYTHONPATH": str(packages)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        done = subprocess.run(command, cwd=tmp_path, env=env, text=True, timeout=60, check=False, **streams)
        return Ended(done.stdout or "", done.stderr or "", done.returncode)

    return call


def test_standard_output_has_the_events_and_nothing_else(run: Callable[..., Ended]) -> None:
    ended = run("noisy", "--events", "-")

    events = [json.loads(line) for line in ended.out.splitlines()]
    assert check_events(events, is_whole=True) == []
    assert ended.code == 0
    for text in PRINTS:
        assert f"{text}\n" in ended.err


@pytest.mark.long
def test_without_it_prints_stay_on_standard_output(run: Callable[..., Ended]) -> None:
    ended = run("noisy", "--events", "events")

    assert sorted(ended.out.splitlines()) == sorted(PRINTS)


@pytest.mark.parametrize("path", ["-", pytest.param("/dev/stdout", marks=pytest.mark.long)])
def test_events_and_the_summary_cannot_both_be_there(run: Callable[..., Ended], path: str) -> None:
    ended = run("noisy", "--events", path, "--output", "json")

    assert (ended.out, ended.code) == ("", 2)
    assert f"cannot write both events (--events {path}) and the summary (--output json) to standard output" in ended.err


@pytest.mark.long
def test_output_is_spelled_as_in_all_verbs(run: Callable[..., Ended]) -> None:
    assert json.loads(run("failing", "--output", "json").out)["exit_code"] == 1


@pytest.mark.parametrize(("task", "code"), [pytest.param("noisy", 0, marks=pytest.mark.long), ("failing", 1)])
def test_a_full_disk_is_told_at_once_and_changes_no_exit_code(run: Callable[..., Ended], task: str, code: int) -> None:
    ended = run(task, "--events", "/dev/full")

    assert ended.code == code
    told = ended.err.index("cannot write events to '/dev/full': No space left on device; trying again")
    assert told < ended.err.index("JOB ")  # not only when everything has ended; a job may end faster than that
    assert "8 events could not be delivered (OSError: [Errno 28] No space left on device" in ended.err


def test_a_reader_that_has_gone_is_told_and_changes_no_exit_code(run: Callable[..., Ended]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    ended = run("failing", "--events", "-", stdout=writing)

    os.close(writing)
    assert ended.code == 1
    assert "cannot write events to standard output: its reader has gone; further events are lost" in ended.err


@pytest.mark.long
def test_a_pipe_that_is_not_read_stops_nothing(run: Callable[..., Ended], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    filler = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(filler, b"x" * 4096)

    ended = run("noisy", "--events", "pipe")

    os.close(reader)
    os.close(filler)
    assert ended.code == 0
    assert "8 events could not be delivered" in ended.err


@pytest.mark.long
def test_a_disk_that_gets_room_again_has_every_event(start_program: Start, small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * 1024 * 1024)
    (tmp_path / "events.jsonl").symlink_to(small_disk / "events.jsonl")
    program = start_program("jobs: {one: {task: polite}}")
    program.wait_for("cannot write events to")
    program.wait_for("No space left on device; trying again")

    (small_disk / "filler").unlink()
    program.wait_for("writing events to")
    program.wait_for_event("started", "one")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert "could not be delivered" not in program.stderr
    assert [event["seq"] for event in program.events()] == list(range(1, len(program.events()) + 1))


@pytest.mark.long
def test_a_file_that_is_rotated_loses_nothing(start_program: Start, tmp_path: Path) -> None:
    program = start_program("jobs: {one: {task: polite}, tick: {task: silent_leaver, schedule: {every: 50ms}}}")
    program.wait_for_event("ended", "tick")
    moved = tmp_path / "events.1"

    program.events_path.rename(moved)
    program.wait_for_event("ended", "tick")
    program.send(signal.SIGTERM)
    code = program.process.wait(60)

    lines = (moved.read_text() + program.events_path.read_text()).splitlines()
    program.events_path.write_text("".join(f"{line}\n" for line in lines))
    assert code == 0
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
