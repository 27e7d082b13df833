"""The worst-case time of a whole stop: the slowest job of each level, one level after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.core.events import EventName
from taskloom.core.model import WAIT_FOR_EVER, JobSpec, JoinPolicy, Otherwise, RunnerSpec
from taskloom.core.policies import Dependency
from taskloom.jobfile.checks.worst_stop import SlowStop, worst_stop
from taskloom.testing import Behaviour, simulate


def job(
    name: str,
    within: float,
    *after: str,
    enabled: bool = True,
    replicas: int = 1,
    otherwise: Otherwise = Otherwise.EXIT,
) -> JobSpec:
    return JobSpec(
        name=name,
        task="idle",
        join=JoinPolicy(within, otherwise),
        after=tuple(Dependency(each) for each in after),
        enabled=enabled,
        replicas=replicas,
    )


@every_case(
    "jobs, seconds, chain",
    [
        ([], 0.0, ""),
        ([job("a", 3.0), job("b", 4.0)], 4.0, "b (4s)"),
        ([job("a", 3.0), job("b", 4.0, "a")], 7.0, "b (4s) -> a (3s)"),
        ([job("a", 3.0, replicas=5)], 3.0, "a (3s)"),
        ([job("a", 9.0, enabled=False), job("b", 4.0)], 4.0, "b (4s)"),
        ([job("a", 0.0), job("b", 4.0, "a")], 4.0, "b (4s)"),
        ([job("a", WAIT_FOR_EVER), job("b", 0.5, "a")], 30.5, "b (500ms) -> a (wait)"),
        # A level waits for its slowest job, though nothing depends on that one.
        ([job("a", 1.0), job("b", 2.0, "a"), job("c", 20.0)], 21.0, "c (20s) -> a (1s)"),
        # Of equals, one that depends on the next is named.
        ([job("x", 2.0), job("a", 1.0), job("b", 2.0, "a"), job("y", 2.0)], 3.0, "b (2s) -> a (1s)"),
        ([job("a", 1.0, "b"), job("b", 2.0, "a")], 2.0, "b (2s)"),
    ],
)
def test_a_stop_takes_as_long_as_the_slowest_job_of_each_level(jobs: list[JobSpec], seconds: float, chain: str) -> None:
    worst = worst_stop(jobs, stop_within=30.0)

    assert (worst.seconds, str(worst)) == (seconds, chain)


def test_a_run_on_a_cluster_may_have_to_be_given_up_as_lost_which_takes_three_seconds() -> None:
    there = replace(job("a", 4.0, otherwise=Otherwise.KILL), runner=RunnerSpec("dask", {"local": 1}))
    waits = replace(there, name="b", join=JoinPolicy(WAIT_FOR_EVER, Otherwise.KILL))

    assert worst_stop([there], stop_within=30.0).seconds == 7.0
    assert worst_stop([there, waits], stop_within=30.0).seconds == 30.0


def test_a_long_chain_is_abbreviated_in_the_middle() -> None:
    jobs = [job(f"j{number}", 1.0, *([f"j{number + 1}"] if number < 19 else [])) for number in range(20)]

    worst = worst_stop(jobs, stop_within=30.0)

    assert worst.chain[0] == SlowStop("j0", 1.0)
    assert str(worst) == (
        "j0 (1s) -> j1 (1s) -> j2 (1s) -> j3 (1s) -> ... 12 more ... -> j16 (1s) -> j17 (1s) -> j18 (1s) -> j19 (1s)"
    )


@st.composite
def declarations(draw: st.DrawFn) -> list[JobSpec]:
    """Draw jobs that each wait for some of those before them."""
    jobs: list[JobSpec] = []
    for number in range(draw(st.integers(1, 8))):
        earlier = [each.name for each in jobs if each.enabled]
        after = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        within = draw(st.sampled_from([0.0, 0.5, 1.0, 4.0, 20.0]))
        is_enabled, replicas = draw(st.integers(0, 9)) > 0, draw(st.integers(1, 2))
        otherwise = draw(st.sampled_from([Otherwise.EXIT, Otherwise.KILL]))
        jobs.append(job(f"j{number}", within, *after, enabled=is_enabled, replicas=replicas, otherwise=otherwise))
    return jobs


@given(jobs=declarations())
def test_a_stop_of_runs_that_never_poll_takes_exactly_the_worst_time(jobs: list[JobSpec]) -> None:
    """In virtual time: every run ignores the stop request, so every join takes all of its time.

    A run that can be killed is gone at once then.
    """
    replicas = [each for declared in jobs for each in declared.replicated()]
    ignoring = {each.name: Behaviour.ignores() for each in replicas}

    events = list(simulate(replicas, seconds=100.0, behaviours=ignoring, stop_within=1e6).events)

    [began] = [event.mono for event in events if event.event is EventName.SCHEDULER_STOPPING]
    [ended] = [event.mono for event in events if event.event is EventName.SCHEDULER_STOPPED]
    assert ended - began == pytest.approx(worst_stop(jobs, stop_within=1e6).seconds)
