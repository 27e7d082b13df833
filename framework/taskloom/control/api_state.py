"""What the handlers of all routes share: the scheduler, and what the program has given to the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from taskloom.control.event_ring import EventRing
from taskloom.control.exchange import Deferred, Reply, Request
from taskloom.control.log_source import LogSource
from taskloom.control.program_info import CallerNames, ProgramInfo, RequestReload, RequestShutdown
from taskloom.control.refusals import Refusal
from taskloom.core.events import Event, as_dict
from taskloom.diagnostics import near_match, quoted
from taskloom.scheduler.facade import Scheduler
from taskloom.scheduler.failure_log import FailureLog
from taskloom.text import printable, suggest

__all__ = ["ApiState", "Call", "find_jobs", "masked", "matcher"]


class Call(NamedTuple):
    """One request to one route, with all that was read from it."""

    request: Request
    variables: Mapping[str, str]
    """The parts of the path that differ: `job`."""
    query: Mapping[str, Any]
    body: Mapping[str, Any]


@dataclass(slots=True)
class ApiState:
    """Shared by the handlers, on the server's thread."""

    scheduler: Scheduler
    program: ProgramInfo
    events: EventRing
    logs: LogSource | None
    reload: RequestReload | None
    shutdown: RequestShutdown | None
    mask: Callable[[str], str]
    """Replaces the secrets in a text."""
    log: FailureLog
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The replies that never change, by the name of their schema."""
    names: CallerNames = field(default_factory=CallerNames)
    waiting_for_report: list[Deferred] = field(default_factory=list)
    """Replies that wait for the report of the stop."""
    report: Reply | None = None
    """The report of the stop, once it is known."""

    def requested(self, call: Call) -> str:
        """Return who has requested something, and why: `requested by alice (uid 1000, pid 4242): disk full`."""
        text = printable(call.body.get("text") or "")
        who = f"requested by {self.names.describe(call.request.caller)}"
        return f"{who}: {text}" if text else who

    def reason(self, call: Call, verb: str) -> str:
        """Return why something is done, with who requested it: `stop, by alice (uid 1000, pid 4242): disk full`."""
        text = printable(call.body.get("text") or "")
        who = self.names.describe(call.request.caller)
        return f"{verb}, by {who}: {text}" if text else f"{verb}, by {who}"

    def note(self, call: Call, action: str) -> None:
        """Log an action and who requested it. Returns at once: the log handlers are called on another thread."""
        self.log.put_info(self.mask(f"{action}: {self.requested(call)}"))

    def event_data(self, event: Event) -> dict[str, Any]:
        """Return an event as JSON data, with its secrets masked."""
        data = as_dict(event)
        for name in data.keys() - _WITHOUT_SECRETS:
            data[name] = masked(self.mask, data[name])
        return data


# What the scheduler itself makes.
_WITHOUT_SECRETS = {"seq", "at", "mono", "event", "job", "run", "attempt", "outcome", "seconds"}


def masked(mask: Callable[[str], str], value: Any) -> Any:
    """Return JSON data with the secrets in its texts masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {name: masked(mask, each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(mask, each) for each in value]
    return value


def find_jobs(patterns: Sequence[str], labels: Sequence[str], known: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names of the jobs that match one of the patterns and have one of the labels.

    No patterns or no labels: all do. `known`: each job with its labels. Raises Refusal for a pattern or a label
    that no job has.
    """
    chosen = dict.fromkeys(known)
    if patterns:
        chosen = dict.fromkeys(name for pattern in patterns for name in _matching(pattern, known))
    if labels:
        all_labels = {label for each in known.values() for label in each}
        for label in labels:
            if label not in all_labels:
                raise _unknown("label", label, sorted(all_labels))
        chosen = dict.fromkeys(name for name in chosen if not set(labels).isdisjoint(known[name]))
    return [name for name in known if name in chosen] if patterns else list(chosen)


def matcher(patterns: Sequence[str]) -> Callable[[str], bool] | None:
    """Return whether a name matches one of the patterns, as a function; None if there is no pattern."""
    if not patterns:
        return None
    # The same names come again and again, and a program has a bounded number of jobs.
    known: dict[str, bool] = {}

    def matches(name: str) -> bool:
        found = known.get(name)
        if found is None:
            found = known[name] = any(_is_meant(name, each) for each in patterns)
        return found

    return matches


def _matching(pattern: str, known: Mapping[str, object]) -> list[str]:
    if pattern in known:
        return [pattern]
    found = [name for name in known if _is_meant(name, pattern)]
    if not found:
        raise _unknown("job", pattern, list(known))
    return found


def _unknown(what: str, name: str, known: Sequence[str]) -> Refusal:
    near = near_match(name, known)
    message = f"cannot find {what} {quoted(name)}{suggest(near, before='; ')}"
    return Refusal(404, f"unknown-{what}", message, near=() if near is None else (near,))


def _is_meant(name: str, pattern: str) -> bool:
    """Return whether a name or a pattern means the job; the name of a replicated job means all its replicas."""
    declared, _, number = name.rpartition(".")
    return name == pattern or (declared == pattern and number.isdecimal()) or fnmatchcase(name, pattern)
