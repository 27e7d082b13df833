"""Commands of users in every state: starts, restarts and stops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.events import EventName
from taskloom.core.inputs import Tick
from taskloom.core.model import How, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Overlap, RestartPolicy, RestartWhen, Schedule, Watchdog, WatchdogThen
from taskloom.errors import DependencyUnmet, JobBlocked, JobDisabled, JobStopping, SchedulerStopped, UsageError
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)
EVERY = Schedule(every=10.0)


def idle() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("a", manual=True, daemon=True, within=1.0, restart=ON_FAILURE))
    return stage


def disabled() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("a", enabled=False))
    return stage


def delayed() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("a", delay=5))
    stage.start_all()
    return stage


def waits_for_another() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("b", manual=True), make_job("a", after=["b"]))
    stage.start_all()
    return stage


def waits_for_a_firing() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("a", schedule=EVERY))
    stage.start_all()
    return stage


def backing_off() -> HandDrivenCore:
    stage = running()
    stage.ended("a#1", How.RAISED)
    return stage


def queued() -> HandDrivenCore:
    stage = idle()
    stage.start("a")
    return stage


def running() -> HandDrivenCore:
    stage = queued()
    stage.started("a#1")
    return stage


def stopping() -> HandDrivenCore:
    stage = running()
    stage.stop("a")
    return stage


def blocked() -> HandDrivenCore:
    stage = stopping()
    stage.advance(1)
    stage.stack_captured("a#1")
    return stage


def finished() -> HandDrivenCore:
    stage = running()
    stage.ended("a#1")
    return stage


def skipped() -> HandDrivenCore:
    stage = delayed()
    stage.stop("a")
    return stage


def stopped_for_good() -> HandDrivenCore:
    stage = idle()
    stage.shutdown()
    return stage


Make = Callable[[], HandDrivenCore]
ASK = ["cancel_requested a#1", "CancelRun a#1"]

RESTARTS: dict[str, tuple[Make, list[str] | type[UsageError]]] = {
    "idle": (idle, ["queued a#1", "StartRun a#1"]),
    "disabled": (disabled, JobDisabled),
    "delayed": (delayed, ["queued a#1", "StartRun a#1"]),
    "waits for another": (waits_for_another, DependencyUnmet),
    "waits for a firing": (waits_for_a_firing, ["queued a#1", "StartRun a#1"]),
    "backing off": (backing_off, ["queued a#2", "StartRun a#2"]),
    "queued": (queued, ASK),
    "running": (running, ASK),
    "stopping": (stopping, []),
    "blocked": (blocked, JobBlocked),
    "finished": (finished, ["queued a#2", "StartRun a#2"]),
    "skipped": (skipped, ["queued a#1", "StartRun a#1"]),
    "everything stops": (stopped_for_good, SchedulerStopped),
}


@every_case("where", RESTARTS)
def test_a_restart_by_a_user_in_every_state(where: str) -> None:
    make, answer = RESTARTS[where]
    stage = make()
    before = len(list(stage.history.events))

    if isinstance(answer, list):
        assert show(stage.restart("a"))[: len(answer) or None] == answer
    else:
        with pytest.raises(answer):
            stage.restart("a")
        assert len(list(stage.history.events)) == before


@pytest.mark.parametrize("where", ["queued", "running", "stopping"])
def test_after_a_restart_by_a_user_a_run_follows_as_soon_as_the_old_one_has_ended(where: str) -> None:
    stage = RESTARTS[where][0]()
    stage.restart("a")

    found = stage.ended("a#1", How.NOT_ENTERED if where == "queued" else How.RETURNED)

    assert show(found) == ["ended a#1 cancelled", "ReleaseRun a#1", "queued a#2", "StartRun a#2"]
    assert stage.lifecycle.jobs["a"].restarts == 0


def test_a_restart_by_a_user_has_the_reason_of_the_user() -> None:
    stage = running()

    found = stage.restart("a", "new certificates")

    assert event_of(found, EventName.CANCEL_REQUESTED).reason == Reason(ReasonKind.USER, "new certificates")


@pytest.mark.parametrize("last", ["stop", "restart"])
def test_the_last_of_several_stops_and_restarts_counts(last: str) -> None:
    stage = running()
    for _ in range(3):
        stage.restart("a")
        stage.stop("a")
    if last == "restart":
        stage.restart("a")

    stage.ended("a#1")

    assert stage.state("a") is (JobState.RUNNING if last == "restart" else JobState.FINISHED)


def test_a_restart_by_a_user_is_attempt_1_and_keeps_the_restart_delay() -> None:
    stage = running()
    for run in ("a#1", "a#2"):
        stage.ended(run, How.RAISED)
        stage.advance(1)
        stage.started(stage.lifecycle.jobs["a"].run.id)  # type: ignore[union-attr]
    stage.restart("a")
    stage.ended("a#3")
    stage.started("a#4")

    found = stage.ended("a#4", How.RAISED)

    assert event_of(found, EventName.ENDED).attempt == 1
    assert event_of(found, EventName.RESTART_SCHEDULED).seconds == 2


# -- stops


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (delayed, JobState.SKIPPED),
        (waits_for_another, JobState.SKIPPED),
        (waits_for_a_firing, JobState.SKIPPED),
        (backing_off, JobState.FINISHED),
    ],
)
def test_a_stop_ends_every_kind_of_wait(make: Make, state: JobState) -> None:
    stage = make()

    found = stage.stop("a", "not today")

    assert show(found) == ["skipped a", "WorkFinished"]
    assert event_of(found, EventName.SKIPPED).reason == Reason(ReasonKind.USER, "not today")
    assert stage.state("a") is state
    assert stage.advance(3600) == []


@pytest.mark.parametrize("make", [delayed, waits_for_a_firing, backing_off])
def test_a_stop_at_the_moment_of_the_start_has_priority(make: Make) -> None:
    stage = make()
    due = stage.lifecycle.next_deadline()
    assert due is not None
    stage.clock.advance_to(due)

    stage.stop("a")

    assert stage.send(Tick()) == []
    assert stage.lifecycle.jobs["a"].run is None


@pytest.mark.parametrize("make", [delayed, waits_for_another, waits_for_a_firing, backing_off])
def test_a_shutdown_ends_every_kind_of_wait(make: Make) -> None:
    stage = make()

    found = stage.shutdown()

    assert "skipped a" in show(found)
    assert show(found)[-2:] == ["ShutdownFinished", "WorkFinished"]
    assert stage.advance(3600) == []


def test_stopping_a_job_that_only_waits_for_a_start_changes_nothing() -> None:
    stage = idle()

    assert stage.stop("a") == []
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.START


@pytest.mark.parametrize("how", [How.RAISED, How.RETURNED])
def test_a_job_that_ends_by_itself_during_a_shutdown_is_not_restarted(how: How) -> None:
    """Dependents are stopped first, so `base` ends before it is requested to stop."""
    stage = HandDrivenCore()
    stage.add(make_job("base", restart=RestartPolicy(RestartWhen.ALWAYS)), make_job("top", after=["base"]))
    stage.run("base")
    stage.run("top")
    stage.shutdown()

    found = stage.ended("base#1", how)

    assert show(found)[1:] == ["ReleaseRun base#1"]
    assert stage.state("base") is JobState.FINISHED


# -- a start by a user, and schedules


def test_a_start_by_a_user_between_firings_moves_none_of_them() -> None:
    stage = waits_for_a_firing()
    stage.advance(4)

    stage.run("a")
    stage.ended("a#1")
    before = stage.advance(5.9)
    due = stage.advance(0.1)

    assert before == []
    assert show(due) == ["queued a#2", "StartRun a#2"]


@pytest.mark.parametrize("word", ["start", "restart"])
def test_a_stopped_schedule_resumes_when_a_user_starts_the_job(word: str) -> None:
    stage = waits_for_a_firing()
    stage.stop("a")
    stage.advance(100)

    getattr(stage, word)("a")
    stage.started("a#1")
    stage.ended("a#1")

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert show(stage.advance(10)) == ["queued a#2", "StartRun a#2"]


def test_a_restart_by_a_user_after_a_stop_resumes_the_schedule() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", schedule=EVERY))
    stage.run("a")
    stage.stop("a")

    stage.restart("a")
    stage.ended("a#1")
    stage.started("a#2")
    stage.ended("a#2")

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING


def test_cancelling_one_run_leaves_the_schedule_alone() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", schedule=EVERY))
    stage.run("a")

    stage.stop("a", run="a#1")
    stage.ended("a#1")

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert show(stage.advance(10)) == ["queued a#2", "StartRun a#2"]


@pytest.mark.parametrize(
    ("then", "word"),
    [(WatchdogThen.STOP, "unresponsive"), (WatchdogThen.RESTART, "unresponsive"), (WatchdogThen.WARN, "cancel")],
)
def test_a_queued_firing_starts_however_the_run_before_it_ended(then: WatchdogThen, word: str) -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", schedule=Schedule(every=10.0, overlap=Overlap.QUEUE), watchdog=Watchdog(5.0, then)))
    stage.run("a")
    stage.advance(10)

    if word == "cancel":
        stage.stop("a", run="a#1")
    else:
        stage.unresponsive("a#1")
    found = stage.ended("a#1")

    assert show(found)[-2:] == ["queued a#2", "StartRun a#2"]
    assert stage.lifecycle.jobs["a"].missed == 0


def test_a_start_while_stopping_is_refused_and_a_later_one_works() -> None:
    stage = stopping()

    with pytest.raises(JobStopping):
        stage.start("a")
    stage.ended("a#1")

    assert stage.run("a") == "a#2"


# -- arming


def test_arming_one_job_works_as_starting_all_does() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", manual=True, delay=5), make_job("b", manual=True))

    armed = stage.arm("a")
    twice = stage.arm("a")
    at_once = stage.arm("b")
    due = stage.advance(5)

    assert (armed, twice) == ([], [])
    assert show(at_once) == ["queued b#1", "StartRun b#1"]
    assert show(due) == ["queued a#1", "StartRun a#1"]
