"""The table of restarts: plays each way in which a run can end, and records what follows under each policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.hand_driven_core import HandDrivenCore

from taskloom import EventName
from taskloom.core.events import Event
from taskloom.core.model import How
from taskloom.core.policies import RestartPolicy, RestartWhen, Watchdog, WatchdogThen
from taskloom.testing import make_job

__all__ = ["CAUSES", "rows", "what_follows"]

Play = Callable[[HandDrivenCore], object]


def _ends(how: How) -> Play:
    return lambda core: core.ended("a#1", how)


def _fails_to_start(core: HandDrivenCore) -> None:
    core.start_failed("a#1")


def _outlives(seconds: float) -> Play:
    def play(core: HandDrivenCore) -> None:
        core.advance(seconds)
        core.ended("a#1")

    return play


def _stops_polling(core: HandDrivenCore) -> None:
    core.unresponsive("a#1")
    if core.lifecycle.runs["a#1"].requested:
        core.ended("a#1")


def _is_stopped(how: How) -> Play:
    def play(core: HandDrivenCore) -> None:
        core.stop("a")
        core.ended("a#1", how)

    return play


def _is_cancelled(core: HandDrivenCore) -> None:
    core.stop("a", run="a#1")
    core.ended("a#1")


def _is_restarted(core: HandDrivenCore) -> None:
    core.restart("a")
    core.ended("a#1")


def _is_abandoned(core: HandDrivenCore) -> None:
    core.advance(5)
    core.advance(10)
    core.stack_captured("a#1")
    core.ended("a#1")


def _everything_stops(core: HandDrivenCore) -> None:
    core.shutdown()
    core.ended("a#1", How.RAISED)


_BY_WATCHDOG = {then: {"watchdog": Watchdog(5.0, then)} for then in WatchdogThen}

# How the run ends, the function that plays it, and the other policies of the job.
CAUSES: tuple[tuple[str, Play, dict[str, Any]], ...] = (
    ("it returned", _ends(How.RETURNED), {}),
    ("an exception escaped", _ends(How.RAISED), {}),
    ("`PermanentFailure` escaped", _ends(How.PERMANENT), {}),
    ("it could not be started", _fails_to_start, {}),
    ("it exceeded its `timeout`", _outlives(5), {"timeout": 5.0}),
    ("it was not ready within `ready_within`", _outlives(5), {"ready_within": 5.0}),
    ("the watchdog stopped it, `then: stop`", _stops_polling, _BY_WATCHDOG[WatchdogThen.STOP]),
    ("the watchdog stopped it, `then: restart`", _stops_polling, _BY_WATCHDOG[WatchdogThen.RESTART]),
    ("its job was stopped, and it returned", _is_stopped(How.RETURNED), {}),
    ("its job was stopped, and it raised", _is_stopped(How.RAISED), {}),
    ("only this run was cancelled", _is_cancelled, {}),
    ("its job was restarted by hand", _is_restarted, {}),
    (
        "it was abandoned after its `timeout`, and its thread ended late",
        _is_abandoned,
        {"timeout": 5.0, "daemon": True},
    ),
    ("everything is being stopped", _everything_stops, {}),
)


def what_follows(play: Play, when: RestartWhen, policies: dict[str, Any]) -> tuple[str, str]:
    """Play one way of ending; return the outcome and a description of what follows it."""
    core = HandDrivenCore()
    core.add(make_job("a", restart=RestartPolicy(when, jitter=0.0), **policies))
    run = core.start("a")
    if play is not _fails_to_start:
        core.started(run, is_ready="ready_within" not in policies)
    play(core)
    events = [event for event in core.history.events if event.job == "a"]
    return _outcome(events), _consequence(events)


def _outcome(events: list[Event]) -> str:
    return next(event.outcome.value for event in events if event.run == "a#1" and event.outcome is not None)


def _consequence(events: list[Event]) -> str:
    names = [event.event for event in events]
    if EventName.RESTART_SCHEDULED in names:
        return "restart"
    if EventName.GAVE_UP in names:
        return "gives up"
    return "starts at once" if names.count(EventName.QUEUED) > 1 else "-"


def rows() -> list[tuple[str, ...]]:
    """Return a row for each way of ending: its description, the outcome, and what follows under each policy."""
    found = []
    for description, play, policies in CAUSES:
        cells = [what_follows(play, when, policies) for when in RestartWhen]
        outcomes = dict.fromkeys(outcome for outcome, _ in cells)
        found.append((description, " / ".join(f"`{each}`" for each in outcomes), *(follows for _, follows in cells)))
    return found
