"""What is kept, folded and deleted, in the order in which a user would give it up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.flooded_history import (
    NOW,
    HandClock,
    counts,
    database_at,
    event_rows,
    run_row,
    runs_of,
    start_row,
    write_events,
    write_runs,
    write_starts,
)

from taskloom.history.database import Database
from taskloom.history.discards import Floors
from taskloom.history.retention import Pruned, Pruner
from taskloom.history.tables import actions, upsert

HOUR, DAY = 3600.0, 86400.0
KEEP = 30 * DAY
MIB = 2**20
# With it the history has been used lately, so that the clock is believed.
YESTERDAY = start_row("yesterday", NOW - DAY, how="ended")


@pytest.fixture
def clock() -> HandClock:
    """A clock that stands still."""
    return HandClock()


def pruned(database: Database, clock: HandClock, *, start: str = "s1", **limits: float) -> Pruned:
    """Do all that is due, of a program that has begun just now."""
    pruner = Pruner(database, start, clock=clock, **limits)
    return all_steps(pruner)


def all_steps(pruner: Pruner) -> Pruned:
    """Step until nothing is left to be done; return the sums."""
    deleted = folded = 0
    while True:
        step = pruner.step()
        deleted, folded = deleted + step.deleted, folded + step.folded
        if step.is_done:
            return step._replace(deleted=deleted, folded=folded)


def failed(job: str, number: int, at: float, **columns: Any) -> dict[str, Any]:
    """Return a run that failed."""
    return run_row(job, number, at, outcome="failed", **columns)


# -- by age


def test_rows_older_than_keep_are_deleted_but_the_last_20_runs_of_each_job(
    database: Database, clock: HandClock
) -> None:
    old = NOW - KEEP - DAY
    write_starts(database, start_row("s0", old, how="ended"), YESTERDAY, start_row())
    seq = write_runs(database, [failed("a", n, old + n, start="s0") for n in range(30)], tail_bytes=10)
    write_runs(database, [failed("b", n, old + n, start="s0") for n in range(5)], first_seq=seq, tail_bytes=10)
    write_runs(database, [failed("a", n, NOW - HOUR + n) for n in range(3)], tail_bytes=10)

    pruned(database, clock, keep=KEEP)

    kept = [(row.start, row.run) for row in runs_of(database)]
    assert sorted(kept) == sorted(
        [("s0", f"a#{n}") for n in range(13, 30)]
        + [("s0", f"b#{n}") for n in range(5)]
        + [("s1", f"a#{n}") for n in range(3)]
    )
    assert counts(database) == {"starts": 3, "runs": 25, "events": 9, "actions": 0, "log_tails": 3}


def test_a_start_goes_when_its_last_run_has_gone_and_its_actions_by_their_age(
    database: Database, clock: HandClock
) -> None:
    old = NOW - KEEP - DAY
    write_starts(
        database, start_row("s0", old, how="ended"), start_row("lost", old, how="lost"), YESTERDAY, start_row()
    )
    with database.begin() as connection:
        rows = [
            {"name": database.name, "start": start, "id": 1, "at": at, "action": "stop"}
            for start, at in (("s0", old), ("s1", NOW))
        ]
        upsert(connection, actions, rows)
    write_runs(database, [failed("a", n, NOW + n) for n in range(3)], first_seq=None)

    pruned(database, clock, keep=KEEP)

    assert counts(database) == {"starts": 2, "runs": 3, "events": 0, "actions": 1, "log_tails": 0}


def test_a_history_that_is_kept_for_ever_loses_nothing_by_age(database: Database, clock: HandClock) -> None:
    write_runs(database, [failed("a", n, NOW - 9000 * DAY + n, start="s0") for n in range(30)], tail_bytes=10)

    done = pruned(database, clock, keep=math.inf, size=math.inf)

    assert (done.deleted, counts(database)["runs"], counts(database)["log_tails"]) == (0, 30, 30)


def test_keep_0_leaves_the_last_20_runs_of_each_job_and_what_is_alive(database: Database, clock: HandClock) -> None:
    write_starts(database, start_row("s0", NOW - 99, how="ended"), start_row())
    write_runs(database, [failed("a", n, NOW - 90 + n, start="s0") for n in range(30)], tail_bytes=10)
    write_runs(database, [run_row("b", n, NOW - 50, outcome=None, ended_at=None) for n in range(30)])

    pruned(database, clock, keep=0.0)

    assert [row.run for row in runs_of(database) if row.job == "a"] == [f"a#{n}" for n in range(10, 30)]
    assert counts(database) == {"starts": 2, "runs": 50, "events": 0, "actions": 0, "log_tails": 0}


def test_runs_from_the_future_are_kept_after_the_clock_was_set_back(database: Database, clock: HandClock) -> None:
    future = NOW + 400 * DAY
    write_runs(database, [failed("a", n, future + n, start="s0") for n in range(30)], tail_bytes=10)

    pruned(database, clock, keep=KEEP)

    assert counts(database)["runs"] == counts(database)["log_tails"] == 30


def test_runs_that_end_after_the_clock_was_set_back_count_as_the_last_ones(
    database: Database, clock: HandClock
) -> None:
    write_runs(database, [run_row("a", n, NOW + HOUR + n, start="s0") for n in range(30)])
    write_runs(database, [run_row("a", n, NOW - 30 + n) for n in range(30)])

    with database.begin() as connection:
        floors = Floors(connection, database.name, NOW)
        kept = [
            row.start
            for row in runs_of_open(connection)
            if floors.is_protected("a", (row.queued_at, row.start, row.run))
        ]

    assert (kept.count("s0"), kept.count("s1")) == (20, 20)


def runs_of_open(connection: Any) -> list[Any]:
    """Return the runs, in a transaction that is open."""
    return list(connection.execute(text("select * from runs")).all())


def test_a_clock_in_2037_at_the_start_does_not_delete_last_week(database: Database, clock: HandClock) -> None:
    write_starts(database, start_row("s0", NOW - 7 * DAY, how="ended"))
    write_runs(database, [failed("a", n, NOW - 7 * DAY + n, start="s0") for n in range(30)], tail_bytes=10)
    clock.wall = NOW + 4000 * DAY

    pruned(database, clock, keep=KEEP)

    assert counts(database)["runs"] == 30


def test_rows_of_a_start_that_began_in_1970_stay_when_its_clock_is_right(database: Database, clock: HandClock) -> None:
    write_starts(database, start_row(since=5.0))
    write_runs(database, [failed("a", n, 5.0 + n) for n in range(30)], tail_bytes=10)
    pruner = Pruner(database, "s1", clock=clock, keep=KEEP)
    clock.advance(2 * HOUR)

    done = all_steps(pruner)

    assert (done.deleted, counts(database)["events"]) == (0, 90)


# -- folding


def test_firings_beyond_the_last_20_become_one_row_a_minute_and_their_events_go(
    database: Database, clock: HandClock
) -> None:
    began = NOW - HOUR
    rows = [run_row("tick", n, began + 10 * n) for n in range(100)]
    write_runs(database, rows)

    done = pruned(database, clock)

    kept = runs_of(database)
    assert [row.folded for row in kept] == [6] * 13 + [2] + [1] * 20
    assert [row.run for row in kept[-20:]] == [f"tick#{n}" for n in range(80, 100)]
    assert done.folded == 100 - len(kept)
    assert counts(database)["events"] == 3 * len(kept)
    assert kept[0].ended_at == rows[5]["ended_at"]
    assert kept[0].counters == {"beats": 6}


def test_firings_of_the_last_ten_minutes_can_all_be_seen(database: Database, clock: HandClock) -> None:
    write_runs(database, [run_row("tick", n, NOW - 590 + n) for n in range(300)])

    assert pruned(database, clock).folded == 0


def test_a_pass_goes_on_where_the_one_before_has_ended(database: Database, clock: HandClock) -> None:
    write_starts(database, start_row())
    pruner = Pruner(database, "s1", clock=clock)
    all_steps(pruner)
    number, seq = 0, 1
    for _ in range(40):
        rows = [run_row("tick", number + n, clock.wall + 7 * n) for n in range(10)]
        number += 10
        seq = write_runs(database, rows, first_seq=seq)
        clock.advance(70)
        pruner.wrote(40, 4000)
        clock.mono = max(clock.mono, pruner.due)
        all_steps(pruner)

    kept = runs_of(database)
    minutes = [row.queued_at // 60 for row in kept if row.queued_at < clock.wall - 700]
    assert len(minutes) == len(set(minutes))
    assert sum(row.folded for row in kept) == number
    assert sum(row.folded_seconds or row.seconds for row in kept) == pytest.approx(number * 0.01)


def test_one_row_a_minute_of_each_start_after_the_program_was_killed_between_two_slices(
    database: Database, clock: HandClock
) -> None:
    write_runs(database, [run_row("tick", n, NOW - HOUR + n) for n in range(600)])
    pruner = Pruner(database, "s1", clock=TickingClock(clock))
    assert not pruner.step().is_done
    write_runs(database, [run_row("tick", n, NOW - 20 + n, start="s2") for n in range(20)], first_seq=None)

    pruned(database, clock, start="s2")

    kept = [row for row in runs_of(database) if row.start == "s1"]
    assert [row.folded for row in kept] == [60] * 10
    assert sum(row.folded_seconds for row in kept) == pytest.approx(6.0)


class TickingClock(HandClock):
    """A clock that is a second later each time that it is read: every slice takes too long."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock.wall, clock.mono)

    def now(self) -> Any:
        """Read both, and advance."""
        self.mono += 1
        return super().now()


