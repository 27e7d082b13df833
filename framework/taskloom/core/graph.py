"""The graph of dependencies: stop levels and cycles. No recursion, so that a chain may have 100,000 jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

__all__ = ["find_cycle", "find_cycles", "stop_levels"]

Dependencies = Mapping[str, Sequence[str]]
"""For each job the jobs that it starts after; names that are not keys are ignored."""


def stop_levels(after: Dependencies) -> list[list[str]]:
    """Return the jobs in levels, dependents before what they depend on.

    The jobs of a level do not depend on one another and are stopped in parallel. Raises ValueError for a cycle.
    """
    dependents = dict.fromkeys(after, 0)
    for names in after.values():
        for name in names:
            if name in dependents:
                dependents[name] += 1
    levels: list[list[str]] = []
    level = [name for name, count in dependents.items() if count == 0]
    placed = 0
    while level:
        levels.append(level)
        placed += len(level)
        following: list[str] = []
        for name in level:
            for dependency in after[name]:
                if dependency in dependents:
                    dependents[dependency] -= 1
                    if dependents[dependency] == 0:
                        following.append(dependency)
        level = following
    if placed != len(after):
        raise ValueError("cannot order jobs that depend on each other in a cycle")
    return levels


def find_cycle(name: str, dependencies_of: Callable[[str], Iterable[str]]) -> list[str]:
    """Return a shortest cycle through `name`, which comes first and last; empty if there is none.

    `dependencies_of` returns the jobs that a job starts after. `["a", "b", "a"]`: a starts after b, and b after a.
    """
    came_from: dict[str, str] = {}
    waiting = deque([name])
    while waiting:
        job = waiting.popleft()
        for dependency in dependencies_of(job):
            if dependency not in came_from:
                came_from[dependency] = job
                waiting.append(dependency)
            if dependency == name:
                path = [name, job]
                while path[-1] != name:
                    path.append(came_from[path[-1]])
                return path[::-1]
    return []


def find_cycles(after: Dependencies) -> Iterator[list[str]]:
    """Yield one cycle for each group of two or more jobs that wait for each other: a shortest through its first job.

    Takes time in proportion to the jobs and their dependencies.
    """
    order = {name: number for number, name in enumerate(after)}
    for group in _groups(after):
        if len(group) > 1:
            yield find_cycle(min(group, key=order.__getitem__), _within(group, after))


def _within(group: Collection[str], after: Dependencies) -> Callable[[str], Iterable[str]]:
    return lambda name: [dependency for dependency in after[name] if dependency in group]


def _groups(after: Dependencies) -> Iterator[set[str]]:
    """Yield the strongly connected groups: Tarjan's algorithm, with an explicit stack."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    for root in after:
        stack = [(root, iter(after[root]))] if root not in numbers else []
        while stack:
            name, rest = stack[-1]
            if name not in numbers:
                numbers[name] = lowest[name] = len(numbers)
                path.append(name)
                on_path.add(name)
            for dependency in rest:
                if dependency not in after:
                    continue
                if dependency not in numbers:
                    stack.append((dependency, iter(after[dependency])))
                    break
                if dependency in on_path:
                    lowest[name] = min(lowest[name], numbers[dependency])
            else:
                stack.pop()
                if stack:
                    parent = stack[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[name])
                if lowest[name] == numbers[name]:
                    yield _cut(path, on_path, name)


def _cut(path: list[str], on_path: set[str], name: str) -> set[str]:
    """Remove and return the end of the path from `name` on."""
    start = len(path) - 1
    while path[start] != name:
        start -= 1
    group = set(path[start:])
    del path[start:]
    on_path -= group
    return group
