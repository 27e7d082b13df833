"""This process as one that executes runs: its host, its interpreter, and the tasks that are installed for it."""

from __future__ import annotations

import functools
import platform
import socket
import sys
from collections.abc import Mapping
from typing import NamedTuple

from taskloom.runners.dask.extra import problems_here
from taskloom.text import first_of, normalised

__all__ = ["Place", "place"]

# In a message; the hello has all.
_MOST_NAMED = 12


class Place(NamedTuple):
    """A process that executes runs."""

    host: str
    python: str
    """The version of Python."""
    executable: str
    tasks: Mapping[str, str]
    """Each name that a job may have for an installed task, and the distribution that offers it with its version. A
    name that two distributions offer has that of its distribution before it: `acme-beats/countdown`."""
    problems: tuple[str, ...]
    """Why it can execute no run, in words that follow the name of the worker."""

    @property
    def interpreter(self) -> str:
        """The host and its interpreter, for messages."""
        return f"host {self.host}, {self.executable or 'an unknown interpreter'} (Python {self.python})"

    @property
    def installed(self) -> str:
        """The first of the installed tasks with their distributions, for messages."""
        offered = [f"{name} ({by})" for name, by in sorted(self.tasks.items()) if "/" not in name]
        return first_of(offered, _MOST_NAMED) if offered else "none"


@functools.cache
def place() -> Place:
    """Return what this process is. Reads the metadata of all distributions at the first call: 50 ms and more."""
    executable = sys.executable or ""
    problems = problems_here()
    if not executable:
        problems.append("has no Python interpreter that could start the processes of a run")
    if sys.platform != "linux":
        problems.append(f"is not on Linux but on {sys.platform}, where nothing ends the processes of a run for sure")
    return Place(socket.gethostname(), platform.python_version(), executable, _tasks(), tuple(problems))


def _tasks() -> dict[str, str]:
    from taskloom.catalog.installed import read_points

    offers = {
        (each.point.name, each.distribution): f"{each.distribution} {each.version}".rstrip()
        for each in read_points("taskloom.tasks").points
    }
    names = [name for name, _ in offers]
    tasks = {f"{normalised(distribution)}/{name}": by for (name, distribution), by in offers.items()}
    return tasks | {name: by for (name, _), by in offers.items() if names.count(name) == 1}