def test_events_of_a_folded_run_that_are_not_about_its_way_stay(database: Database, clock: HandClock) -> None:
    rows = [run_row("tick", n, NOW - HOUR + n) for n in range(50)]
    write_runs(database, rows)
    odd = event_rows(rows[3], 1000)[0] | {"at": rows[3]["queued_at"] + 0.005, "event": "unresponsive"}
    write_events(database, odd)

    pruned(database, clock)

    with database.begin() as connection:
        events = connection.execute(text("select event from events where run = 'tick#3'")).scalars().all()
    assert events == ["unresponsive"]


def test_a_folded_row_has_the_place_that_all_its_runs_had(database: Database, clock: HandClock) -> None:
    rows = [run_row("tick", n, NOW - HOUR + n, host="node1", worker="w1", pid=1000 + n) for n in range(60)]
    write_runs(database, rows)

    pruned(database, clock)

    folded = runs_of(database)[0]
    assert (folded.folded > 1, folded.host, folded.worker, folded.pid) == (True, "node1", "w1", None)


def test_the_events_of_a_run_are_found_by_their_time_and_not_among_all_of_the_start(tmp_path: Path) -> None:
    with database_at(tmp_path / "h.sqlite") as database, database.begin() as connection:
        plan = connection.execute(
            text(
                "explain query plan delete from events where name = 'a' and at in (1, 2, 3, 4)"
                " and '' || start = 'x' and run = 'y'"
            )
        ).all()

    assert "events_at" in str(plan)


