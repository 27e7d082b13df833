from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from taskloom.runners.gauges import Gauges, Progress


def test_a_run_that_reports_nothing_has_no_numbers() -> None:
    gauges = Gauges()

    assert (gauges.counts, gauges.progress) == ({}, None)


def test_counts_add_up() -> None:
    gauges = Gauges()

    for name, n in (("lines", 1), ("bytes", 100), ("lines", 2), ("lines", -1)):
        gauges.count(name, n)

    assert gauges.counts == {"lines": 2, "bytes": 100}


def test_counts_returns_a_copy() -> None:
    gauges = Gauges()
    gauges.count("lines", 1)

    gauges.counts["lines"] = 99

    assert gauges.counts == {"lines": 1}


def test_no_count_is_lost_between_threads(fast_switching: None) -> None:
    gauges = Gauges()

    def count(_: int) -> None:
        for _ in range(500):
            gauges.count("lines", 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))

    assert gauges.counts == {"lines": 2000}


def test_the_last_progress_counts() -> None:
    gauges = Gauges()

    gauges.progress = Progress(1, 2, "files")
    gauges.progress = Progress(2, 2, "files")

    assert gauges.progress == (2, 2, "files")


def test_totals_that_were_counted_elsewhere_replace_those_of_their_names() -> None:
    gauges = Gauges()
    gauges.count("own", 2)
    gauges.set_counts({"frames": 7})
    gauges.set_counts({"frames": 9, "errors": 1})

    assert gauges.counts == {"own": 2, "frames": 9, "errors": 1}


def test_totals_are_checked_before_any_is_set() -> None:
    gauges = Gauges()

    with pytest.raises(TypeError, match=r"cannot increase counter 'b' by 1\.5"):
        gauges.set_counts({"a": 1, "b": 1.5})  # type: ignore[dict-item]

    assert gauges.counts == {}
