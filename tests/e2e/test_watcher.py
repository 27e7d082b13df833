"""The watcher process beside a real program: what it is, the signals that it gets, and that it always ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import process_tasks
from tests.support.processes import WATCHER_NAME, all_processes, command_line_of, descriptors_of, status_of

# Each starts whole programs; test_stopping and test_signals are in the quick share.
pytestmark = pytest.mark.long

Start = Callable[..., Any]

POLITE = "jobs: {one: {task: polite}}"
# Long enough for a wrongly counted second signal to be logged before the end.
DEAF = "jobs: {deaf: {task: deaf, join: 1s}, one: {task: polite}}"
LONG = pytest.mark.long
TERM, INT, HUP, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return process_tasks.install(tmp_path_factory.mktemp("tasks"))


@pytest.fixture
def start(start_program: Start, tasks: Path) -> Start:
    """Start a program; return it and the pid of its watcher."""

    def start(jobs: str, *options: str, until: str = "started", **streams: Any) -> tuple[Any, int]:
        program = start_program(jobs, *options, env={"PYTHONPATH": str(tasks)}, **streams)
        watcher = program.watcher()
        program.wait_for(until)
        return program, watcher

    return start


def has_gone(pid: int) -> bool:
    return all(seen.pid != pid or seen.state == "Z" for seen in all_processes())


def await_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    while not has_gone(pid):
        os.sched_yield()


# -- what it is


def test_it_has_a_name_a_session_and_only_its_pipes(start: Start, tmp_path: Path) -> None:
    with (tmp_path / "inherited").open("w") as inherited:
        program, watcher = start(POLITE, pass_fds=[inherited.fileno()])
    assert str(tmp_path / "inherited") in descriptors_of(program.process.pid).values()

    [seen] = [seen for seen in all_processes() if seen.pid == watcher]
    assert (seen.name, command_line_of(watcher)) == (WATCHER_NAME, WATCHER_NAME)
    assert (seen.session, seen.group) == (watcher, watcher)
    assert seen.parent not in (program.process.pid, os.getpid())
    assert os.readlink(f"/proc/{watcher}/cwd") == "/"  # noqa: PTH115
    targets = sorted(descriptors_of(watcher).values())
    pipes = [target for target in targets if target.startswith("pipe:")]
    assert [target for target in targets if target not in pipes] == [*["/dev/null"] * 3, "anon_inode:[pidfd]"]
    assert len(pipes) == 4  # to and from the program, and both ends of the one that its own signals go through
    assert len(set(pipes)) == 3
    assert int(status_of(watcher, "Threads")[0]) == 1
    program.send(TERM)
    assert program.end() == 0


def test_no_task_finds_it_among_the_children_of_the_program(start: Start) -> None:
    program, _ = start("jobs: {one: {task: family}, two: {task: polite}}", until="children: ")

    program.send(TERM)
    assert program.end() == 0
    assert "children: [] []" in program.stderr


@LONG
def test_a_program_that_adopts_orphans_has_no_watcher_among_its_children(start: Start) -> None:
    adopt = "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"

    program, watcher = start(
        "jobs: {one: {task: family}, two: {task: polite}}",
        until="children: ",
        prefix=[sys.executable, "-c", adopt],
    )

    program.send(TERM)
    assert program.end() == 0
    assert "children: [] []" in program.stderr
    assert has_gone(watcher)


ADOPTER = """
    import ctypes, os, subprocess, sys

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    program = subprocess.Popen(sys.argv[1:])
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            break
        who = "program" if pid == program.pid else "watcher"
        print(who, os.waitstatus_to_exitcode(status), flush=True)
    program.returncode = 0
