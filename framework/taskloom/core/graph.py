"""The order among jobs: who has to be stopped before whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["stop_levels"]


def stop_levels(after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the jobs in levels, dependents before what they depend on.

    `after` maps every job to the jobs it starts after; names that are not keys are passed over. The jobs of
    a level do not depend on one another and are stopped in parallel. Raises ValueError for a cycle.
    """
    dependents = dict.fromkeys(after, 0)
    for needs in after.values():
        for name in needs:
            if name in dependents:
                dependents[name] += 1
    levels: list[list[str]] = []
    level = [name for name, count in dependents.items() if count == 0]
    seen = 0
    while level:
        levels.append(level)
        seen += len(level)
        free: list[str] = []
        for name in level:
            for need in after[name]:
                if need in dependents:
                    dependents[need] -= 1
                    if dependents[need] == 0:
                        free.append(need)
        level = free
    if seen != len(after):
        raise ValueError("cannot order jobs that depend on each other in a circle")
    return levels
