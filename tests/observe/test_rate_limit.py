"""The cap on lines that repeat: fed with times, it says which line is written and what is told in a sum."""

from __future__ import annotations

import pytest

from taskloom.observe.rate_limit import DuplicateFilter, Limit, RateLimiter, Suppressed


def admitted(flood: RateLimiter, kind: str, count: int, at: float) -> int:
    """Offer so many lines, each of a job of its own; return how many were admitted."""
    return sum(flood.allows(kind, f"job-{number}", at) for number in range(count))


def test_so_many_lines_at_once_are_admitted_and_no_more() -> None:
    flood = RateLimiter(Limit(100, 10.0))

    assert admitted(flood, "runs failed", 5000, at=7.0) == 100


def test_from_then_on_it_is_so_many_a_second() -> None:
    flood = RateLimiter(Limit(100, 10.0))
    admitted(flood, "runs failed", 5000, at=0.0)

    assert [admitted(flood, "runs failed", 1000, at=float(second)) for second in (1, 2, 3)] == [10, 10, 10]


def test_after_a_quiet_time_there_is_room_for_the_burst_again_and_no_more() -> None:
    flood = RateLimiter(Limit(20, 10.0))
    admitted(flood, "runs failed", 50, at=0.0)

    assert admitted(flood, "runs failed", 50, at=3600.0) == 20


def test_lines_that_come_slowly_are_all_admitted() -> None:
    flood = RateLimiter(Limit(5, 10.0))

    assert all(flood.allows("runs failed", "job", at=second / 10) for second in range(1000))
    assert flood.due is None


def test_one_kind_leaves_the_room_of_another_alone() -> None:
    flood = RateLimiter(Limit(3, 1.0), {"tracebacks": Limit(1, 1.0)})

    assert admitted(flood, "runs failed", 10, at=0.0) == 3
    assert admitted(flood, "runs started", 10, at=0.0) == 3
    assert admitted(flood, "tracebacks", 10, at=0.0) == 1


def test_nothing_is_lost_what_is_not_admitted_is_in_a_sum() -> None:
    flood = RateLimiter(Limit(100, 10.0))
    told = admitted(flood, "runs failed", 4421, at=10.0)

    assert flood.due == 15.0
    assert flood.take_suppressed(14.9) == []
    assert flood.take_suppressed(15.0) == [Suppressed("runs failed", 4421 - told, 4321, 5.0)]
    assert flood.take_suppressed(20.0) == []
    assert flood.due is None


def test_a_sum_counts_lines_and_jobs() -> None:
    flood = RateLimiter(Limit(1, 0.1))
    for at in range(7):
        flood.allows("runs failed", f"job-{at % 2}", at / 10)

    assert flood.take_suppressed(10.0) == [Suppressed("runs failed", 6, 2, 9.9)]


def test_everything_is_taken_at_the_end() -> None:
    flood = RateLimiter(Limit(1, 0.1))
    admitted(flood, "runs failed", 3, at=1.0)

    assert flood.take_suppressed(1.5) == []
    assert flood.take_suppressed(1.5, everything=True) == [Suppressed("runs failed", 2, 2, 0.5)]


def test_the_next_sum_that_is_due_is_the_one_that_was_begun_first() -> None:
    flood = RateLimiter(Limit(1, 0.01))
    admitted(flood, "runs started", 2, at=1.0)
    admitted(flood, "runs failed", 2, at=3.0)

    assert flood.due == 6.0
    assert [each.kind for each in flood.take_suppressed(6.0)] == ["runs started"]
    assert flood.due == 8.0


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_a_time_that_stands_or_goes_back_makes_no_room(seconds: float) -> None:
    flood = RateLimiter(Limit(1, 1.0))
    flood.allows("runs failed", "job", 10.0)

    assert not flood.allows("runs failed", "job", 10.0 + seconds)


def test_the_same_text_of_the_same_job_is_repeated_for_ten_minutes() -> None:
    repeats = DuplicateFilter()
    repeats.add("job", "Traceback: boom", 100.0)

    assert repeats.is_repeated("job", "Traceback: boom", 699.0)
    assert not repeats.is_repeated("job", "Traceback: boom", 700.0)
    assert not repeats.is_repeated("job", "Traceback: another", 101.0)
    assert not repeats.is_repeated("other", "Traceback: boom", 101.0)


def test_a_job_that_was_removed_is_forgotten() -> None:
    repeats = DuplicateFilter()
    repeats.add("job", "Traceback: boom", 100.0)

    repeats.forget("job")
    repeats.forget("nobody")

    assert not repeats.is_repeated("job", "Traceback: boom", 101.0)
