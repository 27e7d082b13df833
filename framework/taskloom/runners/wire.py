"""The messages between a runner of processes and its workers: JSON objects, one a line. Both sides import this module.

Rules:
- A line is UTF-8 and has at most LONGEST_LINE bytes with its end. Each line is one object; its first key names the
  message. Only ASCII is written: half of a surrogate pair, as file names may have, crosses as well.
- Whatever the other side sends, the only error is ProtocolError, in words that follow "the process broke the
  protocol: ".
- Down, to the worker: Spec first and once, then Cancel, Urgent, PollInterval and StackRequest.
- Up, to the runner: Hello first. Then Started, Ready and Ended, or StartFailed; Ended alone if the run was cancelled
  before it began. Polled, Gauged, Logged, CallbackFailed and StackAnswer come in between. After Ended, for at most
  TERMINATE_SECONDS, only Logged, Gauged and CallbackFailed may follow: `terminate` may still be executing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from taskloom.core.endings import ErrorInfo, How, Reason, ReasonKind
from taskloom.diagnostics import quoted
from taskloom.runners.gauges import Progress
from taskloom.runners.wire_lines import LONGEST_LINE, LineReader, ProtocolError
from taskloom.runners.wire_messages import (
    CallbackFailed,
    Cancel,
    Down,
    Ended,
    Gauged,
    Hello,
    Logged,
    Polled,
    PollInterval,
    Ready,
    Spec,
    StackAnswer,
    StackRequest,
    Started,
    StartFailed,
    Up,
    Urgent,
)
from taskloom.text import plural, shortened

__all__ = [
    "LONGEST_LINE", "CallbackFailed", "Cancel", "Down", "Ended", "Gauged", "Hello", "LineReader", "Logged",
    "PollInterval", "Polled", "ProtocolError", "Ready", "Spec", "StackAnswer", "StackRequest", "StartFailed", "Started",
    "Up", "Urgent", "decode_down", "decode_up", "encode",
]  # fmt: skip

# A line that is too long is written again with each text cut to these, one after the other: a log line of 10 MB, or an
# error with a long message and a long traceback. A character takes at most twelve bytes.
_LONGEST_TEXTS = (64 * 1024, 4 * 1024, 256)

# -- to a line


def encode(message: Down | Up) -> bytes:
    """Return the line of a message, with its end.

    Raises ValueError if the params of a Spec are not JSON data or make the line too long. In all other messages texts
    that are too long are cut.
    """
    data = _TO_DATA[type(message)](message)
    if not isinstance(message, Spec):
        data = _cut(data, LONGEST_LINE)  # what never fits need not be written first
    line = _line(data)
    if len(line) <= LONGEST_LINE:
        return line
    if isinstance(message, Spec):
        raise ValueError(f"the params take {plural(len(line), 'byte')} as JSON; at most {LONGEST_LINE:,}")
    for longest in _LONGEST_TEXTS:
        line = _line(_cut(data, longest))
        if len(line) <= LONGEST_LINE:
            return line
    raise ValueError(f"a message takes {plural(len(line), 'byte')}; at most {LONGEST_LINE:,}")


def _line(data: dict[str, Any]) -> bytes:
    try:
        return json.dumps(data, separators=(",", ":")).encode() + b"\n"
    except RecursionError:
        raise ValueError("the data is nested too deeply") from None
    except TypeError as error:
        raise ValueError(f"it is not JSON data: {error}") from None


def _cut(data: Any, longest: int) -> Any:
    if isinstance(data, str):
        return shortened(data, longest)
    if isinstance(data, list):
        return [_cut(item, longest) for item in data]
    return {key: _cut(item, longest) for key, item in data.items()} if isinstance(data, dict) else data


def _error_data(error: ErrorInfo) -> dict[str, Any]:
    return {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "is_explained": error.is_explained,
    }


def _reason_data(reason: Reason) -> dict[str, Any]:
    return {"kind": reason.kind.value, "text": reason.text, "signal": reason.signal}


def _ended_data(ended: Ended) -> dict[str, Any]:
    error = None if ended.error is None else _error_data(ended.error)
    return {"how": ended.how.value, "error": error, **_flags(ended)}


def _flags(ended: Ended) -> dict[str, bool]:
    return {"was_requested": ended.was_requested, "callback_ran": ended.callback_ran}


_TO_DATA: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    Spec: lambda it: {"spec": it.data()},
    Cancel: lambda it: {"cancel": _reason_data(it.reason)},
    Urgent: lambda _: {"urgent": True},
    PollInterval: lambda it: {"poll_interval": it.seconds},
    StackRequest: lambda it: {"stack": it.id},
    Hello: lambda it: {"hello": it.version, "pid": it.pid, "dump": it.dump, "thread": it.thread},
    Started: lambda it: {"started": it.is_ready, "at": it.at},
    StartFailed: lambda it: {"start_failed": _error_data(it.error)},
    Ready: lambda _: {"ready": True},
    Polled: lambda it: {"poll": it.data()},
    Gauged: lambda it: {"progress": None if it.progress is None else list(it.progress), "counts": it.counts},
    Logged: lambda it: {"log": it.data()},
    CallbackFailed: lambda it: {"callback_failed": {"name": it.name, "error": _error_data(it.error)}},
    StackAnswer: lambda it: {"stack": it.id, "where": it.where, "text": it.text},
    Ended: lambda it: {"ended": _ended_data(it)},
}


# -- from a line


def decode_down(line: bytes) -> Down:
    """Return the message of one line from the runner. Raises ProtocolError."""
    message: Down = _decode(line, _DOWN)
    return message


def decode_up(line: bytes) -> Up:
    """Return the message of one line from a worker. Raises ProtocolError."""
    message: Up = _decode(line, _UP)
    return message


def _decode(line: bytes, known: Mapping[str, Callable[[dict[str, Any]], Any]]) -> Any:
    data = _object(line)
    name = next(iter(data), None)
    read = known.get(name) if name is not None else None
    if read is None:
        raise ProtocolError(f"it sent {quoted(name)}, which is not a message" if data else "it sent an empty object")
    return read(data)


def _object(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProtocolError(f"it sent a line that is not UTF-8: {quoted(line)}") from None
    except (ValueError, RecursionError):
        raise ProtocolError(f"it sent a line that is not JSON: {quoted(line)}") from None
    if not isinstance(data, dict):
        raise ProtocolError(f"it sent {quoted(data)} in place of an object")
    return data


def _need(is_right: bool, name: str, value: object, expected: str) -> None:
    if not is_right:
        raise ProtocolError(f"{quoted(name)} is {quoted(value)}; expected {expected}")


def _text(name: str, value: Any) -> str:
    _need(isinstance(value, str), name, value, "a text")
    return str(value)


def _flag(name: str, value: Any) -> bool:
    _need(isinstance(value, bool), name, value, "true or false")
    return bool(value)


def _whole(name: str, value: Any) -> int:
    _need(type(value) is int, name, value, "a whole number")
    return int(value)


def _number(name: str, value: Any) -> float:
    _need(type(value) in (int, float) and (type(value) is int or isfinite(value)), name, value, "a number")
    number: float = value
    return number


def _mapping(name: str, value: Any) -> dict[str, Any]:
    _need(isinstance(value, dict), name, value, "an object")
    return dict(value)


def _maybe_mapping(name: str, value: Any) -> dict[str, Any] | None:
    return None if value is None else _mapping(name, value)


def _numbers(name: str, value: Any) -> dict[str, int]:
    return {key: _whole(key, item) for key, item in _mapping(name, value).items()}


def _texts(name: str, value: Any) -> list[str]:
    _need(isinstance(value, list) and all(isinstance(each, str) for each in value), name, value, "a list of texts")
    return list(value)


def _error(name: str, value: Any) -> ErrorInfo:
    kinds = {"type": _text, "message": _text, "traceback": _text, "is_explained": _flag}
    return ErrorInfo(**_fields(name, value, kinds))


def _maybe_error(name: str, value: Any) -> ErrorInfo | None:
    return None if value is None else _error(name, value)


def _how(name: str, value: Any) -> How:
    _need(value in [how.value for how in _BODY_ENDS], name, value, "how a body ends")
    return How(value)


def _reason(name: str, value: Any) -> Reason:
    found = _fields(name, value, {"kind": _text, "text": _text, "signal": _maybe_whole})
    _need(found["kind"] in [kind.value for kind in ReasonKind], "kind", found["kind"], "the kind of a reason")
    return Reason(ReasonKind(found["kind"]), found["text"], found["signal"])


def _maybe_whole(name: str, value: Any) -> int | None:
    return None if value is None else _whole(name, value)


def _progress(name: str, value: Any) -> Progress | None:
    if value is None:
        return None
    _need(isinstance(value, list) and len(value) == 3, name, value, "[done, total, unit]")
    done, total, unit = value
    return Progress(_number("done", done), None if total is None else _number("total", total), _text("unit", unit))


def _fields(name: str, value: Any, kinds: Mapping[str, Callable[[str, Any], Any]]) -> dict[str, Any]:
    """Return the fields of an object, each read by its kind."""
    data = _mapping(name, value)
    for field in kinds:
        if field not in data:
            raise ProtocolError(f"{quoted(name)} has no {quoted(field)}")
    return {field: read(field, data[field]) for field, read in kinds.items()}


def _only(data: dict[str, Any], **kinds: Callable[[str, Any], Any]) -> list[Any]:
    return list(_fields(next(iter(data)), data, kinds).values())


# How a body can end. The end of its process is reported by the supervisor, not by the worker.
_BODY_ENDS = (How.RETURNED, How.CANCELLED, How.RAISED, How.PERMANENT, How.NOT_ENTERED)
_SPEC = {
    "version": _text, "sys_path": _texts, "job": _text, "run": _text, "task": _text, "attempt": _whole,
    "replica": _whole, "daemon": _flag, "poll_interval": _number, "module": _text, "qualname": _text,
    "params": _mapping, "values": _maybe_mapping, "label": _text, "log_levels": _numbers,
}  # fmt: skip
_LOGGED = {
    "level": _whole, "name": _text, "message": _text, "created": _number, "exc": _text, "stack": _text,
    "thread": _text, "path": _text, "line": _whole, "function": _text, "extra": _mapping,
}  # fmt: skip
_ENDED = {"how": _how, "error": _maybe_error, "was_requested": _flag, "callback_ran": _flag}
_CALLBACK = {"name": _text, "error": _error}
_POLLED = {"n": _whole, "waiting": _flag, "wakeable": _flag}

_DOWN: Mapping[str, Callable[[dict[str, Any]], Down]] = {
    "spec": lambda data: Spec(**_fields("spec", data["spec"], _SPEC)),
    "cancel": lambda data: Cancel(*_only(data, cancel=_reason)),
    "urgent": lambda _: Urgent(),
    "poll_interval": lambda data: PollInterval(*_only(data, poll_interval=_number)),
    "stack": lambda data: StackRequest(*_only(data, stack=_whole)),
}
_UP: Mapping[str, Callable[[dict[str, Any]], Up]] = {
    "hello": lambda data: Hello(*_only(data, hello=_text, pid=_whole, dump=_whole, thread=_whole)),
    "started": lambda data: Started(*_only(data, started=_flag, at=_number)),
    "start_failed": lambda data: StartFailed(*_only(data, start_failed=_error)),
    "ready": lambda _: Ready(),
    "poll": lambda data: Polled(**_fields("poll", data["poll"], _POLLED)),
    "progress": lambda data: Gauged(*_only(data, progress=_progress, counts=_numbers)),
    "log": lambda data: Logged(**_fields("log", data["log"], _LOGGED)),
    "callback_failed": lambda data: CallbackFailed(**_fields("callback_failed", data["callback_failed"], _CALLBACK)),
    "stack": lambda data: StackAnswer(*_only(data, stack=_whole, where=_text, text=_text)),
    "ended": lambda data: Ended(**_fields("ended", data["ended"], _ENDED)),
}
