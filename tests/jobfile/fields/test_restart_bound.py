"""A restart limit that the delays can never reach is refused, and only such a limit."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.core.restart import HEALTHY_SECONDS, Backoff
from taskloom.jobfile.fields import restart
from taskloom.jobfile.fields.restart import most_restarts


def policy(delay: float, factor: float, max_delay: float, times: int, within: float) -> RestartPolicy:
    return RestartPolicy(RestartWhen.ON_FAILURE, delay, factor, max_delay, 0.0, RestartLimit(times, within))


def test_the_seconds_until_a_run_is_healthy_equal_those_of_the_core() -> None:
    assert restart._HEALTHY_SECONDS == HEALTHY_SECONDS


@every_case(
    "limited, expected",
    [
        (policy(30.0, 2.0, 30.0, 5, 60.0), 2),
        (policy(10.0, 1.0, 30.0, 10, 90.0), 9),
        (policy(10.0, 1.0, 30.0, 9, 90.0), 9),
        (policy(0.5, 2.0, 30.0, 12, 60.0), 9),
        (policy(0.5, 2.0, 30.0, 5, 600.0), 5),
        (policy(0.0, 2.0, 30.0, 1000, 0.001), 1000),
        (policy(1.0, 1.0, 1.0, 10**17, 86_400.0), 86_400),
        # Delays that hardly grow are not computed one by one: the first one is used for all.
        (policy(1.0, 1.0001, 3600.0, 10**17, 86_400.0), 86_400),
    ],
)
def test_the_most_restarts_in_the_window(limited: RestartPolicy, expected: int) -> None:
    assert most_restarts(limited) == expected


def test_without_a_limit_the_bound_is_zero() -> None:
    assert most_restarts(RestartPolicy()) == 0


@settings(deadline=None)
@given(
    delay=st.sampled_from([0.1, 0.5, 1.0, 5.0, 30.0]),
    factor=st.sampled_from([1.0, 1.05, 1.5, 2.0, 10.0]),
    growth=st.sampled_from([1, 3, 50]),
    limit=st.tuples(st.integers(1, 12), st.floats(0.1, 400.0)),
    resets=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_a_limit_that_can_be_reached_is_never_refused(
    delay: float, factor: float, growth: int, limit: tuple[int, float], resets: list[bool]
) -> None:
    """If the core gives up after some sequence of healthy runs, the limit can be reached."""
    given = policy(delay, factor, delay * growth, *limit)
    backoff, now = Backoff(), 0.0

    for is_healthy in resets:
        healthy = max(HEALTHY_SECONDS, backoff.delay) if is_healthy else 0.0
        now += healthy
        if backoff.is_exhausted(given, now):
            assert most_restarts(given) >= limit[0]
            break
        now += backoff.next_delay(given, healthy, 0.0)
        backoff.record_restart(given, now)


@settings(deadline=None)
@given(
    delay=st.floats(0.01, 60.0),
    factor=st.floats(1.0, 100.0),
    growth=st.floats(1.0, 1000.0),
    times=st.integers(1, 10**17),
    within=st.floats(0.01, 1e7),
)
def test_a_longer_window_never_holds_fewer_restarts(
    delay: float, factor: float, growth: float, times: int, within: float
) -> None:
    shorter = most_restarts(policy(delay, factor, delay * growth, times, within))
    longer = most_restarts(policy(delay, factor, delay * growth, times, within * 2))

    assert 1 <= shorter <= longer <= times
    assert shorter <= math.ceil(within / delay) + 1