# -- several programs in one database


def test_only_rows_of_the_own_name_are_touched(database: Database, clock: HandClock) -> None:
    old = NOW - KEEP - DAY
    write_starts(database, start_row("s0", old, how="ended"))
    write_runs(database, [failed("a", n, old + n, start="s0") for n in range(50)], tail_bytes=50_000)
    before = counts(database)
    with database.begin() as connection:
        for table in ("starts", "runs", "events", "log_tails"):
            connection.execute(text(f"update {table} set name = 'other'"))  # noqa: S608
    write_runs(database, [failed("a", n, NOW - HOUR + n) for n in range(50)], tail_bytes=50_000)

    pruned(database, clock, keep=KEEP, size=1 * MIB)

    assert counts(database, "other") == before
    assert counts(database)["log_tails"] < 40
    assert counts(database)["runs"] == 50


# -- by size


@pytest.mark.long
def test_log_tails_go_before_events_and_events_before_runs(database: Database, clock: HandClock) -> None:
    write_starts(database, start_row())
    seq = 1
    for first in range(0, 600, 200):
        rows = [failed("a", n, NOW - HOUR + n) for n in range(first, first + 200)]
        seq = write_runs(database, rows, first_seq=seq, tail_bytes=3000)
    seen = []
    for size in (2, 1, 0.5, 0.2):
        pruned(database, clock, size=size * MIB)
        found = counts(database)
        seen.append((found["log_tails"], found["events"], found["runs"]))

    assert 0 < seen[0][0] < 600
    assert seen[0][1:] == (1800, 600)
    assert [tails for tails, _, _ in seen] == sorted((tails for tails, _, _ in seen), reverse=True)
    for tails, events, runs in seen:
        assert events == 1800 or tails == 0
        assert runs == 600 or events == 0
    assert 20 <= seen[-1][2] < 600
    assert runs_of(database)[-1].run == "a#599"


def test_the_oldest_tails_go_first_and_none_is_left_without_its_run(database: Database, clock: HandClock) -> None:
    write_runs(database, [failed("a", n, NOW - HOUR + n) for n in range(100)], tail_bytes=20_000)

    pruned(database, clock, size=1 * MIB)

    with database.begin() as connection:
        kept = connection.execute(text("select run from log_tails order by at")).scalars().all()
    assert 10 < len(kept) < 60
    assert kept == [f"a#{n}" for n in range(100 - len(kept), 100)]


def test_a_limit_that_20_runs_of_each_job_exceed_is_said_and_they_are_kept(
    database: Database, clock: HandClock
) -> None:
    for job in range(40):
        rows = [failed(f"job{job}", n, NOW - HOUR + n, error_traceback="x" * 400) for n in range(20)]
        write_runs(database, rows, first_seq=None)
    pruner = Pruner(database, "s1", clock=clock, size=MIB // 4)

    done = all_steps(pruner)

    assert counts(database)["runs"] == 800
    assert done.trouble.startswith("the history needs ")
    assert done.trouble.endswith("more than the limit of 256 KiB: the last 20 runs of each job are kept")
    assert pruner.batch().room.value == "all"
    assert clock.mono < pruner.due


@pytest.mark.long
def test_jobs_that_no_longer_exist_lose_their_last_runs_when_the_limit_asks_for_it(
    database: Database, clock: HandClock
) -> None:
    old = NOW - KEEP - 10 * DAY
    for job in range(40):
        rows = [failed(f"gone{job}", n, old + job, start="s0", error_traceback="x" * 400) for n in range(20)]
        write_runs(database, rows, first_seq=None)
    write_starts(database, YESTERDAY)
    write_runs(database, [failed("alive", n, NOW - HOUR + n) for n in range(20)], first_seq=None)

    done = pruned(database, clock, keep=KEEP, size=MIB // 2)

    kept = {row.job for row in runs_of(database)}
    assert "alive" in kept
    assert 5 < len(kept) < 35
    assert "gone39" in kept
    assert "gone0" not in kept
    assert done.trouble == ""
