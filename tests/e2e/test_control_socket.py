"""The control socket of a real `taskloom run`: it answers when it is needed most, and the jobs never depend on it."""

from __future__ import annotations

import json
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
from tests.support.control_server import PATIENCE_SECONDS, Client, get
from tests.support.toy_distribution import add_distribution

# A first `status` beside ten tasks that never let go of the GIL by themselves.
FIRST_ANSWER_SECONDS = 2.0

POLITE = "jobs: {web: {task: polite}}"

TASKS = '''
import json, os, socket, subprocess, sys, threading

def spinner(ctx):
    """Keep one processor busy, and poll."""
    while not ctx.cancelled:
        pass

def hoarder(ctx):
    """Open files until the system refuses it, and keep them."""
    kept = []
    try:
        while True:
            kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        ctx.log.info("no descriptor is left")
    ctx.wait()

def importless(ctx, asked: str):
    """Let nothing of Taskloom be imported any more; at the end, log what was imported."""
    class Refuse:
        def find_spec(self, name, path=None, target=None):
            refused.append(name)
            raise ImportError(f"{name} was replaced")

    refused = []
    before = set(sys.modules)
    sys.meta_path.insert(0, Refuse())
    ctx.log.info("armed")
    while not os.path.exists(asked) and not ctx.wait(0.01):
        pass
    sys.meta_path.pop(0)
    ctx.log.info("imported: %s", sorted(set(sys.modules) - before) + refused)
    ctx.wait()

def namer(ctx):
    """Log the threads with the numbers that the kernel has for them."""
    ctx.log.info("threads: %s", json.dumps({each.name: each.native_id for each in threading.enumerate()}))
    ctx.wait()

def inheriting(ctx):
    """Log what a forked child and a child program have of the program's files."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps([name for name in map(link, os.listdir("/proc/self/fd"))]).encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    forked = json.loads(os.read(reading, 65_536))
    code = "import os; print(*(os.path.realpath(f'/proc/self/fd/{each}') for each in os.listdir('/proc/self/fd')))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, close_fds=False)
    own = ("socket", "taskloom", "notify")
    found = [each for each in [*forked, *child.stdout.split()] if any(word in each for word in own)]
    ctx.log.info("inherited: %s", found)
    ctx.wait()

def link(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""
'''


