"""Frequent firings become one row a minute, and no run gets lost in the sum."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.flooded_history import NOW, run_row

from taskloom.history.folding import fold, is_foldable


def test_firings_of_one_minute_become_one_row_that_sums_them_up() -> None:
    rows = [
        run_row("tick", 1, NOW, seconds=0.5),
        run_row("tick", 2, NOW + 20, seconds=3.0, counters={"beats": 2, "bytes": 7}),
        run_row("tick", 3, NOW + 59.9, seconds=1.0, counters=None),
    ]

    (row,), gone = fold(rows)

    assert (row["run"], row["queued_at"], row["ended_at"]) == ("tick#1", NOW, rows[2]["ended_at"])
    assert (row["folded"], row["folded_seconds"], row["seconds"]) == (3, 4.5, 3.0)
    assert row["counters"] == {"beats": 3, "bytes": 7}
    assert gone == rows[1:]


def test_firings_that_are_not_more_frequent_than_one_a_minute_stay() -> None:
    rows = [run_row("tick", number, NOW + 60 * number) for number in range(5)]

    kept, gone = fold(rows)

    assert all(one is other for one, other in zip(kept, rows, strict=True))
    assert gone == []


def test_a_folded_row_takes_up_later_firings_of_its_minute() -> None:
    rows = [run_row("tick", number, NOW + number, seconds=0.25) for number in range(4)]
    (first,), _ = fold(rows[:3])

    (row,), gone = fold([first, rows[3]])

    assert (row["folded"], row["folded_seconds"]) == (4, 1.0)
    assert gone == [rows[3]]


def test_a_folded_row_keeps_no_more_of_the_place_than_all_its_runs_had() -> None:
    places = [("node1", "w1", 7), ("node1", "w2", 8), ("node1", "w1", 7)]
    rows = [
        run_row("tick", number, NOW + number, host=host, worker=worker, pid=pid)
        for number, (host, worker, pid) in enumerate(places)
    ]

    (row,), _ = fold(rows)

    assert (row["host"], row["worker"], row["pid"]) == ("node1", None, None)


def test_a_damaged_value_counts_as_nothing() -> None:
    damaged: Any = [{"counters": [1]}, {"counters": {"beats": "x"}}, {"folded": 2, "folded_seconds": None}]
    rows = [run_row("tick", number, NOW + number, **columns) for number, columns in enumerate(damaged)]
    rows.append(run_row("tick", 9, NOW + 9, seconds=0.5, counters={"beats": 2}))

    (row,), _ = fold(rows)

    assert (row["folded"], row["counters"]) == (5, {"beats": 3})
    assert row["folded_seconds"] == pytest.approx(0.52)


@pytest.mark.parametrize(
    "columns",
    [
        {"outcome": "failed"},
        {"outcome": "cancelled"},
        {"outcome": "lost"},
        {"outcome": None, "ended_at": None},
        {"is_unrecorded": True},
        {"instant": None},
    ],
    ids=["failed", "cancelled", "lost", "alive", "unrecorded", "started by a user"],
)
def test_a_run_that_says_something_of_its_own_stays_a_row(columns: dict[str, Any]) -> None:
    rows = [run_row("tick", number, NOW + number, **(columns if number == 1 else {})) for number in range(3)]

    kept, gone = fold(rows)

    assert [row["run"] for row in kept] == ["tick#0", "tick#1"]
    assert [row["run"] for row in gone] == ["tick#2"]


def test_restarts_of_a_job_that_ends_all_the_time_are_folded_as_firings_are() -> None:
    assert is_foldable(run_row("tick", 7, NOW, instant=None, attempt=7))


@pytest.mark.parametrize("column", ["start", "job", "replica"])
def test_only_runs_of_one_start_job_and_replica_are_folded_together(column: str) -> None:
    rows = [run_row("tick", number, NOW + number) | {column: value} for number, value in enumerate(("a", "b", "a"))]

    kept, gone = fold(rows)

    assert [row["run"] for row in kept] == ["tick#0", "tick#1"]
    assert [row["run"] for row in gone] == ["tick#2"]


_RUNS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 400).map(float),
        st.sampled_from(["succeeded", "succeeded", "succeeded", "failed"]),
        st.integers(0, 100).map(float),
    ),
    max_size=60,
)


@given(_RUNS, st.integers(1, 60))
def test_the_sums_stay_true_however_the_rows_are_cut_into_slices(
    drawn: list[tuple[str, float, str, float]], length: int
) -> None:
    rows: list[Any] = [
        run_row(job, number, NOW + at, outcome=outcome, seconds=seconds)
        for number, (job, at, outcome, seconds) in enumerate(sorted(drawn, key=lambda run: run[1]))
    ]
    once = fold(rows)

    kept: list[Any] = []
    gone = 0
    for first in range(0, len(rows), length):
        folded = fold([*kept, *rows[first : first + length]])
        kept, gone = folded.rows, gone + len(folded.gone)

    assert kept == once.rows
    assert sum(row["folded"] for row in kept) == len(rows) == len(kept) + gone
    assert sum(row["counters"]["beats"] for row in kept) == len(rows)
    total = sum(row["folded_seconds"] if row["folded"] > 1 else row["seconds"] for row in kept)
    assert total == sum(row["seconds"] for row in rows)
