"""Instants in local time, with and without milliseconds."""

from __future__ import annotations

import pytest

from taskloom.observe.local_time import local_time

NOON = 1_767_614_400.0


@pytest.mark.parametrize(
    ("wall", "is_exact", "end"),
    [
        (NOON + 0.1, True, ":00.100"),
        (NOON + 1.0, True, ":01.000"),
        (NOON + 1.0004, True, ":01.000"),
        (NOON + 1.9996, True, ":02.000"),
        (NOON + 1.9996, False, ":01"),
    ],
)
def test_an_exact_time_has_milliseconds_also_at_a_full_second(wall: float, is_exact: bool, end: str) -> None:
    assert local_time(wall, NOON, is_exact=is_exact).endswith(end)
