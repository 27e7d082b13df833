"""What keeps the program alive after a reload: what is declared then, as at a start with the same declarations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, running, show

from taskloom.core.model import How, JobSpec, JobState, Otherwise
from taskloom.core.policies import Overlap, RestartPolicy, RestartWhen, Schedule, Watchdog, WatchdogThen
from taskloom.invariants.checker import check
from taskloom.testing import make_job

DAEMON = make_job("d", daemon=True)
OFF = make_job("off", enabled=False)
MANUAL = make_job("m", manual=True)


def end_all(stage: HandDrivenCore) -> list[str]:
    """End all runs that were requested to stop, and return the actions."""
    stopping = [run.id for run in stage.lifecycle.runs.values() if run.requested is not None]
    return [line for run in stopping for line in show(stage.ended(run))]


# What a reload leaves of the jobs "a" and "d", and whether the program then ends by itself.
LEFT: dict[str, tuple[list[JobSpec], bool]] = {
    "a daemon": ([DAEMON], False),
    "a daemon and a disabled job": ([DAEMON, OFF], False),
    "a daemon and a manual job": ([DAEMON, MANUAL], False),
    "a new daemon": ([make_job("other", daemon=True)], False),
    "the job, now a daemon": ([make_job("a", daemon=True)], False),
    "the job disabled, and a daemon": ([make_job("a", enabled=False), DAEMON], False),
    "a manual daemon": ([make_job("m", manual=True, daemon=True)], True),
    "only a manual job": ([MANUAL], True),
    "only disabled jobs": ([OFF, make_job("a", enabled=False)], True),
    "nothing": ([], True),
}


@every_case("left", LEFT)
def test_a_reload_ends_the_program_exactly_if_a_start_with_the_same_declarations_would(left: str) -> None:
    jobs, ends = LEFT[left]
    stage, fresh = running(make_job("a"), DAEMON), running(*jobs)

    found = show(stage.reload(*jobs)) + end_all(stage)

    assert ("WorkFinished" in found, stage.lifecycle.is_work_over) == (ends, ends)
    assert fresh.lifecycle.is_work_over == ends


def test_a_job_that_has_ended_and_stays_declared_still_ends_the_program() -> None:
    """A start would run it again and then end; only what keeps the program alive now was removed."""
    stage = running(make_job("a"), make_job("b"), DAEMON)
    stage.ended("b#1")

    found = show(stage.reload(make_job("b"), DAEMON)) + end_all(stage)

    assert "WorkFinished" in found


def test_a_removed_job_that_is_declared_again_while_its_run_ends_still_ends_the_program() -> None:
    """In between only daemons were declared. Its old run is left behind, and blocks a new one."""
    job = make_job("a", within=0.0)
    stage = running(job, DAEMON)
    stage.reload(DAEMON)
    stage.advance(0)
    stage.reload(job, DAEMON)

    found = show(stage.stack_captured("a#1"))

    assert stage.lifecycle.jobs["a"].state is JobState.BLOCKED
    assert "WorkFinished" in found


def test_a_manual_job_that_runs_keeps_the_program_until_it_ends() -> None:
    stage = running(make_job("a"), MANUAL, DAEMON)
    stage.run("m")

    stage.reload(MANUAL, DAEMON)
    before = end_all(stage)
    after = show(stage.ended("m#1"))

    assert ("WorkFinished" in before, "WorkFinished" in after) == (False, True)


def test_the_first_non_daemon_job_that_a_reload_adds_ends_the_program_when_it_has_ended() -> None:
    stage = running(DAEMON)
    stage.reload(DAEMON, make_job("a"))
    stage.started("a#1")
    before = stage.lifecycle.is_work_over

    found = stage.ended("a#1")

    assert not before
    assert show(found)[-1] == "WorkFinished"


def test_daemons_that_a_reload_left_alone_end_the_program_with_the_last_of_them() -> None:
    stage = running(make_job("a"), DAEMON, make_job("e", daemon=True))
    stage.reload(DAEMON, make_job("e", daemon=True))
    end_all(stage)

    found = [show(stage.ended(run)) for run in ("d#1", "e#1")]

    assert ["WorkFinished" in lines for lines in found] == [False, True]


def test_a_later_reload_of_the_same_daemons_changes_nothing() -> None:
    stage = running(make_job("a"), DAEMON)
    stage.reload(DAEMON)
    end_all(stage)

    again = stage.reload(DAEMON)

    assert show(again) == ["reloaded"]
    assert not stage.lifecycle.is_work_over


def test_a_daemon_that_becomes_a_non_daemon_job_and_is_skipped_at_once_ends_the_program() -> None:
    job = make_job("b", daemon=True, after=["gone"])
    stage = running(DAEMON, make_job("gone", daemon=True, schedule=Schedule(every=5.0)), job)
    assert stage.state("b") is JobState.WAITING

    found = show(stage.reload(DAEMON, replace(job, daemon=False)))

    assert ("skipped b" in found, found[-1]) == (True, "WorkFinished")
    assert check(stage.history, is_whole=False) == []


# -- a blocked job: the thread of its abandoned run is alive


EVERY = Schedule(every=5.0, immediately=True)
RESTARTS = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)
BLOCKED: dict[str, tuple[JobSpec, Callable[[HandDrivenCore], object], bool]] = {
    "a daemon whose schedule goes on": (
        make_job("d", daemon=True, within=1.0, schedule=EVERY, timeout=2.0),
        lambda stage: stage.advance(3.0),
        True,
    ),
    "another job whose schedule goes on": (
        make_job("d", within=0.0, schedule=Schedule(every=5.0, overlap=Overlap.REPLACE, immediately=True)),
        lambda stage: stage.advance(5.0),
        True,
    ),
    "a daemon that the watchdog restarts": (
        make_job("d", daemon=True, within=1.0, watchdog=Watchdog(1.0, WatchdogThen.RESTART)),
        lambda stage: (stage.unresponsive("d#1"), stage.advance(1.0)),
        True,
    ),
    "another job that its policy restarts": (
        make_job("d", within=1.0, otherwise=Otherwise.ABANDON, timeout=2.0, restart=RESTARTS),
        lambda stage: stage.advance(3.0),
        False,
    ),
    "a daemon that a user stopped": (
        make_job("d", daemon=True, within=1.0, schedule=EVERY),
        lambda stage: (stage.stop("d"), stage.advance(1.0)),
        False,
    ),
}


@pytest.mark.parametrize("case", BLOCKED)
def test_a_lone_blocked_job_keeps_the_program_alive_while_it_goes_on(case: str) -> None:
    spec, block, keeps = BLOCKED[case]
    stage = running(spec)
    block(stage)

    found = stage.stack_captured("d#1")

    assert stage.state("d") is JobState.BLOCKED
    assert ("WorkFinished" in show(found), stage.lifecycle.is_work_over) == (not keeps, not keeps)


def test_a_lone_blocked_daemon_ends_the_program_when_a_reload_takes_its_schedule() -> None:
    stage = running(make_job("d", daemon=True, within=1.0, schedule=EVERY, timeout=2.0))
    stage.advance(3.0)
    stage.stack_captured("d#1")

    found = stage.reload(make_job("d", daemon=True, within=1.0, timeout=2.0))

    assert show(found)[-1] == "WorkFinished"


def test_a_lone_blocked_daemon_whose_restart_a_user_stops_ends_the_program() -> None:
    stage = running(make_job("d", daemon=True, within=1.0, watchdog=Watchdog(1.0, WatchdogThen.RESTART)))
    stage.unresponsive("d#1")
    stage.advance(1.0)
    stage.stack_captured("d#1")

    assert show(stage.stop("d")) == ["WorkFinished"]


def test_a_lone_scheduled_daemon_that_was_blocked_fires_again_after_its_late_exit() -> None:
    stage = running(make_job("d", daemon=True, within=1.0, schedule=EVERY, timeout=2.0))
    stage.advance(3.0)
    stage.stack_captured("d#1")
    stage.ended("d#1", How.RETURNED)

    found = stage.advance(2.0)

    assert "StartRun d#2" in show(found)


def test_the_count_of_active_jobs_is_right_when_a_blocked_daemon_becomes_another_job() -> None:
    stage = running(make_job("d", daemon=True, within=1.0, schedule=EVERY, timeout=2.0))
    stage.advance(3.0)
    stage.stack_captured("d#1")

    stage.reload(make_job("d", within=1.0, schedule=EVERY))
    stage.reload()
    stage.ended("d#1")

    assert (stage.lifecycle._store._active_jobs, stage.lifecycle._store._active_daemons) == (0, 0)
    assert stage.lifecycle.is_work_over


def test_a_blocked_daemon_whose_restart_is_pending_counts_no_more_once_everything_stops() -> None:
    """Its late exit is followed by nothing then, and the program does not wait for it."""
    stage = running(make_job("d", daemon=True, within=1.0, watchdog=Watchdog(1.0, WatchdogThen.RESTART)))
    stage.unresponsive("d#1")
    stage.advance(1.0)
    stage.stack_captured("d#1")

    found = show(stage.shutdown())

    assert found == ["scheduler_stopping", "scheduler_stopped", "ShutdownFinished", "WorkFinished"]
    assert "StartRun d#2" not in show(stage.ended("d#1"))


def test_a_manual_job_that_a_reload_skips_leaves_daemons_only() -> None:
    """The checker counted it as waiting (found by the state machine)."""
    waiting = make_job("w", manual=True, after=["m"])
    stage = running(DAEMON, MANUAL, waiting)
    stage.arm("w")

    found = stage.reload(DAEMON, waiting)

    assert "skipped w" in show(found)
    assert "WorkFinished" not in show(found)
    assert not check(stage.history, is_whole=False)