@pytest.fixture
def run_socket_tasks(start_program: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Start a program with the tasks of this file."""
    folder = tmp_path / "packages of the test"
    folder.mkdir()
    names = ("spinner", "hoarder", "importless", "namer", "inheriting")
    add_distribution(folder, "socket-tasks", TASKS, **{name: name for name in names})

    def start(jobs: str, *options: str, **more: Any) -> Any:
        return start_program(jobs, *options, env={"PYTHONPATH": str(folder)} | more.pop("env", {}), **more)

    return start


def socket_of(folder: str, name: str = "jobs-*") -> str:
    """Wait until there is a socket, and return its path."""
    for _ in range(int(PATIENCE_SECONDS * 100)):
        found = list(Path(folder, "taskloom").glob(f"{name}.sock"))
        if found:
            return str(found[0])
        select.poll().poll(10)
    raise AssertionError("no control socket was made")


def request(path: str, request: bytes) -> tuple[int, Any]:
    with Client(path) as client:
        return client.request(request)


def post(path: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    )


def end(program: Any) -> int:
    program.send(signal.SIGTERM)
    return int(program.end())


def test_a_program_is_asked_and_leaves_nothing(start_program: Callable[..., Any], own_runtime_folder: str) -> None:
    program = start_program(POLITE, "-v")
    path = socket_of(own_runtime_folder)
    program.wait_for(f"control socket {path}")

    status, data = request(path, get("/v1/program"))

    assert (status, data["pid"], data["uid"]) == (200, program.process.pid, os.geteuid())
    assert data["name"] == Path(path).stem
    assert end(program) == 0
    assert os.listdir(own_runtime_folder + "/taskloom") == []  # noqa: PTH208


def test_folder_and_socket_have_their_permissions_from_the_beginning(
    start_program: Callable[..., Any], own_runtime_folder: str, need_tool: Callable[[str], str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    calls = "trace=mkdir,mkdirat,chmod,fchmod,fchmodat,bind,umask,listen,socket"
    program = start_program(
        "jobs: {brief: {task: silent_leaver}}", prefix=[need_tool("strace"), "-f", "-qq", "-e", calls, "-o", str(trace)]
    )
    assert program.end() == 0

    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    made = [line for line in lines if line.startswith("mkdir") and "/taskloom" in line and own_runtime_folder in line]
    assert made[0].split()[-3:] == ["0700)", "=", "0"]
    assert all(", 0700) = " in line for line in made), "once more when it is there, for the announcement"
    [bound] = [index for index, line in enumerate(lines) if line.startswith("bind(") and ".sock" in line]
    number = lines[bound].partition("(")[2].partition(",")[0]
    own = [line for line in lines[:bound] if line.startswith((f"fchmod({number}, ", "socket(AF_UNIX"))]
    assert own[-1].split() == [f"fchmod({number},", "0600)", "=", "0"]
    assert not [line for line in lines if line.startswith(("chmod", "fchmodat", "umask")) and ".sock" in line]


@pytest.mark.long
def test_the_same_jobs_are_not_run_a_second_time_unless_another_name_is_given(
    start_program: Callable[..., Any], own_runtime_folder: str
) -> None:
    first = start_program(POLITE)
    name = Path(socket_of(own_runtime_folder)).stem
    first.wait_for("started")

    second = start_program(POLITE)
    assert second.end() == 2
    second.wait_for(f"pid {first.process.pid} runs it already, as {name}; stop it with")
    third = start_program(POLITE, "--name", "other")
    third.wait_for("started")
    fourth = start_program(POLITE, "--no-control")
    fourth.wait_for("started")

    assert "loaded" not in second.stderr
    assert socket_of(own_runtime_folder, "other")
    assert len(list(Path(own_runtime_folder, "taskloom").glob("*.sock"))) == 2
    assert [end(each) for each in (first, third, fourth)] == [0, 0, 0]


@pytest.mark.parametrize("name", ["a b", pytest.param("", marks=pytest.mark.long), "a/b"])
def test_a_name_that_cannot_be_used_is_refused(taskloom_cli: Callable[..., Any], name: str) -> None:
    answer = taskloom_cli("run", "jobs.yaml", f"--name={name}")

    assert answer.returncode == 2
    assert "as the name of a program; expected at most 64 letters, digits" in answer.stderr


def test_it_answers_beside_ten_busy_tasks(run_socket_tasks: Callable[..., Any], own_runtime_folder: str) -> None:
    program = run_socket_tasks("jobs: {busy: {task: spinner, replicas: 10}}", "--stop-within", "60s")
    path = socket_of(own_runtime_folder)
    program.wait_for_event("started", "busy.10")

    begun = time.monotonic()
    status, data = request(path, get("/v1/jobs"))
    took = time.monotonic() - begun

    assert (status, len(data["jobs"])) == (200, 10)
    assert took < FIRST_ANSWER_SECONDS
    program.kill()


def test_it_answers_with_no_descriptor_left(
    run_socket_tasks: Callable[..., Any], own_runtime_folder: str, need_tool: Callable[[str], str]
) -> None:
    program = run_socket_tasks("jobs: {greedy: {task: hoarder}}", prefix=[need_tool("prlimit"), "--nofile=200"])
    path = socket_of(own_runtime_folder)
    program.wait_for("no descriptor is left")

    answers = [request(path, get("/v1/jobs"))[0] for _ in range(5)]

    assert answers == [200] * 5
    assert end(program) == 0


def test_it_imports_nothing_although_it_is_asked_everything(
    run_socket_tasks: Callable[..., Any], own_runtime_folder: str, tmp_path: Path
) -> None:
    """The package may be replaced while the program runs: an upgrade does that."""
    program = run_socket_tasks(f"jobs: {{bare: {{task: importless, params: {{asked: '{tmp_path}/asked'}}}}}}")
    path = socket_of(own_runtime_folder)
    program.wait_for("armed")

    described = request(path, get("/v1"))[1]
    for route in described["routes"]:
        method, _, place = route.partition(" ")
        if method == "GET" and place not in {"/v1/stop", "/metrics", "/livez", "/readyz"}:
            assert request(path, get(place.replace("{job}", "bare")))[0] == 200
    for probe in ("livez", "readyz?verbose"):
        with Client(path) as client:
            client.send(get(f"/{probe}")).read_until(b"\r\n\r\n")
    assert request(path, get("/v1/jobs/bear"))[0] == 404
    assert request(path, get("/%zz"))[0] == 400
    for verb in ("start", "pause", "resume", "reset"):
        assert request(path, post(f"/v1/jobs/bare/{verb}"))[0] in (200, 409)
    with Client(path) as client:
        client.send(get("/v1/logs?follow=true&lines=5")).read_until(b"data")
    with Client(path) as client:
        client.send(get(f"/v1/events?follow=true&since={described['start']}.0")).read_until(b"data")
    (tmp_path / "asked").touch()

    program.wait_for("imported: ")
    assert "imported: []" in program.stderr
    assert end(program) == 0


def thread_count(program: Any) -> int:
    program.wait_for_event("started")
    return len(os.listdir(f"/proc/{program.process.pid}/task"))  # noqa: PTH208


def test_it_is_one_thread_more_and_never_wakes_up_without_a_client(
    run_socket_tasks: Callable[..., Any], own_runtime_folder: str
) -> None:
    jobs = "jobs: {one: {task: namer}, late: {task: namer, schedule: {every: 10d}}}"
    without, program = run_socket_tasks(jobs, "--no-control"), run_socket_tasks(jobs)
    for each in (without, program):
        each.wait_for("threads: ")
    names = [json.loads(each.stderr.partition("threads: ")[2].splitlines()[0]) for each in (without, program)]
    assert set(names[1]) - set(names[0]) == {"taskloom-control"}
    assert len(names[1]) == len(names[0]) + 1

    status = Path(f"/proc/{program.process.pid}/task/{names[1]['taskloom-control']}/status")
    before = [line for line in status.read_text().splitlines() if "ctxt" in line]
    program.pass_time(0.5)
    after = [line for line in status.read_text().splitlines() if "ctxt" in line]

    assert after == before

    threads = len(os.listdir(f"/proc/{program.process.pid}/task"))  # noqa: PTH208
    assert request(socket_of(own_runtime_folder), post("/v1/jobs/late/pause"))[0] == 200
    program.wait_for("pause late: requested by")
    assert len(os.listdir(f"/proc/{program.process.pid}/task")) == threads  # noqa: PTH208
    assert [end(each) for each in (without, program)] == [0, 0]


@pytest.mark.long
def test_children_inherit_nothing(run_socket_tasks: Callable[..., Any], own_runtime_folder: str) -> None:
    program = run_socket_tasks("jobs: {parent: {task: inheriting}}")
    program.wait_for("inherited: ")

    assert "inherited: []" in program.stderr
    assert request(socket_of(own_runtime_folder), get("/v1"))[0] == 200  # the child did not take it away
    assert end(program) == 0


def test_it_answers_during_the_stop_and_sends_the_report(
    start_program: Callable[..., Any], own_runtime_folder: str
) -> None:
    program = start_program("jobs: {web: {task: deaf, join: 1s}}")
    path = socket_of(own_runtime_folder)
    program.wait_for_event("started")
    with Client(path) as waiting:
        waiting.send(get("/v1/stop?wait=true"))
        assert request(path, post("/v1/shutdown"))[0] == 202
        program.wait_for_event("cancel_requested")

        data = request(path, get("/v1/program"))[1]
        report = json.loads(waiting.read_until(b"}\n").partition(b"\r\n\r\n")[2])

    assert data["state"] == "stopping"
    assert data["stop"]["awaited"] == ["web"]
    assert report["exit_code"] == 3
    assert [each["job"] for each in report["survivors"]] == ["web"]
    assert program.end() == 3


@pytest.mark.long
def test_a_client_that_does_not_read_does_not_hold_the_end(
    start_program: Callable[..., Any], own_runtime_folder: str
) -> None:
    program = start_program("jobs: {noisy: {task: printer}}", "--stop-within", "5s", stdout=subprocess.DEVNULL)
    path = socket_of(own_runtime_folder)
    with Client(path) as client:
        client.send(get("/v1/logs?follow=true&lines=1000"))
        program.wait_for_event("started")

        begun = program.send(signal.SIGTERM)
        assert program.end() == 0

        assert time.monotonic() - begun < 5.5


@pytest.mark.long
def test_a_killed_program_is_followed_by_another_one(
    start_program: Callable[..., Any], own_runtime_folder: str
) -> None:
    first = start_program(POLITE)
    path = socket_of(own_runtime_folder)
    first.wait_for_event("started")
    first.kill()
    assert Path(path).exists()

    second = start_program(POLITE)
    second.wait_for_event("started")

    assert request(path, get("/v1/program"))[1]["pid"] == second.process.pid
    assert end(second) == 0


@pytest.mark.long
def test_a_given_path_is_used(start_program: Callable[..., Any], own_runtime_folder: str) -> None:
    program = start_program(POLITE, env={"TASKLOOM_SOCKET": own_runtime_folder + "/here.sock"})
    program.wait_for_event("started")

    assert request(own_runtime_folder + "/here.sock", get("/v1"))[0] == 200
    assert end(program) == 0


@pytest.mark.parametrize(
    "reason", ["foreign", *(pytest.param(each, marks=pytest.mark.long) for each in ("missing", "relative"))]
)
def test_a_variable_that_cannot_be_used_is_one_line(
    start_program: Callable[..., Any], own_runtime_folder: str, reason: str
) -> None:
    """As with sudo, which may keep the variable of the user."""
    foreign = Path(own_runtime_folder, "foreign")
    foreign.mkdir()
    if reason == "foreign":
        if os.geteuid() != 0:
            pytest.skip("LOUD: only root can give a folder to another user")
        os.chown(foreign, 1234, 1234)
    value = {"foreign": str(foreign), "missing": str(foreign / "none"), "relative": "foreign"}[reason]
    program = start_program(POLITE, "--name", f"test-{os.getpid()}-{reason}", env={"XDG_RUNTIME_DIR": value})
    program.wait_for("started")

    lines = [line for line in program.stderr.splitlines() if "XDG_RUNTIME_DIR" in line]
    assert len(lines) == 1
    assert "WARNING" in lines[0]
    assert "its socket is in /" in lines[0]
    assert end(program) == 0


@pytest.mark.long
def test_without_any_folder_the_jobs_run(start_program: Callable[..., Any], own_runtime_folder: str) -> None:
    """As in a container whose file systems are read-only, and without HOME."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("LOUD: cannot make a mount namespace")
    script = (
        'mount -t tmpfs -o ro none /run && mkdir -p "/tmp/taskloom-0" && mount -t tmpfs -o ro,mode=700 none '
        '/tmp/taskloom-0 && unset XDG_RUNTIME_DIR HOME && exec "$@"'
    )
    program = start_program(POLITE, prefix=["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"])
    program.wait_for("started")

    lines = [line for line in program.stderr.splitlines() if "no control socket" in line]
    assert len(lines) == 1
    assert "read-only file system" in lines[0]
    assert "'/tmp/taskloom-0'" in lines[0]
    assert end(program) == 0


HOST = """
import sys
from taskloom import Job, Scheduler
from taskloom.control import serve

def work(ctx):
    ctx.wait()

with Scheduler() as scheduler:
    scheduler.add(Job(name="web", task=work))
    scheduler.start()
    with serve(scheduler, name="host") as control:
        print(control.path, flush=True)
        sys.stdin.read()
        scheduler.stop()
"""


def test_a_host_program_is_asked_and_steered(child_env: dict[str, str], own_runtime_folder: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HOST], env=child_env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as host:  # fmt: skip
        assert host.stdout is not None
        path = host.stdout.readline().strip()
        assert path == own_runtime_folder + "/taskloom/host.sock"

        running = request(path, get("/v1/jobs/web"))[1]["job"]["state"]
        stopped = request(path, post("/v1/jobs/web/stop"))[0]
        _, errors = host.communicate()

    assert (running, stopped, host.returncode, errors) == ("running", 200, 0, "")
    assert os.listdir(own_runtime_folder + "/taskloom") == []  # noqa: PTH208
