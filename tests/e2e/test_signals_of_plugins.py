"""Plugins and libraries that change signals: a stop signal still stops the program, and the plugin is named."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.toy_distribution import add_distribution

Start = Callable[..., Any]

WAIT = "\ndef run(ctx):\n    ctx.wait()\n"
ONE = "jobs: {one: {task: acme-task}}"
AGAIN = "; Taskloom has set its own again"

EVENT_LOOP = """
import asyncio, signal
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)
asyncio.run(main())
"""
FAULTHANDLER = """
import faulthandler, os, signal
file = open(os.devnull, 'w')
faulthandler.register(signal.SIGTERM, file=file)
"""
C_HANDLER = """
import ctypes
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
ctypes.CDLL(None).signal(15, handler)
"""
# What a module does when it is imported, and what the warning says of it.
CHANGES = {
    "all to the default": (
        "import signal\nfor number in (1, 2, 3, 15):\n    signal.signal(number, signal.SIG_DFL)",
        "replaced the handlers of SIGINT, SIGTERM, SIGHUP, SIGQUIT",
    ),
    "a handler of its own": (
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)",
        "replaced the handler of SIGTERM",
    ),
    "Ctrl-C as Python has it": (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)",
        "replaced the handler of SIGINT",
    ),
    "SIGPIPE to the default": (
        "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)",
        "replaced the handler of SIGPIPE",
    ),
    "an event loop": (
        EVENT_LOOP,
        "replaced the handler of SIGTERM and replaced the wake-up descriptor",
    ),
    "a wake-up descriptor": (
        "import os, signal\nr, w = os.pipe()\nos.set_blocking(w, False)\nsignal.set_wakeup_fd(w)",
        "replaced the wake-up descriptor",
    ),
    "a signal mask": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
        "blocked SIGINT, SIGTERM, SIGHUP, SIGQUIT",
    ),
    "faulthandler": (
        FAULTHANDLER,
        "replaced the handler of SIGTERM",
    ),
    "C code that ignores": (
        "import ctypes\nctypes.CDLL(None).signal(15, ctypes.c_void_p(1))",
        "replaced the handler of SIGTERM",
    ),
    "C code that handles": (
        C_HANDLER,
        "replaced the handler of SIGTERM",
    ),
}
IN_SHORT = ("C code that ignores",)


@pytest.mark.parametrize(
    "kind", [kind if kind in IN_SHORT else pytest.param(kind, marks=pytest.mark.long) for kind in CHANGES]
)
def test_signals_that_an_import_changed_are_set_again(start_program: Start, tmp_path: Path, kind: str) -> None:
    source, told = CHANGES[kind]
    add_distribution(tmp_path, "acme", source + WAIT, **{"acme-task": "run"})
    program = start_program(ONE, env={"PYTHONPATH": str(tmp_path)})
    program.wait_for("one          started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert f"WARNING taskloom     task 'acme-task' of acme 1.0 {told}{AGAIN}\n" in program.stderr
    assert program.stderr.count("Taskloom has set its own again") == 1
    assert "one          cancelled after" in program.stderr


@pytest.mark.long
def test_the_plugin_that_changed_a_signal_is_named_and_no_other(start_program: Start, tmp_path: Path) -> None:
    add_distribution(tmp_path, "innocent", WAIT, innocent="run")
    source, told = CHANGES["a handler of its own"]
    add_distribution(tmp_path, "guilty", source + WAIT, guilty="run")
    jobs = "jobs: {one: {task: innocent}, two: {task: guilty}, three: {task: innocent}}"
    program = start_program(jobs, env={"PYTHONPATH": str(tmp_path)})
    program.wait_for("three        started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert f"task 'guilty' of guilty 1.0 {told}{AGAIN}" in program.stderr
    assert "innocent 1.0" not in program.stderr


@pytest.mark.long
def test_signals_that_the_parent_process_blocked_are_received(start_program: Start) -> None:
    program = start_program(
        "jobs: {one: {task: polite}}",
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT)),
    )
    program.wait_for("one          started")

    program.send(signal.SIGTERM)

    assert program.end() == 0


def test_an_import_during_a_reload_is_named_too(start_program: Start, toy_packages: Path, tmp_path: Path) -> None:
    """It happens on another thread, and only the main thread can set signals."""
    source = "import ctypes\nctypes.CDLL(None).signal(15, ctypes.c_void_p(1))"
    add_distribution(tmp_path, "acme", source + WAIT, **{"acme-task": "run"})
    program = start_program("jobs: {one: {task: polite}}", env={"PYTHONPATH": f"{toy_packages}:{tmp_path}"})
    program.wait_for("one          started")
    program.reload("jobs: {one: {task: polite}, two: {task: acme-task}}")
    program.wait_for("two          started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert f"task 'acme-task' of acme 1.0 replaced the handler of SIGTERM{AGAIN}" in program.stderr


LATER = """
import ctypes, os, time

def run(ctx):
    ctypes.CDLL(None).signal(15, ctypes.c_void_p(1))
    while not ctx.cancelled:
        time.sleep(0.05)
