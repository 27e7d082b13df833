"""The timeout of a run, its `ready_within`, and the watchdog."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import ApplySpec, CancelRun
from taskloom.core.events import EventName
from taskloom.core.model import How, JobSpec, JobState, Outcome, Reason, ReasonKind
from taskloom.core.policies import Otherwise, RestartPolicy, RestartWhen, Watchdog, WatchdogThen
from taskloom.core.report import make_job_report
from taskloom.testing import make_job

TIMEOUT = Reason(ReasonKind.DEADLINE, "longer than its timeout of 5s")
UNREADY = Reason(ReasonKind.WATCHDOG, "not ready within 5s")


def stage_of(job: JobSpec) -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(job)
    stage.start("a")
    return stage


def asks(stage: HandDrivenCore, seconds: float) -> list[Reason]:
    """Let time pass, and return the reasons of the requests to stop."""
    return [action.reason for action in stage.advance(seconds) if isinstance(action, CancelRun)]


# -- timeout


def test_a_run_is_requested_to_stop_at_its_timeout_and_ends_timed_out() -> None:
    stage = stage_of(make_job("a", timeout=5.0))
    stage.started("a#1")

    before = asks(stage, 4.999)
    due = asks(stage, 0.001)
    ended = event_of(stage.ended("a#1"), EventName.ENDED)

    assert (before, due) == ([], [TIMEOUT])
    assert (ended.outcome, ended.reason) == (Outcome.TIMED_OUT, TIMEOUT)


@pytest.mark.parametrize("how", [How.RETURNED, How.CANCELLED, How.RAISED])
def test_a_run_that_was_stopped_for_its_timeout_ends_timed_out_however_its_body_ends(how: How) -> None:
    stage = stage_of(make_job("a", timeout=5.0))
    stage.started("a#1")
    stage.advance(5)

    assert event_of(stage.ended("a#1", how), EventName.ENDED).outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize(("limit", "reason"), [({"timeout": 5.0}, TIMEOUT), ({"ready_within": 5.0}, UNREADY)])
def test_the_time_in_the_constructor_counts(limit: dict[str, Any], reason: Reason) -> None:
    """Both deadlines count from when the run was queued, so that a run that cannot begin has them too."""
    stage = stage_of(make_job("a", **limit))

    assert asks(stage, 5) == [reason]
    assert stage.state("a") is JobState.STOPPING


@pytest.mark.parametrize("limit", [{"timeout": 5.0}, {"ready_within": 5.0}])
def test_a_stop_keeps_its_reason_when_a_deadline_passes(limit: dict[str, Any]) -> None:
    stage = stage_of(make_job("a", **limit))
    stage.started("a#1", is_ready=False)
    stage.stop("a")

    assert asks(stage, 9) == []
    ended = event_of(stage.ended("a#1"), EventName.ENDED)
    assert (ended.outcome, ended.reason) == (Outcome.CANCELLED, Reason(ReasonKind.USER, "enough"))


def test_the_first_of_two_deadlines_is_the_reason() -> None:
    stage = stage_of(make_job("a", timeout=6.0, ready_within=5.0))
    stage.started("a#1", is_ready=False)

    assert asks(stage, 10) == [UNREADY]


def test_stopping_a_run_that_timed_out_changes_only_what_follows() -> None:
    stage = stage_of(make_job("a", timeout=5.0, restart=RestartPolicy(RestartWhen.ALWAYS)))
    stage.started("a#1")
    stage.advance(5)

    stage.stop("a")
    found = stage.ended("a#1")

    assert show(found) == ["ended a#1 timed_out", "ReleaseRun a#1", "WorkFinished"]


def test_each_run_has_its_own_timeout() -> None:
    stage = stage_of(make_job("a", timeout=5.0, restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)))
    stage.started("a#1")
    stage.advance(4)
    stage.ended("a#1", How.RAISED)
    stage.advance(0.5)
    stage.started("a#2")

    before = asks(stage, 4.75)
    due = asks(stage, 0.25)

    assert (before, due) == ([], [TIMEOUT])


def test_an_ended_run_leaves_no_deadline_behind() -> None:
    stage = stage_of(make_job("a", timeout=5.0, ready_within=3.0))
    stage.started("a#1")
    stage.ended("a#1")

    assert stage.lifecycle.next_deadline() is None


def test_a_run_that_timed_out_climbs_the_stop_ladder_of_its_join_policy() -> None:
    stage = stage_of(make_job("a", timeout=5.0, within=4.0, otherwise=Otherwise.ABANDON))
    stage.started("a#1")

    stage.advance(9)
    found = stage.stack_captured("a#1")

    assert show(found)[:3] == ["stop_overdue a#1", "ended a#1 abandoned", "blocked a#1"]
    assert event_of(found, EventName.ENDED).reason == TIMEOUT


# -- ready_within


def test_a_run_that_is_ready_in_time_is_left_alone() -> None:
    stage = stage_of(make_job("a", ready_within=5.0))
    stage.started("a#1", is_ready=False)
    stage.advance(4.9)
    stage.ready("a#1")

    assert asks(stage, 3600) == []


def test_a_run_that_is_not_ready_in_time_ends_failed() -> None:
    stage = stage_of(make_job("a", ready_within=5.0))
    stage.started("a#1", is_ready=False)

    due = asks(stage, 5)
    stage.ready("a#1")
    ended = event_of(stage.ended("a#1"), EventName.ENDED)

    assert due == [UNREADY]
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, UNREADY)


def test_a_task_that_does_not_announce_readiness_is_ready_when_it_starts() -> None:
    stage = stage_of(make_job("a", ready_within=5.0))
    stage.started("a#1")

    assert asks(stage, 60) == []


# -- deadlines that a reload changes


def changed(stage: HandDrivenCore, **policies: Any) -> list[object]:
    return list(stage.reload(make_job("a", **policies)))


@pytest.mark.parametrize(("old", "new", "moment"), [(None, 5.0, 5), (100.0, 5.0, 5), (5.0, 8.0, 8), (5.0, None, None)])
def test_a_timeout_that_a_reload_changes_still_counts_from_when_the_run_was_queued(
    old: float | None, new: float | None, moment: float | None
) -> None:
    stage = stage_of(make_job("a", timeout=old))
    stage.started("a#1")
    stage.advance(3)

    found = changed(stage, timeout=new)

    assert ApplySpec("a#1", make_job("a", timeout=new)) in found
    if moment is None:
        assert asks(stage, 3600) == []
    else:
        assert asks(stage, moment - 3.001) == []
        assert len(asks(stage, 0.001)) == 1


def test_a_timeout_that_had_passed_already_stops_the_run_at_once() -> None:
    stage = stage_of(make_job("a"))
    stage.started("a#1")
    stage.advance(60)

    changed(stage, timeout=5.0)

    assert asks(stage, 0) == [TIMEOUT]


def test_a_shorter_ready_within_applies_only_to_a_run_that_is_not_ready() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"), make_job("b"))
    stage.start("a")
    stage.run("b")
    stage.advance(60)

    stage.reload(make_job("a", ready_within=5.0), make_job("b", ready_within=5.0))
    found = stage.advance(0)

    assert [action.run for action in found if isinstance(action, CancelRun)] == ["a#1"]


def test_a_stop_already_begun_keeps_its_deadline_through_a_reload() -> None:
    stage = stage_of(make_job("a", within=10.0))
    stage.started("a#1")
    stage.stop("a")

    changed(stage, within=100.0)
    named = stage.advance(10)

    assert "CaptureStack a#1" in show(named)


# -- the watchdog


def watched(then: WatchdogThen, **policies: Any) -> HandDrivenCore:
    stage = stage_of(make_job("a", watchdog=Watchdog(3.0, then), **policies))
    stage.started("a#1")
    return stage


def test_a_watchdog_that_warns_reports_once_and_reports_the_next_poll() -> None:
    stage = watched(WatchdogThen.WARN)

    first = stage.unresponsive("a#1", 3.4567)
    second = stage.unresponsive("a#1", 4.5)
    mark = make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now()).marks
    stage.advance(20)
    over = stage.responsive("a#1")
    twice = stage.responsive("a#1")

    assert show(first) == ["unresponsive a#1"]
    assert event_of(first, EventName.UNRESPONSIVE).data == {"poll_age": 3.457}
    assert (second, twice) == ([], [])
    assert "unresponsive" in mark
    assert event_of(over, EventName.RESPONSIVE).seconds == 20
    assert stage.state("a") is JobState.RUNNING


@pytest.mark.parametrize("then", [WatchdogThen.STOP, WatchdogThen.RESTART])
def test_a_watchdog_that_stops_requests_the_stop_with_its_reason(then: WatchdogThen) -> None:
    stage = watched(then)

    found = stage.unresponsive("a#1", 4.0)

    assert show(found) == ["unresponsive a#1", "cancel_requested a#1", "CancelRun a#1"]
    assert CancelRun("a#1", Reason(ReasonKind.WATCHDOG, "no poll for 4.0 s")) in found


def test_a_run_that_the_watchdog_stops_is_stopped_even_if_it_polls_again() -> None:
    stage = watched(WatchdogThen.RESTART)
    stage.unresponsive("a#1")

    found = stage.responsive("a#1") + stage.ended("a#1")

    assert show(found) == ["responsive a#1", "ended a#1 failed", "ReleaseRun a#1", "restart_scheduled a#1"]


@pytest.mark.parametrize("then", list(WatchdogThen))
def test_the_watchdog_ignores_runs_that_are_not_ready_stopping_or_unknown(then: WatchdogThen) -> None:
    unready = stage_of(make_job("a", watchdog=Watchdog(3.0, then)))
    stopped = watched(then)
    stopped.stop("a")
    over = watched(then)
    over.ended("a#1")
    unwatched = stage_of(make_job("a"))
    unwatched.started("a#1")

    assert [stage.unresponsive("a#1") for stage in (unready, stopped, over, unwatched)] == [[], [], [], []]


def test_a_stop_by_the_watchdog_leaves_the_schedule_alone_and_counts_as_failure() -> None:
    stage = watched(WatchdogThen.STOP, essential=True)
    stage.unresponsive("a#1")

    found = stage.ended("a#1")

    assert event_of(found, EventName.ENDED).outcome is Outcome.FAILED
    assert stage.lifecycle.shutdown.reason.kind is ReasonKind.ESSENTIAL


def test_a_watchdog_that_a_reload_adds_applies_to_the_live_run() -> None:
    stage = stage_of(make_job("a"))
    stage.started("a#1")
    changed(stage, watchdog=Watchdog(3.0, WatchdogThen.STOP))

    assert "CancelRun a#1" in show(stage.unresponsive("a#1"))


# -- late reports of an abandoned run


def test_late_reports_of_an_abandoned_run_add_no_deadline() -> None:
    stage = stage_of(make_job("a", daemon=True, within=1.0, ready_within=60.0, timeout=90.0, watchdog=Watchdog(3.0)))
    stage.started("a#1", is_ready=False)
    stage.stop("a")
    stage.advance(1)
    stage.stack_captured("a#1")

    found = [stage.ready("a#1"), stage.unresponsive("a#1"), stage.responsive("a#1"), stage.advance(3600)]

    assert found == [[], [], [], []]
    assert stage.state("a") is JobState.BLOCKED
