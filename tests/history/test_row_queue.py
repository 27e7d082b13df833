"""The queue of rows: merged by key, bounded, and what is dropped first."""

from __future__ import annotations

import random
from typing import Any

import pytest

from taskloom.history.queue import Rank, Row, RowQueue, dropped_text

ALL = frozenset(Rank)


def row(key: object, rank: Rank = Rank.EVENT, **values: Any) -> Row:
    return Row(("events", str(key)), values or {"at": 1.0}, rank)


def keys(rows: list[Row]) -> list[object]:
    return [each.key[1] for each in rows]


def take_all(queue: RowQueue) -> list[Row]:
    return queue.take(ALL, 1_000_000, 1e12).rows


def test_rows_come_in_the_order_in_which_they_were_put() -> None:
    queue = RowQueue()
    for key in "abc":
        queue.put(row(key))

    assert keys(take_all(queue)) == ["a", "b", "c"]
    assert len(queue) == 0
    assert queue.size == 0


def test_a_later_row_takes_the_place_of_the_earlier_one_with_its_key() -> None:
    queue = RowQueue()
    queue.put(row("a", Rank.ALIVE, n=1))
    queue.put(row("b", Rank.EVENT))
    queue.put(row("a", Rank.SUCCEEDED, n=2))

    rows = take_all(queue)

    assert keys(rows) == ["b", "a"]
    assert rows[1].values == {"n": 2}


@pytest.mark.parametrize("order", [list(Rank), list(reversed(Rank))], ids=["up", "down"])
def test_without_room_tails_go_first_then_events_then_succeeded_runs(order: list[Rank]) -> None:
    queue = RowQueue(most_rows=12)
    for rank in order:
        for number in range(2):
            queue.put(row(f"{rank.name}{number}", rank))
    gone = []

    for number in range(8):
        before = queue.dropped.copy()
        queue.put(row(f"failed{number}", Rank.FAILED))
        gone.append([rank.name for rank in Rank if queue.dropped[rank] != before[rank]])

    assert gone == [["TAIL"], ["TAIL"], ["EVENT"], ["EVENT"], ["SUCCEEDED"], ["SUCCEEDED"], [], []]


def test_beyond_twice_the_room_failed_runs_and_actions_go_and_what_is_alive_stays() -> None:
    queue = RowQueue(most_rows=10)
    for number in range(15):
        queue.put(row(f"alive{number}", Rank.ALIVE))
        queue.put(row(f"failed{number}", Rank.FAILED))
        queue.put(row(f"action{number}", Rank.ACTION))

    kept = take_all(queue)

    assert sum(each.rank is Rank.ALIVE for each in kept) == 15
    assert len(kept) == 20
    assert queue.dropped == {Rank.FAILED: 15, Rank.ACTION: 10}


def test_the_oldest_of_a_rank_goes_first() -> None:
    queue = RowQueue(most_rows=3)
    for key in "abcde":
        queue.put(row(key))

    assert keys(take_all(queue)) == ["c", "d", "e"]


def test_log_tails_have_a_room_of_their_own() -> None:
    queue = RowQueue(most_tail_bytes=3_000)
    for number in range(5):
        queue.put(row(f"tail{number}", Rank.TAIL, text="x" * 900))
    queue.put(row("event"))

    kept = take_all(queue)

    assert keys(kept) == ["tail3", "tail4", "event"]
    assert queue.dropped == {Rank.TAIL: 3}


def test_the_bytes_of_long_rows_count() -> None:
    queue = RowQueue(most_bytes=10_000)
    for number in range(20):
        queue.put(row(number, Rank.SUCCEEDED, text="x" * 1_000, data={"deep": ["y" * 1_000]}))

    assert queue.size <= 10_000
    assert queue.dropped[Rank.SUCCEEDED] >= 15


def test_the_callback_that_waits_for_a_dropped_row_is_handed_out() -> None:
    queue = RowQueue(most_rows=1)
    answers: list[bool] = []
    queue.put(row("a", Rank.ACTION), answers.append)
    queue.put(row("b", Rank.ACTION))

    lost = queue.put(row("c", Rank.ACTION))

    assert lost == [answers.append]


