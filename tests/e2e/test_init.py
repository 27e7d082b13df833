"""`taskloom run` as process 1 of a pid namespace, as in a container without an init of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import process_tasks
from tests.support.process_one import Inside, InteractiveBash, child_of, find_init
from tests.support.processes import (
    INIT_NAME,
    WATCHER_NAME,
    all_processes,
    command_line_of,
    descriptors_of,
    status_of,
)

# Each starts whole programs; test_stopping and test_signals are in the quick share.
pytestmark = pytest.mark.long

Start = Callable[..., Any]

LONG = pytest.mark.long
POLITE = "jobs: {one: {task: polite}}"
DEAF = "jobs: {deaf: {task: deaf, join: 1s}, one: {task: polite}}"
# How late an end may be on a busy machine.
SLACK_SECONDS = 5.0
TERM, INT, HUP, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return process_tasks.install(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="session")
def namespace() -> list[str]:
    """The command that makes the program process 1 of a pid namespace with a /proc of its own."""
    for privileges in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *privileges, "--pid", "--fork", "--kill-child", "--mount-proc"]
        try:
            answer = subprocess.run([*command, "true"], capture_output=True, timeout=30, check=False)
        except OSError:
            break
        if answer.returncode == 0:
            return command
    if os.environ.get("CI"):
        pytest.fail("cannot make a pid namespace with unshare, and under CI nothing may be missing")
    pytest.skip("LOUD: cannot make a pid namespace with unshare; run this test as root, or allow user namespaces")


@pytest.fixture
def start(start_program: Start, tasks: Path, namespace: list[str]) -> Start:
    """Start a program as process 1."""

    def start(jobs: str, *options: str, until: str = "started", more: list[str] | None = None, **streams: Any) -> Any:
        prefix = [*namespace, *(more or [])]
        running = start_program(jobs, *options, env={"PYTHONPATH": str(tasks)}, prefix=prefix, **streams)
        init = find_init(running)
        running.wait_for(until)
        return Inside(running, init, child_of(init))

    return start


# -- what it is


def test_it_is_process_1_with_a_name_of_its_own_and_the_only_other_process(start: Start) -> None:
    inside = start(POLITE)

    assert status_of(inside.init, "NSpid")[-1] == "1"
    assert command_line_of(inside.init) == INIT_NAME
    assert inside.pids() == [inside.program]
    assert not any(seen.name == WATCHER_NAME and seen.parent == inside.init for seen in all_processes())
    targets = sorted(descriptors_of(inside.init).values())
    pipes = [target for target in targets if target.startswith("pipe:")]
    assert [target for target in targets if target not in pipes] == [*["/dev/null"] * 3, "anon_inode:[pidfd]"]
    assert len(pipes) == 4
    assert int(status_of(inside.init, "VmRSS")[0]) < int(status_of(inside.program, "VmRSS")[0])
    os.kill(inside.init, TERM)
    assert inside.end() == 0


# -- exit codes


@LONG
@pytest.mark.parametrize(
    ("job", "code"),
    [
        ("task: brief", 0),
        ("task: bad", 1),
        ("task: dies, params: {number: 11}", 128 + 11),
        ("task: dies, params: {number: 9}", 128 + 9),
        ("task: hard_exit", 9),
    ],
)
def test_the_exit_code_is_the_programs_and_128_and_the_number_after_a_signal(start: Start, job: str, code: int) -> None:
    # The delay: the init is found before it ends.
    inside = start(f"jobs: {{one: {{start: {{delay: 300ms}}, {job}}}}}", until="loaded")

    assert inside.end() == code


@LONG
def test_a_usage_error_ends_it_with_2(start_program: Start, tasks: Path, namespace: list[str]) -> None:
    running = start_program("jobs: {one: {task: missing}}", env={"PYTHONPATH": str(tasks)}, prefix=namespace)

    assert running.end() == 2
    assert "cannot find task 'missing'" in running.stderr


@LONG
def test_a_job_that_does_not_stop_ends_it_with_3(start: Start) -> None:
    inside = start("jobs: {deaf: {task: deaf, join: 300ms}}")

    os.kill(inside.init, TERM)

    assert inside.end() == 3


@LONG
def test_a_third_signal_ends_it_with_128_and_the_number(start: Start) -> None:
    inside = start("jobs: {deaf: {task: deaf, join: wait}}", "--stop-within", "forever")

    os.kill(inside.init, INT)
    inside.wait_for("stopping all jobs")
    inside.pass_time(0.6)
    os.kill(inside.init, TERM)
    inside.wait_for("at most")
    inside.pass_time(0.6)
    os.kill(inside.init, TERM)

    assert inside.end() == 128 + TERM


WITHOUT_PROCESSES = """
    import errno, os
    from taskloom.cli import main

    def fork():
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    os.fork, os.getpid = fork, lambda: 1
    main(["run", "jobs.yaml"])
