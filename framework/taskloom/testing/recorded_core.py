"""A lifecycle that is driven step by step in virtual time, and remembers each step."""

from __future__ import annotations

from random import Random

from taskloom.core.actions import Action
from taskloom.core.inputs import Input
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.errors import UsageError
from taskloom.invariants.history import History, Step
from taskloom.testing.clock import VirtualClock

__all__ = ["RecordedCore"]


class RecordedCore:
    """A lifecycle and a virtual clock; `tell` hands an input in and keeps what came of it."""

    def __init__(
        self, clock: VirtualClock | None = None, seed: int | None = 0, *, stop_within: float = STOP_WITHIN_SECONDS
    ) -> None:
        self.clock = clock or VirtualClock()
        self.lifecycle = Lifecycle(Random(seed).random, stop_within)
        self.history = History(seed, lifecycle=self.lifecycle, stop_within=stop_within)

    def tell(self, message: Input) -> list[Action]:
        """Hand in one input at the clock's time and return the actions. Raises the UsageError that refuses it."""
        now = self.clock.now()
        try:
            actions = self.lifecycle.handle(message, now)
        except UsageError as error:
            self.history.steps.append(Step(now, message, (), error))
            raise
        self.history.steps.append(Step(now, message, tuple(actions)))
        return actions
