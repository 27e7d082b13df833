from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.events import Event, EventName, as_dict, format_wall
from taskloom.core.model import ErrorInfo, How, Outcome, Reason, ReasonKind
from taskloom.core.policies import RestartPolicy, RestartWhen, Schedule, Watchdog
from taskloom.testing import VirtualClock, make_job


def test_the_json_of_all_events_of_a_run() -> None:
    """The golden form, as `run --events` writes it."""
    stage = HandDrivenCore(VirtualClock(mono=10, wall=1_000_000_000))
    stage.add(make_job("a", daemon=True, within=1))
    stage.start_all()
    stage.started("a#1")
    stage.stop("a", "enough")
    stage.advance(1)
    stage.stack_captured("a#1")
    stage.advance(0.5)
    stage.ended("a#1", How.RAISED)

    first, last = "2001-09-09T01:46:40.000000Z", "2001-09-09T01:46:41.000000Z"
    run = {"job": "a", "run": "a#1", "attempt": 1}
    why = {"reason": {"kind": "user", "text": "enough"}}
    golden: list[dict[str, Any]] = [
        {"seq": 1, "at": first, "mono": 10, "event": "job_added", "job": "a", "task": "fake", "daemon": True},
        {"seq": 2, "at": first, "mono": 10, "event": "scheduler_started", "jobs": 1},
        {"seq": 3, "at": first, "mono": 10, "event": "queued", **run},
        {"seq": 4, "at": first, "mono": 10, "event": "started", **run},
        {"seq": 5, "at": first, "mono": 10, "event": "ready", **run},
        {"seq": 6, "at": first, "mono": 10, "event": "cancel_requested", **run, **why},
        {"seq": 7, "at": last, "mono": 11, "event": "stop_overdue", **run,
         "within": 1, "where": "task.py:7 in run", "poll_age": 1.5},
        {"seq": 8, "at": last, "mono": 11, "event": "ended", **run, **why, "outcome": "abandoned", "seconds": 1},
        {"seq": 9, "at": last, "mono": 11, "event": "blocked", **run},
        {"seq": 10, "at": "2001-09-09T01:46:41.500000Z", "mono": 11.5, "event": "late_exit", **run, "seconds": 0.5},
    ]  # fmt: skip

    found = stage.history.as_dicts()

    assert found == golden
    assert json.loads(json.dumps(found)) == golden


def test_the_json_of_restarts_missed_firings_the_watchdog_and_a_reload() -> None:
    """The golden form of a restart, a missed firing, the watchdog and a reload."""
    stage = HandDrivenCore(VirtualClock(mono=10, wall=1_000_000_000))
    job = make_job("a", restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0), watchdog=Watchdog(3.0))
    stage.add(job)
    stage.run("a")
    seen = len(stage.history.as_dicts())
    stage.unresponsive("a#1", 3.25)
    stage.advance(0.5)
    stage.responsive("a#1")
    stage.reload(replace(job, schedule=Schedule(every=1.0)))
    stage.advance(1)
    stage.ended("a#1", How.RAISED)
    stage.reload()

    first, half, last = (f"2001-09-09T01:46:4{second}00000Z" for second in ("0.0", "0.5", "1.5"))
    run = {"job": "a", "run": "a#1", "attempt": 1}
    error = {"type": "RuntimeError", "message": "boom", "traceback": "Traceback: boom"}
    none: dict[str, list[str]] = {"add": [], "remove": [], "apply": [], "restart": []}
    golden: list[dict[str, Any]] = [
        {"seq": 5, "at": first, "mono": 10, "event": "unresponsive", **run, "poll_age": 3.25},
        {"seq": 6, "at": half, "mono": 10.5, "event": "responsive", **run, "seconds": 0.5},
        {"seq": 7, "at": half, "mono": 10.5, "event": "reloaded", **none, "apply": ["a"]},
        {"seq": 8, "at": last, "mono": 11.5, "event": "missed", "job": "a", "instant": last, "count": 1,
         "why": "overlap"},
        {"seq": 9, "at": last, "mono": 11.5, "event": "ended", **run, "outcome": "failed", "seconds": 1.5,
         "error": error},
        {"seq": 10, "at": last, "mono": 11.5, "event": "restart_scheduled", **run, "seconds": 0.5,
         "delay": 0.5},
        {"seq": 11, "at": last, "mono": 11.5, "event": "reloaded", **none, "remove": ["a"]},
        {"seq": 12, "at": last, "mono": 11.5, "event": "skipped", "job": "a",
         "reason": {"kind": "reload", "text": "no longer declared"}},
        {"seq": 13, "at": last, "mono": 11.5, "event": "job_removed", "job": "a"},
    ]  # fmt: skip

    found = stage.history.as_dicts()[seen:]

    assert found == golden
    assert json.loads(json.dumps(found)) == golden


def test_an_error_is_three_texts() -> None:
    event = Event(
        1, 0.0, 0.0, EventName.ENDED, "a", "a#1", 1, None, Outcome.FAILED, 0.1234567, ErrorInfo("E", "m", "t")
    )

    found = as_dict(event)

    assert found["error"] == {"type": "E", "message": "m", "traceback": "t"}
    assert found["seconds"] == 0.123457


def test_fields_that_do_not_apply_are_left_out() -> None:
    assert as_dict(Event(1, 0.0, 2.0, EventName.SCHEDULER_STARTED)) == {
        "seq": 1, "at": "1970-01-01T00:00:00.000000Z", "mono": 2.0, "event": "scheduler_started",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (0.25, "1970-01-01T00:00:00.250000Z"),
        (2_147_483_648.0, "2038-01-19T03:14:08.000000Z"),
        (-1.0, "1969-12-31T23:59:59.000000Z"),
    ],
)
def test_the_wall_time_is_rfc_3339_in_utc(seconds: float, text: str) -> None:
    assert format_wall(seconds) == text


def test_a_reason_reads_as_kind_and_text() -> None:
    assert str(Reason(ReasonKind.SIGNAL, "TERM")) == "signal: TERM"
    assert str(Reason(ReasonKind.FINISHED)) == "finished"
