"""A core with one scheduled job, for the tests of pauses, stops and resumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Hold, JobSpec
from taskloom.core.policies import Schedule
from taskloom.invariants.checker import check, explain
from taskloom.testing import VirtualClock, make_job

__all__ = ["every", "hold_of", "keeps_the_invariants", "missed", "queued", "scheduled_job", "started_core"]


def started_core(*jobs: JobSpec, random: Sequence[float] = ()) -> HandDrivenCore:
    """Return a core at second 0 of both clocks that has started these jobs.

    It draws the numbers in `random` for the jitters, and again the last one after them; 0.0 if there are none.
    """
    draws, last = iter(random), random[-1] if random else 0.0
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.lifecycle = Lifecycle(lambda: next(draws, last), 30.0)
    stage.add(*jobs)
    stage.start_all()
    return stage


def scheduled_job(schedule: Schedule, *random: float, **policies: Any) -> HandDrivenCore:
    """Return such a core whose job `a` has this schedule and is armed."""
    return started_core(make_job("a", schedule=schedule, within=5.0, **policies), random=random)


def every(seconds: float = 10.0, **policies: Any) -> Schedule:
    """Return a schedule that fires once in this number of seconds."""
    return Schedule(every=seconds, text=f"every {seconds:g}s", **policies)


def missed(found: Sequence[Action]) -> list[tuple[str, int, str]]:
    """Return each missed event: the time of the last instant, the number and the cause."""
    return [
        (str(action.data["instant"])[11:19], action.data["count"], action.data["why"])
        for action in found
        if isinstance(action, Event) and action.event is EventName.MISSED
    ]


def queued(found: Sequence[Action]) -> list[str]:
    """Return the runs that were queued, as `queued a#1`."""
    return [line for line in show(found) if line.startswith("queued")]


def hold_of(stage: HandDrivenCore) -> list[Hold]:
    """Return how `a` is held back."""
    return list(stage.lifecycle.jobs["a"].holds)


def keeps_the_invariants(stage: HandDrivenCore) -> bool:
    """Return True, or raise AssertionError with the first violation of the history."""
    violations = check(stage.history, is_whole=False, lateness=float("inf"))
    assert not violations, explain(stage.history, violations)
    return True