"""


@LONG
@pytest.mark.parametrize(("job", "code"), [("brief", 0), ("hard_exit", 9), ("missing", 2)])
def test_the_process_that_adopts_it_sees_a_clean_end(
    child_env: dict[str, str], tasks: Path, tmp_path: Path, job: str, code: int
) -> None:
    """As the manager of a systemd session does. Nothing else is left for it to collect."""
    (tmp_path / "jobs.yaml").write_text(f"jobs: {{one: {{task: {job}}}}}")

    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ADOPTER), sys.executable, "-m", "taskloom", "run", "jobs.yaml"],
        env=child_env | {"PYTHONPATH": str(tasks)}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert sorted(answer.stdout.splitlines()) == [f"program {code}", "watcher 0"]


@LONG
def test_a_caller_that_ignores_the_end_of_children_does_not_prevent_a_start(start: Start) -> None:
    ignore = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )

    program, watcher = start(POLITE, prefix=[sys.executable, "-c", ignore])

    program.send(TERM)
    assert program.end() == 0
    assert has_gone(watcher)


# -- signals that it gets


@pytest.mark.parametrize(
    ("number", "code", "name"), [(TERM, 0, "SIGTERM"), pytest.param(INT, 130, "Ctrl-C", marks=LONG)]
)
def test_a_stop_signal_to_the_watcher_alone_is_one_of_the_program(
    start: Start, number: int, code: int, name: str
) -> None:
    program, watcher = start(POLITE)

    os.kill(watcher, number)

    assert program.end() == code
    assert program.stderr.count(f"{name}: stopping all jobs") == 1


@LONG
def test_status_and_reload_can_be_requested_through_the_watcher(start: Start) -> None:
    program, watcher = start(POLITE)

    os.kill(watcher, QUIT)
    program.wait_for("one#1 is at")
    (program.folder / "jobs.yaml").write_text("jobs: {one: {task: polite}, two: {task: polite}}")
    os.kill(watcher, HUP)

    program.wait_for("two          started")
    program.send(TERM)
    assert program.end() == 0


@pytest.mark.parametrize("first", ["program", pytest.param("watcher", marks=LONG)])
@pytest.mark.parametrize("number", [TERM, pytest.param(INT, marks=LONG)])
def test_a_stop_signal_to_both_counts_once(start: Start, number: int, first: str) -> None:
    program, watcher = start(DEAF)
    both = [program.process.pid, watcher]

    for pid in both if first == "program" else reversed(both):
        os.kill(pid, number)

    assert program.end() == 3
    assert program.stderr.count(": stopping all jobs") == 1
    assert "at most" not in program.stderr


@LONG
def test_status_and_reload_sent_to_both_count_once_each(start: Start) -> None:
    program, watcher = start(POLITE)

    for number in (QUIT, HUP):
        for pid in (program.process.pid, watcher):
            os.kill(pid, number)
    program.wait_for("reload: nothing has changed, 1 untouched")
    program.send(TERM)

    assert program.end() == 0
    assert program.stderr.count("one#1 is at") == 1
    assert program.stderr.count("reading the job files again") == 1
    assert "another one follows" not in program.stderr


@LONG
def test_a_signal_to_both_counts_once_even_if_the_program_cannot_run_for_a_second(start: Start) -> None:
    program, watcher = start(DEAF)
    program.send(signal.SIGSTOP)
    os.waitid(os.P_PID, program.process.pid, os.WSTOPPED | os.WNOWAIT)

    program.send(TERM)
    os.kill(watcher, TERM)
    program.pass_time(0.8)
    program.send(signal.SIGCONT)

    assert program.end() == 3
    assert program.stderr.count(": stopping all jobs") == 1
    assert "at most" not in program.stderr


# -- without it


def test_a_program_whose_watcher_was_killed_says_so_once_and_stops_as_usual(start: Start) -> None:
    program, watcher = start(POLITE)

    os.kill(watcher, signal.SIGKILL)

    program.wait_for("the watcher process was ended from outside")
    program.send(QUIT)
    program.wait_for("one#1 is at")
    program.send(TERM)
    assert program.end() == 0
    assert program.stderr.count("the watcher process") == 1


@LONG
def test_a_program_whose_watcher_is_halted_stops_as_usual_and_leaves_nothing(start: Start) -> None:
    program, watcher = start(POLITE)
    os.kill(watcher, signal.SIGSTOP)

    program.send(TERM)

    assert program.end() == 0
    assert has_gone(watcher)


@pytest.mark.parametrize(
    ("job", "code"),
    [
        ("{task: dies, start: {delay: 1s}, params: {number: 9}}", -9),
        pytest.param("{task: dies, start: {delay: 1s}, params: {number: 11}}", -11, marks=LONG),
        pytest.param("{task: hard_exit, start: {delay: 1s}}", 9, marks=LONG),
        pytest.param("{task: bad, start: {delay: 1s}}", 1, marks=LONG),
    ],
    ids=["SIGKILL", "SIGSEGV", "os._exit", "failed"],
)
def test_it_ends_with_the_program_however_that_ends(start: Start, job: str, code: int) -> None:
    program, watcher = start(f"jobs: {{one: {job}}}", until="loaded")

    assert program.end() == code
    await_end(watcher)


@LONG
def test_it_ends_with_a_program_that_is_killed_while_a_forked_child_holds_its_pipes(start: Start) -> None:
    program, watcher = start("jobs: {one: {task: forker}}", until="child ")
    [child] = [seen.pid for seen in all_processes() if seen.parent == program.process.pid]

    program.send(signal.SIGKILL)

    assert program.end() == -signal.SIGKILL
    await_end(watcher)
    os.kill(child, signal.SIGKILL)
    await_end(child)


WITHOUT_PIDFDS = "import os, signal\ndel os.pidfd_open, signal.pidfd_send_signal\n"


@LONG
@pytest.mark.parametrize("ending", ["TERM to the watcher", "GIL held", "SIGKILL"])
def test_without_pidfds_it_does_the_same(start_program: Start, tasks: Path, tmp_path: Path, ending: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PIDFDS)
    job = "hog" if ending == "GIL held" else "polite"
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{tasks}"}
    program = start_program(f"jobs: {{one: {{task: {job}}}}}", "--stop-within", "300ms", env=env)
    watcher = program.watcher()
    program.wait_for("started")
    assert not [target for target in descriptors_of(watcher).values() if "pidfd" in target]

    if ending == "SIGKILL":
        program.send(signal.SIGKILL)
    else:
        os.kill(watcher, TERM)

    assert program.end() == (0 if ending == "TERM to the watcher" else -signal.SIGKILL)
    await_end(watcher)


# -- it cannot be made


WITHOUT_A_WATCHER = """
    import errno, os, signal, sys
    from taskloom.cli.program.watcher import WATCHED, CannotWatch, Watcher

    before = sorted(os.listdir("/proc/self/fd"))
    real_fork, real_pipe, forks, pipes = os.fork, os.pipe, [], []

    def fork():
        forks.append(1)
        if len(forks) == int(sys.argv[1]):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real_fork()

    def pipe():
        pipes.append(1)
        if len(pipes) == int(sys.argv[2]):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real_pipe()

    os.fork, os.pipe = fork, pipe
    try:
        Watcher(1.0, has_terminal=False)
    except CannotWatch as error:
        print(error)
        assert os.strerror(error.errno) == error.strerror
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        os.wait()
    except ChildProcessError:
        print("nothing is left")
"""


@pytest.mark.parametrize(
    ("fork", "pipe", "reason"),
    [
        (1, 0, "Resource temporarily unavailable"),
        (2, 0, "Resource temporarily unavailable"),
        (0, 1, "Too many open files"),
        (0, 2, "Too many open files"),
        (0, 3, "Too many open files"),
    ],
)
def test_without_processes_or_pipes_it_is_refused_and_nothing_is_left(
    child_env: dict[str, str], fork: int, pipe: int, reason: str
) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_A_WATCHER), str(fork), str(pipe)],
        env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert answer.stderr == ""
    assert answer.stdout == f"cannot start the watcher process: {reason}\nnothing is left\n"
