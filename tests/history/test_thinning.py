"""A queue that is full folds frequent firings before it drops a row."""

from __future__ import annotations

from typing import Any

from tests.support.flooded_history import NOW, event_rows, run_row

from taskloom.history.queue import Rank, Row, RowQueue


def queued(queue: RowQueue, row: dict[str, Any], rank: Rank, seq: int | None = None) -> None:
    """Queue a run, and its events if `seq` is given."""
    values = {name: value for name, value in row.items() if name not in ("name", "start", "run")}
    queue.put(Row(("runs", row["start"], row["run"]), values, rank))
    for event in event_rows(row, seq) if seq is not None else ():
        values = {name: value for name, value in event.items() if name not in ("name", "start", "seq")}
        queue.put(Row(("events", event["start"], event["seq"]), values, Rank.EVENT))


def taken(queue: RowQueue, most: int = 10_000) -> list[Row]:
    """Take all."""
    return queue.take(frozenset(Rank), most, 1e9).rows


def test_a_flood_of_firings_is_folded_and_no_run_is_dropped() -> None:
    queue = RowQueue(most_rows=500)

    for number in range(10_000):
        queued(queue, run_row("tick", number, NOW + number / 10), Rank.SUCCEEDED, seq=3 * number)

    rows = taken(queue)
    runs = [row.values for row in rows if row.table == "runs" and row.values is not None]
    assert sum(values["folded"] for values in runs) == 10_000
    assert sum(values["counters"]["beats"] for values in runs) == 10_000
    assert [row.key[2] for row in rows if row.table == "runs"][-20:] == [f"tick#{n}" for n in range(9_980, 10_000)]
    assert queue.dropped[Rank.SUCCEEDED] == 0
    assert len(rows) <= 500


def test_events_of_the_folded_runs_go_and_those_of_others_stay() -> None:
    queue = RowQueue(most_rows=300)
    queued(queue, run_row("once", 1, NOW), Rank.SUCCEEDED, seq=100_000)

    for number in range(150):
        queued(queue, run_row("tick", number, NOW + number / 10), Rank.SUCCEEDED, seq=3 * number)

    rows = taken(queue)
    runs = {row.key[2] for row in rows if row.table == "runs"}
    told = {row.values["run"] for row in rows if row.table == "events" and row.values is not None}
    assert "once#1" in told
    assert told <= runs
    assert queue.dropped.total() == 0


def test_a_run_that_was_written_while_it_was_alive_is_deleted_when_it_is_folded() -> None:
    queue = RowQueue(most_rows=100)
    for number in range(10):
        queued(queue, run_row("tick", number, NOW + number, outcome=None, ended_at=None), Rank.ALIVE)
    assert len(taken(queue)) == 10

    for number in range(200):
        queued(queue, run_row("tick", number, NOW + number / 10), Rank.SUCCEEDED)

    rows = {row.key[2]: row.values for row in taken(queue)}
    assert rows["tick#0"] is not None
    assert [rows[f"tick#{number}"] for number in range(1, 10)] == [None] * 9
    assert sum(values["folded"] for values in rows.values() if values is not None) == 200


def test_runs_of_many_jobs_that_cannot_be_folded_are_dropped_oldest_first() -> None:
    queue = RowQueue(most_rows=100)

    for number in range(300):
        queued(queue, run_row(f"job{number}", 1, NOW + number), Rank.SUCCEEDED)

    assert [row.key[2] for row in taken(queue)] == [f"job{number}#1" for number in range(200, 300)]
    assert queue.dropped == {Rank.SUCCEEDED: 200}
