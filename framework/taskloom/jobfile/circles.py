"""Jobs that wait for each other: found in one walk over all of them, however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["circles"]

Needs = Mapping[str, Sequence[str]]


def circles(needs: Needs) -> Iterator[list[str]]:
    """Yield one circle for each group of jobs that wait for each other: the shortest through its first job.

    `needs` maps every job to the jobs it starts after; names that are no keys are passed over. A circle begins and
    ends with the same job: `["a", "b", "a"]` says that a starts after b, and b after a.
    """
    order = {name: number for number, name in enumerate(needs)}
    for group in _groups(needs):
        if len(group) > 1:
            yield _shortest(needs, group, min(group, key=order.__getitem__))


def _shortest(needs: Needs, group: Collection[str], first: str) -> list[str]:
    came_from: dict[str, str] = {}
    todo = deque([first])
    while first not in came_from:
        name = todo.popleft()
        for need in needs[name]:
            if need in group and need not in came_from:
                came_from[need] = name
                todo.append(need)
    path = [first, came_from[first]]
    while path[-1] != first:
        path.append(came_from[path[-1]])
    return path[::-1]


def _groups(needs: Needs) -> Iterator[set[str]]:
    """Yield the strongly connected groups: Tarjan's algorithm, with a stack of its own instead of recursion."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    for root in needs:
        todo = [(root, iter(needs[root]))] if root not in numbers else []
        while todo:
            name, rest = todo[-1]
            if name not in numbers:
                numbers[name] = lowest[name] = len(numbers)
                path.append(name)
                on_path.add(name)
            for need in rest:
                if need not in needs:
                    continue
                if need not in numbers:
                    todo.append((need, iter(needs[need])))
                    break
                if need in on_path:
                    lowest[name] = min(lowest[name], numbers[need])
            else:
                todo.pop()
                if todo:
                    above = todo[-1][0]
                    lowest[above] = min(lowest[above], lowest[name])
                if lowest[name] == numbers[name]:
                    yield _cut(path, on_path, name)


def _cut(path: list[str], on_path: set[str], name: str) -> set[str]:
    at = len(path) - 1
    while path[at] != name:
        at -= 1
    group = set(path[at:])
    del path[at:]
    on_path -= group
    return group