"""


@pytest.mark.long
def test_a_signal_that_a_task_has_c_code_ignore_is_seen_within_seconds_and_told_once(
    start_program: Start, tmp_path: Path
) -> None:
    add_distribution(tmp_path, "acme", LATER, **{"acme-task": "run"})
    program = start_program(
        "jobs: {one: {task: acme-task, schedule: {every: 1s}, timeout: 700ms}}", env={"PYTHONPATH": str(tmp_path)}
    )
    told = f"unknown code replaced the handler of SIGTERM{AGAIN}"
    program.wait_for(told)
    program.wait_for_event("ended", count=3)
    program.wait_for_event("started", count=5)

    # Ignored again since the last look, possibly: so the signal is sent until it arrives.
    while "SIGTERM: stopping" not in program.stderr and program.process.poll() is None:
        program.send(signal.SIGTERM)
        try:
            program.process.wait(0.2)
        except subprocess.TimeoutExpired:
            pass

    assert program.end() in (0, 1)
    assert program.stderr.count(told) == 1


EXITS = {
    "sys.exit": ("import sys\ndef handler(*_):\n    sys.exit(4)", 70, "SystemExit: 4"),
    "an error": ("def handler(*_):\n    raise ValueError('boom')", 70, "ValueError: boom"),
    "endless recursion": ("def handler(*_):\n    raise RecursionError", 70, "RecursionError"),
    "no memory": ("def handler(*_):\n    raise MemoryError", 75, "MemoryError"),
    "KeyboardInterrupt": ("def handler(*_):\n    raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
}
SETS_HANDLER = "\nimport signal\nsignal.signal(signal.SIGUSR1, handler)\n"


@pytest.mark.parametrize(
    "kind",
    [kind if kind == "sys.exit" else pytest.param(kind, marks=pytest.mark.long) for kind in EXITS],
)
def test_what_a_handler_of_a_plugin_raises_stops_the_jobs_by_their_policies(
    start_program: Start, tmp_path: Path, kind: str
) -> None:
    source, code, told = EXITS[kind]
    add_distribution(tmp_path, "acme", source + SETS_HANDLER + WAIT, **{"acme-task": "run"})
    program = start_program(ONE, env={"PYTHONPATH": str(tmp_path)})
    program.wait_for("one          started")

    program.send(signal.SIGUSR1)

    assert program.end() == code
    assert program.told("ended", "scheduler_stopped")[:1] == ["ended one cancelled"]
    assert "Traceback (most recent call last)" in program.stderr
    assert told in program.stderr
    assert "all jobs are stopped" in program.stderr
    assert "one  finished  cancelled" in program.stderr  # the summary was written


@pytest.mark.long
def test_a_handler_that_raises_again_and_again_does_not_hold_the_stop(start_program: Start, tmp_path: Path) -> None:
    deaf = "\nimport time\ndef run(ctx):\n    time.sleep(1000)\n"
    source = "def handler(*_):\n    raise ValueError('boom')" + SETS_HANDLER + deaf
    add_distribution(tmp_path, "acme", source, **{"acme-task": "run"})
    program = start_program("jobs: {one: {task: acme-task, join: 2s}}", env={"PYTHONPATH": str(tmp_path)})
    program.wait_for("one          started")

    for _ in range(30):
        if program.process.poll() is None:
            program.send(signal.SIGUSR1)
            try:
                program.process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass

    assert program.end() in (3, 70)
    assert 1 <= program.stderr.count("ValueError: boom") <= 6


@pytest.mark.long
@pytest.mark.parametrize("stage", ["import", "parameters"])
def test_a_plugin_that_exits_while_the_files_are_read_is_a_mistake_in_words(
    start_program: Start, tmp_path: Path, stage: str
) -> None:
    exits = {
        "import": "import sys\nsys.exit(0)" + WAIT,
        "parameters": (
            "import sys\nfrom typing import Annotated\nfrom pydantic import AfterValidator\n"
            "def run(ctx, size: Annotated[int, AfterValidator(lambda value: sys.exit(value))] = 0): ...\n"
        ),
    }
    add_distribution(tmp_path, "acme", exits[stage], **{"acme-task": "run"})
    program = start_program(
        "jobs: {one: {task: acme-task, params: {size: 3}}}" if stage == "parameters" else ONE,
        env={"PYTHONPATH": str(tmp_path)},
    )

    assert program.end() == 2
    assert ("a validator raised SystemExit" if stage == "parameters" else "sys.exit") in program.stderr
    assert "Traceback" not in program.stderr


@pytest.mark.long
def test_code_that_closes_all_descriptors_takes_the_watcher_but_not_the_stop(
    start_program: Start, tmp_path: Path
) -> None:
    add_distribution(tmp_path, "acme", "import os\nos.closerange(3, 256)" + WAIT, **{"acme-task": "run"})
    program = start_program(ONE, env={"PYTHONPATH": str(tmp_path)})
    program.wait_for("one          started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert "task 'acme-task' of acme 1.0 closed the wake-up descriptor; the watcher process has ended" in program.stderr


IGNORES_AND_WAITS = """
import ctypes, time

def run(ctx):
    ctypes.CDLL(None).signal(15, ctypes.c_void_p(1))
    ctx.log.info("ignores SIGTERM")
    ctx.wait()
    time.sleep(1000)
"""


@pytest.mark.long
def test_a_signal_that_c_code_ignores_while_all_runs_wait_counts_again_once_a_stop_begins(
    start_program: Start, tmp_path: Path
) -> None:
    add_distribution(tmp_path, "acme", IGNORES_AND_WAITS, **{"acme-task": "run"})
    program = start_program("jobs: {one: {task: acme-task, join: 20s}}", env={"PYTHONPATH": str(tmp_path)})
    program.wait_for("ignores SIGTERM")

    program.send(signal.SIGINT)
    program.wait_for(f"unknown code replaced the handler of SIGTERM{AGAIN}")
    while "SIGTERM: at most" not in program.stderr and program.process.poll() is None:
        program.send(signal.SIGTERM)
        try:
            program.process.wait(0.2)
        except subprocess.TimeoutExpired:
            pass

    assert "SIGTERM: at most" in program.stderr
    assert program.end() == 3
