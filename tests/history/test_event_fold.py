"""The fold of events into rows."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.history_events import START, EventMaker

from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome, Reason, ReasonKind
from taskloom.history.model import RunGauges
from taskloom.history.queue import Rank, Row
from taskloom.history.rows import EventFold, Stuck


def fold(*events: Event, **options: Any) -> list[Row]:
    made = EventFold("aaaa", **options)
    return [row for event in events for row in made.add(event)]


def of_runs(rows: list[Row]) -> list[dict[str, Any]]:
    return [dict(row.values or {}) for row in rows if row.table == "runs"]


def test_each_change_of_a_run_gives_its_whole_row() -> None:
    events = EventMaker()

    rows = of_runs(fold(*events.whole()))

    assert [row["outcome"] for row in rows] == [None, None, None, "succeeded"]
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    last = rows[-1]
    assert (last["queued_at"], last["started_at"], last["ready_at"], last["ended_at"]) == tuple(
        START + each for each in (1, 2, 3, 4)
    )
    assert (last["job"], last["attempt"], last["seconds"], last["folded"]) == ("tick", 1, 2.0, 1)


def test_rows_that_were_given_are_not_changed_by_later_events() -> None:
    events = EventMaker()

    first = fold(*events.whole())[0]

    assert first.values is not None
    assert first.values["started_at"] is None


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda each: each.value)
def test_only_runs_that_succeeded_may_be_dropped_early(outcome: Outcome) -> None:
    rows = [row for row in fold(*EventMaker().whole(outcome=outcome)) if row.table == "runs"]

    assert {row.rank for row in rows[:-1]} == {Rank.ALIVE}
    assert rows[-1].rank is (Rank.SUCCEEDED if outcome is Outcome.SUCCEEDED else Rank.FAILED)


def test_every_event_has_a_row_with_its_number_and_its_data() -> None:
    events = EventMaker()
    given = [
        events.added(),
        *events.whole(outcome=Outcome.FAILED),
        events.make(EventName.FLAPPING, data={"restarts": 5}),
    ]

    rows = [row for row in fold(*given) if row.table == "events"]

    assert [row.key for row in rows] == [("events", "aaaa", each.seq) for each in given]
    assert rows[-1].values is not None
    assert rows[-1].values["data"]["restarts"] == 5


def test_a_traceback_is_kept_once_with_its_run() -> None:
    run, event = fold(*EventMaker().whole(outcome=Outcome.FAILED))[-2:]

    assert run.values is not None
    assert event.values is not None
    assert run.values["error_traceback"] == "Traceback of it\n"
    assert event.values["data"]["error"] == {"type": "ValueError", "message": "no good"}


def test_secrets_are_masked_in_everything_that_people_or_tasks_have_written() -> None:
    events, secret = EventMaker(), "hunter22"
    reason = Reason(ReasonKind.USER, f"by {secret}")
    given = [
        *events.begun(reason=reason),
        events.make(EventName.CANCEL_REQUESTED, run="tick#1", reason=reason),
        events.make(EventName.STOP_OVERDUE, run="tick#1", data={"where": secret}),
        events.paused(secret),
        events.make(EventName.CALLBACK_FAILED, run="tick#1", data={"callback": secret}),
    ]
    made = EventFold("aaaa", lambda text: text.replace(secret, "***"))
    rows = [row for event in given for row in made.add(event)]
    gauges = RunGauges(1.0, {secret: 1}, {"done": 1, "total": None, "unit": secret})

    rows += made.polled({"tick#1": gauges})
    rows += made.add(events.ended(outcome=Outcome.FAILED, reason=reason))

    assert rows
    assert secret not in repr(rows)
    assert "***" in repr(rows)


def test_an_instant_and_what_is_said_of_it_are_kept() -> None:
    event = EventMaker().queued(data={"instant": "2023-11-14T22:13:20.500000Z", "unrecorded": True})

    [row] = of_runs(fold(event))

    assert (row["instant"], row["is_unrecorded"]) == (START + 0.5, True)


@pytest.mark.parametrize("instant", ["", "soon", 5, None, "9999999999-01-01T00:00:00Z"])
def test_an_instant_that_cannot_be_read_costs_only_itself(instant: object) -> None:
    [row] = of_runs(fold(EventMaker().queued(data={"instant": instant})))

    assert row["instant"] is None


def test_the_place_of_a_stuck_run_is_kept() -> None:
    events = EventMaker()
    data = {"within": 1.0, "where": "a.py:3 in run"}
    given = [*events.begun(), events.make(EventName.STOP_OVERDUE, run="tick#1", data=data), events.ended()]

    last = of_runs(fold(*given))[-1]

    assert (last["stuck_at"], last["stuck_stack"]) == ("a.py:3 in run", None)


def test_survivors_of_the_stop_get_their_place_and_their_stack() -> None:
    events, made = EventMaker(), EventFold("aaaa")
    given = [
        *events.begun("alive#1"),
        *events.whole("left#1", Outcome.ABANDONED),
        *events.whole("gone#1", Outcome.ABANDONED),
        events.make(EventName.LATE_EXIT, "gone", "gone#1"),
    ]
    for event in given:
        made.add(event)
    stuck = Stuck("a.py:3 in run", "File a.py")

    rows = made.abandon(START + 50.0, dict.fromkeys(("alive#1", "left#1", "gone#1", "unknown#1"), stuck))

    assert {row.key[2] for row in rows} == {"alive#1", "left#1"}
    assert {(row["stuck_at"], row["stuck_stack"], row["outcome"]) for row in of_runs(rows)} == {(*stuck, "abandoned")}
    assert {row["ended_at"] for row in of_runs(rows)} == {START + 50.0, START + 7.0}


def test_the_runner_and_the_replica_are_those_of_the_run() -> None:
    events = EventMaker()
    plain, other = events.queued("a#1"), events.queued("a.2#2", data={"runner": "process", "replica": 2})

    rows = of_runs(fold(plain, other))

    assert [(row["runner"], row["replica"]) for row in rows] == [("thread", None), ("process", 2)]


def test_what_a_run_has_reported_last_stays_when_it_ends_without_saying_it_again() -> None:
    events, made = EventMaker(), EventFold("aaaa")
    for event in events.begun():
        made.add(event)

    [polled] = made.polled({"tick#1": RunGauges(5.0, {"rows": 7}, None), "gone#1": RunGauges(6.0)})
    same = made.polled({"tick#1": RunGauges(5.0, {"rows": 7}, None)})
    last = made.add(events.ended(), RunGauges(None, {"rows": 9}, None))[0]

    assert polled.rank is Rank.ALIVE
    assert same == []
    assert last.values is not None
    assert (last.values["last_polled"], last.values["counters"]) == (5.0, {"rows": 9})


def test_a_database_made_anew_gets_the_runs_that_are_alive_and_no_others() -> None:
    events, made = EventMaker(), EventFold("aaaa")
    for event in [*events.begun("a#1"), *events.whole("b#1"), events.queued("c#1")]:
        made.add(event)

    assert [row.key for row in made.rows()] == [("runs", "aaaa", "a#1"), ("runs", "aaaa", "c#1")]
    assert made.alive == 2


def test_runs_that_the_program_leaves_alive_are_abandoned() -> None:
    events, made = EventMaker(), EventFold("aaaa")
    for event in events.begun("a#1"):
        made.add(event)

    [row] = made.abandon(START + 10.0, {})

    assert row.values is not None
    assert (row.values["outcome"], row.values["ended_at"], row.values["seconds"]) == ("abandoned", START + 10.0, 8.0)
    assert made.alive == 0
    assert made.abandon(START + 11.0, {}) == []


def test_events_of_a_run_that_has_ended_do_not_bring_it_back() -> None:
    events, made = EventMaker(), EventFold("aaaa")
    for event in events.whole(outcome=Outcome.ABANDONED):
        made.add(event)

    rows = made.add(events.make(EventName.LATE_EXIT, run="tick#1", seconds=3.0))

    assert [row.table for row in rows] == ["events"]
    assert made.alive == 0


def test_a_run_elsewhere_has_its_last_known_place() -> None:
    events = EventMaker()
    places = [{"host": "node3", "worker": "w1", "pid": 0}, {"host": "node4", "worker": "w2", "pid": 7}]
    given = [*events.begun(), *(events.make(EventName.PLACED, run="tick#1", data=place) for place in places)]

    *_, first, last = of_runs(fold(*given))

    assert (first["host"], first["worker"], first["pid"]) == ("node3", "w1", None)
    assert (last["host"], last["worker"], last["pid"]) == ("node4", "w2", 7)
