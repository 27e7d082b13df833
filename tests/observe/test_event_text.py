"""The log line of each event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.core.events import Event, EventName, format_wall
from taskloom.core.model import ErrorInfo, Outcome, Reason, ReasonKind
from taskloom.observe.event_text import LogLine, describe

pytestmark = pytest.mark.usefixtures("in_berlin")
NOON = 1_795_000_000.0
BOOM = ErrorInfo("RuntimeError", "boom", "Traceback\n  here\nRuntimeError: boom\n")
KILLED = ErrorInfo("ProcessKilled", "SIGKILL after 10.0 s", "", is_explained=True)
SILENT = {EventName.SCHEDULER_STARTED, EventName.SCHEDULER_STOPPING, EventName.SCHEDULER_STOPPED}
SILENT |= {EventName.JOB_ADDED, EventName.QUEUED, EventName.READY, EventName.RELOADED}


def event(name: EventName, **fields: Any) -> Event:
    return Event(1, NOON, 50.0, name, fields.pop("job", "job"), fields.pop("run", "job#2"), **fields)


def instant(seconds: float) -> str:
    return format_wall(NOON + seconds)


@every_case(
    ("event_", "message", "level"),
    [
        (event(EventName.STARTED, attempt=1), "started", "INFO"),
        (event(EventName.STARTED, attempt=3), "started (attempt 3)", "INFO"),
        (
            event(EventName.RESTART_SCHEDULED, attempt=2, seconds=1.25, error=BOOM),
            "restarting in 1.25s (attempt 3): RuntimeError: boom",
            "INFO",
        ),
        (event(EventName.RESTART_SCHEDULED, attempt=1, seconds=0.02), "restarting in 20ms (attempt 2)", "INFO"),
        (
            event(EventName.RESET, reason=Reason(ReasonKind.RELOAD, "params changed")),
            "its failures are forgotten: params changed",
            "INFO",
        ),
        (event(EventName.PAUSED, reason=Reason(ReasonKind.USER, "pause, by alice")), "paused by alice", "INFO"),
        (event(EventName.PAUSED, reason=Reason(ReasonKind.USER, "too loud")), "paused: too loud", "INFO"),
        (event(EventName.RESUMED, reason=Reason(ReasonKind.USER, "resume, by alice")), "resumed by alice", "INFO"),
        (event(EventName.PAUSED, reason=Reason(ReasonKind.USER)), "paused: requested", "INFO"),
        (
            event(EventName.RESUMED, reason=Reason(ReasonKind.RELOAD, "it has no schedule any more")),
            "resumed: it has no schedule any more",
            "INFO",
        ),
        (
            event(EventName.MISSED, data={"instant": instant(-60), "count": 1, "why": "paused"}),
            "missed the firing at 12:05:40: the job is paused",
            "INFO",
        ),
        (event(EventName.RESET, reason=Reason(ReasonKind.USER)), "its failures are forgotten: requested", "INFO"),
        (
            event(EventName.GAVE_UP, attempt=6, data={"why": "more than 5 restarts within 1m"}),
            "gave up: more than 5 restarts within 1m",
            "ERROR",
        ),
        (
            event(EventName.STOP_OVERDUE, data={"within": 3.206892, "where": "a.py:3 in f", "poll_age": 4.68}),
            "did not stop within 3.21s: currently at a.py:3 in f, no poll for 4.7 s",
            "ERROR",
        ),
        (
            event(EventName.STOP_OVERDUE, data={"within": 5.0, "where": "a.py:3 in f", "otherwise": "kill"}),
            "did not stop within 5s, killing it: currently at a.py:3 in f",
            "WARNING",
        ),
        (
            event(EventName.ENDED, outcome=Outcome.CANCELLED, seconds=60.0, error=KILLED),
            "cancelled after 60.0 s: SIGKILL after 10.0 s",
            "INFO",
        ),
        (
            event(EventName.ENDED, outcome=Outcome.TIMED_OUT, seconds=60.0, error=KILLED),
            "timed_out after 60.0 s: SIGKILL after 10.0 s",
            "ERROR",
        ),
        (
            event(EventName.ENDED, outcome=Outcome.LOST, seconds=60.0, error=replace(KILLED, message="no answer")),
            "lost after 60.0 s: no answer",
            "ERROR",
        ),
        (
            event(EventName.BLOCKED, data={"otherwise": "kill"}),
            "abandoned: SIGKILL has not ended it; no new run starts until it ends",
            "WARNING",
        ),
        (
            event(EventName.BLOCKED, data={"until": instant(30)}),
            "the lost run may still be executing; no new run starts until 12:07:10, or until its end is confirmed",
            "WARNING",
        ),
        (
            event(EventName.RELEASED, seconds=30.0, data={"confirmed": False}),
            "nothing is left of the lost run after 30.0 s: its time is over",
            "INFO",
        ),
        (
            event(EventName.RELEASED, seconds=2.0, data={"confirmed": True}),
            "nothing is left of the lost run after 2.0 s: its end is confirmed",
            "INFO",
        ),
        (
            event(EventName.PLACED, data={"host": "node3", "worker": "w1", "pid": 7}),
            "executes on node3 (worker w1, process 7)",
            "INFO",
        ),
        (
            event(EventName.UNREACHABLE, data={"since": instant(-20)}),
            "unreachable: nothing heard of its worker since 12:06:20; it may still be executing",
            "WARNING",
        ),
        (event(EventName.REACHABLE, seconds=21.0), "reachable again after 21.0 s", "INFO"),
        (
            event(EventName.LATE_EXIT, seconds=2.0, data={"otherwise": "kill"}),
            "the abandoned run has ended, 2.0 s late",
            "WARNING",
        ),
        (
            event(EventName.STOP_OVERDUE, data={"within": 5.0, "callbacks": ["terminate: still running"]}),
            "did not stop within 5s: currently at an unknown place, terminate: still running",
            "ERROR",
        ),
        (
            event(
                EventName.ENDED, outcome=Outcome.ABANDONED, seconds=5.0, data={"within": 0.0, "where": "a.py:3 in f"}
            ),
            "abandoned after 5.0 s: no stop waits for it (join: 0s); currently at a.py:3 in f",
            "INFO",
        ),
        (
            event(EventName.ENDED, outcome=Outcome.ABANDONED, seconds=5.0, data={"within": 0.0, "where": ""}),
            "abandoned after 5.0 s: no stop waits for it (join: 0s); currently at an unknown place",
            "INFO",
        ),
        (event(EventName.ENDED, outcome=Outcome.ABANDONED, seconds=5.0), "abandoned after 5.0 s", "ERROR"),
        (event(EventName.FLAPPING, data={"restarts": 5}), "flapping: restarted 5 times in 1m", "WARNING"),
        (
            event(EventName.MISSED, data={"instant": instant(-60), "count": 1, "why": "overlap"}),
            "missed the firing at 12:05:40: the previous run was still running",
            "INFO",
        ),
        (
            event(EventName.MISSED, data={"instant": instant(-86400), "count": 1440, "why": "late"}),
            "missed 1,440 firings, the last at 2026-11-17 12:06:40: too late to make up for",
            "WARNING",
        ),
        (
            event(EventName.MISSED, data={"instant": instant(-1), "count": 1, "why": "blocked"}),
            "missed the firing at 12:06:39: an abandoned or lost run may still be executing",
            "WARNING",
        ),
        (event(EventName.UNRESPONSIVE, data={"poll_age": 12.34}), "unresponsive: no poll for 12.3 s", "WARNING"),
        (
            event(EventName.UNRESPONSIVE, data={"poll_age": 30.0, "because": "3 checks failed: exit\n1"}),
            "unresponsive: 3 checks failed: exit\\n1",
            "WARNING",
        ),
        (event(EventName.RESPONSIVE, seconds=3.0), "responsive again after 3.0 s", "INFO"),
        (
            event(EventName.RELOAD_WAITING, job=None, data={"jobs": ["web.1", "web.2"], "runs": ["web#1"]}),
            "reload: web.1, web.2 begin when web#1 has ended",
            "INFO",
        ),
        (
            event(EventName.RELOAD_WAITING, job=None, data={"jobs": ["web"], "runs": [f"web.{n}#1" for n in range(7)]}),
            "reload: web begins when web.0#1, web.1#1, web.2#1, web.3#1, web.4#1 and 2 more have ended",
            "INFO",
        ),
        (
            event(EventName.RELOAD_OVERDUE, job=None, data={"jobs": ["web.1"], "runs": ["web#1"]}),
            "reload: web.1 begins although web#1 has not ended; both may need the same port or file",
            "WARNING",
        ),
        (event(EventName.JOB_REMOVED, run=None), "removed", "INFO"),
        (
            event(EventName.ENDED, outcome=Outcome.TIMED_OUT, seconds=5.0, reason=Reason(ReasonKind.DEADLINE)),
            "timed_out after 5.0 s",
            "ERROR",
        ),
        (event(EventName.ENDED, outcome=Outcome.SUCCEEDED, seconds=5.0), "succeeded after 5.0 s", "INFO"),
    ],
)
def test_an_event_has_a_log_line(event_: Event, message: str, level: str) -> None:
    line = describe(event_)

    assert line is not None
    assert (line.message, line.level) == (message, level)


def test_every_event_has_a_line_or_is_known_to_be_silent() -> None:
    data = {"within": 5, "callback": "terminate", "why": "late", "instant": instant(0), "count": 1, "poll_age": 1.0}
    data |= {"host": "node3", "worker": "w1", "pid": 7}
    with_line = {name for name in EventName if describe(event(name, data=data)) is not None}

    assert set(EventName) - with_line == SILENT


def test_a_failure_has_its_traceback() -> None:
    line = describe(event(EventName.ENDED, outcome=Outcome.FAILED, seconds=1.5, error=BOOM))

    message = "failed after 1.5 s: RuntimeError: boom"
    assert line == LogLine(message, "ERROR", "runs failed", "Traceback\n  here\nRuntimeError: boom")


@pytest.mark.parametrize("name", [EventName.STARTED, EventName.CANCEL_REQUESTED, EventName.ENDED])
def test_lines_about_a_first_run_are_never_counted_away_and_those_of_later_runs_may_be(name: EventName) -> None:
    first = describe(event(name, run="job#1", outcome=Outcome.CANCELLED))
    later = describe(event(name, run="job#11", outcome=Outcome.CANCELLED))

    assert first is not None
    assert later is not None
    assert first.kind == ""
    assert later.kind != ""


def test_an_instant_that_cannot_be_parsed_is_shown_unchanged() -> None:
    line = describe(event(EventName.MISSED, data={"instant": "some day", "count": 1, "why": "a new reason"}))

    assert line is not None
    assert line.message == "missed the firing at some day: a new reason"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (Reason(ReasonKind.FINISHED, "all non-daemon jobs have ended"), "stopping: all non-daemon jobs have ended"),
        (Reason(ReasonKind.SIGNAL, "SIGINT"), "stopping: SIGINT"),
        (Reason(ReasonKind.WATCHDOG, "no poll for 5.0 s"), "stopping: no poll for 5.0 s"),
        (Reason(ReasonKind.USER), "stopping: requested"),
        (Reason(ReasonKind.SHUTDOWN), "stopping: shutdown"),
        (None, "stopping"),
    ],
)
def test_a_cancel_request_is_logged_with_its_reason(reason: Reason | None, message: str) -> None:
    line = describe(event(EventName.CANCEL_REQUESTED, reason=reason))

    assert line is not None
    assert line.message == message
