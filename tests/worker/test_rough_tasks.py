"""Tasks that do to their process all that they should not: the run is reported all the same, or its end is plain."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import worker_tasks as tasks
from tests.support.driven_worker import DrivenWorker, spec_for

from taskloom import __version__
from taskloom.core.endings import How
from taskloom.runners.wire import Ended, Gauged, Hello, Logged, Ready, Started, StartFailed

pytestmark = pytest.mark.long

Start = Callable[..., DrivenWorker]

RETURNED = [Ended(How.RETURNED, None, False, False)]


def messages(worker: DrivenWorker) -> list[str]:
    return [record.message for record in worker.all(Logged)]


def test_a_task_that_closes_all_descriptors_is_ended_and_the_reason_is_on_standard_error(start_worker: Start) -> None:
    worker = start_worker(tasks.closes_all)

    assert worker.all(Ended) == []
    assert worker.output() == ("", "the task has closed the socket through which its process is controlled\n", 1)


def test_a_request_reaches_a_task_that_has_closed_all_descriptors(start_worker: Start) -> None:
    worker = start_worker(tasks.closes_all_deaf)
    worker.until(Logged)
    assert worker.process.stdout is not None
    assert worker.process.stdout.readline() == b"closed\n"

    worker.cancel()

    assert worker.all(Ended) == []
    out, err, code = worker.output()
    assert (out, code) == ("woken: user: the test\n", 1)
    assert err == "the task has closed the socket through which its process is controlled\n"


def test_replaced_standard_streams_do_no_harm(start_worker: Start) -> None:
    worker = start_worker(tasks.replaces_streams)

    assert messages(worker) == ["still there"]
    assert worker.all(Ended) == RETURNED


def test_ten_mebibytes_of_prints_do_not_disturb_the_messages(start_worker: Start) -> None:
    worker = start_worker(tasks.prints_much)

    out, err, code = worker.output()

    assert (len(out), err, code) == (10 * 1024 * 1024, "", 0)
    assert worker.all(Ended) == RETURNED


def test_no_log_record_is_lost_while_the_program_reads(start_worker: Start) -> None:
    worker = start_worker(tasks.logs_much)

    assert [int(message.partition(" ")[0]) for message in messages(worker)] == list(range(20_000))


def test_log_records_that_the_program_does_not_take_are_dropped_and_counted(start_worker: Start) -> None:
    worker = start_worker(tasks.logs_more)
    assert worker.process.stdout is not None
    assert worker.process.stdout.readline() == b"logged\n"  # nothing was read so far

    found = messages(worker)

    lost = 40 - (len(found) - 1)
    assert lost > 0
    assert found[-1] == f"{lost} log records of this run were dropped: the program did not take them in time"
    assert worker.all(Ended) == RETURNED


def test_a_huge_log_record_is_cut(start_worker: Start) -> None:
    worker = start_worker(tasks.logs_huge)

    (message,) = messages(worker)

    assert message.startswith("\x00\x00")
    assert "characters left out" in message
    assert worker.all(Ended) == RETURNED


def test_odd_log_records_do_no_harm(start_worker: Start) -> None:
    worker = start_worker(tasks.logs_badly)

    lone, failed = worker.all(Logged)

    assert lone.message == "lone \udc80"
    assert failed.level == logging.ERROR
    assert failed.exc.startswith("Traceback (most recent call last):\n")
    assert failed.exc.endswith("KeyError: 'k'")
    assert "not enough arguments" in worker.output()[1] or "%d format" in worker.output()[1]


def test_odd_progress_and_counters_do_no_harm(start_worker: Start) -> None:
    worker = start_worker(tasks.reports_odd)

    assert worker.all(Ended) == RETURNED
    counts = {name: n for message in worker.all(Gauged) for name, n in message.counts.items()}
    assert len(counts) == 3001
    assert counts["c2999"] == 1
    assert counts["n" * 200] == 10**300


def test_a_forked_child_does_not_speak_for_the_run(start_worker: Start) -> None:
    worker = start_worker(tasks.forks)

    assert messages(worker) == ["parent goes on"]
    assert worker.all(Ended) == RETURNED
    assert worker.all(Gauged) == worker.all(Ready) == []
    out, err, code = worker.output()
    assert out == "child cancelled: True shutdown: this is a forked child; the run lives in the parent process\n"
    assert (err, code) == ("child logs\n", 0)


def test_a_forked_child_that_stays_does_not_hold_the_control_socket(start_worker: Start) -> None:
    worker = start_worker(tasks.forks_and_leaves)

    assert worker.all(Ended) == RETURNED  # `all` reads until the end of the stream
    os.kill(int(worker.output()[0]), signal.SIGKILL)


def test_a_signal_right_after_a_fork_ends_the_child(start_worker: Start) -> None:
    worker = start_worker(tasks.forks_to_die)

    assert messages(worker) == [f"child ended with {signal.SIGTERM:d}"]


def test_a_program_that_the_task_starts_has_nothing_of_the_worker(start_worker: Start) -> None:
    worker = start_worker(tasks.starts_child)

    # Standard streams and the folder that it lists; and Ctrl-C ends it.
    assert worker.output() == ("4 default_int_handler\n", "", 0)


def test_threads_that_are_left_end_with_the_process(start_worker: Start) -> None:
    worker = start_worker(tasks.leaves_threads)

    assert worker.all(Ended) == RETURNED
    assert worker.output()[2] == 0


def test_a_hard_exit_of_the_task_is_that_of_the_process(start_worker: Start) -> None:
    worker = start_worker(tasks.exits_hard)

    assert worker.all(Ended) == []
    assert worker.output()[2] == 7


@pytest.mark.parametrize("hangs", [False, True])
def test_functions_of_atexit_get_a_moment(start_worker: Start, hangs: bool) -> None:
    worker = start_worker(tasks.registers_exit, params={"hangs": hangs})

    assert worker.all(Ended) == RETURNED
    assert worker.output() == ("" if hangs else "at exit", "", 0)


# -- the module of the task

BROKEN_CLASS = """
import taskloom