def test_promised_rows_come_first_and_those_that_wait_for_them_come_along() -> None:
    queue = RowQueue()
    for key, done in (("a", None), ("b", print), ("b", repr), ("c", None)):
        queue.begin_group()
        queue.put(row(key, Rank.ALIVE), done)

    batch = queue.take(ALL, 2, 1e9)

    assert keys(batch.rows) == ["b", "a"]
    assert batch.waiting == [print, repr]
    assert keys(take_all(queue)) == ["c"]


def test_only_rows_of_the_given_ranks_are_taken_but_promised_ones_always() -> None:
    queue = RowQueue()
    queue.put(row("event"))
    queue.put(row("alive", Rank.ALIVE))
    queue.put(row("promised", Rank.ALIVE), print)
    queue.put(row("action", Rank.ACTION))

    batch = queue.take({Rank.ACTION}, 10, 1e9)

    assert keys(batch.rows) == ["promised", "action"]
    assert keys(take_all(queue)) == ["event", "alive"]


def test_rows_that_belong_together_are_not_parted() -> None:
    queue = RowQueue()
    for number in range(4):
        queue.begin_group()
        queue.put(row(f"run{number}", Rank.SUCCEEDED))
        queue.put(row(f"event{number}"))

    parts = [keys(queue.take(ALL, 3, 1e9).rows) for _ in range(2)]

    assert parts == [["run0", "event0", "run1", "event1"], ["run2", "event2", "run3", "event3"]]


def test_a_batch_ends_before_its_bytes_are_exceeded_but_has_one_row_at_least() -> None:
    queue = RowQueue()
    for number in range(3):
        queue.begin_group()
        queue.put(row(number, text="x" * 2_000))

    assert keys(queue.take(ALL, 100, 1_000).rows) == ["0"]
    assert keys(queue.take(ALL, 100, 5_000).rows) == ["1", "2"]


def test_rows_that_are_put_back_come_first_and_newer_ones_win() -> None:
    queue = RowQueue()
    queue.put(row("a", n=1))
    queue.put(row("b", n=1))
    taken = queue.take(ALL, 10, 1e9).rows
    queue.put(row("c", n=2))
    queue.put(row("b", n=2))

    queue.put_back(taken)

    assert [(each.key[1], (each.values or {})["n"]) for each in take_all(queue)] == [("a", 1), ("c", 2), ("b", 2)]
    assert queue.size == 0


def test_rows_that_are_put_back_have_no_more_room_than_others() -> None:
    queue = RowQueue(most_rows=2)
    taken = [row("a"), row("b")]
    queue.put(row("c"))

    queue.put_back(taken)

    assert keys(take_all(queue)) == ["b", "c"]
    assert queue.dropped == {Rank.EVENT: 1}


def test_any_order_of_calls_keeps_the_counts_right(record_property: Any) -> None:
    seed = random.randrange(10**6)
    record_property("seed", seed)
    chance = random.Random(seed)
    queue = RowQueue(most_rows=30, most_bytes=30_000, most_tail_bytes=5_000)
    taken: list[Row] = []
    for number in range(3_000):
        act = chance.random()
        if act < 0.8:
            text = "x" * chance.choice([0, 10, 1_000])
            queue.put(row(chance.randrange(60), chance.choice(list(Rank)), text=text), print if act < 0.1 else None)
        elif act < 0.9:
            taken = queue.take(chance.choice([ALL, {Rank.ACTION}]), chance.randrange(20), 5_000).rows
        else:
            queue.put_back(taken)
            taken = []
        assert queue.size == sum(each.row.size for each in queue._rows.values()), (seed, number)
        assert sum(map(len, queue._by_rank.values())) == len(queue)
        droppable = [each for each in queue._rows.values() if each.row.rank is not Rank.ALIVE]
        assert len(queue) <= 60 or not droppable


@pytest.mark.parametrize(
    ("dropped", "text"),
    [
        ({}, ""),
        ({Rank.EVENT: 1}, "1 event"),
        ({Rank.EVENT: 1200, Rank.TAIL: 3}, "1,200 events and 3 log tails"),
        ({Rank.EVENT: 2, Rank.TAIL: 1, Rank.ACTION: 1}, "1 action, 2 events and 1 log tail"),
    ],
    ids=["none", "one", "two", "three"],
)
def test_what_was_dropped_is_told_in_words(dropped: dict[Rank, int], text: str) -> None:
    assert dropped_text(dropped) == text
