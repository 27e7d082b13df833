"""Delays before the next attempt: they grow up to a cap, have jitter, and are reset after a healthy connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskloom_plugins.backoff import HEALTHY_SECONDS, Backoff


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 3.0, random=lambda: 0.0)

    assert [backoff.next_delay() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@given(draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_jitter_reduces_a_delay_by_up_to_half_and_never_increases_it(draws: list[float]) -> None:
    plain, jittered = Backoff(0.5, 30.0, random=lambda: 0.0), Backoff(0.5, 30.0, random=iter(draws).__next__)

    for _ in draws:
        whole = plain.next_delay()
        assert whole / 2 <= jittered.next_delay() <= whole


def test_only_a_healthy_connection_resets_the_delay() -> None:
    backoff = Backoff(0.5, 60.0, random=lambda: 0.0)
    for _ in range(3):
        backoff.next_delay()

    backoff.connected_for(HEALTHY_SECONDS - 0.1)
    assert backoff.next_delay() == 4.0
    backoff.connected_for(HEALTHY_SECONDS)
    assert backoff.next_delay() == 0.5


def test_a_healthy_connection_lasts_at_least_as_long_as_the_next_delay() -> None:
    backoff = Backoff(20.0, 60.0, random=lambda: 0.0)
    backoff.next_delay()

    backoff.connected_for(39.0)
    assert backoff.next_delay() == 40.0
    backoff.connected_for(60.0)
    assert backoff.next_delay() == 20.0


def test_a_first_delay_over_the_cap_is_cut() -> None:
    assert Backoff(9.0, 2.0, random=lambda: 0.0).next_delay() == 2.0
