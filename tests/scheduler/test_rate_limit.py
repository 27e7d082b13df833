"""The limit on repeated lines: which lines are written at which times, and which are counted."""

from __future__ import annotations

import pytest

from taskloom.scheduler import rate_limit
from taskloom.scheduler.rate_limit import DuplicateFilter, Limit, RateLimiter, Suppressed


def allowed(limiter: RateLimiter, kind: str, count: int, at: float) -> int:
    """Offer `count` lines, each of another job; return how many were allowed."""
    return sum(limiter.allows(kind, f"job-{number}", at) for number in range(count))


def test_at_most_the_burst_is_allowed_at_once() -> None:
    limiter = RateLimiter(Limit(100, 10.0))

    assert allowed(limiter, "runs failed", 5000, at=7.0) == 100


def test_after_the_burst_the_rate_is_allowed_each_second() -> None:
    limiter = RateLimiter(Limit(100, 10.0))
    allowed(limiter, "runs failed", 5000, at=0.0)

    assert [allowed(limiter, "runs failed", 1000, at=float(second)) for second in (1, 2, 3)] == [10, 10, 10]


def test_after_a_quiet_time_the_burst_is_allowed_again_and_no_more() -> None:
    limiter = RateLimiter(Limit(20, 10.0))
    allowed(limiter, "runs failed", 50, at=0.0)

    assert allowed(limiter, "runs failed", 50, at=3600.0) == 20


def test_lines_below_the_rate_are_all_allowed() -> None:
    limiter = RateLimiter(Limit(5, 10.0))

    assert all(limiter.allows("runs failed", "job", at=second / 10) for second in range(1000))
    assert limiter.due is None


def test_each_kind_has_its_own_limit() -> None:
    limiter = RateLimiter(Limit(3, 1.0), {"tracebacks": Limit(1, 1.0)})

    assert allowed(limiter, "runs failed", 10, at=0.0) == 3
    assert allowed(limiter, "runs started", 10, at=0.0) == 3
    assert allowed(limiter, "tracebacks", 10, at=0.0) == 1


def test_every_line_is_either_allowed_or_counted() -> None:
    limiter = RateLimiter(Limit(100, 10.0))
    written = allowed(limiter, "runs failed", 4421, at=10.0)

    assert limiter.due == 15.0
    assert limiter.take_suppressed(14.9) == []
    assert limiter.take_suppressed(15.0) == [Suppressed("runs failed", 4421 - written, 4321, 5.0)]
    assert limiter.take_suppressed(20.0) == []
    assert limiter.due is None


def test_a_count_has_the_lines_and_the_jobs() -> None:
    limiter = RateLimiter(Limit(1, 0.1))
    for at in range(7):
        limiter.allows("runs failed", f"job-{at % 2}", at / 10)

    assert limiter.take_suppressed(10.0) == [Suppressed("runs failed", 6, 2, 9.9)]


def test_all_counts_can_be_taken_before_they_are_due() -> None:
    limiter = RateLimiter(Limit(1, 0.1))
    allowed(limiter, "runs failed", 3, at=1.0)

    assert limiter.take_suppressed(1.5) == []
    assert limiter.take_suppressed(1.5, everything=True) == [Suppressed("runs failed", 2, 2, 0.5)]


def test_the_count_that_began_first_is_due_first() -> None:
    limiter = RateLimiter(Limit(1, 0.01))
    allowed(limiter, "runs started", 2, at=1.0)
    allowed(limiter, "runs failed", 2, at=3.0)

    assert limiter.due == 6.0
    assert [each.kind for each in limiter.take_suppressed(6.0)] == ["runs started"]
    assert limiter.due == 8.0


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_no_line_is_allowed_if_the_time_stands_still_or_goes_back(seconds: float) -> None:
    limiter = RateLimiter(Limit(1, 1.0))
    limiter.allows("runs failed", "job", 10.0)

    assert not limiter.allows("runs failed", "job", 10.0 + seconds)


def test_the_same_text_of_the_same_job_counts_as_repeated_for_ten_minutes() -> None:
    duplicates = DuplicateFilter()
    duplicates.add("job", "Traceback: boom", 100.0)

    assert duplicates.is_repeated("job", "Traceback: boom", 699.0)
    assert not duplicates.is_repeated("job", "Traceback: boom", 700.0)
    assert not duplicates.is_repeated("job", "Traceback: another", 101.0)
    assert not duplicates.is_repeated("other", "Traceback: boom", 101.0)


def test_a_job_that_was_removed_is_forgotten() -> None:
    duplicates = DuplicateFilter()
    duplicates.add("job", "Traceback: boom", 100.0)

    duplicates.forget("job")
    duplicates.forget("nobody")

    assert not duplicates.is_repeated("job", "Traceback: boom", 101.0)


def test_the_memory_of_tracebacks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MOST_REMEMBERED", 2)
    duplicates = DuplicateFilter()
    for number in range(3):
        duplicates.add(f"job{number}", "Traceback: boom", 100.0)

    assert [duplicates.is_repeated(f"job{number}", "Traceback: boom", 101.0) for number in range(3)] == [
        False,
        False,
        True,
    ]