"""


def test_without_a_process_for_the_program_it_says_so_and_ends_with_75(child_env: dict[str, str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_PROCESSES)],
        env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (answer.returncode, answer.stdout) == (75, "")
    assert answer.stderr.startswith("taskloom: cannot ")
    assert "process 1: " in answer.stderr
    assert "resource temporarily unavailable" in answer.stderr.lower()
    assert answer.stderr.count("\n") == 1


@LONG
def test_closed_standard_streams_change_nothing(start_program: Start, tasks: Path, namespace: list[str]) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]

    running = start_program("jobs: {one: {task: bad}}", env={"PYTHONPATH": str(tasks)}, prefix=[*namespace, *closed])

    assert running.end() == 1
    assert running.told("ended") == ["ended one failed"]


# -- the hard deadline, and orphans


@pytest.mark.parametrize("number", [TERM, pytest.param(INT, marks=LONG)])
def test_a_program_whose_c_code_holds_the_gil_is_gone_half_a_second_after_the_deadline(
    start: Start, number: int
) -> None:
    inside = start("jobs: {one: {task: hog}}", "--stop-within", "300ms", until="waits to hold")

    asked = time.monotonic()
    os.kill(inside.init, number)

    assert inside.end() == 128 + signal.SIGKILL
    assert time.monotonic() - asked <= 0.3 + 0.5 + SLACK_SECONDS
    assert "in hog" in inside.stderr


def test_the_end_of_an_orphan_is_collected(start: Start) -> None:
    inside = start("jobs: {one: {task: orphan}, two: {task: polite}}", until="the orphan is gone")

    assert inside.pids() == [inside.program]
    os.kill(inside.init, TERM)
    assert inside.end() == 0


@LONG
def test_a_child_that_a_job_left_running_ends_with_the_program(start: Start) -> None:
    inside = start("jobs: {one: {task: forker}}", until="child ")
    [child] = [pid for pid in inside.pids() if pid != inside.program]
    handle = os.pidfd_open(child)

    os.kill(inside.program, signal.SIGKILL)

    assert inside.end() == 128 + signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        while True:
            signal.pidfd_send_signal(handle, 0)
    os.close(handle)


@LONG
def test_nothing_is_left_when_the_init_is_killed(start: Start) -> None:
    inside = start("jobs: {one: {task: forker}}", until="child ")

    os.kill(inside.init, signal.SIGKILL)

    inside.process.wait(30)
    inside.events_path.unlink()  # its history has no end
    while inside.relatives():
        os.sched_yield()


# -- signals


@LONG
@pytest.mark.parametrize("target", ["init", "program"])
def test_a_term_to_one_of_them_stops_the_jobs(start: Start, target: str) -> None:
    inside = start(POLITE)

    os.kill(getattr(inside, target), TERM)

    assert inside.end() == 0
    assert inside.stderr.count("SIGTERM: stopping all jobs") == 1


@pytest.mark.parametrize("number", [TERM, pytest.param(INT, marks=LONG)])
def test_a_stop_signal_to_the_whole_process_group_counts_once(start: Start, number: int) -> None:
    inside = start(DEAF, more=["setsid"])
    assert os.getpgid(inside.init) == os.getpgid(inside.program) == inside.init

    os.killpg(inside.init, number)

    assert inside.end() == 3
    assert inside.stderr.count(": stopping all jobs") == 1
    assert "at most" not in inside.stderr


@LONG
def test_one_reload_and_one_status_to_the_whole_process_group_count_once_each(start: Start) -> None:
    inside = start(POLITE, more=["setsid"])

    os.killpg(inside.init, QUIT)
    os.killpg(inside.init, HUP)
    inside.wait_for("reload: nothing has changed, 1 untouched")
    os.killpg(inside.init, TERM)

    assert inside.end() == 0
    assert inside.stderr.count("one#1 is at") == 1
    assert inside.stderr.count("reading the job files again") == 1
    assert "another one follows" not in inside.stderr


@LONG
def test_hup_reloads_and_quit_shows_the_state(start: Start) -> None:
    inside = start(POLITE)

    os.kill(inside.init, QUIT)
    inside.wait_for("one#1 is at")
    (inside.folder / "jobs.yaml").write_text("jobs: {one: {task: polite}, two: {task: polite}}")
    os.kill(inside.init, HUP)

    inside.wait_for("two          started")
    os.kill(inside.init, INT)
    assert inside.end() == 130


@LONG
def test_a_term_while_the_program_is_being_loaded_is_not_lost(
    start_program: Start, tasks: Path, namespace: list[str]
) -> None:
    running = start_program(POLITE, env={"PYTHONPATH": str(tasks)}, prefix=namespace)
    init = find_init(running)

    os.kill(init, TERM)

    assert running.end() == 0
    assert "started" not in running.stderr


@LONG
def test_other_signals_are_passed_on(start: Start) -> None:
    inside = start("jobs: {one: {task: listener}}", until="listens")

    os.kill(inside.init, signal.SIGUSR1)

    inside.wait_for("got SIGUSR1 1 times")
    os.kill(inside.init, TERM)
    assert inside.end() == 0


# -- the terminal


@pytest.fixture
def at_terminal(start: Start, terminal: tuple[int, int]) -> Start:
    """Start a program as process 1 that is the leader of its session and owns the terminal, as `docker run -it`."""

    def start_there(jobs: str, until: str) -> Any:
        return start(jobs, until=until, more=["setsid", "--ctty"], stdin=terminal[1], stdout=terminal[1])

    return start_there


@LONG
def test_the_terminal_is_the_programs_and_ctrl_c_counts_once(at_terminal: Start, terminal: tuple[int, int]) -> None:
    inside = at_terminal("jobs: {deaf: {task: deaf, join: 1s}, one: {task: foreground}}", until="foreground: ")
    assert "foreground: True" in inside.stderr

    os.write(terminal[0], b"\x03")

    assert inside.end() == 3
    assert inside.stderr.count("Ctrl-C: stopping all jobs") == 1
    assert "at most" not in inside.stderr


@LONG
def test_closing_the_terminal_stops_the_jobs(at_terminal: Start, terminal: tuple[int, int]) -> None:
    inside = at_terminal(POLITE, until="one          started")
    os.close(terminal[1])

    os.close(terminal[0])

    assert inside.end() == 0
    assert "SIGHUP: stopping all jobs" in inside.stderr


@LONG
def test_a_shell_can_halt_and_continue_it_and_gets_its_exit_code(
    terminal: tuple[int, int],
    child_env: dict[str, str],
    tasks: Path,
    namespace: list[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: countdown, params: {start: 9999, interval: 20ms}}}")
    shell = InteractiveBash(terminal, child_env | {"PYTHONPATH": str(tasks)}, tmp_path)
    shell.wait_for("PROMPT> ")

    shell.type(shlex.join([*namespace, sys.executable, "-m", "taskloom", "run", "jobs.yaml"]) + "\n")
    shell.wait_for(" 9990")
    shell.type("\x1a")
    shell.wait_for("Stopped")
    shell.wait_for("PROMPT> ")
    shell.type("fg\n")
    shell.wait_for("INFO    one ")
    shell.type("\x03")
    shell.wait_for("Ctrl-C: stopping all jobs")
    shell.wait_for("PROMPT> ")
    shell.type("echo code=$?\n")
    shell.wait_for("code=130")

    shell.type("exit\n")
    assert shell.process.wait(30) == 0


def test_the_history_is_that_of_the_program_and_not_of_the_init(
    start_program: Start, namespace: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "runs.sqlite"
    env = {"TASKLOOM_HISTORY": str(path)}

    running = start_program("jobs: {one: {task: silent_leaver}}", env=env, prefix=namespace)
    code = running.end()

    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        starts = database.execute("SELECT pid, how, exit_code FROM starts").fetchall()
        runs = database.execute("SELECT run, outcome FROM runs").fetchall()
    assert code == 0, running.stderr
    assert [(how, exit_code) for _, how, exit_code in starts] == [("ended", 0)]
    assert starts[0][0] != 1  # the init
    assert runs == [("one#1", "succeeded")]
