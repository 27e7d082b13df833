"""Tasks that cannot be stopped in a thread, in processes: all end in time, nothing of them is left, the code is 0."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import living_in
from tests.support.strangers import install_strangers

from taskloom.cli.program.signals import DEBOUNCE_SECONDS
from taskloom.core.stopping import KILL_SECONDS
from taskloom.testing.runner_tasks import wait_until

pytestmark = pytest.mark.long

STRANGERS = (
    *("deaf", "spinner", "swallower", "hog", "blocker", "stubborn", "forker", "parent", "double-forker"),
    *("forks-without-end", "stopped", "stops-supervisor", "regrouped"),
)
# What the job files allow, the time for a kill, and a generous time for a busy machine and the end of the program. It
# is less than the strangers would take one after the other.
JOIN_SECONDS = 2.0
BOUND_SECONDS = JOIN_SECONDS + KILL_SECONDS + 10.0


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_strangers(tmp_path_factory.mktemp("strangers"))


@pytest.fixture
def start(start_program: Callable[..., Any], strangers: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start `taskloom run`; after the test no process of it may live."""

    def start(jobs: str, *options: str, env: dict[str, str] | None = None, **streams: Any) -> Any:
        return start_program(jobs, *options, env={"PYTHONPATH": str(strangers)} | (env or {}), **streams)

    yield start

    assert living_in(tmp_path) == {}


def job(task: str, name: str = "", **fields: str) -> str:
    """Return a job in a process, as a line of a job file."""
    fields = {"task": task, "runner": "process", "join": f"{JOIN_SECONDS:g}s", **fields}
    return f"  {name or task}: {{{', '.join(f'{key}: {value}' for key, value in fields.items())}}}\n"


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_gone_in_time_and_the_code_is_0(start: Any, tmp_path: Path, stranger: str) -> None:
    program = start("jobs:\n" + job(stranger))
    program.wait_for("is inside")
    began = program.send(signal.SIGTERM)

    code = program.end()

    assert code == 0, program.stderr
    assert program.told("ended") == [f"ended {stranger} cancelled"]
    [stopped] = program.events("scheduler_stopped")
    assert stopped["mono"] - began < BOUND_SECONDS, program.stderr
    assert living_in(tmp_path) == {}


def test_all_strangers_at_once_are_gone_in_the_time_of_one(start: Any, tmp_path: Path) -> None:
    program = start("jobs:\n" + "".join(map(job, STRANGERS)))
    for stranger in STRANGERS:
        program.wait_for_event("started", stranger)
    began = program.send(signal.SIGINT)

    code = program.end()

    assert code == 130, program.stderr  # Ctrl-C, as without strangers
    assert sorted(program.told("ended")) == sorted(f"ended {stranger} cancelled" for stranger in STRANGERS)
    [stopped] = program.events("scheduler_stopped")
    assert stopped["mono"] - began < BOUND_SECONDS
    assert living_in(tmp_path) == {}


def test_a_stranger_that_is_killed_is_named_with_its_signal(start: Any) -> None:
    program = start("jobs:\n" + job("swallower"))
    program.wait_for("is inside")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    [ended] = program.events("ended")
    [seconds] = set(re.findall(r"SIGKILL after (\d+\.\d) s", str(ended)))
    assert JOIN_SECONDS <= float(seconds) < BOUND_SECONDS
    assert f"SIGKILL after {seconds} s" in program.stderr


@pytest.mark.parametrize("stranger", ["deaf", "hog", "double-forker", "parent", "stopped", "stops-supervisor"])
def test_nothing_of_a_stranger_is_left_when_the_program_is_killed(start: Any, tmp_path: Path, stranger: str) -> None:
    """The supervisor sees the end of the program, and gives the run its grace."""
    program = start("jobs:\n" + job(stranger))
    program.wait_for("is inside")
    program.send(signal.SIGKILL)
    program.process.wait()

    await_nobody(tmp_path)


def await_nobody(folder: Path) -> None:
    """Wait until no process has this folder as its working directory."""
    assert wait_until(lambda: not living_in(folder), 20.0), living_in(folder)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_second_signal_hurries_the_kill(start: Any, second: int) -> None:
    program = start("jobs:\n" + job("swallower", join="60s"))
    program.wait_for("is inside")
    program.send(signal.SIGINT)
    program.wait_for_event("cancel_requested")
    program.pass_time(2 * DEBOUNCE_SECONDS)  # else it counts as the same signal
    began = program.send(second)

    code = program.end()

    assert code == 130, program.stderr
    [stopped] = program.events("scheduler_stopped")
    assert stopped["mono"] - began < BOUND_SECONDS


def test_a_stranger_that_takes_too_long_has_timed_out(start: Any) -> None:
    program = start("jobs:\n" + job("swallower", timeout="1s", join="500ms"))

    code = program.end()

    assert code == 1, program.stderr
    assert program.told("ended") == ["ended swallower timed_out"]


def test_a_watchdog_replaces_a_stranger(start: Any, tmp_path: Path) -> None:
    """The second attempt begins only when nothing of the first one is left."""
    jobs = "jobs:\n" + job("spinner", watchdog="{after: 2s, then: restart}", join="500ms", restart="on-failure")
    program = start(jobs)
    program.wait_for_event("started", "spinner", count=2)
    inside = [line for line in living_in(tmp_path).values() if "worker" in line and "supervisor" not in line]
    program.send(signal.SIGTERM)

    assert len(inside) == 1, inside
    assert program.end() == 0, program.stderr
    assert program.told("ended")[0] == "ended spinner failed"


def test_a_hundred_runs_at_once(start: Any, tmp_path: Path) -> None:
    program = start(f"jobs:\n{job('polite', replicas='100')}", "--quiet")
    program.wait_for_event("started", count=100)
    program.send(signal.SIGTERM)

    assert program.end() == 0, program.stderr
    assert [event["outcome"] for event in program.events("ended")] == ["cancelled"] * 100


def test_two_hundred_short_jobs_that_start_together_all_succeed(start: Any) -> None:
    """A thousand on a large machine: here 200, on two slow cores, with at most a few starts at a time."""
    program = start(f"jobs:\n{job('brief', replicas='200')}", "--quiet")
    for number in range(1, 201):
        program.wait_for_event("ended", count=number)

    assert program.end() == 0, program.stderr
    assert [event["outcome"] for event in program.events("ended")] == ["succeeded"] * 200


def test_hundred_jobs_that_are_stopped_while_they_start_leave_nothing(start: Any) -> None:
    program = start(f"jobs:\n{job('polite', replicas='100')}", "--quiet")
    program.wait_for_event("started", count=3)
    program.send(signal.SIGTERM)

    assert program.end() == 0, program.stderr
    assert {event["outcome"] for event in program.events("ended")} == {"cancelled"}
