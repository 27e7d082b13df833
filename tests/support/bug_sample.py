"""A random sample of planted bugs that grows until it shows that enough of them are found."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Generic, NamedTuple, TypeVar

__all__ = ["SAMPLE_SIZE", "Judged", "evaluate"]

SAMPLE_SIZE = 60
# At most one planted bug of so many may survive.
ONE_SURVIVOR_OF = 20

Bug = TypeVar("Bug")


class Judged(NamedTuple, Generic[Bug]):
    """How many bugs were tried, and those that no test has found."""

    tried: int
    survivors: list[Bug]

    @property
    def is_enough(self) -> bool:
        """Whether enough of them are found."""
        return len(self.survivors) * ONE_SURVIVOR_OF <= self.tried


def evaluate(bugs: Sequence[Bug], survives: Callable[[Bug], bool], seed: int, *, is_all: bool = False) -> Judged[Bug]:
    """Try a random sample of the bugs, with as many threads as there are processors.

    A sample may have more than its share of the few that survive. Then more bugs are tried, if need be all of them. So
    whether enough are found does not depend on the seed, if enough of all bugs are found.
    """
    order = Random(seed).sample(bugs, len(bugs))
    judged: Judged[Bug] = Judged(0, [])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while judged.tried < len(order) and (is_all or not judged.tried or not judged.is_enough):
            chosen = order[judged.tried : judged.tried + SAMPLE_SIZE]
            lives = pool.map(survives, chosen)
            survivors = [bug for bug, is_alive in zip(chosen, lives, strict=True) if is_alive]
            judged = Judged(judged.tried + len(chosen), judged.survivors + survivors)
    return judged
