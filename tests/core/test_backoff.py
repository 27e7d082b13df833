"""Restart delays, giving up, and flapping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Tick
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import How, JobState
from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.core.report import make_job_report
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)


def policy(**fields: Any) -> RestartPolicy:
    return RestartPolicy(RestartWhen.ON_FAILURE, **{"jitter": 0.0, **fields})


def stage_of(restart: RestartPolicy = ON_FAILURE, random: Callable[[], float] | None = None) -> HandDrivenCore:
    """Return a core with job `a` running; `random` returns the number for the jitter."""
    stage = HandDrivenCore()
    if random is not None:
        stage.lifecycle = Lifecycle(random, 30.0)
    stage.add(make_job("a", restart=restart))
    stage.run("a")
    return stage


def live(stage: HandDrivenCore) -> str:
    run = stage.lifecycle.jobs["a"].run
    assert run is not None
    return run.id


def fail(stage: HandDrivenCore, after: float = 0.0) -> list[Action]:
    """Have the run of `a` fail after it was ready for this time."""
    run = live(stage)
    if stage.lifecycle.runs[run].started is None:
        stage.started(run)
    stage.advance(after)
    return stage.ended(run, How.RAISED)


def wait_of(found: list[Action]) -> float | None:
    return event_of(found, EventName.RESTART_SCHEDULED).seconds


def events(found: list[Action]) -> list[Event]:
    return [action for action in found if isinstance(action, Event)]


def names(found: list[Action]) -> list[EventName]:
    return [event.event for event in events(found)]


# -- the delay


def test_each_restart_delay_is_twice_as_long_up_to_half_a_minute() -> None:
    stage = stage_of()
    waits = []

    for _ in range(9):
        wait = wait_of(fail(stage))
        waits.append(wait)
        stage.advance(wait or 0.0)

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert live(stage) == "a#10"


@pytest.mark.parametrize(("random", "first", "last"), [(0.0, 0.5, 30.0), (1.0, 0.75, 45.0), (0.5, 0.625, 37.5)])
def test_jitter_adds_up_to_half_of_every_delay_including_the_longest(random: float, first: float, last: float) -> None:
    stage = stage_of(RestartPolicy(RestartWhen.ON_FAILURE), lambda: random)
    waits = []

    for _ in range(8):
        waits.append(wait_of(fail(stage)))
        stage.advance(45)

    assert (waits[0], waits[-1]) == (first, last)


def test_the_delay_counts_from_the_end_of_the_run() -> None:
    stage = stage_of()
    fail(stage)

    before = stage.advance(0.4999)
    due = stage.advance(0.0001)

    assert before == []
    assert show(due) == ["queued a#2", "StartRun a#2"]


@pytest.mark.parametrize(
    ("fields", "waits"),
    [
        ({"delay": 0.0}, [0, 0, 0, 0]),
        ({"delay": 3.0, "factor": 1.0}, [3, 3, 3, 3]),
        ({"delay": 1.0, "factor": 10.0, "max_delay": 50.0}, [1, 10, 50, 50]),
        ({"delay": 60.0, "max_delay": 5.0}, [5, 5, 5, 5]),
    ],
)
def test_delay_factor_and_max_delay_are_those_of_the_job(fields: dict[str, float], waits: list[float]) -> None:
    stage = stage_of(policy(**fields))
    found = []

    for _ in waits:
        found.append(wait_of(fail(stage)))
        stage.advance(found[-1] or 0.0)

    assert found == waits


@pytest.mark.parametrize(("healthy", "next_wait"), [(29.999, 4), (30.0, 0.5), (1000.0, 0.5)])
def test_half_a_minute_of_being_ready_resets_the_delay(healthy: float, next_wait: float) -> None:
    stage = stage_of()
    for _ in range(3):
        stage.advance(wait_of(fail(stage)) or 0.0)

    assert wait_of(fail(stage, after=healthy)) == next_wait


@pytest.mark.parametrize(("healthy", "next_wait"), [(99.999, 200), (100.0, 50)])
def test_a_delay_longer_than_half_a_minute_is_reset_only_after_being_ready_as_long(
    healthy: float, next_wait: float
) -> None:
    stage = stage_of(policy(delay=50.0, max_delay=1000.0))
    for _ in range(2):
        stage.advance(wait_of(fail(stage)) or 0.0)

    assert wait_of(fail(stage, after=healthy)) == next_wait


def test_a_run_that_was_never_ready_does_not_reset_the_delay() -> None:
    stage = stage_of()
    stage.advance(wait_of(fail(stage)) or 0.0)
    stage.started("a#2", is_ready=False)
    stage.advance(3600)

    assert wait_of(stage.ended("a#2", How.RAISED)) == 1


def test_a_long_run_before_the_first_failure_does_not_change_the_first_delay() -> None:
    assert wait_of(fail(stage_of(), after=3600)) == 0.5


# -- the limit


LIMITED = policy(delay=1.0, factor=1.0, limit=RestartLimit(3, 10.0))


def test_a_job_gives_up_after_more_restarts_than_its_limit_allows() -> None:
    stage = stage_of(LIMITED)
    for _ in range(3):
        fail(stage)
        stage.advance(1)

    gave_up = fail(stage)

    assert show(gave_up) == ["ended a#4 failed", "ReleaseRun a#4", "gave_up a#4", "WorkFinished"]
    assert event_of(gave_up, EventName.GAVE_UP).data == {"why": "more than 3 restarts within 10s"}
    assert stage.state("a") is JobState.FINISHED
    assert stage.advance(3600) == []


@pytest.mark.parametrize(("lives", "gives_up"), [(6.9, True), (7.0, True), (7.1, True), (7.999, True), (8.0, False)])
def test_the_window_of_the_limit_slides_and_excludes_its_far_edge(lives: float, gives_up: bool) -> None:
    """Restarts begin at 1, 2 and 3 s. The run that fails for good ends at 3 s plus the time that it ran."""
    stage = stage_of(LIMITED)
    for _ in range(3):
        fail(stage)
        stage.advance(1)

    found = fail(stage, after=lives)

    assert (EventName.GAVE_UP in names(found)) == gives_up
    assert (EventName.RESTART_SCHEDULED in names(found)) != gives_up


def test_a_job_that_gave_up_can_be_started_by_a_user_and_its_window_continues() -> None:
    stage = stage_of(LIMITED)
    for _ in range(3):
        fail(stage)
        stage.advance(1)
    fail(stage)

    stage.run("a")
    has_given_up = stage.lifecycle.jobs["a"].has_given_up
    again = names(fail(stage))
    stage.run("a")
    later = names(fail(stage, after=10))

    assert not has_given_up
    assert EventName.GAVE_UP in again
    assert EventName.RESTART_SCHEDULED in later


def test_restarts_by_a_user_are_not_counted() -> None:
    stage = stage_of(LIMITED)
    for _ in range(20):
        stage.restart("a")
        stage.ended(live(stage))
        stage.started(live(stage))

    assert stage.lifecycle.jobs["a"].restarts == 0
    assert EventName.RESTART_SCHEDULED in names(fail(stage))


# -- flapping


def is_flapping(stage: HandDrivenCore) -> bool:
    return make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now()).is_flapping


def test_flapping_is_reported_once_at_the_fifth_restart_within_a_minute() -> None:
    stage = stage_of(policy(delay=1.0, factor=1.0))
    reported = []

    for restart in range(1, 8):
        fail(stage)
        found = stage.advance(1)
        reported += [(restart, dict(event.data)) for event in events(found) if event.event is EventName.FLAPPING]

    assert reported == [(5, {"restarts": 5})]
    assert is_flapping(stage)


@pytest.mark.parametrize(("gap", "flaps"), [(14.0, True), (15.0, False)])
def test_five_restarts_in_a_whole_minute_are_not_flapping(gap: float, flaps: bool) -> None:
    stage = stage_of(policy(delay=gap, factor=1.0))

    for _ in range(5):
        fail(stage)
        stage.advance(gap)

    assert is_flapping(stage) == flaps


def test_flapping_ends_by_itself_and_may_be_reported_again() -> None:
    stage = stage_of(policy(delay=1.0, factor=1.0))
    for _ in range(5):
        fail(stage)
        stage.advance(1)
    marks = [is_flapping(stage)]
    stage.advance(55.9)
    marks.append(is_flapping(stage))
    stage.advance(0.1)
    marks.append(is_flapping(stage))
    found: list[Action] = []
    for _ in range(5):
        fail(stage)
        found += stage.advance(1)

    assert marks == [True, True, False]
    assert event_of(found, EventName.FLAPPING).data == {"restarts": 5}


def test_a_large_limit_does_not_make_older_restarts_count_as_flapping() -> None:
    stage = stage_of(policy(delay=20.0, factor=1.0, max_delay=20.0, limit=RestartLimit(100, 86400.0)))
    for _ in range(30):
        fail(stage)
        stage.advance(20)

    assert stage.lifecycle.jobs["a"].restarts == 30
    assert not is_flapping(stage)
    assert EventName.FLAPPING not in [event.event for event in stage.history.events]


# -- commands during the delay


def test_a_stop_has_priority_over_a_restart_that_is_due_at_the_same_moment() -> None:
    stage = stage_of()
    fail(stage)
    stage.clock.advance(0.5)

    stopped = stage.stop("a")
    due = stage.send(Tick())

    assert show(stopped) == ["skipped a", "WorkFinished"]
    assert due == []
    assert stage.state("a") is JobState.FINISHED


def test_a_start_by_a_user_skips_the_delay_and_is_attempt_1() -> None:
    stage = stage_of()
    fail(stage)

    stage.run("a")
    again = stage.advance(60)

    job = stage.lifecycle.jobs["a"]
    assert again == []
    assert (live(stage), job.run and job.run.attempt, job.restarts) == ("a#2", 1, 0)


def test_a_restart_by_a_user_replaces_a_pending_restart() -> None:
    stage = stage_of()
    fail(stage)

    found = stage.restart("a")

    assert show(found) == ["queued a#2", "StartRun a#2"]
    assert stage.lifecycle.jobs["a"].waiting_for is None
    assert stage.advance(60) == []
