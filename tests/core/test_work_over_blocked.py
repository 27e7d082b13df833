"""The work is over at once when everything stops, whatever was to follow the run of a blocked job."""

from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.policies import Overlap, RestartPolicy, RestartWhen, Schedule
from taskloom.testing import VirtualClock, make_job

FIRING = Schedule(every=2.0, overlap=Overlap.REPLACE)


@pytest.mark.parametrize(
    "policies", [{"schedule": FIRING}, {"timeout": 2.0, "restart": RestartPolicy(RestartWhen.ON_FAILURE)}]
)
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
