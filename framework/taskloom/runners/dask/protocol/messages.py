"""What crosses the network: a request to an agent, its reply, and the entries that report what happened there.

All is JSON data. `to_json` and `from_json` are exact inverses; `from_json` raises `taskloom.runners.wire.ProtocolError`
for anything else. Unknown keys are ignored, so that a newer side may add some. No wall clock decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.core.endings import Reason

__all__ = ["PROTOCOL", "Command", "CommandKind", "Entry", "Lease", "Reply", "Request"]

PROTOCOL = 1
"""The number of this protocol. A worker with another one is refused by the hello."""


class CommandKind:
    """What a program wants of one execution. The texts cross the network."""

    GRANT = "grant"
    DENY = "deny"
    CANCEL = "cancel"
    URGENT = "urgent"
    POLL_INTERVAL = "poll_interval"
    TERMINATE = "terminate"
    KILL = "kill"
    SIGNAL = "signal"
    STACK = "stack"


class Command(NamedTuple):
    """One command for one execution. Idempotent, but for SIGNAL and STACK, which are sent once."""

    kind: str
    execution: str
    reason: Reason | None = None
    """Of CANCEL."""
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
    """Of `log`: counts the log lines of the agent from 1. After a gap, lines were dropped, because too many waited."""


class Reply(NamedTuple):
    """The answer to a request. The same, without being asked, is published as an event of the session's topic."""

    session: str
    agent: str
    """A random id of this agent: another one means that all that it knew is lost."""
    stamp: float
    """Its monotonic clock at this moment."""
    entries: tuple[Entry, ...]
    """All entries after `after`, in order, until about 256 KiB are full. Numbers may be missing: an entry that a newer one
    has overtaken, such as an older progress, is left out."""
    executions: Mapping[str, str]
    """Each execution that has not gone, and its phase: `claiming granted starting running ending`."""
    last: int
    """The number of the latest entry, sent or not."""
    after: int = 0
    """The entries begin after this number. A program that does not know all up to it cannot use them."""
