"""Programs as jobs: real processes under a real scheduler."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom import EventName, Job, JobHandle, Outcome

PATIENCE = 30.0
"""Seconds; only a failing test takes them."""


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    """Return a scheduler whose history is checked at the end."""
    made = WatchedScheduler(log=False)
    yield made
    made.finish()


def command(
    scheduler: WatchedScheduler, argv: list[str] | str, rest: dict[str, Any] | None = None, **params: Any
) -> JobHandle:
    given = {"argv": argv, **({"shell": True} if isinstance(argv, str) else {}), **params}
    return scheduler.add(Job(name="a", task="command", params=given, **(rest or {})))


def run_to_its_end(job: JobHandle) -> tuple[Outcome | None, str]:
    run = job.start()
    assert run.join(PATIENCE)
    return run.outcome, "" if run.error is None else run.error.message


def is_gone(pid: str) -> bool:
    return not Path("/proc", pid).exists()


def test_a_program_ends_with_its_exit_code(scheduler: WatchedScheduler, tmp_path: Path) -> None:
    script = 'cat > out && echo "$A $TASKLOOM_JOB" >> out && exit 7'
    job = command(scheduler, script, cwd=str(tmp_path), env={"A": "b"}, stdin="in\n", success_codes=[7])

    assert run_to_its_end(job) == (Outcome.SUCCEEDED, "")
    assert (tmp_path / "out").read_text() == "in\nb a\n"


def test_a_wrong_exit_code_a_signal_and_a_missing_program_are_failures(scheduler: WatchedScheduler) -> None:
    for argv, outcome, message in (
        ("exit 3", Outcome.FAILED, "exit code 3"),
        ("kill -SEGV $$", Outcome.FAILED, "SIGSEGV"),
        (["no-such-program"], Outcome.START_FAILED, "cannot start 'no-such-program': it is not on the PATH"),
    ):
        job = command(scheduler, argv)

        found, said = run_to_its_end(job)

        assert (found, said.partition("; did")[0].partition(" (core")[0]) == (outcome, message)
        scheduler.reload([])


def test_a_program_in_the_background_has_failed_and_is_gone(scheduler: WatchedScheduler, tmp_path: Path) -> None:
    job = command(scheduler, "sleep 60 & echo $! > pid", cwd=str(tmp_path))

    outcome, message = run_to_its_end(job)

    assert outcome is Outcome.FAILED
    assert message.startswith("the program put itself into the background: its first process ended and left 1 process")
    assert is_gone((tmp_path / "pid").read_text().strip())


def test_the_end_of_a_pipe_is_not_in_the_background(scheduler: WatchedScheduler) -> None:
    """The other process ends when it reads the end of the pipe, a moment after the first one."""
    job = command(scheduler, ["bash", "-c", "exec > >(sleep 0.02; cat > /dev/null); exit 0"])

    assert run_to_its_end(job) == (Outcome.SUCCEEDED, "")


def test_a_line_makes_it_ready_and_a_stop_is_a_clean_end(scheduler: WatchedScheduler) -> None:
    job = command(
        scheduler, "trap 'exit 0' INT; echo up; while :; do sleep 0.01; done", stop_signal="INT", ready="^up$"
    )
    run = job.start()
    scheduler.wait_for(EventName.READY)

    assert job.stop()
    assert (run.outcome, run.error) == (Outcome.CANCELLED, None)


def test_a_stop_command_stops_it(scheduler: WatchedScheduler) -> None:
    job = command(
        scheduler,
        "trap 'exit 0' USR1; echo up; while :; do sleep 0.01; done",
        stop_command=["sh", "-c", 'kill -USR1 "$TASKLOOM_PID"'],
        ready="up",
    )
    run = job.start()
    scheduler.wait_for(EventName.READY)

    assert job.stop()
    assert (run.outcome, run.error) == (Outcome.CANCELLED, None)


def test_a_deaf_program_is_killed_on_time_with_all_that_it_started(scheduler: WatchedScheduler, tmp_path: Path) -> None:
    script = "trap '' TERM; setsid sleep 60 & echo $! > pid; echo up; while :; do sleep 0.01; done"
    job = command(scheduler, script, {"join": "0.2s"}, cwd=str(tmp_path), ready="up")
    run = job.start()
    scheduler.wait_for(EventName.READY)

    assert job.stop()
    assert run.outcome is Outcome.CANCELLED
    assert run.error is not None
    # The time is measured: a busy machine adds to it. The program itself would go on for ever.
    found = re.fullmatch(r"SIGKILL after ([0-9.]+) s", run.error.message)
    assert found is not None
    assert 0.2 <= float(found[1]) < 10.0
    assert is_gone((tmp_path / "pid").read_text().strip())


def test_failed_checks_restart_it(scheduler: WatchedScheduler) -> None:
    job = command(
        scheduler,
        ["sleep", "60"],
        {"restart": {"when": "never", "delay": "0s", "jitter": 0}},
        check={"command": ["sh", "-c", "echo broken; exit 1"], "every": "10ms", "failures": 2},
    )
    job.start()
    seen = scheduler.wait_for(EventName.UNRESPONSIVE)
    ended = scheduler.wait_for(EventName.ENDED)
    scheduler.wait_for(EventName.STARTED, count=2)

    assert seen.data["because"] == "2 failed checks in a row: exit code 1: broken"
    assert ended.outcome is Outcome.FAILED


def test_a_reload_that_keeps_the_run_sends_the_reload_signal(scheduler: WatchedScheduler, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "told")
    script = "trap 'echo again > told' HUP; echo up; while :; do sleep 0.01; done"
    params = {"argv": script, "shell": True, "reload_signal": "HUP", "ready": "up", "cwd": str(tmp_path)}
    job = Job(name="a", task="command", params=params)
    scheduler.add(job).start()
    scheduler.wait_for(EventName.READY)

    scheduler.reload([job])

    assert (tmp_path / "told").read_text() == "again\n"
    assert [name for name in scheduler.event_names("a") if "ended" in name] == []


def test_a_signal_reaches_the_program(scheduler: WatchedScheduler) -> None:
    job = command(scheduler, ["sleep", "60"])
    run = job.start()
    scheduler.wait_for(EventName.STARTED)
    job.signal(signal.SIGUSR1)

    assert run.join(PATIENCE)
    assert run.error is not None
    assert run.error.message == "SIGUSR1"
