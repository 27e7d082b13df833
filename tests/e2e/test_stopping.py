"""Every stop ends on time and with the documented exit code, whatever the tasks do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from taskloom.invariants.checker import check_events

Start = Callable[..., Any]

# How late a stop may be on a shared machine; the promised bound is 0.25 s.
SLACK_SECONDS = 5.0


def has_no_bug(stderr: str) -> bool:
    return "Fatal Python error" not in stderr and "internal error" not in stderr


def test_a_job_that_never_polls_ends_the_program_with_3_at_its_within(start_program: Start) -> None:
    program = start_program("jobs: {deaf: {task: deaf, join: 300ms}, polite: {task: polite}}")
    program.wait_for("polite       started")

    program.send(signal.SIGTERM)

    assert program.end() == 3
    events = program.events()
    asked = next(event for event in events if event["event"] == "cancel_requested" and event["job"] == "deaf")
    overdue = next(event for event in events if event["event"] == "stop_overdue")
    assert 0.3 <= overdue["mono"] - asked["mono"] <= 0.3 + SLACK_SECONDS
    assert "DEAF STANDS HERE" in program.stderr
    assert check_events(events) == []


@pytest.mark.long
def test_a_daemon_job_that_never_polls_is_abandoned_and_the_exit_code_is_0(start_program: Start) -> None:
    program = start_program("jobs: {deaf: {task: deaf, daemon: true, join: 300ms}, short: {task: silent_leaver}}")

    assert program.end() == 0
    assert "abandoned: its thread is still running" in program.stderr
    assert check_events(program.events()) == []


@pytest.mark.long
@pytest.mark.parametrize("daemon", ["true", "false"])
def test_a_job_that_no_stop_waits_for_is_abandoned_without_an_error(start_program: Start, daemon: str) -> None:
    jobs = f"jobs: {{deaf: {{task: deaf, daemon: {daemon}, join: 0s}}, polite: {{task: polite}}}}"
    program = start_program(jobs)
    program.wait_for("polite       started")
    program.wait_for("deaf         started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    events = program.events()
    outcomes = {event["job"]: event["outcome"] for event in events if event["event"] == "ended"}
    assert outcomes == {"deaf": "abandoned", "polite": "cancelled"}
    assert "stop_overdue" not in [event["event"] for event in events]
    assert "ERROR" not in program.stderr
    assert "no stop waits for it (join: 0s); currently at" in program.stderr
    assert check_events(events) == []


@pytest.mark.long
def test_a_job_that_swallows_every_cancel_is_named(start_program: Start) -> None:
    program = start_program("jobs: {stubborn: {task: swallower, join: 500ms}}")
    program.wait_for("stubborn     started")

    program.send(signal.SIGTERM)

    assert program.end() == 3
    assert "misbehaving.py" in program.stderr


def test_the_watcher_kills_a_program_whose_c_code_holds_the_gil_and_shows_its_line(start_program: Start) -> None:
    reading, writing = os.pipe()
    program = start_program(
        "jobs: {hog: {task: gil}, polite: {task: polite}}", "--stop-within", "300ms", stdout=writing
    )
    os.close(writing)
    assert os.read(reading, 100) == b"holding"

    program.send(signal.SIGTERM)

    assert program.end() == -signal.SIGKILL
    assert "in gil" in program.stderr
    os.close(reading)


@pytest.mark.long
def test_a_thousand_polite_jobs_are_all_joined(start_program: Start) -> None:
    jobs = "\n".join(f"  p{number}: {{task: polite}}" for number in range(1000))
    program = start_program(f"defaults: {{join: 5s}}\njobs:\n{jobs}\n")
    program.wait_for("p999         started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    events = program.events()
    assert sum(event["event"] == "ended" and event["outcome"] == "cancelled" for event in events) == 1000
    assert check_events(events) == []


@pytest.mark.long
def test_one_deaf_job_among_a_thousand_is_the_only_one_named(start_program: Start) -> None:
    jobs = "\n".join(f"  p{number}: {{task: polite}}" for number in range(1000))
    program = start_program(f"defaults: {{join: 2s}}\njobs:\n  deaf: {{task: deaf, join: 500ms}}\n{jobs}\n")
    program.wait_for("p999         started")

    program.send(signal.SIGTERM)

    assert program.end() == 3
    assert program.stderr.count("is still running") == 1
    assert "DEAF STANDS HERE" in program.stderr


@pytest.mark.parametrize(
    ("job", "code", "text"),
    [
        pytest.param("{task: bad}", 1, "ValueError: boom", id="raises"),
        pytest.param("{task: leaver}", 1, "SystemExit", id="exits-0", marks=pytest.mark.long),
        pytest.param("{task: leaver, params: {code: 3}}", 1, "SystemExit: 3", id="exits-3", marks=pytest.mark.long),
        pytest.param("{task: silent_leaver}", 0, "succeeded", id="returns"),
        pytest.param(
            *("{task: leaker, params: {daemon: true}}", 0, "succeeded"),
            id="leaves-a-daemon-thread",
            marks=pytest.mark.long,
        ),
    ],
)
def test_the_exit_code_follows_from_how_the_job_ended(start_program: Start, job: str, code: int, text: str) -> None:
    program = start_program(f"jobs: {{job: {job}}}")

    assert program.end() == code
    assert text in program.stderr
    assert has_no_bug(program.stderr)


def test_a_thread_that_a_task_left_running_is_named_and_does_not_delay_the_end(start_program: Start) -> None:
    program = start_program("jobs: {job: {task: leaker}}", "--stop-within", "300ms")

    assert program.end() == 0
    assert "waiting for non-daemon threads that tasks or libraries started: leaked" in program.stderr


def test_a_package_that_exits_at_import_is_a_problem_of_the_job_file(start_program: Start) -> None:
    program = start_program("jobs:\n  job: {task: exits-at-import}\n")

    assert program.end() == 2
    assert "cannot import task 'exits-at-import' of broken-toy 1.0" in program.stderr
    assert not program.events_path.exists() or program.events() == []


@pytest.mark.long
def test_daemon_jobs_without_other_jobs_run_until_a_signal(start_program: Start) -> None:
    program = start_program("jobs: {beat: {task: polite, daemon: true}}")
    program.wait_for("beat         started")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert "signal: SIGTERM" in program.stderr


@pytest.mark.long
def test_the_report_is_json_on_stdout_with_o_json(start_program: Start) -> None:
    program = start_program("jobs: {job: {task: bad}}", "-o", "json", stdout=subprocess.PIPE)

    assert program.end() == 1
    report = json.loads(program.process.stdout.read())
    program.process.stdout.close()
    assert report["exit_code"] == 1
    assert report["survivors"] == []
    assert [(job["job"], job["outcome"], job["error"]) for job in report["jobs"]] == [
        ("job", "failed", "ValueError: boom")
    ]
