"""What a job waits for, as the lifecycle reports it to those who listen."""

from __future__ import annotations

from typing import Any

import pytest

from taskloom.core import inputs
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import ErrorInfo, Hold, How, JobSpec, JobState, Moment, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import (
    Condition,
    Dependency,
    Overlap,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
)
from taskloom.core.records import FollowUp
from taskloom.core.waits import Wait
from taskloom.errors import UnknownJob
from taskloom.testing import make_job

BOOM = ErrorInfo("ValueError", "boom", "ValueError: boom\n")
WALL = 1_795_000_000.0


class Core:
    """A lifecycle that is driven by hand, at times that are given; it collects the waits."""

    def __init__(self, *specs: JobSpec, is_listening: bool = True) -> None:
        self._core = Lifecycle(lambda: 0.5, 30.0)
        if is_listening:
            self._core.enable_waits()
        self.waits: list[Wait] = []
        self.give(inputs.AddJobs(specs))

    def give(self, message: Any, at: float = 0.0) -> list[Wait]:
        """Hand in a message and return the waits that it causes."""
        actions = self._core.handle(message, Moment(at, WALL + at))
        waits = [action for action in actions if isinstance(action, Wait)]
        self.waits += waits
        return waits

    def of(self, job: str) -> Wait:
        """Return the latest wait of a job."""
        return [wait for wait in self.waits if wait.job == job][-1]


def fail(run: str) -> inputs.RunEnded:
    return inputs.RunEnded(run, How.RAISED, BOOM, was_requested=False, callback_ran=False)


def test_without_a_listener_none_is_made() -> None:
    core = Core(make_job("a", schedule=Schedule(every=5.0)), is_listening=False)

    core.give(inputs.StartAll())

    assert core.waits == []


def test_each_pending_condition_is_listed() -> None:
    after = (Dependency("db"), Dependency("cache", Condition.SUCCEEDED), Dependency("done", Condition.FINISHED))
    core = Core(make_job("db"), make_job("cache"), make_job("done"), make_job("web", after=after))

    core.give(inputs.StartAll())

    assert core.of("web").conditions == ("db (ready)", "cache (succeeded)", "done (finished)")
    assert core.of("web").waiting_for is WaitingFor.DEPENDENCY


def test_a_condition_that_is_met_is_listed_no_more() -> None:
    core = Core(make_job("db"), make_job("cache"), make_job("web", after=("db", "cache")))
    core.give(inputs.StartAll())

    core.give(inputs.RunStarted("db#1", is_ready=True), at=1.0)

    assert core.of("web").conditions == ("cache (ready)",)


def test_a_large_group_of_waiting_jobs_is_not_followed() -> None:
    core = Core(make_job("db"), make_job("cache"), *(make_job(f"j{n}", after=("db", "cache")) for n in range(101)))
    core.give(inputs.StartAll())

    waits = core.give(inputs.RunStarted("db#1", is_ready=True), at=1.0)

    assert [wait.job for wait in waits if wait.job != "db"] == []


def test_a_start_delay_has_its_end() -> None:
    core = Core(make_job("a", delay=5.0))

    core.give(inputs.StartAll(), at=2.0)

    assert (core.of("a").waiting_for, core.of("a").due_at) == (WaitingFor.DELAY, 7.0)


def test_a_schedule_has_its_next_firing_after_each() -> None:
    core = Core(make_job("tick", schedule=Schedule(every=5.0, text="every 5s")))
    core.give(inputs.StartAll())
    assert (core.of("tick").fires_at, core.of("tick").schedule) == (5.0, "every 5s")

    core.give(inputs.Tick(), at=5.0)

    assert (core.of("tick").state, core.of("tick").fires_at) == (JobState.RUNNING, 10.0)


def test_a_firing_that_is_queued_is_what_follows_the_run() -> None:
    core = Core(make_job("tick", schedule=Schedule(every=5.0, overlap=Overlap.QUEUE)))
    core.give(inputs.StartAll())
    core.give(inputs.Tick(), at=5.0)

    core.give(inputs.Tick(), at=10.0)

    assert core.of("tick").follow_up is FollowUp.FIRING


