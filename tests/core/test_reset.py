"""Reset: the failures of a job are forgotten, and the run that they delayed or prevented begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.failing_job import fail
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.events import EventName
from taskloom.core.model import How, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import (
    Calendar,
    Condition,
    Dependency,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)
from taskloom.core.report import JobReport, make_job_report, make_stop_report
from taskloom.errors import SchedulerStopped, UnknownJob
from taskloom.testing import VirtualClock, make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=2.0, max_delay=3600.0, jitter=0.0)
LIMITED = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=1.0, jitter=0.0, limit=RestartLimit(2, 3600.0))


def stage_of(**policies: Any) -> HandDrivenCore:
    """Return a core at second 0 with a job `a` that runs and a manual job `other`."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("other", manual=True), make_job("a", **{"restart": ON_FAILURE} | policies))
    stage.run("a")
    return stage


def fail_and_restart(stage: HandDrivenCore, times: int) -> None:
    for _ in range(times):
        fail(stage)
        due_at = stage.lifecycle.jobs["a"].due_at
        assert due_at is not None
        stage.advance(due_at - stage.clock.now().mono)


def given_up(**policies: Any) -> HandDrivenCore:
    stage = stage_of(restart=LIMITED, **policies)
    fail_and_restart(stage, 2)
    fail(stage)
    return stage


def abandon(stage: HandDrivenCore, run: str = "a#1") -> None:
    stage.advance(6)
    stage.stack_captured(run)


def report(stage: HandDrivenCore) -> JobReport:
    return make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now())


def starts(run: int) -> list[str]:
    return [f"queued a#{run}", f"StartRun a#{run}"]


# -- a pending restart


def test_a_job_that_waits_for_its_restart_starts_at_once_as_attempt_1_and_is_not_counted() -> None:
    stage = stage_of()
    fail_and_restart(stage, 5)
    fail(stage)

    found = stage.reset("a")

    assert show(found) == starts(7)
    assert (event_of(found, EventName.QUEUED).attempt, report(stage).restarts) == (1, 5)
    assert stage.advance(3600) == []


def test_the_next_delay_is_the_first_again() -> None:
    stage = stage_of()
    fail_and_restart(stage, 5)
    fail(stage)
    stage.reset("a")
    stage.started("a#7")

    found = stage.ended("a#7", How.RAISED)

    assert event_of(found, EventName.RESTART_SCHEDULED).seconds == 1.0


@pytest.mark.parametrize("is_reset", [True, False])
def test_the_window_of_the_limit_is_forgotten(is_reset: bool) -> None:
    stage = stage_of(restart=LIMITED)
    fail_and_restart(stage, 2)

    if is_reset:
        stage.reset("a")
    stage.started("a#3")
    found = show(stage.ended("a#3", How.RAISED))

    assert ("gave_up a#3" in found) != is_reset


def test_the_mark_flapping_is_forgotten_and_counts_anew() -> None:
    stage = stage_of(restart=RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=1.0, jitter=0.0))
    fail_and_restart(stage, 5)
    before = report(stage).is_flapping

    found = stage.reset("a")
    marks = [report(stage).is_flapping]
    for _ in range(5):
        fail_and_restart(stage, 1)
        marks.append(report(stage).is_flapping)

    assert show(found) == ["reset a"]
    assert (before, marks) == (True, [False] * 5 + [True])


def test_a_job_that_waits_at_the_gate_starts_at_once() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(*(make_job(f"j{number}", restart=ON_FAILURE) for number in range(25)))
    stage.start_all()
    for number in range(25):
        stage.started(f"j{number}#1")
        stage.ended(f"j{number}#1", How.RAISED)
    stage.advance(1)
    assert stage.lifecycle.jobs["j24"].waiting_for is WaitingFor.BACKOFF

    found = show(stage.reset("j24"))
    rest = show(stage.advance(10))

    assert found == ["queued j24#2", "StartRun j24#2"]
    assert [line for line in rest if line.startswith("queued")] == [f"queued j{number}#2" for number in range(20, 24)]


