"""How many runs start at the same time."""

from __future__ import annotations

from math import inf

from taskloom.runners.process.starts import SLOT_SECONDS, StartQueue, most_starts


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def queue(most: int) -> tuple[StartQueue, list[object], Clock]:
    begun: list[object] = []
    clock = Clock()
    return StartQueue(most, clock, begun.append), begun, clock


def test_some_runs_start_at_once_and_the_others_follow_in_order() -> None:
    starts, begun, _ = queue(2)

    for run in "abcde":
        starts.add(run)
    first = list(begun)
    starts.remove("b")
    starts.remove("a")
    starts.remove("a")

    assert first == ["a", "b"]
    assert begun == ["a", "b", "c", "d"]


def test_a_run_that_waits_and_is_removed_is_not_started() -> None:
    starts, begun, _ = queue(1)

    for run in "abc":
        starts.add(run)
    starts.remove("b")
    starts.remove("a")

    assert begun == ["a", "c"]


def test_a_start_that_hangs_gives_its_place_away() -> None:
    starts, begun, clock = queue(1)
    starts.add("a")
    before = starts.next_timer()

    starts.add("b")
    due = starts.next_timer()
    clock.now = due
    starts.on_timer(due)

    assert (before, due) == (inf, 100.0 + SLOT_SECONDS)
    assert begun == ["a", "b"]
    assert starts.next_timer() == inf


def test_after_a_strike_those_that_wait_are_started() -> None:
    starts, begun, _ = queue(2)
    starts._waiting.append("a")

    starts.struck(MemoryError())

    assert begun == ["a"]


def test_there_are_more_starts_than_cores() -> None:
    assert most_starts() >= 4
