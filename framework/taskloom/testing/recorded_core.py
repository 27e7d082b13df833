"""A lifecycle that records each step."""

from __future__ import annotations

from random import Random

from taskloom.core.actions import Action
from taskloom.core.inputs import Input
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.errors import UsageError
from taskloom.invariants.history import History, Step

__all__ = ["RecordedCore"]


class RecordedCore:
    """A lifecycle and the history of all inputs that it was handed."""

    def __init__(self, seed: int | None = 0, *, stop_within: float = STOP_WITHIN_SECONDS) -> None:
        self.lifecycle = Lifecycle(Random(seed).random, stop_within)
        self.history = History(seed, lifecycle=self.lifecycle, stop_within=stop_within)

    def handle(self, message: Input, now: Moment) -> list[Action]:
        """Hand in one input and return the actions. Raises the UsageError that refuses it."""
        try:
            actions = self.lifecycle.handle(message, now)
        except UsageError as error:
            self.history.steps.append(Step(now, message, (), error))
            raise
        self.history.steps.append(Step(now, message, tuple(actions)))
        return actions
