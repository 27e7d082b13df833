"""The end of `taskloom run`: threads, processes, exit handlers and files that jobs leave behind."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.distribution import write_distribution

# Each starts whole programs; test_stopping and test_signals are in the quick share.
pytestmark = pytest.mark.long

Start = Callable[..., Any]

# How late an end may be on a shared machine.
SLACK_SECONDS = 5.0
# Only a failure takes this long.
PATIENCE_SECONDS = 30.0

TASKS = r'''
import atexit, multiprocessing, os, re, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
KEPT = []
NOWHERE = subprocess.DEVNULL


def thread(ctx):
    """Leave a thread that another thread has started."""
    def start():
        threading.Thread(target=time.sleep, args=(1000,), name="leaked").start()
    first = threading.Thread(target=start)
    first.start()
    first.join()

def busy_pool(ctx):
    """Leave an executor whose thread never ends, and a pool."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="busy")
    executor.submit(time.sleep, 1000)
    pool = ThreadPool(2)
    pool.apply_async(time.sleep, (1000,))
    KEPT.extend((executor, pool))

def idle_pool(ctx):
    """Leave an executor that has nothing to do."""
    executor = ThreadPoolExecutor(2, thread_name_prefix="idle")
    executor.submit(int).result()
    KEPT.append(executor)

def raising_threads(ctx):
    """Start threads that raise: one of the task, one of a thread of the task, and one that is quiet."""
    def inner():
        raise KeyError("inner")
    def outer():
        again = threading.Thread(target=inner, name="inner-thread")
        again.start()
        again.join()
        raise ValueError("outer")
    for target in (outer, sys.exit):
        one = threading.Thread(target=target, name="outer-thread")
        one.start()
        one.join()

def deaf(ctx, seconds: float = 1000.0):
    """Never stop, with text in the buffer of an open file, and exit handlers."""
    file = open("buffered.txt", "w")
    KEPT.append(file)
    file.write("text in a buffer")
    atexit.register(lambda: print("printed at exit"))
    atexit.register(lambda: open("handler.txt", "w").write(threading.current_thread().name))
    print("deaf now", flush=True)
    time.sleep(seconds)

def respawning(ctx):
    """Never stop, and start a process whenever the last one has ended."""
    while True:
        child = subprocess.Popen(["sleep", "1000"])
        ctx.ready()
        child.wait()

def hanging_handler(ctx, blocks: bool = True):
    """Leave an exit handler that never returns, and one that is called before it."""
    def hang():
        open("began.txt", "w").close()
        while True:
            time.sleep(1000)  # HANGS HERE
    atexit.register(hang)
    file = open("buffered.txt", "w")
    KEPT.append(file)
    file.write("text in a buffer")

def gil_handler(ctx):
    """Leave an exit handler that holds the GIL for ever."""
    atexit.register(re.match, r"(a+)+$", "a" * 60 + "b")

def children(ctx):
    """Leave processes of all kinds."""
    started = [
        subprocess.Popen(["sleep", "1000"]),
        subprocess.Popen([sys.executable, "-c", IGNORES_TERM], stdout=subprocess.PIPE),
        # Without our streams: a reader of them waits for the end of all who have them.
        subprocess.Popen(["sleep", "1000"], start_new_session=True, stdout=NOWHERE, stderr=NOWHERE),
    ]
    started[1].stdout.read(1)
    forked = multiprocessing.get_context("fork").Process(target=signal.pause)
    spawned = multiprocessing.get_context("spawn").Process(target=signal.pause)
    for process in (forked, spawned):
        process.start()
        KEPT.append(process)
    from multiprocessing.resource_tracker import _resource_tracker
    with open("pids.txt", "w") as file:
        print(*(process.pid for process in (*started, forked, spawned)), _resource_tracker._pid, file=file)

def process_pool(ctx):
    """Leave a pool of processes, at work and idle, and a handler that is called after that of multiprocessing."""
    pool = multiprocessing.get_context("fork").Pool(3)
    pool.apply_async(time.sleep, (1000,))
    KEPT.append(pool)

