"""Job files from pipes: whole programs in child processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from tests.support.child_programs import ChildProgram

FILE = b"jobs:\n  a: {task: countdown, params: {start: 1000, interval: 1h}}\n"


def taskloom(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "taskloom", *arguments]


def write_to(pipe: Path, data: bytes) -> None:
    """Open the pipe, which waits until the program has opened it, write and close it."""
    descriptor = os.open(pipe, os.O_WRONLY)
    os.write(descriptor, data)
    os.close(descriptor)


@pytest.mark.parametrize(
    "shown, command",
    [
        ("pipe", taskloom("run", "pipe")),
        pytest.param("<stdin>", ["sh", "-c", 'exec "$@" < pipe', "sh", *taskloom("run", "-")], marks=pytest.mark.long),
    ],
)
def test_jobs_from_a_pipe_run_and_a_reload_of_them_is_refused(
    shown: str, command: list[str], tmp_path: Path, child_env: dict[str, str]
) -> None:
    os.mkfifo(tmp_path / "pipe")

    with ChildProgram(command, child_env, tmp_path) as program:
        write_to(tmp_path / "pipe", FILE)
        program.wait_for("a            started")
        program.send(signal.SIGHUP)
        program.wait_for(
            f"reload: cannot read '{shown}' again: standard input and pipes can be read only once; nothing has changed"
        )
        program.send(signal.SIGHUP)
        program.wait_for("nothing has changed", 2)
        program.send(signal.SIGTERM)
        code, _ = program.end()

    assert code == 0, program.output
    assert "Traceback" not in program.output
    assert program.output.count("started") == 1


@pytest.mark.long
@pytest.mark.parametrize("verb", ["run", "validate", "simulate", "drill"])
def test_ctrl_c_ends_the_wait_for_the_end_of_a_pipe(verb: str, tmp_path: Path, child_env: dict[str, str]) -> None:
    os.mkfifo(tmp_path / "pipe")

    with ChildProgram(taskloom(verb, "pipe"), child_env, tmp_path) as program:
        # Returns when the program has opened the pipe. It waits for the end, which does not come.
        descriptor = os.open(tmp_path / "pipe", os.O_WRONLY)
        try:
            program.send(signal.SIGINT)
            code, _ = program.end()
        finally:
            os.close(descriptor)

    assert code == 130, program.output
    assert "Traceback" not in program.output


@pytest.mark.long
def test_ctrl_c_ends_the_wait_for_the_first_writer(tmp_path: Path, child_env: dict[str, str]) -> None:
    """The program has opened the pipe when its descriptor appears in /proc."""
    os.mkfifo(tmp_path / "pipe")

    with ChildProgram(taskloom("run", "pipe"), child_env, tmp_path) as program:
        target = str(tmp_path / "pipe")
        while target not in opened_by(program.pid):
            pass
        program.send(signal.SIGINT)
        code, _ = program.end()

    assert code == 130, program.output
    assert "Traceback" not in program.output


def opened_by(pid: int) -> set[str]:
    """Return the paths of what a process has open."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(descriptor.readlink()))
        except OSError:
            pass  # closed meanwhile
    return found


@pytest.mark.long
def test_a_process_substitution_of_a_shell_is_read(tmp_path: Path, child_env: dict[str, str]) -> None:
    (tmp_path / "a.yaml").write_bytes(FILE)
    script = 'exec "$@" <(cat a.yaml) - < a.yaml'

    with ChildProgram(["bash", "-c", script, "bash", *taskloom("validate")], child_env, tmp_path) as program:
        program.wait_for("cannot use the name 'a' twice: it is first used at /dev/fd/")
        code, _ = program.end()

    assert code == 2
    assert "<stdin>:2:3: error" in program.output
