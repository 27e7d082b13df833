"""A real `taskloom run`, watched from outside: `status`, `ps`, `next`, `events` and `stack`."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE_SECONDS = 30.0

Verb = Callable[..., "subprocess.CompletedProcess[str]"]

POLITE = """
jobs:
  web: {task: polite}
  bad: {task: bad, daemon: true}
  tick: {task: polite, schedule: {every: 1h}, labels: [night]}
"""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other program of this machine has: those of other tests may be seen as well."""
    number = zlib.crc32(request.node.nodeid.encode())
    return f"test-{os.getpid()}-{number:x}"


@pytest.fixture
def verb(taskloom_cli: Verb, name: str) -> Callable[..., tuple[int, str, str]]:
    """Call a verb; return its exit code, and what it wrote to standard output and standard error."""

    def call(*words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
        answer = taskloom_cli(*words, env={"TASKLOOM_NAME": name} | (env or {}))
        return answer.returncode, answer.stdout, answer.stderr

    return call


@pytest.fixture
def follow(child_env: dict[str, str], tmp_path: Path, name: str) -> Iterator[Callable[..., Followed]]:
    """Start a verb that goes on."""
    started: list[Followed] = []

    def start(*words: str) -> Followed:
        command = [sys.executable, "-m", "taskloom", *words, "--name", name]
        started.append(Followed(command, child_env, tmp_path))
        return started[-1]

    yield start

    for each in started:
        each.close()


class Followed:
    """A verb that goes on, and its lines."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=env, cwd=folder, stdout=pipe, stderr=pipe, text=True)
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, args=(stream,)) for stream in (self.process.stdout, self.process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()

    def wait_for(self, text: str) -> None:
        """Wait until it has written this text."""
        with self._changed:
            found = self._changed.wait_for(lambda: text in "".join(self._lines), PATIENCE_SECONDS)
        assert found, f"{text!r} never came: {self._lines}"

    def close(self) -> None:
        """End it, and forget it."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def row_of(text: str, name: str) -> str:
    """Return the row of a table that begins with this name."""
    [row] = [line for line in text.splitlines() if line.split(" ")[0] == name]
    return row


def test_a_running_program_is_found_and_says_what_it_does(name: str, start_program: Callable[..., Any], verb: Callable[..., Any]) -> None:  # fmt: skip  # noqa: E501
    program = start_program(POLITE, "--name", name)
    program.wait_for_event("ended", "bad")
    program.wait_for_event("ready", "web")

    code, out, err = verb("status")
    heads, web, bad, tick = out.splitlines()
    assert (code, err) == (0, "")
    assert heads.split() == ["JOB", "STATE", "LAST", "RUNS", "TIME", "NEXT", "NOTE"]
    assert web.split()[:2] == ["web", "running"]
    assert bad.split()[:3] == ["bad", "finished", "failed"]
    assert bad.endswith("ValueError: boom")
    assert "waiting for next firing" in tick

    code, out, err = verb("status", "--check", "-o", "json")
    assert (code, err) == (1, "taskloom: 1 job needs attention: bad (failed: ValueError: boom)\n")
    assert json.loads(out)["program"]["pid"] == program.process.pid

    code, out, _ = verb("ps")
    assert code == 0
    row = row_of(out, name)
    assert row.split()[1] == str(program.process.pid)
    shown = f"3 (1 wrong) running {os.path.realpath(program.folder / 'jobs.yaml')}"
    assert " ".join(row.split()).endswith(" ".join(shown.split()))

    code, out, _ = verb("next", "-l", "night", "-o", "json")
    firings = json.loads(out)["firings"]
    assert (code, len(firings)) == (0, 20)
    assert {each["job"] for each in firings} == {"tick"}

    code, out, _ = verb("stack", "w*")
    assert code == 0
    assert out.startswith("web#1: at ")
    assert "ctx.wait()" in out

    code, out, _ = verb("events", "web", "-o", "json")
    assert code == 0
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["job_added", "queued", "started", "ready"]

    code, out, err = verb("status", "wbe")
    assert (code, out, err) == (2, "", "taskloom: cannot find job 'wbe'; did you mean 'web'?\n")

    program.send(signal.SIGTERM)
    assert program.end() == 1


@pytest.mark.long
def test_a_program_that_was_killed_is_not_found_again(
    name: str, start_program: Callable[..., Any], verb: Callable[..., Any]
) -> None:
    program = start_program(POLITE, "--name", name)
    program.wait_for_event("ready", "web")
    program.kill()

    assert name not in verb("ps")[1]
    code, out, err = verb("status")

    assert (code, out) == (4, "")
    assert err.startswith(f"taskloom: cannot find a running program '{name}'; ")


@pytest.mark.long
def test_two_programs_are_listed_and_chosen_by_name(
    name: str, start_program: Callable[..., Any], verb: Callable[..., Any]
) -> None:
    names = [f"{name}-1", f"{name}-2"]
    programs = [start_program(POLITE, "--name", each) for each in names]
    for program in programs:
        program.wait_for_event("ready", "web")

    code, out, err = verb("status", env={"TASKLOOM_NAME": ""})
    assert (code, out) == (2, "")
    assert err.startswith("taskloom: cannot choose one of ")
    assert [row_of(err, each).split()[1] for each in names] == [str(each.process.pid) for each in programs]
    code, out, _ = verb("status", "--name", names[1], "-o", "json")
    assert json.loads(out)["program"]["pid"] == programs[1].process.pid


@pytest.mark.long
@pytest.mark.parametrize("runs_with", [True, False], ids=["run with", "asked with"])
def test_a_program_is_found_with_and_without_xdg_runtime_dir(
    runs_with: bool, name: str, start_program: Callable[..., Any], verb: Callable[..., Any]
) -> None:
    unset = {"XDG_RUNTIME_DIR": ""}
    program = start_program(POLITE, "--name", name, env=None if runs_with else unset)
    program.wait_for_event("ready", "web")

    code, out, err = verb("status", "-o", "json", env=unset if runs_with else None)

    assert (code, err) == (0, "")
    assert json.loads(out)["program"]["pid"] == program.process.pid


@pytest.mark.long
def test_a_verb_ends_by_its_own_deadline_while_a_task_holds_the_gil(
    name: str, start_program: Callable[..., Any], verb: Callable[..., Any]
) -> None:
    program = start_program("jobs: {hog: {task: gil}}", "--name", name, stdout=subprocess.PIPE)
    assert program.process.stdout is not None
    assert program.process.stdout.read(7) == "holding"
    pid = program.process.pid

    code, out, err = verb("status")
    assert (code, out) == (4, "")
    assert err == (
        f"taskloom: pid {pid} does not answer: a task may be holding the GIL; `taskloom stack` cannot help, "
        f"`kill -QUIT {pid}` prints all stacks\n"
    )
    code, out, err = verb("ps")
    assert code == 0
    assert "  does not answer  " in row_of(out, name)
    program.process.stdout.close()
    program.kill()


@pytest.mark.long
def test_a_suspended_program_is_told(name: str, start_program: Callable[..., Any], verb: Callable[..., Any]) -> None:
    program = start_program(POLITE, "--name", name)
    program.wait_for_event("ready", "web")
    program.send(signal.SIGSTOP)
    os.waitid(os.P_PID, program.process.pid, os.WSTOPPED | os.WNOWAIT)

    code, _, err = verb("next")

    assert code == 4
    assert "does not answer: it is suspended" in err
    program.kill()


@pytest.mark.long
def test_while_it_stops_the_program_says_who_is_awaited(
    name: str, start_program: Callable[..., Any], verb: Callable[..., Any]
) -> None:
    program = start_program("jobs: {slow: {task: deaf, join: 20s}, web: {task: polite}}", "--name", name)
    program.wait_for_event("started", "slow")
    program.send(signal.SIGTERM)
    program.wait_for_event("ended", "web")

    code, out, _ = verb("status")

    assert code == 0
    first, *_ = out.splitlines()
    assert f"(pid {program.process.pid}) is stopping (signal: SIGTERM): waiting for slow" in first
    program.kill()


@pytest.mark.long
def test_following_goes_on_after_a_crash_and_ends_with_the_program(
    name: str, start_program: Callable[..., Any], follow: Callable[..., Followed]
) -> None:
    program = start_program(POLITE, "--name", name)
    program.wait_for_event("ready", "web")
    followed = follow("events", "-f", "web")
    followed.wait_for("ready web#1")

    program.kill()
    followed.wait_for("waiting for the program to come back")
    again = start_program(POLITE, "--name", name)
    followed.wait_for("connected again")
    followed.wait_for("the program was restarted")
    again.wait_for_event("ready", "web")
    again.send(signal.SIGTERM)
    again.end()

    followed.wait_for("cancelled after ")
    assert followed.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.long
@pytest.mark.parametrize("words", [("events", "-f"), ("status", "--watch")], ids=["events", "status"])
def test_following_ends_with_the_reader_of_its_output(
    words: tuple[str, ...], name: str, start_program: Callable[..., Any], child_env: dict[str, str], tmp_path: Path
) -> None:
    program = start_program(POLITE, "--name", name)
    program.wait_for_event("ready", "web")

    command = [sys.executable, "-m", "taskloom", *words, "--name", name]
    with subprocess.Popen(
        command, env=child_env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr.read() == b""

    program.send(signal.SIGTERM)
    program.end()


@pytest.mark.long
def test_watching_on_a_terminal_redraws_without_clearing_it(
    name: str, start_program: Callable[..., Any], child_env: dict[str, str], tmp_path: Path
) -> None:
    program = start_program(POLITE, "--name", name)
    program.wait_for_event("ready", "web")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "taskloom", "status", "--watch", "--name", name]
    env = child_env | {"TERM": "xterm"}
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        seen = b""
        while seen.count(b"\x1b[H") < 3:  # it redraws each second, since times go on
            assert select.select([master], [], [], PATIENCE_SECONDS)[0]
            seen += os.read(master, 65536)
        program.send(signal.SIGTERM)
        while True:
            try:
                seen += os.read(master, 65536)
            except OSError:  # the terminal is closed: it has ended
                break
        assert process.wait(PATIENCE_SECONDS) == 0
    os.close(master)

    assert seen.count(b"\x1b[2J") == 1
    assert seen.startswith(b"\x1b[2J")
    assert f"taskloom: {name} has ended".encode() in seen
