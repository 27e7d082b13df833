"""A recorded history: each input of the lifecycle, and the actions that it returned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskloom.core.actions import Action
from taskloom.core.events import Event, as_dict
from taskloom.core.inputs import AddJob, AddJobs, Input
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import JobSpec, Moment
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.errors import UsageError

__all__ = ["History", "Step"]


class Step(NamedTuple):
    """One input, its time, and the result: actions, or the error that refused the input."""

    now: Moment
    message: Input
    actions: tuple[Action, ...]
    error: UsageError | None = None


@dataclass(slots=True)
class History:
    """The steps of one lifecycle, in order, and the seed that produces them again."""

    seed: int | None = None
    steps: list[Step] = field(default_factory=list)
    lifecycle: Lifecycle | None = None
    """The lifecycle in its state after the last step; None in a prefix."""
    stop_within: float = STOP_WITHIN_SECONDS
    """Seconds for the shutdown that follows the failure of an essential job."""

    @property
    def events(self) -> Iterator[Event]:
        """All events, in order."""
        return (action for step in self.steps for action in step.actions if isinstance(action, Event))

    @property
    def jobs(self) -> dict[str, JobSpec]:
        """The jobs that were added, by name."""
        accepted = [step.message for step in self.steps if step.error is None]
        one_by_one = [message.spec for message in accepted if isinstance(message, AddJob)]
        together = [spec for message in accepted if isinstance(message, AddJobs) for spec in message.specs]
        return {spec.name: spec for spec in (*one_by_one, *together)}

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the events as JSON objects."""
        return [as_dict(event) for event in self.events]

    def prefix(self, count: int) -> History:
        """Return a history of the first `count` steps."""
        return History(self.seed, self.steps[:count], stop_within=self.stop_within)

    def tail(self, count: int = 20) -> str:
        """Describe the last steps: the time, the input and the result, a line each."""
        return "\n".join(_describe(step) for step in self.steps[-count:])


def _shorten(value: object) -> str:
    """Write a field of an input; a job as its name."""
    if isinstance(value, JobSpec):
        return value.name
    return " ".join(map(_shorten, value)) if isinstance(value, tuple) and not hasattr(value, "_fields") else str(value)


def _describe(step: Step) -> str:
    results = [
        f"{action.event.value}({action.run or action.job or ''})"
        if isinstance(action, Event)
        else f"{type(action).__name__}({action[0] if action else ''})"
        for action in step.actions
    ]
    message = f"{type(step.message).__name__}({', '.join(map(_shorten, step.message))})"
    return f"{step.now.mono:12.3f}  {message} -> {', '.join(results) or step.error or 'nothing'}"
