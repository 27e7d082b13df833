"""`taskloom run --verbose` shows what the scheduler decides; without it the log is as it was."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]

JOBS = """
jobs:
  db: {task: opening, params: {until: ready}}
  a-job-with-a-long-name: {task: polite, after: db, replicas: 2}
  night: {task: polite, schedule: {cron: "0 3 * * *", timezone: UTC}}
  hand: {task: polite, start: manual}
  off: {task: polite, enabled: false}
  late: {task: polite, start: {delay: 1h}}
  bad: {task: bad, restart: {when: on-failure, delay: 1h, max_delay: 1h, jitter: 0%, limit: {times: 3, within: 1d}}}
"""
DECIDED = {
    "a-job-with-a-long-name.1": r"waiting for db \(ready\)",
    "a-job-with-a-long-name.2": r"waiting for db \(ready\)",
    "night": r"next firing at [\d :-]*03:00:00, in \w+ \(cron 0 3 \* \* \*.*\)",
    "hand": "waiting to be started: its start is manual",
    "off": "does not start: it is disabled",
    "late": r"waiting for its start delay: starts at [\d :-]+, in 1h",
    "bad": r"waiting to restart: attempt 2 at [\d :-]+, in 1h \(delay 1h; 0 restarts within 1d so far, at most 3\)",
    "db": r"ready after \d+\.\d s",
}


def start(start_program: Start, *options: str) -> Any:
    program = start_program(JOBS, *options, env={"TZ": "UTC"})
    program.wait_for_event("restart_scheduled", "bad")
    (program.folder / "ready").touch()
    program.wait_for_event("started", "a-job-with-a-long-name.2")
    program.send(signal.SIGTERM)
    assert program.end() == 0  # a job that waits for its restart has not failed for good
    return program


def test_each_decision_is_a_debug_line_of_its_job(start_program: Start) -> None:
    lines = start(start_program, "--verbose").stderr.splitlines()

    for job, pattern in DECIDED.items():
        assert [line for line in lines if re.fullmatch(rf"\S+ DEBUG   {re.escape(job)} +{pattern}", line)], (job, lines)
    heads = [re.match(r"\d{4}-\S+ (DEBUG|INFO) +(?!bad )\S+ +", line) for line in lines]
    assert len({head.end() for head in heads if head}) == 1


@pytest.mark.long
def test_without_it_nothing_is_said_about_decisions(start_program: Start) -> None:
    program = start(start_program)

    assert "DEBUG" not in program.stderr
    assert "restarting in 1h (attempt 2)" in program.stderr


@pytest.mark.long
def test_the_events_are_the_same_with_it(start_program: Start) -> None:
    program = start(start_program, "-vv")

    names = {event["event"] for event in program.events()}
    assert "ready" in names
    assert not {name for name in names if "wait" in name}
