"""A reload that changes what a job fails because of: it starts at once, and its failures are forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.failing_job import (
    LIMITED,
    OTHER,
    SLOW,
    acts,
    change,
    fail,
    give_up,
    job_a,
    new_window,
    stage_of,
    starts,
)
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.events import EventName
from taskloom.core.model import (
    How,
    JobState,
    Phase,
    Reason,
    ReasonKind,
    RunnerSpec,
    StartMode,
    StartPolicy,
    WaitingFor,
)
from taskloom.core.policies import (
    JoinPolicy,
    Otherwise,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)
from taskloom.core.report import make_job_report
from taskloom.testing import VirtualClock, make_job

# -- a pending restart

FIXES: dict[str, dict[str, Any]] = {
    "params": {"params": {"n": 1}},
    "task": {"task": "better"},
    "daemon": {"daemon": True},
    "runner": {"runner": RunnerSpec("thread", {"reuse": True})},
    "params and others": {"params": {"n": 1}, "description": "fixed", "timeout": 5.0, "restart": LIMITED},
    "poll_interval": {"poll_interval": 0.5},
}
LEAVES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "description": {"description": "the same"},
    "labels": {"labels": ("night",)},
    "join": {"join": JoinPolicy(5.0, Otherwise.EXIT)},
    "start": {"start": StartPolicy(StartMode.AUTO, 5.0)},
    "essential": {"essential": True},
    "timeout": {"timeout": 5.0},
    "ready_within": {"ready_within": 5.0},
    "watchdog": {"watchdog": Watchdog(5.0, WatchdogThen.RESTART)},
    "a longer delay": {"restart": replace(SLOW, delay=900.0)},
    "no restart any more": {"restart": RestartPolicy()},
    "a limit": {"restart": replace(SLOW, limit=RestartLimit(5, 60.0))},
}


@pytest.mark.parametrize("what", FIXES)
def test_a_job_that_waits_for_its_restart_starts_at_once_if_that_may_fix_it(what: str) -> None:
    stage = stage_of(job_a())
    fail(stage)

    found = change(stage, **FIXES[what])

    assert acts(found)[:2] == starts(2)
    assert event_of(found, EventName.QUEUED).attempt == 1
    job = stage.lifecycle.jobs["a"]
    assert (job.restarts, job.backoff, job.waiting_for) == (0, None, None)


@every_case("what", LEAVES)
def test_its_restart_is_left_alone_if_nothing_may_fix_it(what: str) -> None:
    stage = stage_of(job_a())
    fail(stage)
    job = stage.lifecycle.jobs["a"]
    due_at, backoff = job.due_at, job.backoff

    found = change(stage, **LEAVES[what])

    assert acts(found) == []
    assert (job.waiting_for, job.due_at, job.backoff) == (WaitingFor.BACKOFF, due_at, backoff)
    assert show(stage.advance(600))[:2] == starts(2)


def test_a_reload_of_the_same_declaration_resets_nothing() -> None:
    stage = stage_of(job_a(restart=LIMITED))
    give_up(stage)

    found = change(stage)

    assert acts(found) == []
    assert stage.lifecycle.jobs["a"].has_given_up


@every_case("when", [RestartWhen.ON_FAILURE, RestartWhen.ALWAYS])
@every_case(
    ("policies", "fields"),
    [
        ({"timeout": 5.0}, {"timeout": 50.0}),
        ({"timeout": 5.0}, {"timeout": None}),
        ({"ready_within": 5.0}, {"ready_within": 50.0}),
        ({"watchdog": Watchdog(3.0, WatchdogThen.RESTART)}, {"watchdog": Watchdog(60.0, WatchdogThen.RESTART)}),
    ],
)
def test_a_job_that_a_limit_stopped_starts_at_once_when_the_limit_changes(
    policies: dict[str, Any], fields: dict[str, Any], when: RestartWhen
) -> None:
    stage = stage_of(job_a(**policies, restart=replace(SLOW, when=when)))
    if "watchdog" in policies:
        stage.unresponsive("a#1")
    stage.advance(5)
    fail(stage)
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.BACKOFF

    unrelated = acts(change(stage, poll_interval=0.5))
    fixed = acts(change(stage, **fields))

    assert (unrelated, fixed) == ([], starts(2))


def test_a_run_that_had_raised_before_its_timeout_did_not_fail_because_of_it() -> None:
    stage = stage_of(job_a(timeout=5.0))
    stage.advance(5)
    stage.ended("a#1", How.RAISED, was_requested=False)

    assert acts(change(stage, timeout=50.0)) == []


def test_a_restart_after_a_clean_return_starts_at_once_with_new_params() -> None:
    stage = stage_of(job_a(restart=replace(SLOW, when=RestartWhen.ALWAYS)))
    stage.ended("a#1")

    assert acts(change(stage, poll_interval=0.5)) == []
    assert acts(change(stage, params={"n": 1})) == starts(2)


def test_the_restart_of_a_scheduled_job_starts_at_once_and_its_schedule_goes_on() -> None:
    stage = stage_of(job_a(schedule=Schedule(every=1000.0, immediately=True)))
    fail(stage)

    found = acts(change(stage, params={"n": 1}))
    stage.started("a#2")
    stage.ended("a#2")

    assert found == starts(2)
    assert show(stage.advance(1000)) == starts(3)


@pytest.mark.parametrize("schedule", [None, Schedule(every=50.0)])
def test_the_restart_of_a_job_whose_schedule_changes_as_well_starts_at_once(schedule: Schedule | None) -> None:
    stage = stage_of(job_a(schedule=Schedule(every=1000.0, immediately=True)))
    fail(stage)

    found = acts(change(stage, params={"n": 1}, schedule=schedule))

    assert found == starts(2)
    assert (stage.lifecycle.jobs["a"].next_firing is None) == (schedule is None)


def test_a_job_that_is_disabled_as_well_does_not_start() -> None:
    stage = stage_of(job_a())
    fail(stage)

    change(stage, params={"n": 1}, enabled=False)

    assert stage.state("a") is JobState.DISABLED


def test_all_replicas_start_at_once() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    spec = make_job("a", replicas=3, restart=SLOW)
    stage.add(*spec.replicated())
    stage.start_all()
    for name in ("a.1", "a.2"):
        stage.started(f"{name}#1")
        stage.ended(f"{name}#1", How.RAISED)
    stage.started("a.3#1")

    found = show(stage.reload(*replace(spec, params={"n": 1}).replicated()))

    assert found[1:] == [
        "queued a.1#2", "StartRun a.1#2", "queued a.2#2", "StartRun a.2#2", "cancel_requested a.3#1", "CancelRun a.3#1",
    ]  # fmt: skip


# -- the failures are forgotten


def failing(restarts: int) -> HandDrivenCore:
    stage = stage_of(job_a(restart=LIMITED))
    for _ in range(restarts):
        fail(stage)
        stage.advance(1)
    return stage


def test_the_window_of_the_limit_begins_anew_with_the_run_that_starts() -> None:
    stage = failing(1)
    fail(stage)

    change(stage, params={"n": 1})

    assert new_window(stage)


def test_it_begins_anew_with_the_run_that_follows_a_live_one() -> None:
    stage = failing(2)
    stage.started("a#3")

    found = change(stage, params={"n": 1})
    stage.ended("a#3", How.RAISED)

    assert acts(found) == ["reset a", "cancel_requested a#3", "CancelRun a#3"]
    assert event_of(found, EventName.RESET).reason == Reason(ReasonKind.RELOAD, "params changed")
    assert new_window(stage)


def test_it_goes_on_if_only_other_fields_of_a_live_run_change() -> None:
    stage = failing(2)

    assert acts(change(stage, timeout=60.0, poll_interval=0.5, description="new")) == []
    assert not new_window(stage)


def test_a_disabled_job_that_is_enabled_begins_anew() -> None:
    stage = failing(2)
    change(stage, enabled=False)
    stage.ended("a#3", How.NOT_ENTERED)

    found = change(stage, enabled=True)

    assert acts(found)[:2] == ["reset a", "queued a#4"]
    assert new_window(stage)


def test_the_mark_of_a_scheduled_job_that_gave_up_is_forgotten_and_its_next_firing_comes_when_it_should() -> None:
    stage = stage_of(job_a(restart=LIMITED, schedule=Schedule(every=1000.0, immediately=True)))
    give_up(stage)
    job = stage.lifecycle.jobs["a"]
    before = make_job_report(stage.lifecycle, job, stage.clock.now()).marks

    found = acts(change(stage, params={"n": 1}))

    assert (before, found) == (("gave up",), ["reset a"])
    assert make_job_report(stage.lifecycle, job, stage.clock.now()).marks == ()
    assert show(stage.advance(998)) == starts(4)


# -- a shorter delay


def test_a_shorter_delay_applies_to_the_pending_restart() -> None:
    stage = stage_of(job_a())
    fail(stage)
    stage.advance(60)

    found = change(stage, restart=replace(SLOW, delay=5.0))
    again = show(stage.advance(5))
    fail(stage)

    assert acts(found) == ["restart_scheduled a#1"]
    assert event_of(found, EventName.RESTART_SCHEDULED).seconds == 5.0
    assert again == starts(2)
    assert stage.lifecycle.jobs["a"].due_at == 65.0 + 10.0


def test_a_restart_that_is_due_before_the_new_delay_is_over_keeps_its_time() -> None:
    stage = stage_of(job_a())
    fail(stage)
    stage.advance(596)

    found = acts(change(stage, restart=replace(SLOW, delay=5.0)))

    assert found == []
    assert show(stage.advance(4)) == starts(2)


def test_a_shorter_delay_does_not_forget_the_window_of_the_limit() -> None:
    stage = failing(2)
    stage.reload(OTHER, job_a(restart=replace(LIMITED, limit=RestartLimit(3, 3600.0), delay=600.0)))
    fail(stage)

    change(stage, restart=replace(LIMITED, limit=RestartLimit(3, 3600.0)))
    stage.advance(1)
    fail(stage)

    assert stage.lifecycle.jobs["a"].has_given_up


# -- essential


def test_an_essential_job_is_fixed_before_it_fails_for_good() -> None:
    stage = stage_of(job_a(restart=LIMITED, essential=True))
    for _ in range(2):
        fail(stage)
        stage.advance(1)

    change(stage, params={"n": 1})
    fail(stage)
    fail(stage)

    assert stage.lifecycle.phase is Phase.OPEN
    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.BACKOFF


@pytest.mark.parametrize("give", [lambda stage: stage.stop("a"), lambda stage: stage.restart("a")])
def test_a_command_after_the_reload_has_priority(give: Callable[[HandDrivenCore], object]) -> None:
    stage = stage_of(job_a())
    fail(stage)
    change(stage, params={"n": 1})

    give(stage)

    assert stage.state("a") is JobState.STOPPING
