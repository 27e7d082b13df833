"""Whether a simulation kept the rules: the judge of `taskloom.testing.check`, fed step by step."""

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
    """The names of all runs so far, in no more memory than there are jobs: `job#3` was there if `job#4` was."""

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
    """Holds steps against what the lifecycle promises.

    `take` and `close` raise InternalError for what breaks a rule, with the seed and the shortest prefix that shows it.
    """

    def __init__(self, seed: int, stop_within: float, steps: int | None) -> None:
        self._seed, self._most = seed, steps
        self._count = 0
        self._promises = LifecycleInvariants(stop_within=stop_within)
        # A week may have ten million runs, and the ledger would remember the name of each.
        self._promises.event_rules.seen_runs = _RunNames()
        self._latest: deque[Step] = deque(maxlen=SHOWN_STEPS)

    def take(self, now: Moment, message: Input, answer: Sequence[Action]) -> bool:
        """Judge the next step. Returns whether it wants to see another: it stops after `steps`, None for never."""
        self._count += 1
        step = Step(now, message, tuple(answer))
        self._latest.append(step)
        self._promises.check_step(step)
        self._judge()
        return self._count != self._most

    def close(self) -> None:
        """Judge what only the end can tell, where it has seen all."""
        if self._count != self._most:
            self._promises.check_end()
            self._judge()

    def _judge(self) -> None:
        found = self._promises.event_rules.violations or self._promises.violations
        if found:
            also = f", and {len(found) - 1} more" if len(found) > 1 else ""
            what = f"seed {self._seed}: {found[0]._replace(where=self._count)}{also}"
            prefix = f"shortest prefix: {self._count} steps, ending in"
            raise InternalError("\n".join([what, prefix, History(steps=list(self._latest)).tail(SHOWN_STEPS)]))
