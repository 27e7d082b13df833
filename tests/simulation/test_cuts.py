"""Workers that die or are cut off, in `taskloom simulate --cut`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.random_jobs import in_process

from taskloom.core.events import Event, EventName
from taskloom.core.model import CLUSTER, JobSpec, Outcome, RunnerSpec
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.simulation import Fault, Plan, SimulationResult, Span, simulate_jobs
from taskloom.testing import make_job

DAY = 86_400.0
# The lease of a run whose worker has died is over after so long.
LEASE_SECONDS = 30.0


def on_cluster(within: float = 10.0) -> JobSpec:
    restart = RestartPolicy(RestartWhen.ALWAYS, delay=1.0, factor=1.0, jitter=0.0)
    return replace(in_process(make_job("train", restart=restart, within=within)), runner=RunnerSpec(CLUSTER))


def simulated(
    *specs: JobSpec, seed: int = 0, seconds: float = DAY, **plan: object
) -> tuple[SimulationResult, list[Event]]:
    events: list[Event] = []
    values = {"work": (("*", Span(60.0, 600.0)),), "cut": (("*", 0.5),), "checked_steps": None} | plan
    result = simulate_jobs(specs, Plan(seconds=seconds, start=0.0, seed=seed, **values), [events.append])  # type: ignore[arg-type]
    return result, events


def named(events: list[Event], name: EventName) -> list[Event]:
    return [event for event in events if event.event is name]


def test_runs_are_lost_unreachable_and_reachable_again() -> None:
    result, events = simulated(on_cluster())

    [train] = result.jobs
    assert train.outcomes[Outcome.LOST] > 10
    assert train.unreachable > len(named(events, EventName.REACHABLE)) > 5
    assert train.succeeded > 50


def test_no_run_begins_before_the_lease_of_a_lost_one_is_over() -> None:
    result, events = simulated(on_cluster())

    blocked = {event.run: event.mono for event in named(events, EventName.BLOCKED)}
    released = {event.run: event.mono for event in named(events, EventName.RELEASED)}
    assert len(blocked) > 5
    assert {round(released[run] - at, 6) for run, at in blocked.items() if run in released} == {LEASE_SECONDS}
    assert round(result.jobs[0].longest_block, 6) == LEASE_SECONDS


def test_an_unreachable_run_that_is_given_up_blocks_nothing_because_its_lease_is_over() -> None:
    _, events = simulated(on_cluster())

    unreachable = {event.run: event.mono for event in named(events, EventName.UNREACHABLE)}
    blocked = {event.run for event in named(events, EventName.BLOCKED)}
    given_up = [each for each in named(events, EventName.ENDED) if each.run in unreachable and each.outcome == "lost"]
    assert len(given_up) > 5
    assert {round(each.mono - unreachable[each.run], 6) for each in given_up} == {40.0}
    assert not blocked & {each.run for each in given_up}


def test_every_run_is_placed_once() -> None:
    _, events = simulated(on_cluster(), seconds=7200.0)

    placed = [event.run for event in named(events, EventName.PLACED)]
    assert placed == [event.run for event in named(events, EventName.STARTED)]


def test_cuts_change_nothing_about_jobs_that_are_not_on_the_cluster() -> None:
    alone = make_job("here")

    with_cuts, _ = simulated(on_cluster(), alone, fail=(("here", 0.5),))
    without, _ = simulated(on_cluster(), alone, fail=(("here", 0.5),), cut=())

    assert with_cuts.jobs[1].outcomes == without.jobs[1].outcomes
    assert Outcome.LOST not in without.jobs[0].outcomes


def test_a_run_that_is_cut_off_and_killed_is_lost() -> None:
    losses = []
    for seed in range(30):  # the stop at the end comes while some run is cut off for good
        _, events = simulated(on_cluster(within=1.0), seed=seed, seconds=200.0, cut=(("*", 1.0),))
        kills = [each.run for each in named(events, EventName.STOP_OVERDUE)]
        losses += [each for each in named(events, EventName.ENDED) if each.run in kills]

    assert {each.outcome for each in losses} == {Outcome.LOST}


def test_the_worker_that_comes_back_after_the_kill_of_a_hung_run_confirms_its_end() -> None:
    many = replace(on_cluster(within=1.0), replicas=300)

    _, events = simulated(many, seconds=100.0, cut=(("*", 1.0),), hangs=(Fault("train", 1.0),))

    overdue = {each.run for each in named(events, EventName.STOP_OVERDUE)}
    back = {each.run: each.mono for each in named(events, EventName.REACHABLE) if each.mono >= 101.0}
    ends = {each.run: each for each in named(events, EventName.ENDED) if each.run in overdue}
    assert back
    assert {ends[run].mono - at for run, at in back.items()} == {0.0}
    assert Outcome.ABANDONED not in {each.outcome for each in ends.values()}


def test_the_crash_of_a_run_that_is_cut_off_is_heard_of_when_its_worker_is_back() -> None:
    many = replace(on_cluster(), replicas=100)

    _, events = simulated(many, seconds=100.0, cut=(("*", 1.0),), crashes=(Fault("train", 50.0),))

    back = {each.run: each.mono for each in named(events, EventName.REACHABLE) if _was_cut_at(each, 50.0)}
    ends = [each for each in named(events, EventName.ENDED) if each.run in back]
    assert len(ends) == len(back) > 0
    assert {(each.outcome, each.mono - back[str(each.run)]) for each in ends} == {(Outcome.FAILED, 0.0)}


def _was_cut_at(event: Event, moment: float) -> bool:
    return event.mono - (event.seconds or 0.0) < moment < event.mono


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_result(seed: int) -> None:
    first, again = (simulated(on_cluster(), seed=seed, seconds=7200.0)[0] for _ in range(2))

    assert first.as_dict() == again.as_dict()
