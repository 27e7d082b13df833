"""What happened, step by step: each input that the lifecycle was handed, and what it answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskloom.core.actions import Action
from taskloom.core.events import Event, as_dict
from taskloom.core.inputs import AddJob, Input
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import JobSpec, Moment
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.errors import UsageError

__all__ = ["History", "Step"]


class Step(NamedTuple):
    """One input, when it was handed in, and the answer: actions, or the error that refused it."""

    now: Moment
    message: Input
    actions: tuple[Action, ...]
    error: UsageError | None = None


@dataclass(slots=True)
class History:
    """The steps of one lifecycle, in order, and the seed that they can be had again from."""

    seed: int | None = None
    steps: list[Step] = field(default_factory=list)
    lifecycle: Lifecycle | None = None
    """The lifecycle as it stands after the last step; None in a prefix."""
    stop_within: float = STOP_WITHIN_SECONDS
    """Seconds that a stop gets which an essential job brings about."""

    @property
    def events(self) -> Iterator[Event]:
        """All events, in order."""
        return (action for step in self.steps for action in step.actions if isinstance(action, Event))

    @property
    def jobs(self) -> dict[str, JobSpec]:
        """The jobs that were added, by name."""
        return {
            step.message.spec.name: step.message.spec
            for step in self.steps
            if isinstance(step.message, AddJob) and step.error is None
        }

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the events as JSON has them."""
        return [as_dict(event) for event in self.events]

    def prefix(self, count: int) -> History:
        """Return the first `count` steps as a history of their own."""
        return History(self.seed, self.steps[:count], stop_within=self.stop_within)

    def tail(self, count: int = 20) -> str:
        """Write the last steps for people: when, what came in, what came out."""
        return "\n".join(_describe(step) for step in self.steps[-count:])


def _shorten(part: object) -> str:
    if isinstance(part, JobSpec):
        return part.name
    return " ".join(map(_shorten, part)) if isinstance(part, tuple) and not hasattr(part, "_fields") else str(part)


def _describe(step: Step) -> str:
    answers = [
        f"{action.event.value}({action.run or action.job or ''})"
        if isinstance(action, Event)
        else f"{type(action).__name__}({action[0] if action else ''})"
        for action in step.actions
    ]
    message = step.message
    subject = ", ".join(map(_shorten, message))
    words = f"{type(message).__name__}({subject})"
    return f"{step.now.mono:12.3f}  {words} -> {', '.join(answers) or step.error or 'nothing'}"
