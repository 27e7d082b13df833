"""Changes to a correct history, each of which breaks a rule: the checker must find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.core.actions import Action
from taskloom.testing import History, Step

__all__ = ["Events", "drop", "edit", "find", "numbered", "tampered", "twice"]

Events = list[dict[str, Any]]


def find(events: Events, event: str, run: str | None = None) -> int:
    """Return the index of the first event of this name, of this run if one is given."""
    return next(i for i, one in enumerate(events) if one["event"] == event and run in (None, one.get("run")))


def numbered(events: Events) -> Events:
    """Number the events again, so that a missing or moved event is the only error."""
    for seq, one in enumerate(events, start=1):
        one["seq"] = seq
    return events


def drop(event: str, run: str | None = None) -> Callable[[Events], Events]:
    """Return a change that drops an event."""
    return lambda events: numbered([one for one in events if one is not events[find(events, event, run)]])


def twice(event: str, run: str | None = None) -> Callable[[Events], Events]:
    """Return a change that repeats an event."""

    def change(events: Events) -> Events:
        index = find(events, event, run)
        return numbered([*events[: index + 1], dict(events[index]), *events[index + 1 :]])

    return change


def edit(event: str, run: str | None = None, /, **fields: Any) -> Callable[[Events], Events]:
    """Return a change that replaces fields of an event."""

    def change(events: Events) -> Events:
        events[find(events, event, run)].update(fields)
        return events

    return change


def tampered(history: History, change: Callable[[Step, Action], list[Action]]) -> History:
    """Return the history with each action replaced by those that `change` returns."""
    steps = [
        step._replace(actions=tuple(new for old in step.actions for new in change(step, old))) for step in history.steps
    ]
    return History(history.seed, steps)
