from __future__ import annotations

import json
from typing import Any

import pytest

from taskloom.core.events import Event, EventName, as_dict, format_wall
from taskloom.core.model import ErrorInfo, How, Outcome, Reason, ReasonKind
from taskloom.testing import VirtualClock
from taskloom.testing.stage import Stage, make_job


def test_the_json_form_of_a_whole_story() -> None:
    """Golden: the form in which `run --events` and every other reader has it."""
    stage = Stage(VirtualClock(mono=10, wall=1_000_000_000))
    stage.add(make_job("a", daemon=True, within=1))
    stage.start_all()
    stage.started("a#1")
    stage.stop("a", "enough")
    stage.advance(1)
    stage.named("a#1")
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


def test_an_error_is_three_texts() -> None:
    event = Event(
        1, 0.0, 0.0, EventName.ENDED, "a", "a#1", 1, None, Outcome.FAILED, 0.1234567, ErrorInfo("E", "m", "t")
    )

    found = as_dict(event)

    assert found["error"] == {"type": "E", "message": "m", "traceback": "t"}
    assert found["seconds"] == 0.123457


def test_what_does_not_apply_is_left_out() -> None:
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
