"""What a killed program has left: its runs are marked as lost, each once, whatever strikes in between."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.history_events import START, EventMaker
from tests.support.recorder_bench import Faults, RecorderBench, failed, stored

from taskloom.core.events import Event
from taskloom.core.model import Outcome
from taskloom.history.database import connect
from taskloom.history.location import Target
from taskloom.history.lost import mark_lost
from taskloom.history.model import LostRun, StartInfo
from taskloom.history.queue import Row
from taskloom.history.rows import EventFold
from taskloom.history.start_row import StartRow
from taskloom.history.stored import write_rows


def leave(target: Target, start: str, *events: Event, name: str = "demo", alive_at: float = START + 100.0) -> None:
    """Write what a program leaves that was killed after these events."""
    fold = EventFold(start)
    rows: list[Row] = [row for event in events for row in fold.add(event)]
    rows.append(StartRow(StartInfo(start, START, 1)).alive(alive_at))
    database = connect(target, name)
    try:
        with database.begin() as connection:
            for row in rows:
                write_rows(connection, name, [row], START)
    finally:
        database.close()


def mark(target: Target, start: str = "bbbb", name: str = "demo") -> list[LostRun]:
    database = connect(target, name)
    try:
        with database.begin() as connection:
            return list(mark_lost(connection, name, start))
    finally:
        database.close()


def test_runs_that_were_alive_are_lost_and_those_that_had_ended_are_not(target: Target) -> None:
    events = EventMaker()
    leave(target, "aaaa", *events.whole("a#1"), *events.begun("b#1"), events.queued("c#1"))

    lost = mark(target)

    assert lost == [LostRun("aaaa", run, run[0], None, START + 100.0) for run in ("b#1", "c#1")]
    rows = {row["run"]: row for row in stored(target, "runs")}
    assert [rows[run]["outcome"] for run in ("a#1", "b#1", "c#1")] == ["succeeded", "lost", "lost"]
    assert (rows["b#1"]["ended_at"], rows["b#1"]["seconds"]) == (START + 100.0, 94.0)
    assert (rows["c#1"]["ended_at"], rows["c#1"]["seconds"]) == (START + 100.0, None)
    assert rows["b#1"]["reason_text"].startswith("the program was killed (last seen at 2023-11-1")
    [start] = stored(target, "starts")
    assert (start["how"], start["ended_at"], start["exit_code"]) == ("lost", START + 100.0, None)


def test_each_is_marked_once(target: Target) -> None:
    leave(target, "aaaa", *EventMaker().begun("b#1"))

    assert len(mark(target)) == 1
    assert mark(target) == []


def test_several_killed_programs_are_marked_together(target: Target) -> None:
    leave(target, "aaaa", *EventMaker().begun("b#1"))
    leave(target, "cccc", *EventMaker().begun("b#1"), alive_at=START + 120.0)

    assert [(each.start, each.alive_at) for each in mark(target)] == [
        ("aaaa", START + 100.0),
        ("cccc", START + 120.0),
    ]


def test_runs_of_our_own_start_and_of_another_name_are_left_alone(target: Target) -> None:
    leave(target, "aaaa", *EventMaker().begun("b#1"))
    leave(target, "cccc", *EventMaker().begun("b#1"), name="other")

    assert mark(target, start="aaaa") == []
    assert {row["outcome"] for row in stored(target, "runs")} == {None}


def test_what_it_had_reported_last_is_told(target: Target) -> None:
    events, fold = EventMaker(), EventFold("aaaa")
    for event in events.begun("b#1"):
        fold.add(event)
    leave(target, "aaaa", *events.begun("b#2"))
    database = connect(target, "demo")
    with database.begin() as connection:
        [row] = fold.rows()
        write_rows(
            connection, "demo", [row._replace(values={**(row.values or {}), "last_polled": START + 90.0})], START
        )
    database.close()

    assert [each.last_polled for each in mark(target)] == [START + 90.0, None]


@pytest.fixture
def orphaned(tmp_path: Path) -> Path:
    """A file with two runs of a program that was killed."""
    place = tmp_path / "demo.sqlite"
    with RecorderBench(place) as first:
        first.open()
        first.put(*first.events.begun("a#1"), *first.events.begun("b#1"))
        first.until_written()
    return place


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_crash_in_the_middle_of_marking_leaves_all_for_the_next_start(orphaned: Path, nth: int) -> None:
    """The first start is dead to the database from the `nth` of its calls on: before, in and after its commit."""
    told: list[LostRun] = []
    faults = Faults(failed, at=nth, for_ever=True)
    with RecorderBench(orphaned, faults, start="bbbb") as second:
        told += second.recorder.open(0.01).lost
    with RecorderBench(orphaned, start="cccc") as third:
        told += third.open().lost
        marked = [row["run"] for row in third.rows("runs", outcome="lost")]

    assert marked == ["a#1", "b#1"]
    # If its commit worked, and it died before it could say so, the rows alone tell it.
    assert [each.run for each in told] == (["a#1", "b#1"] if nth < 4 else [])


@pytest.mark.parametrize("nth", range(1, 7))
def test_one_error_while_they_are_marked_does_not_keep_them_from_being_told(
    orphaned: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.history.health.RETRY_SECONDS", (0.001,))
    with RecorderBench(orphaned, Faults(failed, at=nth), start="bbbb") as second:
        told = second.open().lost
        marked = [row["run"] for row in second.rows("runs", outcome="lost")]

    assert [each.run for each in told] == marked == ["a#1", "b#1"]


def test_a_program_that_was_taken_for_dead_goes_on_as_alive(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its server was gone another program of the name had the lock, and has marked its runs."""
    monkeypatch.setattr("taskloom.history.health.RETRY_SECONDS", (0.001,))
    with RecorderBench(target) as bench:
        bench.open()
        bench.put(bench.events.added(), *bench.events.begun("a#1"))
        bench.until_written()
        _mark_as_lost(bench)
        bench.faults.error, bench.faults.cuts_connection = failed, True
        bench.faults.at = bench.faults.count + 1
        bench.put(*bench.events.begun("b#1"))

        bench.until_written()

        assert {row["run"]: row["outcome"] for row in bench.rows("runs")} == {"a#1": None, "b#1": None}
        assert [row["how"] for row in bench.rows("starts", start="aaaa")] == ["running"]
        bench.put(bench.events.ended("a#1", Outcome.FAILED))
        assert bench.finish()


def _mark_as_lost(bench: RecorderBench) -> None:
    """Mark its runs on its own connection, which nothing else uses at the moment."""
    done = threading.Event()
    writer: Any = bench.recorder._writer
    step = writer.step

    def marking() -> bool:
        if not done.is_set():
            with writer.database.begin() as connection:
                mark_lost(connection, "demo", "other")
            done.set()
        more: bool = step()
        return more

    writer.step = marking
    # Its heartbeat would show that it is alive: here it has not come yet.
    original, writer._start_row.alive = writer._start_row.alive, lambda at: original(at)._replace(key=("starts", "x"))
    try:
        bench.until_written()
        assert done.wait(0)
    finally:
        writer._start_row.alive = original
