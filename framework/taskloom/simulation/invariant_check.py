"""Checks a simulation step by step against the invariants that `taskloom.testing.check` uses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from taskloom.core.actions import Action
from taskloom.core.inputs import Input
from taskloom.core.model import Moment
from taskloom.errors import InternalError
from taskloom.invariants.history import History, Step
from taskloom.invariants.lifecycle import LifecycleInvariants

__all__ = ["InvariantChecker"]

SHOWN_STEPS = 12


class _RunNames(set[str]):
    """The names of all runs so far. Memory grows with the jobs only: if `job#4` was added, so was `job#3`."""

    def __init__(self) -> None:
        super().__init__()
        self._highest: dict[str, int] = {}

    def add(self, name: str) -> None:
        job, _, number = name.rpartition("#")
        self._highest[job] = max(int(number), self._highest.get(job, 0))

    def __contains__(self, name: object) -> bool:
        job, _, number = str(name).rpartition("#")
        return int(number) <= self._highest.get(job, 0)


class InvariantChecker:
    """Checks steps against the invariants of the lifecycle.

    `check_step` and `finish` raise InternalError if an invariant is broken. The error has the seed and the shortest
    prefix of steps that shows the violation.
    """

    def __init__(self, seed: int, stop_within: float, steps: int | None) -> None:
        self._seed, self._max_steps = seed, steps
        self._count = 0
        self._invariants = LifecycleInvariants(stop_within=stop_within)
        # A week may have ten million runs; a plain set would keep the name of each.
        self._invariants.event_rules.seen_runs = _RunNames()
        self._latest: deque[Step] = deque(maxlen=SHOWN_STEPS)

    def check_step(self, now: Moment, message: Input, answer: Sequence[Action]) -> bool:
        """Check the next step and return whether to check more: `steps` steps in all, or every step if that is None."""
        self._count += 1
        step = Step(now, message, tuple(answer))
        self._latest.append(step)
        self._invariants.check_step(step)
        self._raise_violations()
        return self._count != self._max_steps

    def finish(self) -> None:
        """Check what must hold at the end, if all steps were checked."""
        if self._count != self._max_steps:
            self._invariants.check_end()
            self._raise_violations()

    def _raise_violations(self) -> None:
        found = self._invariants.event_rules.violations or self._invariants.violations
        if found:
            also = f", and {len(found) - 1} more" if len(found) > 1 else ""
            what = f"seed {self._seed}: {found[0]._replace(where=self._count)}{also}"
            prefix = f"shortest prefix: {self._count} steps, ending in"
            raise InternalError("\n".join([what, prefix, History(steps=list(self._latest)).tail(SHOWN_STEPS)]))
