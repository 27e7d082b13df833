"""Scenes for the answers to "why": a core that is driven by hand, and the paragraph about one of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core import inputs
from taskloom.core.model import How, JobSpec, Reason, ReasonKind
from taskloom.core.policies import (
    Condition,
    Dependency,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
)
from taskloom.core.why import gather
from taskloom.core.why_facts import RunNumbers
from taskloom.scheduler.why_text import explain
from taskloom.testing.clock import FIRST_WALL_SECONDS

__all__ = [
    "BY_ALICE",
    "EVERY_5M",
    "FIRST_WALL_SECONDS",
    "PAUSE",
    "RETRIED",
    "SUCCESS",
    "Once",
    "begun",
    "declared",
    "fail",
    "fail_each",
    "why",
]

BY_ALICE = "stop, by alice (uid 1000, pid 4242)"
"""The text of a stop that came over the control socket."""
PAUSE = inputs.PauseJob("web", Reason(ReasonKind.USER, "pause, by alice (uid 1000, pid 4242)"))
RETRIED = RestartPolicy(RestartWhen.ON_FAILURE, delay=4.0, jitter=0.0, limit=RestartLimit(2, 60.0))
EVERY_5M = Schedule(every=300.0, text="every 5m")
SUCCESS = Dependency("db", Condition.SUCCEEDED)


@dataclass(frozen=True)
class Once:
    """A calendar of one instant, in seconds since the epoch."""

    instant: float

    def after(self, wall: float) -> float | None:
        """Return the instant if it comes after `wall`."""
        return self.instant if self.instant > wall else None

    def latest(self, wall: float) -> float | None:
        """Return the instant if it has come by `wall`."""
        return self.instant if self.instant <= wall else None


def declared(*jobs: JobSpec) -> HandDrivenCore:
    """Return a core with these jobs, at midnight UTC; nothing is started."""
    core = HandDrivenCore()
    core.add(*jobs)
    return core


def begun(*jobs: JobSpec) -> HandDrivenCore:
    """Return a core in which all jobs that start by themselves run and are ready."""
    core = declared(*jobs)
    core.start_all()
    for run in list(core.lifecycle.runs):
        core.started(run)
    return core


def fail(core: HandDrivenCore, job: str, times: int, *, then: float) -> None:
    """Let the runs 1 to `times` of a job fail before they are ready, and let `then` seconds pass after each."""
    for number in range(1, times + 1):
        core.started(f"{job}#{number}", is_ready=False)
        core.ended(f"{job}#{number}", How.RAISED)
        core.advance(then)


def fail_each(core: HandDrivenCore) -> None:
    """Let each run fail at once."""
    for run in list(core.lifecycle.runs):
        core.started(run, is_ready=False)
        core.ended(run, How.RAISED)


def why(
    core: HandDrivenCore, job: str, numbers: RunNumbers | None = None, places: Mapping[str, str] | None = None
) -> str:
    """Return the paragraph about a job; `numbers` and `places` are what the engine adds."""
    facts = gather(core.lifecycle, job, core.clock.now())
    return explain(replace(facts, numbers=numbers, places=places or {}))
