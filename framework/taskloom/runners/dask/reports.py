"""The reports about a run elsewhere, as JSON data: an object whose first key names the report.

The run is not in it: the other side knows which run it is about. A report takes at most LARGEST_REPORT bytes as JSON:
longer texts are cut, as `taskloom.runners.wire` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, NamedTuple

from taskloom.core.endings import How
from taskloom.core.run_reports import (
    CallbackFailed,
    RunEnded,
    RunReady,
    RunResponsive,
    RunStarted,
    RunStartFailed,
    RunUnresponsive,
)
from taskloom.diagnostics import quoted
from taskloom.runners.wire import _TO_DATA as _WIRE_TO_DATA
from taskloom.runners.wire import _UP as _WIRE_UP
from taskloom.runners.wire import (
    ProtocolError,
    _cut,
    _error,
    _error_data,
    _fields,
    _flag,
    _maybe_error,
    _need,
    _number,
    _text,
)
from taskloom.runners.wire_messages import Gauged, Logged, Polled, StackAnswer
from taskloom.text import to_json

__all__ = ["LARGEST_REPORT", "ProcessSeen", "RunReportElsewhere", "decode", "encode"]

LARGEST_REPORT = 64 * 1024
"""Bytes of a report as JSON."""

# Characters of a text in a report that would be too large, tried in this order.
_LONGEST_TEXTS = (16 * 1024, 2 * 1024, 256)


class ProcessSeen(NamedTuple):
    """The processes of a run as the kernel of their host counts them; the fields are those of `ProcessInfo`."""

    pid: int
    processes: int
    memory: int
    """Bytes."""
    cpu: float
    """Seconds."""
    state: str


RunReportElsewhere = (
    RunStarted | RunReady | RunUnresponsive | RunResponsive | CallbackFailed | RunEnded | RunStartFailed
    | Polled | Gauged | Logged | StackAnswer | ProcessSeen
)  # fmt: skip
"""A report about a run: those of the core, those of its worker, and ProcessSeen."""


def encode(report: RunReportElsewhere) -> dict[str, Any]:
    """Return the JSON data of a report, at most LARGEST_REPORT bytes of it.

    Texts that are too long are cut. If that is not enough, counters and `extra` are left out.
    """
    data = _TO_DATA[type(report)](report)
    if _is_small(data):
        return data
    for longest in _LONGEST_TEXTS:
        if _size(cut := _cut(data, longest)) <= LARGEST_REPORT:
            return dict(cut)
    return _without_details(dict(_cut(data, _LONGEST_TEXTS[-1])))


def decode(run: str, data: Mapping[str, Any]) -> RunReportElsewhere:
    """Return the report about `run`. Raises ProtocolError, in words that follow "the process broke the protocol: "."""
    name = next(iter(data), None)
    read = _READ.get(name) if isinstance(name, str) else None
    if read is None:
        raise ProtocolError(f"it sent {quoted(name)}, which is not a report" if data else "it sent an empty report")
    return read(run, dict(data))


def _size(data: dict[str, Any]) -> int:
    return len(to_json(data, is_ascii=True))


def _is_small(data: dict[str, Any]) -> bool:
    return next(iter(data)) in _ALWAYS_SMALL or _size(data) <= LARGEST_REPORT


def _without_details(data: dict[str, Any]) -> dict[str, Any]:
    if "counts" in data:
        data["counts"] = _first_counts(data["counts"])
    if "log" in data:
        data["log"] = {**data["log"], "extra": {}}
    return data


def _first_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the first counters, as many as half a report holds."""
    kept: dict[str, int] = {}
    left = LARGEST_REPORT // 2
    for name, total in counts.items():
        left -= _size({name: total})
        if left < 0:
            break
        kept[name] = total
    return kept


def _ended_data(ended: RunEnded) -> dict[str, Any]:
    return {
        "how": ended.how.value,
        "error": None if ended.error is None else _error_data(ended.error),
        "was_requested": ended.was_requested,
        "callback_ran": ended.callback_ran,
        "stopped_by": ended.stopped_by,
    }


_ALWAYS_SMALL = frozenset({"started", "ready", "responsive", "poll", "process"})
_TO_DATA: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    RunStarted: lambda it: {"started": it.is_ready},
    RunReady: lambda _: {"ready": True},
    RunUnresponsive: lambda it: {"unresponsive": it.poll_age, "because": it.because},
    RunResponsive: lambda _: {"responsive": True},
    CallbackFailed: lambda it: {"callback_failed": {"name": it.callback, "error": _error_data(it.error)}},
    RunEnded: lambda it: {"ended": _ended_data(it)},
    RunStartFailed: lambda it: {"start_failed": _error_data(it.error)},
    ProcessSeen: lambda it: {"process": it._asdict()},
    **{kind: _WIRE_TO_DATA[kind] for kind in (Polled, Gauged, Logged, StackAnswer)},
}


def _natural(name: str, value: Any) -> int:
    _need(type(value) is int and value >= 0, name, value, "a whole number from 0")
    return int(value)


def _seconds(name: str, value: Any) -> float:
    # A comparison with a number, and not a conversion: JSON may hold whole numbers that no float can.
    _need(type(value) in (int, float) and 0 <= value < inf and value < 2**63, name, value, "a number of seconds")
    return float(value)


def _any_how(name: str, value: Any) -> How:
    _need(isinstance(value, str) and value in _HOWS, name, value, "how a run ends")
    return _HOWS[value]


_HOWS = {how.value: how for how in How}
_ENDED = {
    "how": _any_how, "error": _maybe_error, "was_requested": _flag, "callback_ran": _flag, "stopped_by": _number,
}  # fmt: skip
_CALLBACK = {"name": _text, "error": _error}
_PROCESS = {"pid": _natural, "processes": _natural, "memory": _natural, "cpu": _seconds, "state": _text}
_UNRESPONSIVE = {"unresponsive": _seconds, "because": _text}


def _read_callback(run: str, data: dict[str, Any]) -> CallbackFailed:
    found = _fields("callback_failed", data["callback_failed"], _CALLBACK)
    return CallbackFailed(run, found["name"], found["error"])


def _read_message(_: str, data: dict[str, Any]) -> RunReportElsewhere:
    message: Any = _WIRE_UP[next(iter(data))](data)
    found: Polled | Gauged | Logged | StackAnswer = message
    return found


_READ: Mapping[str, Callable[[str, dict[str, Any]], RunReportElsewhere]] = {
    "started": lambda run, data: RunStarted(run, _flag("started", data["started"])),
    "ready": lambda run, _: RunReady(run),
    "unresponsive": lambda run, data: RunUnresponsive(run, *_fields("unresponsive", data, _UNRESPONSIVE).values()),
    "responsive": lambda run, _: RunResponsive(run),
    "callback_failed": _read_callback,
    "ended": lambda run, data: RunEnded(run, **_fields("ended", data["ended"], _ENDED)),
    "start_failed": lambda run, data: RunStartFailed(run, _error("start_failed", data["start_failed"])),
    "process": lambda _, data: ProcessSeen(**_fields("process", data["process"], _PROCESS)),
    **dict.fromkeys(("poll", "progress", "log", "stack"), _read_message),
}
