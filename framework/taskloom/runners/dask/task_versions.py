"""Whether the package of a task has the same version on each worker as in this program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from taskloom.runners.dask.hello import Hello
from taskloom.runners.dask.place import place
from taskloom.text import first_of

__all__ = ["TaskVersions"]

_MOST_NAMED = 3


class TaskVersions:
    """Compares the tasks that runs need with those of the workers, and warns once of each other version.

    Used on the thread of a cluster. `warn` gets a format and its values. `offered_here` returns the tasks that are
    installed here, and the distribution that offers each with its version: they are read for the first run.
    """

    def __init__(
        self,
        warn: Callable[[str, object], object],
        offered_here: Callable[[], Mapping[str, str]] = lambda: place().tasks,
    ) -> None:
        self._warn, self._offered_here = warn, offered_here
        # The first job that has needed it, by task.
        self._jobs: dict[str, str] = {}
        self._said: set[tuple[str, str]] = set()

    def need(self, task: str, job: str, hellos: Iterable[Hello]) -> None:
        """Compare a task that a run needs, unless a run has needed it before; "" is that of no distribution."""
        if task and task not in self._jobs:
            self._jobs[task] = job
            self._compare(task, hellos)

    def join(self, hello: Hello) -> None:
        """Compare the tasks of a worker that has joined."""
        for task in self._jobs:
            self._compare(task, [hello])

    def _compare(self, task: str, hellos: Iterable[Hello]) -> None:
        here = self._offered_here().get(task)
        hosts: dict[str, list[str]] = {}
        for hello in hellos:
            there = hello.tasks.get(task)
            if here and there and there != here and (task, there) not in self._said:
                hosts.setdefault(there, []).append(hello.host)
        for there, names in hosts.items():
            self._said.add((task, there))
            where = first_of(sorted(set(names)), _MOST_NAMED)
            text = f"job {self._jobs[task]!r} may behave differently on {where}: task {task!r} is of {there} there"
            self._warn("%s", f"{text}, and of {here} here; install the same version on each worker")
