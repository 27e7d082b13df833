"""What a whole stop may take: the slowest of each level, one level after the other."""

from __future__ import annotations

import pytest

from taskloom.core.model import WAIT_FOR_EVER, JobSpec, JoinPolicy, Otherwise
from taskloom.core.policies import Need
from taskloom.jobfile.worststop import SlowStop, worst_stop


def job(name: str, within: float, *after: str, enabled: bool = True, replicas: int = 1) -> JobSpec:
    return JobSpec(
        name=name,
        task="idle",
        join=JoinPolicy(within, Otherwise.EXIT),
        after=tuple(Need(each) for each in after),
        enabled=enabled,
        replicas=replicas,
    )


@pytest.mark.parametrize(
    "jobs, seconds, chain",
    [
        ([], 0.0, ""),
        ([job("a", 3.0), job("b", 4.0)], 4.0, "b (4 s)"),
        ([job("a", 3.0), job("b", 4.0, "a")], 7.0, "b (4 s) -> a (3 s)"),
        ([job("a", 3.0, replicas=5)], 3.0, "a (3 s)"),
        ([job("a", 9.0, enabled=False), job("b", 4.0)], 4.0, "b (4 s)"),
        ([job("a", 0.0), job("b", 4.0, "a")], 4.0, "b (4 s)"),
        ([job("a", WAIT_FOR_EVER), job("b", 0.5, "a")], 30.5, "b (0.5 s) -> a (wait)"),
        # A level waits for its slowest job, though nothing depends on that one.
        ([job("a", 1.0), job("b", 2.0, "a"), job("c", 20.0)], 21.0, "c (20 s) -> a (1 s)"),
        # Of equals, one that depends on the next is named.
        ([job("x", 2.0), job("a", 1.0), job("b", 2.0, "a"), job("y", 2.0)], 3.0, "b (2 s) -> a (1 s)"),
        ([job("a", 1.0, "b"), job("b", 2.0, "a")], 2.0, "b (2 s)"),
    ],
)
def test_a_stop_takes_the_slowest_of_each_level(jobs: list[JobSpec], seconds: float, chain: str) -> None:
    worst = worst_stop(jobs, stop_within=30.0)

    assert (worst.seconds, str(worst)) == (seconds, chain)


def test_a_long_chain_is_shown_by_its_ends() -> None:
    jobs = [job(f"j{number}", 1.0, *([f"j{number + 1}"] if number < 19 else [])) for number in range(20)]

    worst = worst_stop(jobs, stop_within=30.0)

    assert worst.chain[0] == SlowStop("j0", 1.0)
    assert str(worst) == (
        "j0 (1 s) -> j1 (1 s) -> j2 (1 s) -> j3 (1 s) -> ... 12 more ... -> "
        "j16 (1 s) -> j17 (1 s) -> j18 (1 s) -> j19 (1 s)"
    )