def test_a_restart_has_its_attempt_its_delay_and_the_restarts_of_its_window() -> None:
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.5, limit=RestartLimit(3, 60.0))
    core = Core(make_job("a", restart=policy))
    core.give(inputs.StartAll())
    core.give(fail("a#1"), at=1.0)
    first = core.of("a")

    core.give(inputs.Tick(), at=2.25)
    core.give(fail("a#2"), at=3.0)
    second = core.of("a")

    assert first.restart is not None
    assert second.restart is not None
    assert (first.restart.attempt, first.restart.delay, first.restart.recent, first.due_at) == (2, 1.0, 0, 2.25)
    assert (second.restart.attempt, second.restart.delay, second.restart.recent, second.due_at) == (3, 2.0, 1, 5.5)


def test_a_restart_that_waits_for_those_of_other_jobs_is_overdue() -> None:
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0)
    core = Core(*(make_job(f"j{number}", restart=policy) for number in range(25)))
    core.give(inputs.StartAll())
    for number in range(25):
        core.give(fail(f"j{number}#1"))

    waits = core.give(inputs.Tick(), at=1.0)

    late = [wait.job for wait in waits if wait.waiting_for is WaitingFor.BACKOFF]
    assert late == [f"j{number}" for number in range(20, 25)]
    assert all(core.of(name).due_at == core.of(name).at.mono for name in late)


def test_a_manual_and_a_disabled_job_are_told_when_they_are_declared() -> None:
    core = Core(make_job("hand", manual=True), make_job("off", enabled=False))

    assert (core.of("hand").waiting_for, core.of("hand").is_manual) == (WaitingFor.START, True)
    assert core.of("off").state is JobState.DISABLED


def test_a_clock_that_is_set_moves_the_next_firing() -> None:
    class Noon:
        def after(self, wall: float) -> float | None:
            return WALL + 100.0 if wall < WALL + 100.0 else None

        def latest(self, wall: float) -> float | None:
            return None

    core = Core(make_job("noon", schedule=Schedule(calendar=Noon())))
    core.give(inputs.StartAll())

    core._core.handle(inputs.Tick(), Moment(14.0, WALL + 14.0))
    waits = [each for each in core._core.handle(inputs.Tick(), Moment(15.0, WALL + 65.0)) if isinstance(each, Wait)]

    assert core.of("noon").fires_at == 100.0
    assert [wait.fires_at for wait in waits] == [50.0]


def test_during_a_stop_no_job_waits_for_anything() -> None:
    core = Core(make_job("tick", schedule=Schedule(every=5.0)))
    core.give(inputs.StartAll())

    assert core.give(inputs.Shutdown(Reason(ReasonKind.SHUTDOWN), 5.0), at=1.0) == []


def test_a_job_that_is_removed_is_told_no_more() -> None:
    core = Core(make_job("tick", schedule=Schedule(every=5.0)), make_job("stays"))
    core.give(inputs.StartAll())

    waits = core.give(inputs.Reload((make_job("stays"),)), at=1.0)

    assert [wait.job for wait in waits if wait.job == "tick"] == []


def test_a_job_that_a_reload_adds_waits_for_what_it_has_removed() -> None:
    core = Core(make_job("old"), make_job("stays"))
    core.give(inputs.StartAll())
    core.give(inputs.RunStarted("old#1", is_ready=True))

    core.give(inputs.Reload((make_job("new"), make_job("stays"))), at=1.0)

    assert core.of("new").waiting_for is WaitingFor.REMOVAL


def test_a_refused_command_makes_none() -> None:
    core = Core(make_job("a"))

    with pytest.raises(UnknownJob):
        core.give(inputs.StartJob("b"))

    assert core.give(inputs.Tick()) == []


def test_a_wait_says_how_a_user_holds_the_job_back() -> None:
    core = Core(make_job("a", schedule=Schedule(every=5.0)))
    core.give(inputs.StartAll())
    reason = Reason(ReasonKind.USER, "enough")

    paused = core.give(inputs.PauseJob("a", reason))
    resumed = core.give(inputs.ResumeJob("a", reason))
    stopped = core.give(inputs.StopJob("a", reason))

    assert [wait.hold for wait in (*paused, *resumed, *stopped)] == [Hold.PAUSED, None, Hold.STOPPED]
