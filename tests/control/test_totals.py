"""The sums over the events of each job."""

from __future__ import annotations

from typing import Any

from taskloom.control.totals import JobTotals, Totals
from taskloom.core.events import Event, EventName, format_wall
from taskloom.core.model import Outcome


def totals_of(*events: tuple[EventName, dict[str, Any]]) -> Totals:
    """Return the totals of events about the job `web`, a second apart."""
    totals = Totals()
    for number, (name, fields) in enumerate(events, 1):
        values: dict[str, Any] = {"seq": number, "at": 1000.0 + number, "mono": float(number), "job": "web", **fields}
        totals.put(Event(event=name, **values))
    return totals


def ended(outcome: Outcome, seconds: float | None, **fields: Any) -> tuple[EventName, dict[str, Any]]:
    return EventName.ENDED, {"outcome": outcome, "seconds": seconds, **fields}


def queued(instant: float, **data: Any) -> tuple[EventName, dict[str, Any]]:
    return EventName.QUEUED, {"data": {"instant": format_wall(instant), **data}}


STARTED: tuple[EventName, dict[str, Any]] = (EventName.STARTED, {})


def test_a_job_without_events_has_nothing() -> None:
    assert totals_of().of("web") == JobTotals()


def test_runs_are_added_up_and_the_last_success_is_kept() -> None:
    found = totals_of(ended(Outcome.SUCCEEDED, 2.5), ended(Outcome.FAILED, 1.0), ended(Outcome.START_FAILED, None))

    assert found.of("web") == JobTotals(runs=3, seconds=3.5, last_success=1001.0)


def test_runs_that_outlive_their_policy_are_counted() -> None:
    overdue: tuple[EventName, dict[str, Any]] = (EventName.STOP_OVERDUE, {})

    assert totals_of(overdue, overdue).of("web").stop_timeouts == 2


def test_the_lag_is_that_of_the_last_firing() -> None:
    assert totals_of(queued(999.0), STARTED).of("web").lag == 3.0
    assert totals_of(queued(999.0), STARTED, queued(1002.5), STARTED).of("web").lag == 1.5


def test_a_run_that_is_not_a_firing_leaves_the_lag() -> None:
    plain: tuple[EventName, dict[str, Any]] = (EventName.QUEUED, {"data": {"runner": "process"}})

    assert totals_of(queued(999.0), STARTED, ended(Outcome.SUCCEEDED, 1.0), plain, STARTED).of("web").lag == 3.0


def test_a_firing_that_is_made_up_for_or_never_starts_has_no_lag() -> None:
    assert totals_of(queued(10.0, made_up=True), STARTED).of("web").lag is None
    assert totals_of(queued(999.0), ended(Outcome.START_FAILED, 0.0), STARTED).of("web").lag is None


def test_a_clock_that_was_set_back_gives_no_negative_lag() -> None:
    assert totals_of(queued(5000.0), STARTED).of("web").lag == 0.0


def test_a_job_that_is_removed_is_forgotten() -> None:
    assert totals_of(ended(Outcome.SUCCEEDED, 1.0), (EventName.JOB_REMOVED, {})).of("web") == JobTotals()


def test_missing_numbers_are_lost_events_but_not_those_before_the_first() -> None:
    assert totals_of((EventName.READY, {"seq": 40}), (EventName.READY, {"seq": 41})).lost == 0
    assert totals_of((EventName.READY, {"seq": 40}), (EventName.READY, {"seq": 44})).lost == 3
