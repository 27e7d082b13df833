"""Bad input and trouble of runs in processes: each ends in words, and touches no other job."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_strangers_in_processes import job, start, strangers

pytestmark = pytest.mark.long

__all__ = ["start", "strangers"]  # fixtures

NEIGHBOUR = job("polite", "neighbour", daemon="true")


@pytest.fixture
def outcome_of(start: Callable[..., Any], tmp_path: Path) -> Callable[..., tuple[str, str, Any]]:
    """Run a job beside a neighbour; return its outcome, its error and the program. The neighbour is cancelled."""

    def run(task: str, *options: str, env: dict[str, str] | None = None, **fields: str) -> tuple[str, str, Any]:
        program = start("jobs:\n" + job(task, "tested", **fields) + NEIGHBOUR, *options, env=env)
        code = program.end()
        ended = {event["job"]: event for event in program.events("ended")}
        assert ended["neighbour"]["outcome"] == "cancelled", program.stderr
        outcome = ended["tested"]["outcome"]
        assert code == (0 if outcome in ("succeeded", "cancelled") else 1), program.stderr
        assert "internal error" not in program.stderr
        return outcome, json.dumps(ended["tested"].get("error")), program

    return run


# -- the socket through which a run is controlled


def test_a_task_that_closes_its_control_socket_is_ended_in_words(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("closes-everything")

    assert outcome == "failed", (outcome, error)
    assert "exit status 1 without a report" in error
    assert "the task has closed the socket through which its process is controlled" in program.stderr


@pytest.mark.parametrize(
    "text",
    [
        "not json\\n",
        "{}\\n",
        "[1, 2]\\n",
        "\\0\\0\\n",
        '{\\"ended\\": 5}\\n',
        '{\\"poll\\": {}}\\n',
        "[[[[[[[[\\n",
        "1e999\\n",
    ],
    ids=["no-json", "empty", "list", "zeros", "bad-end", "bad-poll", "deep", "infinite"],
)
def test_a_broken_line_ends_the_run_in_words(outcome_of: Any, text: str) -> None:
    outcome, error, program = outcome_of("writes", params=f'{{text: "{text}"}}')

    assert outcome == "failed", (outcome, error)
    assert "broke the protocol" in error, (error, program.stderr)


def test_half_a_line_at_the_end_is_a_failure_in_words(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("writes", params='{text: "{\\"log\\": ", ends: true}')

    assert outcome == "failed", (outcome, error)
    assert "exit status 0" in error or "broke the protocol" in error, (error, program.stderr)


def test_a_line_without_end_ends_the_run_in_words(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("writes-much")

    assert outcome == "failed", (outcome, error)
    assert "broke the protocol" in error, (error, program.stderr)


# -- what a run prints, logs and reports

# In place of the lines that came faster than the disk took them: the log files have a queue with a limit.
LEFT_OUT = re.compile(r"[\d,]+ lines? could not be written and (is|are) left out here")


def test_ten_mebibytes_of_lines_arrive(outcome_of: Any, tmp_path: Path) -> None:
    outcome, error, _ = outcome_of("prints", "--log-dir", "logs", "--quiet", params="{lines: 102400, length: 102}")

    assert outcome == "succeeded", error
    logged = "".join(path.read_text() for path in sorted((tmp_path / "logs").glob("*tested*")))
    assert (logged.count("p" * 102) == 102400 and "the last line" in logged) or LEFT_OUT.search(logged)


def test_ten_mebibytes_without_a_line_break_arrive_in_pieces(outcome_of: Any, tmp_path: Path) -> None:
    params = '{lines: 1, length: 10485760, end: ""}'
    outcome, error, _ = outcome_of("prints", "--log-dir", "logs", "--quiet", params=params)

    assert outcome == "succeeded", error
    logged = "".join(path.read_text() for path in sorted((tmp_path / "logs").glob("*tested*")))
    assert "the last line" in logged or LEFT_OUT.search(logged)
    assert logged.count("pppp") > 1000


def test_bytes_that_are_not_text_are_escaped(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("prints-bytes")

    assert outcome == "succeeded", error
    assert "half a line" in program.stderr
    assert "\x1b[31m" not in program.stderr
    assert "\0" not in program.stderr


def test_a_flood_of_log_records_ends(outcome_of: Any) -> None:
    outcome, error, _ = outcome_of("logs-much", "--quiet", params="{records: 20000}")

    assert outcome == "succeeded", error


def test_a_child_of_a_task_that_returns_or_fails_ends_no_run(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("returns-twice")
    assert outcome == "succeeded", error
    assert program.stderr.count("returns") >= 1


def test_a_child_of_a_task_that_fails_does_not_fail_the_run(outcome_of: Any) -> None:
    outcome, error, _ = outcome_of("raises-twice")

    assert outcome == "succeeded", error


def test_numbers_and_names_of_any_kind_are_reported(outcome_of: Any) -> None:
    outcome, error, _ = outcome_of("huge-counts")

    assert outcome == "succeeded", error


def test_an_endless_message_is_cut(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("huge-error")

    assert outcome == "failed"
    assert "xxxx" in error
    assert len(program.stderr) < 1_000_000


# -- how its process ends


def test_a_process_that_exits_has_failed_and_its_last_line_is_there(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("exits")

    assert outcome == "failed"
    assert "exit status 9" in error
    assert "about to exit" in program.stderr or "prints" in program.stderr


def test_a_crash_has_the_name_of_its_signal(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("crashes")

    assert outcome == "failed"
    assert "SIGSEGV" in error
    assert "SIGSEGV" in program.stderr


def test_a_crash_is_followed_by_a_restart(start: Any) -> None:
    restart = "{when: on-failure, delay: 0s, limit: {times: 2, within: 60s}}"
    program = start("jobs:\n" + job("crashes", restart=restart))

    assert program.end() == 1
    assert program.told("ended") == ["ended crashes failed"] * 3


# -- lack of resources


def test_more_memory_than_the_limit_is_a_failure_in_words(outcome_of: Any) -> None:
    outcome, error, program = outcome_of("eats", runner="{process: {memory_limit: 64MiB}}")

    assert outcome == "failed", (outcome, error)
    assert "over memory_limit 64 MiB (was " in error or "out of memory" in error, (error, program.stderr)


def test_no_descriptors_in_the_child_is_the_error_of_the_task(outcome_of: Any) -> None:
    outcome, error, _ = outcome_of("opens", params="{number: 2000000}")

    assert outcome == "failed"
    assert "Too many open files" in error


def test_a_full_disk_is_the_error_of_the_task(outcome_of: Any) -> None:
    outcome, error, _ = outcome_of("fills")

    assert outcome == "failed"
    assert "No space left on device" in error


def test_a_program_without_descriptors_for_its_runs_says_so(start: Any, need_tool: Callable[[str], str]) -> None:
    """Those that were started go on, the others have a failed start in words, and everything stops."""
    jobs = "jobs:\n" + job("polite", "first") + job("polite", replicas="40", after="[first]")
    program = start(jobs, "--quiet", prefix=[need_tool("prlimit"), "--nofile=64"])
    program.wait_for("no more file descriptors")
    program.send(signal.SIGTERM)

    code = program.end()

    ended = program.events("ended")
    assert code == 1, program.stderr
    assert {event["outcome"] for event in ended} == {"cancelled", "start_failed"}
    assert all("no more file descriptors" in json.dumps(event) for event in ended if event["outcome"] == "start_failed")


def test_a_full_disk_under_the_log_folder_stops_no_run(outcome_of: Any, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "tested.log").symlink_to("/dev/full")

    outcome, error, _ = outcome_of("logs-much", "--log-dir", "logs", params="{records: 100}")

    assert outcome == "succeeded", error


# -- a task that cannot be imported where the run executes


def test_a_thread_that_closes_all_descriptors_of_the_program_ends_its_runs_in_processes(start: Any) -> None:
    """The program goes on, says what has happened, and stops when asked."""
    program = start("jobs:\n" + job("polite") + job("closes-everything", runner="thread", after="{polite: started}"))
    program.wait_for("a task has closed all descriptors of the program")
    program.wait_for("unknown code closed the wake-up descriptor")
    program.send(signal.SIGTERM)

    assert program.end() == 1, program.stderr
    assert "internal error" not in program.stderr


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("raises", "no such library here"),
        ("exits", "7"),
        ("ends", "exit status 7"),
        ("crashes", "SIGSEGV"),
        ("has no task", "gone"),
    ],
)
def test_a_module_that_cannot_be_imported_in_the_child_is_a_failed_start(
    outcome_of: Any, how: str, expected: str
) -> None:
    outcome, error, program = outcome_of("home", env={"ABROAD": how})

    assert outcome == "start_failed", (outcome, error)
    assert expected in error, (error, program.stderr)


def test_a_module_whose_import_never_ends_is_stopped_in_time(start: Any) -> None:
    program = start("jobs:\n" + job("home"), env={"ABROAD": "hangs"})
    program.wait_for_event("queued")
    program.pass_time(1.0)
    program.send(signal.SIGTERM)

    assert program.end() == 0, program.stderr
    [ended] = program.events("ended")
    assert ended["outcome"] == "cancelled"


# -- what cannot cross

REFUSED = """
import socket, sys
sys.path.insert(0, {tasks!r})
import strangers
from taskloom import Job, Scheduler

def local(ctx):
    pass

def try_to(task, **params):
    try:
        scheduler.add(Job(name="a", task=task, params=params, runner="process"))
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("accepted")

with Scheduler() as scheduler:
    try_to(strangers.prints, lines=socket.socket())
    try_to(strangers.writes, text=b"bytes")
    try_to(lambda ctx: None)
    try_to(local)
    try_to(strangers.polite)
"""


def test_what_cannot_cross_is_refused_in_words(child_env: dict[str, str], strangers: Path) -> None:
    program = REFUSED.format(tasks=str(strangers))
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    lines = answer.stdout.splitlines()
    assert answer.returncode == 0, answer.stderr
    assert lines[-1] == "accepted"
    assert not any(line == "accepted" for line in lines[:-1]), lines
    assert "lines" in lines[0]
    assert "lambda" in lines[2]
    assert "not a module that can be imported" in lines[3]
