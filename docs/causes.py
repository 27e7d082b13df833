"""What follows each way in which a run can end, under each restart policy: found by asking the lifecycle itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.hand_driven_core import HandDrivenCore

from taskloom import EventName
from taskloom.core.events import Event
from taskloom.core.model import How
from taskloom.core.policies import RestartPolicy, RestartWhen, Watchdog, WatchdogThen
from taskloom.testing import make_job

__all__ = ["CAUSES", "what_follows"]

Play = Callable[[HandDrivenCore], object]


def _ends(how: How) -> Play:
    return lambda stage: stage.ended("a#1", how)


def _fails_to_start(stage: HandDrivenCore) -> None:
    stage.start_failed("a#1")


def _outlives(seconds: float) -> Play:
    def play(stage: HandDrivenCore) -> None:
        stage.advance(seconds)
        stage.ended("a#1")

    return play


def _is_missed(stage: HandDrivenCore) -> None:
    stage.unresponsive("a#1")
    if stage.lifecycle.runs["a#1"].requested:
        stage.ended("a#1")


def _is_stopped(how: How) -> Play:
    def play(stage: HandDrivenCore) -> None:
        stage.stop("a")
        stage.ended("a#1", how)

    return play


def _is_cancelled(stage: HandDrivenCore) -> None:
    stage.stop("a", run="a#1")
    stage.ended("a#1")


def _is_restarted(stage: HandDrivenCore) -> None:
    stage.restart("a")
    stage.ended("a#1")


def _is_abandoned(stage: HandDrivenCore) -> None:
    stage.advance(5)
    stage.advance(10)
    stage.named("a#1")
    stage.ended("a#1")


def _everything_stops(stage: HandDrivenCore) -> None:
    stage.shutdown()
    stage.ended("a#1", How.RAISED)


_BY_WATCHDOG = {then: {"watchdog": Watchdog(5.0, then)} for then in WatchdogThen}

# What happens to the run, how it is played, and the other policies that it takes.
CAUSES: tuple[tuple[str, Play, dict[str, Any]], ...] = (
    ("it returned", _ends(How.RETURNED), {}),
    ("an exception escaped", _ends(How.RAISED), {}),
    ("`PermanentFailure` escaped", _ends(How.PERMANENT), {}),
    ("it could not be started", _fails_to_start, {}),
    ("it was longer than its `timeout`", _outlives(5), {"timeout": 5.0}),
    ("it was not ready within `ready_within`", _outlives(5), {"ready_within": 5.0}),
    ("the watchdog stopped it, `then: stop`", _is_missed, _BY_WATCHDOG[WatchdogThen.STOP]),
    ("the watchdog stopped it, `then: restart`", _is_missed, _BY_WATCHDOG[WatchdogThen.RESTART]),
    ("its job was stopped, and it returned", _is_stopped(How.RETURNED), {}),
    ("its job was stopped, and it raised", _is_stopped(How.RAISED), {}),
    ("this run alone was cancelled", _is_cancelled, {}),
    ("a restart by hand", _is_restarted, {}),
    ("abandoned after its `timeout`, it came back late", _is_abandoned, {"timeout": 5.0, "daemon": True}),
    ("everything is being stopped", _everything_stops, {}),
)


def what_follows(play: Play, when: RestartWhen, policies: dict[str, Any]) -> tuple[str, str]:
    """Play one way of ending; return the outcome and what follows it, in words."""
    stage = HandDrivenCore()
    stage.add(make_job("a", restart=RestartPolicy(when, jitter=0.0), **policies))
    run = stage.start("a")
    if play is not _fails_to_start:
        stage.started(run, is_ready="ready_within" not in policies)
    play(stage)
    events = [event for event in stage.history.events if event.job == "a"]
    return _outcome(events), _words(events)


def _outcome(events: list[Event]) -> str:
    return next(event.outcome.value for event in events if event.run == "a#1" and event.outcome is not None)


def _words(events: list[Event]) -> str:
    names = [event.event for event in events]
    if EventName.RESTART_SCHEDULED in names:
        return "restart"
    if EventName.GAVE_UP in names:
        return "gives up"
    return "starts at once" if names.count(EventName.QUEUED) > 1 else "-"


def rows() -> list[tuple[str, ...]]:
    """Return a row for each way of ending: the outcome, and what follows under each policy."""
    found = []
    for words, play, policies in CAUSES:
        cells = [what_follows(play, when, policies) for when in RestartWhen]
        outcomes = dict.fromkeys(outcome for outcome, _ in cells)
        found.append((words, " / ".join(f"`{each}`" for each in outcomes), *(follows for _, follows in cells)))
    return found
