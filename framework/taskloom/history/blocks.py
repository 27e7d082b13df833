"""Blocks: runs of a job that are close together, as one. A timeline shows a week of a busy job in a few hundred. Pure.

    fold = BlockFold(every=900.0)
    for block in runs: fold.add(block)        # in the order in which they began
    blocks = fold.blocks(most=20_000)

`every` is the time that the narrowest bar of the timeline covers. Runs within it become one block, whatever their
outcomes are: its outcome is the worst of them. Only runs of the same kind make a block longer than that, and none is
longer than `_LONGEST` times that, so that a failure stays where it was and a click leads near to what was meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from taskloom.core.events import FAILURE_OUTCOMES, format_wall
from taskloom.core.model import Outcome

__all__ = ["Block", "BlockFold"]

# Bars of the narrowest kind, which has three pixels: 42 pixels are easy to hit.
_LONGEST = 14
# Bars that are closer than a pixel look like one.
_CLOSE = 1 / 3
_FAILURES = frozenset(outcome.value for outcome in FAILURE_OUTCOMES)
_SUCCEEDED = Outcome.SUCCEEDED.value


class Block(NamedTuple):
    """One run that has ended, or several of one job. All times are seconds since the epoch."""

    job: str
    start: str
    """The start of the program, and the run in it: of several the last."""
    run: str
    begin: float
    """When the first of them began."""
    end: float
    """When the last of them ended."""
    outcome: str
    """The worst one, if there are several runs."""
    due: float | None = None
    """The instant for which it was started; None for several runs."""
    runs: int = 1
    failed: int = 0

    @property
    def rank(self) -> int:
        """How bad the outcome is: 0 for success, 2 for a failure, 1 for anything else."""
        return 2 if self.outcome in _FAILURES else int(self.outcome != _SUCCEEDED)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **self._asdict(),
            "begin": format_wall(self.begin),
            "end": format_wall(self.end),
            "due": None if self.due is None else format_wall(self.due),
        }


class BlockFold:
    """Folds blocks that come in the order of their begins. `every`: in seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._last: dict[str, int] = {}
        self._blocks: list[Block] = []

    def add(self, block: Block) -> None:
        """Take the next run."""
        at = self._last.get(block.job)
        if at is not None and self._belongs(self._blocks[at], block):
            self._blocks[at] = _together(self._blocks[at], block)
            return
        self._last[block.job] = len(self._blocks)
        self._blocks.append(block)

    def blocks(self, most: int) -> list[Block]:
        """Return at most about `most` blocks: with more, they become coarser, and none is left out."""
        blocks, every = self._blocks, self._every
        jobs = len(self._last)
        while len(blocks) > max(most, jobs) and every < blocks[-1].end - blocks[0].begin:
            every *= 2
            blocks = _folded(blocks, every)
        return blocks

    def _belongs(self, last: Block, block: Block) -> bool:
        spanned = max(last.end, block.end) - last.begin
        if spanned <= self._every:
            return True
        is_close = block.begin - last.end < self._every * _CLOSE
        # A run that has a bar wide enough to be seen keeps it.
        is_narrow = block.runs > 1 or block.end - block.begin <= self._every
        return is_close and is_narrow and last.rank == block.rank and spanned <= _LONGEST * self._every


def _folded(blocks: Iterable[Block], every: float) -> list[Block]:
    fold = BlockFold(every)
    for block in blocks:
        fold.add(block)
    return fold._blocks


def _together(first: Block, second: Block) -> Block:
    worst = first if first.rank >= second.rank else second
    last = second if second.end >= first.end else first
    return Block(
        job=first.job,
        start=last.start,
        run=last.run,
        begin=first.begin,
        end=last.end,
        outcome=worst.outcome,
        runs=first.runs + second.runs,
        failed=first.failed + second.failed,
    )