def test_a_scheduled_job_starts_at_once_and_its_schedule_goes_on() -> None:
    stage = stage_of(schedule=Schedule(every=100.0))
    stage.restart("a")
    stage.ended("a#1")
    fail(stage)

    found = show(stage.reset("a"))
    stage.started("a#3")
    stage.ended("a#3")

    assert found == starts(3)
    assert show(stage.advance(100)) == starts(4)


def test_it_asks_for_no_dependency_as_no_restart_does() -> None:
    stage = stage_of(after=["other"])
    fail(stage)

    assert show(stage.reset("a")) == starts(2)


# -- a job that gave up


def test_a_job_that_gave_up_starts_and_may_restart_again() -> None:
    stage = given_up()

    found = stage.reset("a")

    assert show(found) == ["reset a", *starts(4)]
    assert event_of(found, EventName.RESET).reason == Reason(ReasonKind.USER, "fixed")
    fail(stage)
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.BACKOFF


def test_a_job_that_gave_up_after_a_permanent_failure_starts() -> None:
    stage = stage_of()
    fail(stage, How.PERMANENT)

    assert show(stage.reset("a")) == ["reset a", *starts(2)]


def test_a_job_that_gave_up_starts_after_its_dependencies() -> None:
    stage = given_up(after=["other"])

    waits = show(stage.reset("a"))
    is_waiting = stage.lifecycle.jobs["a"].waits_for_dependencies
    found = show(stage.started(stage.start("other")))

    assert (waits, is_waiting) == (["reset a"], True)
    assert found[-2:] == starts(4)


def test_a_job_that_gave_up_does_not_wait_for_its_start_delay_again() -> None:
    assert show(given_up(delay=60.0).reset("a")) == ["reset a", *starts(4)]


def test_a_scheduled_job_that_gave_up_waits_for_its_next_firing_without_the_mark() -> None:
    stage = stage_of(restart=LIMITED, schedule=Schedule(every=100.0))
    stage.restart("a")
    stage.ended("a#1")
    stage.started("a#2")
    stage.ended("a#2", How.PERMANENT)
    assert report(stage).marks == ("gave up",)

    found = show(stage.reset("a"))

    assert found == ["reset a"]
    assert (report(stage).marks, report(stage).waiting_for) == ((), WaitingFor.FIRING)
    assert show(stage.advance(100)) == starts(3)


def test_a_job_that_gave_up_after_its_last_firing_starts(instants: Callable[..., Calendar]) -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a", restart=LIMITED, schedule=Schedule(calendar=instants(10.0))))
    stage.start_all()
    stage.advance(10)
    stage.started("a#1")
    stage.ended("a#1", How.PERMANENT)
    assert stage.state("a") is JobState.FINISHED

    assert show(stage.reset("a"))[:3] == ["reset a", *starts(2)]


def test_the_jobs_that_were_skipped_because_of_it_wait_again() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    after = [Dependency("a", Condition.SUCCEEDED)]
    stage.add(
        make_job("a", restart=LIMITED),
        make_job("second", after=after),
        make_job("third", after=["second"]),
        make_job("stopped", after=after),
        make_job("hopeless", after=[*after, "gone"]),
    )
    stage.start_all()
    stage.stop("stopped")
    stage.started("a#1")
    found = show(stage.ended("a#1", How.PERMANENT))
    assert {"skipped second", "skipped third"} <= {*found}

    reset = show(stage.reset("a"))
    waiting = [name for name, job in stage.lifecycle.jobs.items() if job.waits_for_dependencies]
    stage.started("a#2")
    ended = show(stage.ended("a#2"))

    assert reset == ["reset a", *starts(2)]
    assert waiting == ["second", "third"]
    assert "queued second#1" in ended
    assert stage.state("stopped") is stage.state("hopeless") is JobState.SKIPPED


# -- a blocked job


@pytest.mark.parametrize("restart", [ON_FAILURE, LIMITED])
def test_the_restart_of_a_blocked_job_needs_no_delay_once_the_thread_has_ended(restart: RestartPolicy) -> None:
    stage = stage_of(daemon=True, within=1.0, timeout=5.0, restart=restart)
    abandon(stage)

    found = show(stage.reset("a"))
    exited = show(stage.ended("a#1"))

    assert found == []
    assert exited[-2:] == starts(2)


