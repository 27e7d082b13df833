"""What is worth a notification, and when a job has recovered: tables of events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Outcome
from taskloom.core.restart import HEALTHY_SECONDS
from taskloom.jobfile.fields.notify import DEFAULT_KINDS, Kind
from taskloom.notify.troubles import Notice, Troubles

EVERY = frozenset(Kind)
Row = tuple[float, str, str, dict[str, Any]]


def queued(at: float, run: str) -> Row:
    return at, "queued", run, {}


def ready(at: float, run: str) -> Row:
    return at, "ready", run, {}


def ended(at: float, run: str, outcome: str) -> Row:
    return at, "ended", run, {"outcome": Outcome(outcome), "seconds": 1.0}


def other(at: float, name: str, run: str, **data: Any) -> Row:
    return at, name, run, {"data": data}


def event_of(row: Row) -> Event:
    at, name, run, fields = row
    return Event(1, 1000.0 + at, at, EventName(name), run.partition("#")[0], run, **fields)


def kinds_of(notices: Iterable[Notice]) -> list[str]:
    return [f"{each.kind.value}({','.join(kind.value for kind in each.after)})" for each in notices]


def fold(rows: list[Row], wanted: frozenset[Kind] = EVERY, until: float = 0.0) -> list[str]:
    """Return the kinds of all notices, in order; time passes as the rows say, and at last to `until`."""
    troubles = Troubles(wanted)
    found: list[Notice] = []
    for row in rows:
        due = troubles.next_due()
        if due is not None and due <= row[0]:
            found += troubles.due(due, 1000.0 + due)
        found += troubles.take(event_of(row))
    due = troubles.next_due()
    if due is not None and due <= until:
        found += troubles.due(due, 1000.0 + due)
    return kinds_of(found)


OVERDUE = other(5, "stop_overdue", "a#1", where="a.py:3", within=5.0)
SILENT = other(5, "unresponsive", "a#1", poll_age=9.0)


@every_case(
    ("rows", "expected"),
    [
        ([queued(0, "a#1"), ready(0, "a#1"), ended(1, "a#1", "succeeded")], []),
        ([ended(1, "a#1", "cancelled")], []),
        ([ended(1, "a#1", "abandoned")], []),
        ([ended(1, "a#1", "failed")], ["failed()"]),
        ([ended(1, "a#1", "timed_out")], ["failed()"]),
        ([ended(1, "a#1", "start_failed")], ["failed()"]),
        ([ended(1, "a#1", "lost")], ["failed()"]),
        ([other(1, "missed", "a#1", count=2, why="late")], ["missed()"]),
        ([other(1, "missed", "a#1", count=2, why="late"), ended(2, "a#1", "succeeded")], ["missed()"]),
        ([ended(1, "a#1", "failed"), ended(9, "a#2", "succeeded")], ["failed()", "recovered(failed)"]),
        ([ended(1, "a#1", "failed"), ended(9, "b#1", "succeeded")], ["failed()"]),
        ([ended(1, "a#1", "failed"), ended(9, "a#2", "cancelled")], ["failed()"]),
        ([ended(1, "a#1", "failed"), ended(9, "a#2", "succeeded"), ended(10, "a#3", "succeeded")],
         ["failed()", "recovered(failed)"]),
        ([ended(1, "a#1", "failed"), ended(2, "a#2", "failed"), other(2, "flapping", "a#2"), other(3, "gave_up", "a#2"),
          ended(9, "a#3", "succeeded")],
         ["failed()", "failed()", "flapping()", "gave_up()", "recovered(failed,flapping,gave_up)"]),
        ([OVERDUE, ended(8, "a#1", "cancelled")], ["overdue()", "recovered(overdue)"]),
        ([OVERDUE, ended(8, "a#2", "succeeded")], ["overdue()"]),
        ([OVERDUE, ended(8, "a#1", "abandoned")], ["overdue()"]),
        ([OVERDUE, ended(8, "a#1", "abandoned"), other(9, "late_exit", "a#1")], ["overdue()", "recovered(overdue)"]),
        ([OVERDUE, ended(8, "a#1", "failed")], ["overdue()", "failed()"]),
        ([OVERDUE, ended(8, "a#1", "failed"), ended(9, "a#2", "succeeded")],
         ["overdue()", "failed()", "recovered(overdue,failed)"]),
        ([SILENT, other(8, "responsive", "a#1")], ["unresponsive()", "recovered(unresponsive)"]),
        ([SILENT, ended(8, "a#1", "failed")], ["unresponsive()", "failed()"]),
        ([SILENT, OVERDUE, other(8, "responsive", "a#1")], ["unresponsive()", "overdue()"]),
        ([ended(1, "a#1", "failed"), (2, "job_removed", "a#1", {}), ended(9, "a#1", "succeeded")], ["failed()"]),
    ],
)  # fmt: skip
def test_each_trouble_is_a_notice_and_the_end_of_the_last_one_a_recovery(rows: list[Row], expected: list[str]) -> None:
    assert fold(rows) == expected


FAILED_ONCE = [ended(1, "a#1", "failed"), queued(2, "a#2"), ready(3, "a#2")]
HEALTHY = 3 + HEALTHY_SECONDS


@pytest.mark.parametrize(
    ("rows", "until", "is_recovered"),
    [
        ([], HEALTHY - 0.001, False),
        ([], HEALTHY, True),
        ([ended(20, "a#2", "failed"), queued(21, "a#3")], HEALTHY, False),
        ([other(20, "cancel_requested", "a#2")], HEALTHY, False),
        ([ended(20, "a#2", "cancelled")], HEALTHY, False),
        ([ended(20, "a#2", "failed"), queued(21, "a#3"), ready(22, "a#3")], 22 + HEALTHY_SECONDS, True),
    ],
)
def test_a_job_that_runs_on_has_recovered_once_its_run_is_ready_for_long_enough(
    rows: list[Row], until: float, *, is_recovered: bool
) -> None:
    assert ("recovered(failed)" in fold([*FAILED_ONCE, *rows], until=until)) is is_recovered


def test_an_overdue_run_does_not_recover_by_being_ready() -> None:
    assert fold([OVERDUE, ready(6, "a#1")], until=1e6) == ["overdue()"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({Kind.FAILED}, ["failed()", "failed()"]),
        ({Kind.RECOVERED}, ["recovered(failed,gave_up)"]),
        ({Kind.GAVE_UP, Kind.RECOVERED}, ["gave_up()", "recovered(gave_up)"]),
        ({Kind.OVERDUE, Kind.RECOVERED}, []),
        ({Kind.MISSED, Kind.RECOVERED}, ["recovered(failed,gave_up)"]),
    ],
)
def test_a_receiver_gets_the_recovery_of_what_it_was_notified_of(wanted: set[Kind], expected: list[str]) -> None:
    rows = [
        ended(1, "a#1", "failed"),
        ended(2, "a#2", "failed"),
        other(2, "gave_up", "a#2"),
        ended(3, "a#3", "succeeded"),
    ]

    assert fold(rows, frozenset(wanted)) == expected


def test_by_default_everything_but_a_missed_firing_is_worth_a_notice() -> None:
    assert frozenset(Kind) - DEFAULT_KINDS == {Kind.MISSED}


def test_the_history_is_degraded_once_and_recovers_once() -> None:
    troubles = Troubles(EVERY)

    found = [*troubles.history(None, 0, 0), *troubles.history("disk full", 1, 1), *troubles.history("no disk", 2, 2)]
    healed = [*troubles.history(None, 61, 61), *troubles.history(None, 62, 62)]

    assert kinds_of([*found, *healed]) == ["history_degraded()", "recovered(history_degraded)"]
    assert [each.text for each in (*found, *healed)] == [
        "the history is degraded: disk full",
        "the history works again, after 60.0 s",
    ]


def test_the_recovery_says_what_was_wrong_and_how_long_ago() -> None:
    troubles = Troubles(EVERY)
    troubles.take(event_of(ended(1, "a#1", "failed")))

    [notice] = troubles.take(event_of(ended(91, "a#2", "succeeded")))

    assert notice.text == "recovered: succeeded after 1.0 s; failed 90.0 s ago"


def test_a_long_traceback_is_cut_to_its_end() -> None:
    error = ErrorInfo("ValueError", "boom", "x" * 100_000 + "the end")
    troubles = Troubles(EVERY)

    [notice] = troubles.take(event_of((1, "ended", "a#1", {"outcome": Outcome.FAILED, "error": error})))

    assert notice.event is not None
    assert len(notice.event["error"]["traceback"]) < 5000
    assert notice.event["error"]["traceback"].endswith("the end")
