"""The hosts of a cluster in their own words, and which of them this program can use. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from taskloom import __version__
from taskloom.core.endings import ErrorInfo
from taskloom.diagnostics import near_match, quoted
from taskloom.runners.dask.protocol.messages import PROTOCOL
from taskloom.runners.dask.protocol.placement_io import Worker
from taskloom.runners.wire_lines import ProtocolError
from taskloom.text import first_of, plural, suggest, table, to_json

__all__ = [
    "CannotAttach",
    "ElderRuns",
    "Hello",
    "hello_text",
    "missing_task",
    "odd_hosts",
    "read_hello",
    "why_unsuitable",
]

# In one line of a message; all are in the table below it.
_MOST_NAMED = 3


class CannotAttach(Exception):
    """A cluster cannot be used. The message says why, in words; `details` has more lines, such as a table."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def info(self) -> ErrorInfo:
        """Return the error of a run that could not start because of it."""
        return ErrorInfo("CannotAttach", str(self), self.details or f"{self}\n", is_explained=True)


class ElderRuns(NamedTuple):
    """Runs of another session on a worker, which may be those of this program before it was killed."""

    session: str
    runs: tuple[str, ...]
    stopped_by_seconds: float
    """From the hello on: when they have stopped, if their program does not renew its lease."""


class Hello(NamedTuple):
    """One worker, or the Dask scheduler, in its own words."""

    protocol: int
    version: str
    python: str = ""
    executable: str = ""
    host: str = ""
    pid: int = 0
    name: str = ""
    slots: int = 0
    tasks: Mapping[str, str] = MappingProxyType({})
    """The installed tasks, and the distribution that offers each."""
    problems: tuple[str, ...] = ()
    elder: tuple[ElderRuns, ...] = ()

    def worker(self, address: str) -> Worker:
        """Return the worker at this address."""
        # "" is the task of a job whose class or function no distribution offers: its module has to be there.
        return Worker(address, self.name, self.host, self.pid, self.slots, frozenset({*self.tasks, ""}))


def hello_text(session: str) -> str:
    """Return the argument of the hello."""
    return to_json({"protocol": PROTOCOL, "version": __version__, "session": session}, is_ascii=True)


def read_hello(text: object) -> Hello:
    """Return the hello. Raises ProtocolError for anything else."""
    try:
        data = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ProtocolError(f"it sent {quoted(text)} in place of a hello")
    return Hello(
        _value(data, "protocol", int, -1),
        _value(data, "version", str, "an unknown version"),
        _value(data, "python", str, ""),
        _value(data, "executable", str, ""),
        _value(data, "host", str, ""),
        _value(data, "pid", int, 0),
        str(data.get("name", "")),
        max(0, _value(data, "slots", int, 0)),
        {str(name): str(offered) for name, offered in _value(data, "tasks", dict, {}).items()},
        tuple(str(problem) for problem in _value(data, "problems", list, [])),
        tuple(_elder(each) for each in _value(data, "elder", list, []) if isinstance(each, dict)),
    )


def _value(data: Mapping[str, Any], name: str, kind: type[Any], default: Any) -> Any:
    found = data.get(name, default)
    if type(found) is not kind:
        raise ProtocolError(f"{quoted(name)} of its hello is {quoted(found)}")
    return found


def _elder(data: Mapping[str, Any]) -> ElderRuns:
    seconds = data.get("stopped_by_seconds", 0.0)
    runs = tuple(str(run) for run in data.get("runs", ()))
    return ElderRuns(str(data.get("session", "")), runs, float(seconds) if type(seconds) in (int, float) else 0.0)


def why_unsuitable(hello: Hello) -> str:
    """Return why this program cannot use the host; "" if it can."""
    if hello.version != __version__:
        return f"has Taskloom {hello.version}; this program has {__version__}"
    if hello.protocol != PROTOCOL:
        return f"speaks protocol {hello.protocol}; this program speaks {PROTOCOL}"
    return "; ".join(hello.problems)


def odd_hosts(cluster: str, odd: Sequence[tuple[str, str, str]], total: int) -> CannotAttach:
    """Return the error for hosts that cannot be used: each with its place, its interpreter and what is wrong.

    `total`: how many processes were asked, the Dask scheduler among them.
    """
    named = [f"{place} {why}" for place, _, why in odd[:_MOST_NAMED]]
    more = f"; and {len(odd) - len(named)} more" if len(odd) > len(named) else ""
    message = (
        f"cannot use {cluster}: {'; '.join(named)}{more} (of {plural(total, 'host')} in all); "
        "install the same version of taskloom[dask] for the Dask scheduler and for each worker"
    )
    return CannotAttach(message, f"{message}\n{table([('where', 'interpreter', 'what is wrong'), *odd])}\n")


def missing_task(task: str, cluster: str, hellos: Iterable[Hello]) -> ErrorInfo:
    """Return the error for a task that no worker has installed."""
    known = list(hellos)
    installed = _short_names(name for hello in known for name in hello.tasks)
    rows = [(hello.host, hello.executable, ", ".join(_short_names(hello.tasks)) or "none") for hello in known]
    message = (
        f"cannot find task {quoted(task)} on any of the {plural(len(known), 'worker')} of {cluster}; "
        f"installed there ({first_of(sorted({f'{host}: {python}' for host, python, _ in rows}), _MOST_NAMED)}): "
        f"{', '.join(installed) or 'none'}{suggest(near_match(task, installed), before='; ')}"
    )
    details = table([("host", "interpreter", "installed tasks"), *rows])
    return ErrorInfo("TaskNotFound", message, f"{message}\n{details}\n", is_explained=True)


def _short_names(tasks: Iterable[str]) -> list[str]:
    """Return the names, sorted, without `taskloom/countdown` if there is `countdown`: both mean the same task."""
    names = set(tasks)
    return sorted(name for name in names if "/" not in name or name.rpartition("/")[2] not in names)
