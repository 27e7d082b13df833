"""Runs in processes as the verbs of another terminal show them, and signals to them: a real `taskloom run`."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest

JOBS = """
defaults: {join: 20s}
jobs:
  there: {task: countdown, params: {start: 86400}, runner: process}
  deaf: {task: countdown, params: {start: 86400, deaf: true}, runner: process, join: 1s}
  here: {task: countdown, params: {start: 86400}}
"""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other program of this machine has."""
    return f"test-{os.getpid()}-{zlib.crc32(request.node.nodeid.encode()):x}"


@pytest.fixture
def verb(taskloom_cli: Callable[..., Any], name: str) -> Callable[..., tuple[int, str, str]]:
    """Call a verb; return its exit code, and what it wrote to standard output and standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        answer = taskloom_cli(*words, env={"TASKLOOM_NAME": name})
        return answer.returncode, answer.stdout, answer.stderr

    return call


def start(start_program: Callable[..., Any], name: str, *jobs: str) -> Any:
    """Start the program, and wait until these jobs run."""
    program = start_program(JOBS, "--name", name)
    for job in jobs:
        program.wait_for_event("ready", job)
    return program


def test_a_signal_reaches_the_process_and_a_run_that_it_ends_has_failed(
    start_program: Callable[..., Any], name: str, verb: Callable[..., Any]
) -> None:
    program = start(start_program, name, "there", "here")

    (pid,) = [each["process"]["pid"] for each in json.loads(verb("status", "there", "-o", "json")[1])["jobs"]]
    sent = verb("signal", "there", "USR1")
    ended = program.wait_for_event("ended", "there")
    refused = verb("signal", "here", "there", "USR1")

    assert sent == (0, f"there: sent SIGUSR1 to pid {pid}\n", "")
    assert (ended["outcome"], ended["error"]["message"]) == ("failed", "SIGUSR1")
    assert refused[:2] == (1, "")
    assert "here: cannot signal: run here#1 is not in a process of its own (runner: thread)" in refused[2]
    assert "there: cannot signal: it has no run (finished)" in refused[2]


@pytest.mark.long
def test_every_verb_that_watches_shows_the_process(
    start_program: Callable[..., Any], name: str, verb: Callable[..., Any]
) -> None:
    start(start_program, name, "there", "here", "deaf")

    pids = {job["job"]: job["process"] for job in json.loads(verb("status", "-o", "json")[1])["jobs"]}
    pid = str(pids["there"]["pid"])
    head, there, *_ = verb("status")[1].splitlines()
    listed = verb("ps")[1]
    stack, tree = verb("stack", "there")[1], verb("why", "there")[1]

    assert pids["here"] is None
    assert head.split()[5:] == ["RUNNER", "PID", "MEM", "CPU", "NOTE"]
    assert ["process", pid] == there.split()[5:7]
    assert any(line.split()[:3] == ["there", "process", pid] for line in listed.splitlines())
    assert "countdown.py" in stack
    assert f"in process {pid} (runner: process)" in stack
    assert f"It runs in process {pid} (runner: process), with " in tree


@pytest.mark.long
def test_a_deaf_run_is_killed_by_the_verb_and_by_the_end_of_the_program(
    start_program: Callable[..., Any], name: str, verb: Callable[..., Any]
) -> None:
    program = start(start_program, name, "there", "here", "deaf")

    code, out, _ = verb("stop", "deaf")
    again = verb("start", "deaf")
    ended = verb("shutdown")

    assert code == 0
    seconds = re.fullmatch(r"deaf: stopped after (\d+\.\d) s, cancelled: SIGKILL after (\d+\.\d) s\n", out)
    assert seconds is not None, out
    assert 1.0 <= float(seconds[2]) <= float(seconds[1])  # `join` is 1 s
    assert again[1].startswith("deaf: ready")
    assert ", in process " in again[1]
    assert ended[0] == 0
    assert program.process.wait(30.0) == 0


@pytest.mark.long
def test_a_process_that_a_signal_has_stopped_is_seen_and_goes_on(
    start_program: Callable[..., Any], name: str, verb: Callable[..., Any]
) -> None:
    start(start_program, name, "there")

    verb("signal", "there", "STOP")
    stopped = verb("why", "there")[1]
    note = verb("status", "there")[1]
    verb("signal", "there", "CONT")
    code, out, _ = verb("stop", "there")

    assert "That process is stopped by a signal: `taskloom signal there CONT` lets it go on." in stopped
    assert "its process is stopped by a signal; would be killed" in note
    assert (code, out.endswith("cancelled\n")) == (0, True)
