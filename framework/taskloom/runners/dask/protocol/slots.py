"""The slots of the workers, and the runs that wait for one."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import NamedTuple

from taskloom.runners.dask.protocol.placement_io import Worker
from taskloom.runners.dask.protocol.runs import PlacedRun, RunState

__all__ = ["Slots"]


class _Group(NamedTuple):
    addresses: tuple[str, ...]
    slots: int


class Slots:
    """Admits a run while the runs in flight are fewer than the slots of the workers that have its task.

    The one that has waited longest goes first. Tasks are grouped by the workers that have them; on equal workers all
    runs share one count. If groups overlap, more runs may be admitted than there are slots: Dask then queues them.
    """

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}
        self._queues: dict[str, OrderedDict[str, PlacedRun]] = {}
        self._in_flight: Counter[str] = Counter()
        # The group of each task, until a worker comes or goes. Tasks with the same workers share one.
        self._groups: dict[str, _Group] = {}

    def join(self, worker: Worker) -> None:
        """Add the slots of a worker; replaces what was known of its address."""
        self._workers[worker.address] = worker
        self._groups.clear()

    def leave(self, address: str) -> None:
        """Remove the slots of a worker."""
        if self._workers.pop(address, None) is not None:
            self._groups.clear()

    def has(self, address: str) -> bool:
        """Return whether the worker is there."""
        return address in self._workers

    def fit(self, task: str) -> tuple[str, ...]:
        """Return the addresses of the workers that have the task."""
        return self._group(task).addresses

    def enqueue(self, run: PlacedRun) -> None:
        """Let the run wait for a slot; one that has waited before goes first."""
        run.state = RunState.QUEUED
        queue = self._queues.setdefault(run.task, OrderedDict())
        is_first = bool(queue) and run.number < next(iter(queue.values())).number
        queue[run.id] = run
        if is_first:
            queue.move_to_end(run.id, last=False)

    def admit(self) -> PlacedRun | None:
        """Return the next run that gets a slot, now in flight; None if none does."""
        ready = [queue for task, queue in self._queues.items() if self._is_free(task)]
        if not ready:
            return None
        queue = min(ready, key=lambda each: next(iter(each.values())).number)
        run = queue.popitem(last=False)[1]
        if not queue:
            del self._queues[run.task]
        self._in_flight[run.task] += 1
        return run

    def release(self, run: PlacedRun) -> None:
        """Called when the run does not wait or is not in flight any more."""
        if run.state in (RunState.SUBMITTED, RunState.GRANTED):
            self._in_flight[run.task] -= 1
            if not self._in_flight[run.task]:
                del self._in_flight[run.task]
        elif run.state is RunState.QUEUED:
            queue = self._queues[run.task]
            del queue[run.id]
            if not queue:
                del self._queues[run.task]

    def _is_free(self, task: str) -> bool:
        group = self._group(task)
        busy = sum(count for each, count in self._in_flight.items() if self._group(each) is group)
        return busy < group.slots

    def _group(self, task: str) -> _Group:
        found = self._groups.get(task)
        if found is None:
            workers = [each for each in self._workers.values() if task in each.tasks]
            new = _Group(tuple(each.address for each in workers), sum(each.slots for each in workers))
            found = next((each for each in self._groups.values() if each == new), new)
            self._groups[task] = found
        return found
