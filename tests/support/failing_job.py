"""A job `a` that fails, in a core that the test drives by hand, and reloads of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.actions import Action
from taskloom.core.model import How, JobSpec, WaitingFor
from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.testing import VirtualClock, make_job

__all__ = [
    "LIMITED", "OTHER", "SLOW", "acts", "change", "fail", "give_up", "job_a", "new_window", "stage_of", "starts",
]  # fmt: skip

SLOW = RestartPolicy(RestartWhen.ON_FAILURE, delay=600.0, max_delay=3600.0, jitter=0.0)
LIMITED = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=1.0, jitter=0.0, limit=RestartLimit(2, 3600.0))
# Without a non-daemon job the work would be over.
OTHER = make_job("other", manual=True)


def job_a(**policies: Any) -> JobSpec:
    return make_job("a", **{"restart": SLOW} | policies)


def stage_of(spec: JobSpec) -> HandDrivenCore:
    """Return a core at second 0 in which `a` runs and has not announced that it is ready, if it has to."""
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(OTHER, spec)
    stage.start_all()
    if spec.schedule is None or spec.schedule.immediately:
        stage.started("a#1", is_ready=spec.ready_within is None)
    return stage


def fail(stage: HandDrivenCore, how: How = How.RAISED) -> None:
    run = stage.lifecycle.jobs["a"].run
    assert run is not None
    if run.started is None:
        stage.started(run.id)
    stage.ended(run.id, how)


def give_up(stage: HandDrivenCore) -> None:
    for _ in range(2):
        fail(stage)
        stage.advance(1)
    fail(stage)


def change(stage: HandDrivenCore, **fields: Any) -> list[Action]:
    """Reload with these fields of `a` changed."""
    return stage.reload(OTHER, replace(stage.lifecycle.jobs["a"].spec, **fields))


def acts(found: list[Action]) -> list[str]:
    return [line for line in show(found) if not line.startswith(("reloaded", "ApplySpec"))]


def starts(run: int) -> list[str]:
    return [f"queued a#{run}", f"StartRun a#{run}"]


def new_window(stage: HandDrivenCore) -> bool:
    """Return whether the limit of two restarts counts from nothing."""
    for _ in range(2):
        fail(stage)
        if stage.lifecycle.jobs["a"].waiting_for is not WaitingFor.BACKOFF:
            return False
        stage.advance(1)
    return True