def test_a_blocked_job_that_gave_up_runs_again_once_the_thread_has_ended() -> None:
    stage = stage_of(daemon=True, within=1.0, timeout=5.0, restart=LIMITED)
    for run in ("a#1", "a#2"):
        stage.advance(5)
        stage.ended(run)
        stage.advance(1)
        stage.started(f"a#{int(run[-1]) + 1}")
    abandon(stage, "a#3")
    assert report(stage).marks == ("gave up",)

    found = show(stage.reset("a"))
    exited = show(stage.ended("a#3"))

    assert (found, report(stage).marks) == (["reset a"], ())
    assert exited[-2:] == starts(4)


def test_a_blocked_job_that_a_user_stopped_stays_stopped() -> None:
    stage = stage_of(daemon=True, within=1.0)
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")

    stage.reset("a")
    stage.ended("a#1")

    assert stage.state("a") is JobState.FINISHED


# -- nothing else changes


def running() -> HandDrivenCore:
    stage = stage_of()
    fail_and_restart(stage, 1)
    stage.started("a#2")
    return stage


def stopping() -> HandDrivenCore:
    stage = running()
    stage.stop("a")
    return stage


def unresponsive() -> HandDrivenCore:
    stage = stage_of(watchdog=Watchdog(3.0, WatchdogThen.RESTART))
    fail_and_restart(stage, 1)
    stage.started("a#2")
    stage.unresponsive("a#2")
    return stage


def finished() -> HandDrivenCore:
    stage = running()
    stage.ended("a#2")
    return stage


def failed() -> HandDrivenCore:
    """Fail for good without having given up."""
    stage = running()
    stage.reload(make_job("a", restart=RestartPolicy()))
    stage.ended("a#2", How.RAISED)
    return stage


def stopped_while_backing_off() -> HandDrivenCore:
    stage = running()
    stage.ended("a#2", How.RAISED)
    stage.stop("a")
    return stage


UNTOUCHED: dict[str, Callable[[], HandDrivenCore]] = {
    "running": running,
    "stopping": stopping,
    "stopping for the watchdog": unresponsive,
    "finished": finished,
    "failed": failed,
    "stopped while backing off": stopped_while_backing_off,
}


@pytest.mark.parametrize("where", UNTOUCHED)
def test_in_every_other_state_the_failures_are_forgotten_and_nothing_else_changes(where: str) -> None:
    stage = UNTOUCHED[where]()
    job = stage.lifecycle.jobs["a"]
    before = (job.state, job.run, job.follow_up, job.has_failed, job.outcomes)

    found = [show(stage.reset("a")) for _ in range(2)]

    assert found == [["reset a"], []]
    assert (job.state, job.run, job.follow_up, job.has_failed, job.outcomes) == before
    assert stage.advance(0.0) == []


def test_a_job_without_failures_has_nothing_to_forget() -> None:
    stage = stage_of()
    stage.add(make_job("off", enabled=False))

    assert [stage.reset(name) for name in ("a", "other", "off")] == [[], [], []]


def test_one_replica_is_reset_alone() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(*make_job("a", replicas=2, restart=ON_FAILURE).replicated())
    for name in ("a.1", "a.2"):
        stage.run(name)
        stage.ended(f"{name}#1", How.RAISED)

    assert show(stage.reset("a.1")) == ["queued a.1#2", "StartRun a.1#2"]
    assert stage.lifecycle.jobs["a.2"].waiting_for is WaitingFor.BACKOFF


def test_it_is_refused_for_an_unknown_job_and_once_everything_stops() -> None:
    stage = given_up()
    with pytest.raises(UnknownJob):
        stage.reset("nobody")
    stage.shutdown()

    with pytest.raises(SchedulerStopped, match="cannot reset job 'a': the scheduler was stopped"):
        stage.reset("a")

    assert make_stop_report(stage.lifecycle, stage.clock.now()).exit_code == 1
