"""An exception anywhere on the main thread of `taskloom run` stops the jobs in time, and is written to stderr."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

SOON = 30.0

FAULTY = """
import importlib, os, sys

where, error, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
module, _, names = where.partition(":")
owner = importlib.import_module(module)
*path, name = names.split(".")
for each in path:
    owner = getattr(owner, each)
real = getattr(owner, name)

def faulty(*given, **options):
    global times
    if times > 0:
        times -= 1
        os.write(1, b"struck\\n")
        raise eval(error)
    return real(*given, **options)

setattr(owner, name, faulty)
from taskloom.cli import main
main(["run", "jobs.yaml", "--stop-within", "5s"])
"""

JOBS = "jobs: {one: {task: countdown, params: {start: 2, interval: 1ms}}}"

PROGRAM, QUEUE = "taskloom.cli.program.program", "taskloom.cli.program.signal_queue:SignalQueue"
SCHEDULER = "taskloom.scheduler.facade:Scheduler"


class Fault(NamedTuple):
    where: str
    error: str = "ValueError('planted')"
    times: int = 1
    code: int = 70


FOR_EVER = 100_000
NO_THREAD = 'RuntimeError("can\'t start new thread")'

# While nothing has started: a lack of resources is one sentence, all else a bug.
IN_SET_UP = {
    "a bug": Fault(f"{SCHEDULER}.add_all"),
    "no thread for the output": Fault("taskloom.cli.program.log_output:ProgramOutput", NO_THREAD, code=75),
    "no thread for a listener": Fault(f"{SCHEDULER}.listen", NO_THREAD, code=75),
    "no thread of the scheduler": Fault(f"{SCHEDULER}.prepare", NO_THREAD, code=75),
    "no process for the watcher": Fault(f"{PROGRAM}:Watcher", "BlockingIOError(11, 'try again')", code=75),
    "no memory": Fault("taskloom.jobfile.loader:check", "MemoryError()", code=75),
    "an exit": Fault(f"{SCHEDULER}.add_all", "SystemExit(0)"),
}
# While jobs run.
LATER = {
    "at the start of the jobs": Fault(f"{SCHEDULER}.start"),
    "at the start, without memory": Fault(f"{SCHEDULER}.start", "MemoryError()", code=75),
    "at the start, by Ctrl-C": Fault(f"{SCHEDULER}.start", "KeyboardInterrupt()", code=130),
    "at one message": Fault(f"{QUEUE}.get"),
    "at every message": Fault(f"{QUEUE}.get", times=FOR_EVER),
    "at the request to stop": Fault(f"{SCHEDULER}.request_stop", "MemoryError()", code=75),
    "on the waiting thread": Fault(f"{SCHEDULER}.wait"),
    "at every status": Fault(f"{SCHEDULER}.status", times=FOR_EVER),
    "at the summary": Fault("taskloom.cli.program.final_report:summary", "RecursionError()"),
    "at the report": Fault(f"{SCHEDULER}.stop", times=2),
    "while the listeners are closed": Fault("taskloom.cli.program.event_feed:close_listeners", "SystemExit(0)"),
    "at the very end": Fault(f"{PROGRAM}:Ending"),
}

Strike = Callable[[Fault], subprocess.CompletedProcess[str]]


@pytest.fixture
def strike(child_env: dict[str, str], tmp_path: Path) -> Strike:
    (tmp_path / "jobs.yaml").write_text(JOBS)

    def strike(fault: Fault) -> subprocess.CompletedProcess[str]:
        answer = subprocess.run(
            [sys.executable, "-c", FAULTY, fault.where, fault.error, str(fault.times)],
            cwd=tmp_path, env=child_env, capture_output=True, text=True, timeout=SOON, check=False,
        )  # fmt: skip
        assert "struck" in answer.stdout
        return answer

    return strike


@pytest.mark.parametrize(
    "place",
    [
        each if each == "no thread of the scheduler" else pytest.param(each, marks=pytest.mark.long)
        for each in IN_SET_UP
    ],
)
def test_an_exception_while_nothing_has_started_ends_in_words(strike: Strike, place: str) -> None:
    answer = strike(IN_SET_UP[place])

    assert answer.returncode == IN_SET_UP[place].code
    assert " started" not in answer.stderr.replace("nothing was started", "")
    if answer.returncode == 75:
        assert answer.stderr.splitlines()[-1].startswith("taskloom: cannot ")
        assert "Traceback" not in answer.stderr
    else:
        assert "Traceback (most recent call last)" in answer.stderr
        assert "please report the lines above" in answer.stderr


@pytest.mark.parametrize(
    "place",
    [each if each == "at every message" else pytest.param(each, marks=pytest.mark.long) for each in LATER],
)
def test_an_exception_while_jobs_run_stops_them_and_is_written(strike: Strike, place: str) -> None:
    fault = LATER[place]

    answer = strike(fault)

    assert answer.returncode == fault.code, answer.stderr
    assert "Traceback (most recent call last)" in answer.stderr
    assert fault.error.partition("(")[0] in answer.stderr
    assert "all jobs are stopped" in answer.stderr
    assert 1 <= answer.stderr.count("Traceback (most recent call last)") <= 6