def fork_server(ctx):
    """Leave a process that the fork server has made."""
    ready, done = multiprocessing.get_context("forkserver").Pipe()
    process = multiprocessing.get_context("forkserver").Process(target=wait_at, args=(done,))
    process.start()
    pid = ready.recv()
    with open("pid.txt", "w") as file:
        print(pid, file=file)
    KEPT.append((process, ready, done))

def wait_at(connection):
    connection.send(os.getpid())
    signal.pause()

def polite_child(ctx):
    """Leave a child that needs a moment to end after it was asked."""
    code = (
        "import signal, sys\n"
        "def end(*_): open('ended.txt', 'w').close(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print(flush=True); signal.pause()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.read(1)
    KEPT.append(child)

def own_hook(ctx):
    """Raise in a thread after this module has set a hook of its own."""
    one = threading.Thread(target=int, args=("no number",), name="hooked")
    one.start()
    one.join()

def hook(args):
    print("the hook of the plugin was called for", args.thread.name)

'''
NAMES = (
    *("thread", "busy_pool", "idle_pool", "raising_threads", "deaf", "respawning", "hanging_handler", "children"),
    *("polite_child", "own_hook", "process_pool", "fork_server", "gil_handler"),
)


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a program that has these tasks."""
    return {
        "PYTHONPATH": str(write_distribution(tmp_path_factory.mktemp("leaving") / "packages", "leaving", TASKS, NAMES))
    }


def seconds_to_end(program: Any, since: str) -> float:
    """Return how many seconds after the event of this name the program ended."""
    code = program.process.wait(PATIENCE_SECONDS)
    ended = time.monotonic()
    assert code >= 0, program.stderr
    return float(ended - program.events(since)[0]["mono"])


def test_a_thread_that_a_run_left_gets_the_time_of_its_job_and_is_named(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program(
        "jobs: {owner: {task: thread, join: 500ms}}", "-o", "json", env=leaving, stdout=subprocess.PIPE
    )

    taken = seconds_to_end(program, "scheduler_stopping")
    report = json.loads(program.process.stdout.read())
    program.process.stdout.close()

    assert program.end() == 0
    assert 0.5 <= taken <= 0.5 + SLACK_SECONDS
    assert "that tasks or libraries started: leaked (job owner, at most 500ms)" in program.stderr
    assert "not waiting for threads that are left: leaked (job owner)" in program.stderr
    assert report["threads_left"] == [{"thread": "leaked", "job": "owner"}]
    assert report["processes_left"] == []


def test_pools_that_are_left_belong_to_their_job_and_idle_ones_cost_no_time(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program(
        "jobs: {busy: {task: busy_pool, join: 300ms}, idle: {task: idle_pool, join: 20s}}", env=leaving
    )

    taken = seconds_to_end(program, "scheduler_stopping")

    assert program.end() == 0
    assert taken <= 0.3 + SLACK_SECONDS
    assert "busy_0 (job busy, at most 300ms)" in program.stderr
    assert "threads that are left: busy_0 (job busy)" in program.stderr


def test_an_exception_in_a_thread_is_logged_once_with_the_job_that_started_it(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program("jobs: {owner: {task: raising_threads}}", env=leaving)

    assert program.end() == 0
    errors = [line for line in program.stderr.splitlines() if " ERROR " in line]
    started = "(started by run owner#1)"
    assert [line.split("owner        ")[1] for line in errors if "exception in thread" in line] == [
        f"exception in thread inner-thread {started}: KeyError: 'inner'",
        f"exception in thread outer-thread {started}: ValueError: outer",
    ]
    assert program.stderr.count("Traceback (most recent call last)") == 2


def test_an_exception_in_a_thread_that_no_run_started_says_so_and_a_hook_of_a_plugin_is_called(
    start_program: Start, tmp_path: Path
) -> None:
    source = TASKS + (
        "threading.excepthook = hook\n"
        "go = threading.Event()\n"
        "threading.Thread(target=lambda: (go.wait(), 1 / 0), name='at-import', daemon=True).start()\n"
        "def release(ctx):\n"
        "    go.set()\n"
        "    own_hook(ctx)\n"
        "    ctx.wait(0.1)\n"
    )
    folder = write_distribution(tmp_path / "packages", "hooked", source, ["release"])
    program = start_program("jobs: {owner: {task: release}}", env={"PYTHONPATH": str(folder)}, stdout=subprocess.PIPE)
    printed = program.process.stdout.read()
    program.process.stdout.close()

    assert program.end() == 0
    assert "exception in thread at-import (job unknown): ZeroDivisionError: division by zero" in program.stderr
    assert "exception in thread hooked (started by run owner#1): ValueError" in program.stderr
    assert "the hook of the plugin was called for at-import" in printed
    assert "the hook of the plugin was called for hooked" in printed


def test_a_hard_exit_loses_neither_buffered_files_nor_exit_handlers(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program("jobs: {deaf: {task: deaf, join: 100ms}}", env=leaving, stdout=subprocess.PIPE)
    assert program.process.stdout.readline() == "deaf now\n"

    program.send(signal.SIGTERM)

    assert program.end() == 3
    assert (program.folder / "buffered.txt").read_text() == "text in a buffer"
    assert (program.folder / "handler.txt").read_text() == "MainThread"
    assert program.process.stdout.read() == "printed at exit\n"
    program.process.stdout.close()


def test_after_code_3_threads_of_unknown_jobs_are_named_but_not_awaited(start_program: Start, tmp_path: Path) -> None:
    source = TASKS + "threading.Thread(target=time.sleep, args=(1000,), name='foreign').start()\n"
    folder = write_distribution(tmp_path / "packages", "foreign", source, ["deaf"])
    program = start_program(
        "jobs: {deaf: {task: deaf, join: 100ms}}", env={"PYTHONPATH": str(folder)}, stdout=subprocess.PIPE
    )
    assert program.process.stdout.readline() == "deaf now\n"

    sent = program.send(signal.SIGTERM)

    assert program.end() == 3
    assert time.monotonic() - sent <= 0.1 + SLACK_SECONDS
    assert "threads that are left: foreign (job unknown)" in program.stderr
    program.process.stdout.close()


@pytest.mark.long
def test_an_exit_handler_that_hangs_ends_the_program_after_two_seconds_at_its_line(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program("jobs: {owner: {task: hanging_handler}}", env=leaving)

    taken = seconds_to_end(program, "scheduler_stopped")

    assert program.end() == 0
    assert (program.folder / "began.txt").exists()
    assert 1.9 <= taken <= 2.0 + SLACK_SECONDS
    assert re.search(r"longer than 2.0 s; exiting now, at \S*leaving.py:\d+ in hang", program.stderr)
    assert (program.folder / "buffered.txt").read_text() == "text in a buffer"


@pytest.mark.long
def test_exit_handlers_do_not_pass_the_deadline_of_the_stop(start_program: Start, leaving: dict[str, str]) -> None:
    program = start_program(
        "jobs: {owner: {task: hanging_handler}, deaf: {task: deaf, join: 400ms}}",
        *("--stop-within", "800ms"),
        env=leaving,
        stdout=subprocess.PIPE,
    )
    assert program.process.stdout.readline() == "deaf now\n"

    sent = program.send(signal.SIGTERM)

    assert program.end() == 3  # and not 137: the watcher had nothing to do
    assert 0.8 <= time.monotonic() - sent <= 0.8 + SLACK_SECONDS
    assert (program.folder / "buffered.txt").read_text() == "text in a buffer"
    program.process.stdout.close()


@pytest.mark.long
def test_children_that_are_left_are_named_and_ended_but_not_those_that_have_their_own_session_or_end_by_themselves(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program("jobs: {owner: {task: children}}", "-o", "json", env=leaving, stdout=subprocess.PIPE)
    taken = seconds_to_end(program, "scheduler_stopped")
    report = json.loads(program.process.stdout.read())
    program.process.stdout.close()
    sleeping, deaf, detached, forked, spawned, tracker = map(int, (program.folder / "pids.txt").read_text().split())
    wait_for_end(tracker)
    was_detached_alive = is_alive(detached)
    os.kill(detached, signal.SIGKILL)

    assert program.end() == 0
    assert taken <= 2.0 + SLACK_SECONDS
    assert was_detached_alive
    assert [pid for pid in (sleeping, deaf, forked, spawned) if is_alive(pid)] == []
    found = {child["pid"]: (child["job"], child["left_alone"]) for child in report["processes_left"]}
    assert found == {
        **dict.fromkeys((sleeping, deaf, forked, spawned), ("owner", None)),
        detached: ("owner", "a session of its own"),
        tracker: (found[tracker][0], "multiprocessing's resource tracker"),
    }
    assert f"pid {sleeping} `sleep 1000` (job owner)" in program.stderr
    assert f"left alone: pid {detached} `sleep 1000` (job owner), a session of its own" in program.stderr


def test_a_child_gets_time_to_end_after_it_was_asked(start_program: Start, leaving: dict[str, str]) -> None:
    program = start_program("jobs: {owner: {task: polite_child}}", env=leaving)

    assert program.end() == 0
    assert (program.folder / "ended.txt").exists()


def test_a_pool_of_processes_is_ended_by_multiprocessing_without_delay(
    start_program: Start, leaving: dict[str, str]
) -> None:
    """Workers that are killed while they hold the lock of the pool's queue would block its exit handler."""
    program = start_program("jobs: {owner: {task: process_pool}}", env=leaving)

    assert program.end() == 0
    assert "ending child processes that are left" in program.stderr
    assert "longer than" not in program.stderr


@pytest.mark.long
def test_an_exit_handler_that_holds_the_gil_is_ended_by_the_watcher(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program("jobs: {owner: {task: gil_handler}}", "--stop-within", "forever", env=leaving)

    assert program.end() == -signal.SIGKILL


@pytest.mark.long
def test_a_process_of_the_fork_server_is_ended_and_the_server_ends_by_itself(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program("jobs: {owner: {task: fork_server}}", env=leaving)
    program.process.wait(PATIENCE_SECONDS)
    pid = int((program.folder / "pid.txt").read_text())
    for other in program.relatives():
        wait_for_end(other)

    assert program.end() == 0
    assert not is_alive(pid)
    assert f"pid {pid} " in program.stderr
    assert "multiprocessing's fork server" in program.stderr


@pytest.mark.long
def test_a_run_that_starts_a_process_whenever_one_ends_leaves_none(
    start_program: Start, leaving: dict[str, str]
) -> None:
    program = start_program("jobs: {owner: {task: respawning, join: 100ms}}", env=leaving)
    program.wait_for("owner        started")

    program.send(signal.SIGTERM)

    assert program.end() == 3
    assert program.relatives() == []
    assert "`sleep 1000` (job owner)" in program.stderr


@pytest.mark.long
def test_a_second_signal_shortens_the_wait_for_threads(start_program: Start, leaving: dict[str, str]) -> None:
    program = start_program("jobs: {owner: {task: thread, join: 25s}}", env=leaving)
    program.wait_for("waiting for non-daemon threads")

    sent = program.send(signal.SIGTERM)

    assert program.end() == 0
    assert time.monotonic() - sent <= 2.0 + SLACK_SECONDS


def is_alive(pid: int) -> bool:
    """Return whether the process lives; one that has ended but was not awaited does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_end(pid: int) -> None:
    """Wait for the end of a process that is not a child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.poll(PATIENCE_SECONDS * 1000)
    os.close(handle)
