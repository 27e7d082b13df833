"""The records that cross the network: a request to an agent, its reply, and the entries that report events there.

All is JSON data. `to_json` and `from_json` are exact inverses; `from_json` raises `taskloom.runners.wire.ProtocolError`
for anything else. Unknown keys are ignored, so that a newer side may add some. No wall clock decides anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

from taskloom.core.endings import Reason
from taskloom.diagnostics import quoted
from taskloom.runners.wire import (
    ProtocolError,
    _fields,
    _mapping,
    _need,
    _reason,
    _reason_data,
    _text,
    _texts,
)
from taskloom.text import to_json

__all__ = ["PROTOCOL", "Command", "CommandKind", "Entry", "EntryKind", "Lease", "Phase", "Reply", "Request"]

PROTOCOL = 1
"""The number of this protocol. A worker with another one is refused by the hello."""


class CommandKind:
    """The kinds of a Command. The texts cross the network."""

    GRANT = "grant"
    DENY = "deny"
    CANCEL = "cancel"
    URGENT = "urgent"
    POLL_INTERVAL = "poll_interval"
    TERMINATE = "terminate"
    KILL = "kill"
    SIGNAL = "signal"
    STACK = "stack"

    SENT_ONCE = frozenset({SIGNAL, STACK})
    ALL = (GRANT, DENY, CANCEL, URGENT, POLL_INTERVAL, TERMINATE, KILL, SIGNAL, STACK)


class Command(NamedTuple):
    """One command for one execution. Idempotent, but for SIGNAL and STACK, which are sent once."""

    kind: str
    execution: str
    reason: Reason | None = None
    """The reason of a CANCEL."""
    number: float = 0.0
    """The seconds of POLL_INTERVAL; the number of a SIGNAL; the id of a STACK request."""


class Lease(NamedTuple):
    """The terms of a session, in seconds."""

    ttl: float = 20.0
    grace: float = 10.0
    """From the end of the lease, when each token is set, to SIGKILL."""
    period: float = 5.0
    """Between two requests to an agent."""
    claim_wait: float = 30.0
    """How long an execution waits for its grant or denial; then Dask gets its slot back."""


class Request(NamedTuple):
    """One call of an agent by the program: heartbeat, lease, commands and reconciliation in one."""

    session: str
    seq: int
    """Counts all requests of the session. An agent ignores the lists of a request that was overtaken."""
    agent: str
    """The agent that is meant, "" for any: the process at an address may be another one by now."""
    stamp: float | None
    """The latest stamp of this agent that the program knows; None before the first reply. The lease ends at stamp + ttl
    of the agent's clock, never earlier than a former request has said."""
    lease: Lease
    acknowledged: int
    """Entries up to this number are known: the agent forgets them."""
    expected: tuple[str, ...] | None
    """The executions that the program has granted to this agent and that have not ended for it. The agent stops every
    other one that it was granted by an earlier request. None: this request does not say."""
    commands: tuple[Command, ...] = ()

    def to_json(self) -> str:
        """Return the request as JSON text, in ASCII."""
        commands = [_command_data(command) for command in self.commands]
        expected = None if self.expected is None else list(self.expected)
        data = {**self._asdict(), "lease": self.lease._asdict(), "expected": expected, "commands": commands}
        return to_json(data, is_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Return the request of a text. Raises ProtocolError."""
        return cls(**_fields("request", _data(text), _REQUEST))


class EntryKind:
    """The kinds of an Entry. The texts cross the network."""

    CLAIM = "claim"
    REPORT = "report"
    LOG = "log"
    GONE = "gone"
    LEFT = "left"


class Phase:
    """The phases of an execution. The texts cross the network."""

    CLAIMING = "claiming"
    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"


class Entry(NamedTuple):
    """Something that has happened at an agent."""

    number: int
    kind: str
    """`claim` (data: `run`), `report` and `log` (data: a JSON object of `taskloom.runners.dask.reports`), `gone` (no
    process of the execution is left, and nothing follows), `left` (an execution without a grant has returned; data:
    `why` = denied, unclaimed, cancelled or closing)."""
    execution: str
    data: Mapping[str, Any]
    line: int = 0
    """The number of a `log` line of the agent, from 1. Missing numbers are lines that were dropped: too many waited."""


class Reply(NamedTuple):
    """The answer to a request. The same, without being asked, is published as an event of the session's topic."""

    session: str
    agent: str
    """A random id of this agent: another one means that all that it knew is lost."""
    stamp: float
    """Its monotonic clock at this moment."""
    entries: tuple[Entry, ...]
    """All entries after `after`, in order, until about 256 KiB are full. Numbers may be missing: an older progress is
    left out when there is a newer one."""
    executions: Mapping[str, str]
    """The `Phase` of each execution that has not gone."""
    last: int
    """The number of the latest entry, sent or not."""
    after: int = 0
    """The entries begin after this number. A program that does not know all up to it cannot use them."""

    def to_json(self) -> str:
        """Return the reply as JSON text, in ASCII."""
        entries = [list(entry) for entry in self.entries]
        return to_json({**self._asdict(), "entries": entries, "executions": dict(self.executions)}, is_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Reply:
        """Return the reply of a text. Raises ProtocolError."""
        return cls(**_fields("reply", _data(text), _REPLY))


# -- JSON


def _command_data(command: Command) -> dict[str, Any]:
    return {**command._asdict(), "reason": None if command.reason is None else _reason_data(command.reason)}


def _data(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError(f"it sent a text that is not JSON: {quoted(text)}") from None
    return _mapping("message", data)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


Item = TypeVar("Item")
_LARGEST = 2.0**63


def _each(read: Callable[[str, Any], Item]) -> Callable[[str, Any], tuple[Item, ...]]:
    def read_all(name: str, value: Any) -> tuple[Item, ...]:
        _need(isinstance(value, list), name, value, "a list")
        return tuple(read(name, item) for item in value)

    return read_all


def _maybe(read: Callable[[str, Any], Item]) -> Callable[[str, Any], Item | None]:
    return lambda name, value: None if value is None else read(name, value)


def _natural(name: str, value: Any) -> int:
    _need(type(value) is int and value >= 0, name, value, "a whole number from 0")
    return int(value)


def _number(name: str, value: Any) -> float:
    # Bounds, and not only `isfinite`: JSON may hold whole numbers that no float can.
    _need(type(value) in (int, float) and abs(value) < _LARGEST, name, value, "a number")
    number: float = value
    return number


def _seconds(name: str, value: Any) -> float:
    _need(_number(name, value) >= 0, name, value, "a number of seconds")
    return float(value)


def _lease(name: str, value: Any) -> Lease:
    return Lease(**_fields(name, value, dict.fromkeys(Lease._fields, _seconds)))


def _command(name: str, value: Any) -> Command:
    return Command(**_fields(name, value, _COMMAND))


def _entry(name: str, value: Any) -> Entry:
    _need(isinstance(value, list) and len(value) == len(_ENTRY), name, value, "[number, kind, execution, data, line]")
    return Entry(*(read(field, item) for (field, read), item in zip(_ENTRY.items(), value, strict=True)))


def _phases(name: str, value: Any) -> dict[str, str]:
    return {key: _text(key, item) for key, item in _mapping(name, value).items()}


def _execution_ids(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_texts(name, value))


_COMMAND = {"kind": _text, "execution": _text, "reason": _maybe(_reason), "number": _number}
_ENTRY: Mapping[str, Callable[[str, Any], Any]] = {
    "number": _natural, "kind": _text, "execution": _text, "data": _mapping, "line": _natural,
}  # fmt: skip
_REQUEST: Mapping[str, Callable[[str, Any], Any]] = {
    "session": _text, "seq": _natural, "agent": _text, "stamp": _maybe(_number), "lease": _lease,
    "acknowledged": _natural, "expected": _maybe(_execution_ids), "commands": _each(_command),
}  # fmt: skip
_REPLY: Mapping[str, Callable[[str, Any], Any]] = {
    "session": _text, "agent": _text, "stamp": _number, "entries": _each(_entry), "executions": _phases,
    "last": _natural, "after": _natural,
}  # fmt: skip