class task(taskloom.Task):
    def __init__(self):
        1 / 0

    def run(self, ctx):
        pass
"""
MODULES = {
    "missing": (None, "ModuleNotFoundError", "No module named 'task_module'"),
    "syntax": ("def task(ctx)\n", "SyntaxError", "expected ':'"),
    "raises": ("1 / 0\n", "ZeroDivisionError", "division by zero"),
    "exits": ("import sys\nsys.exit(3)\n", "SystemExit", "3"),
    "other": ("def tusk(ctx): pass\n", "TaskFailure", "cannot find 'task' in module 'task_module' in the process of"),
    "no task": ("task = 3\n", "ShapeError", "int 3 is neither a Task class nor a function"),
    "constructor": (BROKEN_CLASS, "ZeroDivisionError", "division by zero"),
}


def start_module(child_env: dict[str, str], folder: Path, text: str | None, **fields: Any) -> DrivenWorker:
    """Start a worker for the function `task` of a module with this text."""
    if text is not None:
        (folder / "task_module.py").write_text(text, encoding="utf-8")
    spec = spec_for(tasks.identity, module="task_module", qualname="task", **fields)
    spec.sys_path.insert(0, str(folder))
    return DrivenWorker(child_env, spec)


@pytest.mark.parametrize("kind", MODULES)
def test_a_broken_task_module_fails_the_start(child_env: dict[str, str], tmp_path: Path, kind: str) -> None:
    text, error, message = MODULES[kind]
    with start_module(child_env, tmp_path, text) as worker:
        (failed,) = worker.all(StartFailed)

        assert failed.error.type == error
        assert message in failed.error.message
        assert failed.error.is_explained or "taskloom/worker" not in failed.error.traceback
        assert worker.all(Started) == worker.all(Ended) == []
        assert worker.output()[2] == 0


def test_a_task_module_may_print_and_log_while_it_is_imported(child_env: dict[str, str], tmp_path: Path) -> None:
    text = "import logging\nprint('imported')\nlogging.warning('logged')\ndef task(ctx): pass\n"
    with start_module(child_env, tmp_path, text) as worker:
        assert messages(worker) == ["logged"]
        assert worker.output() == ("imported\n", "", 0)


def test_a_stop_ends_a_worker_whose_task_module_hangs(child_env: dict[str, str], tmp_path: Path) -> None:
    text = "import time\nprint('hangs', flush=True)\ntime.sleep(1000)\n"
    with start_module(child_env, tmp_path, text) as worker:
        assert worker.process.stdout is not None
        assert worker.process.stdout.readline() == b"hangs\n"

        worker.cancel()
        worker.terminate()

        assert worker.all(Ended) == [Ended(How.NOT_ENTERED, None, True, False)]
        assert worker.output() == ("", "", 0)


def test_another_version_of_the_package_is_refused_in_words(start_worker: Start) -> None:
    worker = start_worker(tasks.identity, version="0.0.9")

    (failed,) = worker.all(StartFailed)

    assert isinstance(worker.received[0], Hello)
    assert failed.error.message == (
        f"cannot execute the run: the program has taskloom 0.0.9, and the package is now {__version__}; "
        "restart the program"
    )
    assert failed.error.is_explained
    assert worker.output() == ("", "", 0)


def test_a_package_that_is_gone_fails_the_start(start_worker: Start, tmp_path: Path) -> None:
    (tmp_path / "taskloom.py").write_text("raise ImportError('gone')\n", encoding="utf-8")
    worker = start_worker(tasks.identity, sys_path=[str(tmp_path)])

    failed = worker.receive()

    assert isinstance(failed, StartFailed)
    assert failed.error.message.startswith("cannot import taskloom in the process of the run")
    assert "gone" in failed.error.traceback
    assert worker.output()[2] == 1
