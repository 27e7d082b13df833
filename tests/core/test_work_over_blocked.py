"""The work is over at once when everything stops, whatever was to follow the run of a blocked job."""

from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.model import JobState
from taskloom.core.policies import Overlap, RestartPolicy, RestartWhen, Schedule
from taskloom.core.why import gather
from taskloom.testing import VirtualClock, make_job

FIRING = Schedule(every=2.0, overlap=Overlap.REPLACE)


# What follows the run if its thread exits: another run because the schedule has fired, or a restart.
POLICIES = [{"schedule": FIRING}, {"timeout": 2.0, "restart": RestartPolicy(RestartWhen.ON_FAILURE)}]


@pytest.mark.parametrize("policies", POLICIES)
def test_a_shutdown_cancels_what_was_to_follow_a_blocked_daemon(policies: dict[str, object]) -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a", daemon=True, within=1.0, **policies))  # type: ignore[arg-type]
    stage.run("a")
    stage.advance(3)
    stage.stack_captured("a#1")
    before = stage.lifecycle.is_work_over

    found = show(stage.shutdown())

    assert not before
    assert found == ["scheduler_stopping", "scheduler_stopped", "ShutdownFinished", "WorkFinished"]


@pytest.mark.parametrize("policies", POLICIES)
def test_nothing_is_to_follow_a_blocked_daemon_as_soon_as_the_jobs_that_stop_before_it_are_asked(
    policies: dict[str, object],
) -> None:
    """Its own level comes later, and until then `why` would tell of a run that never comes."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a", daemon=True, within=1.0, **policies), make_job("b", daemon=True, after=["a"]))  # type: ignore[arg-type]
    stage.run("a")
    stage.run("b")
    stage.advance(3)
    stage.stack_captured("a#1")
    before = told(stage)

    stage.shutdown()

    assert before in ("firing", "retry")
    assert stage.state("b") is JobState.STOPPING
    assert told(stage) == "nothing"


def told(stage: HandDrivenCore) -> object:
    return gather(stage.lifecycle, "a", stage.clock.now()).job.as_dict()["follow_up"]
