"""Which rows are too old, on machines whose clock is wrong, was wrong, or jumps."""

from __future__ import annotations

import math

import pytest

from taskloom.history.ages import Ages

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0
KEEP = 30 * DAY


def test_rows_older_than_keep_are_too_old() -> None:
    ages = Ages(KEEP, NOW, 0.0, NOW - HOUR)

    assert ages.cutoff(NOW, 0.0) == NOW - KEEP
    assert ages.cutoff(NOW + DAY, DAY) == NOW + DAY - KEEP


def test_nothing_is_too_old_for_a_history_that_is_kept_for_ever() -> None:
    assert Ages(math.inf, NOW, 0.0, None).cutoff(NOW, 0.0) == -math.inf


def test_a_start_in_2037_deletes_nothing_of_the_last_days_before_the_clock_is_right_again() -> None:
    last = NOW
    ages = Ages(KEEP, NOW + 3650 * DAY, 0.0, last)

    assert ages.cutoff(NOW + 3650 * DAY, 0.0) == last - KEEP / 2
    assert ages.cutoff(NOW + 60, 60.0) <= last - KEEP / 2


def test_a_start_in_1970_deletes_nothing() -> None:
    assert Ages(KEEP, 10.0, 0.0, NOW).cutoff(10.0, 0.0) < 0


@pytest.mark.parametrize("jump", [-3650 * DAY, -HOUR, 400 * DAY])
def test_a_jump_of_the_clock_deletes_nothing_of_the_last_days_for_an_hour(jump: float) -> None:
    ages = Ages(KEEP, NOW, 0.0, NOW)
    ages.cutoff(NOW + 2 * HOUR, 2 * HOUR)

    assert ages.cutoff(NOW + 2 * HOUR + 10 + jump, 2 * HOUR + 10) <= NOW + 2 * HOUR - KEEP / 2
    assert ages.cutoff(NOW + 3 * HOUR + jump, 3 * HOUR) <= NOW + 2 * HOUR - KEEP / 2


def test_a_clock_that_has_run_for_an_hour_without_a_jump_is_believed() -> None:
    ages = Ages(KEEP, NOW, 0.0, NOW - 400 * DAY)

    assert ages.cutoff(NOW, 0.0) == NOW - 400 * DAY - KEEP / 2
    assert ages.cutoff(NOW + HOUR, HOUR) == NOW + HOUR - KEEP


def test_a_program_that_is_started_once_a_month_for_a_minute_still_forgets() -> None:
    cutoffs = []
    for month in range(1, 13):
        now = NOW + month * 30 * DAY
        ages = Ages(KEEP, now, 0.0, now - 30 * DAY)
        cutoffs.append(now - ages.cutoff(now, 0.0))

    assert set(cutoffs) == {1.5 * KEEP}


def test_keep_nothing_still_allows_a_day_that_the_clock_may_be_wrong() -> None:
    ages = Ages(0.0, NOW, 0.0, NOW - HOUR)

    assert ages.cutoff(NOW, 0.0) == NOW


def test_a_start_is_older_than_keep_by_the_monotonic_clock_alone() -> None:
    ages = Ages(KEEP, NOW, 5.0, None)

    assert not ages.has_run_for_keep(5.0 + KEEP - 1)
    assert ages.has_run_for_keep(5.0 + KEEP)
