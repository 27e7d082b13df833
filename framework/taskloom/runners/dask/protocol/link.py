"""One worker as a placement knows it, and the requests to the agent there."""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import NamedTuple

from taskloom.runners.dask.protocol.messages import Lease, Reply, Request
from taskloom.runners.dask.protocol.outbox import Outbox
from taskloom.runners.dask.protocol.placement_io import SendRequest, Worker
from taskloom.runners.dask.protocol.runs import PlacedRun

__all__ = ["MOST_IN_FLIGHT", "Link", "LinkState"]

MOST_IN_FLIGHT = 4
"""Requests to one worker: a command need not wait for the answer of the one before it, but a worker that hangs gets no
more than these."""

_LONGEST_WAIT_SECONDS = 5.0
# The caller reports each request that is not answered in time. One that it forgets blocks nothing for longer than this.
_SPARE_SECONDS = 1.0


class LinkState(Enum):
    """Whether a worker answers."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    """It has runs, and nothing was heard of it for a ttl. It gets no more runs."""
    SILENT = "silent"
    """The same of a worker without runs."""
    LEFT = "left"
    """The cluster has removed it."""


class _InFlight(NamedTuple):
    agent: str
    version: int
    until: float


class Link:
    """The line to one worker."""

    def __init__(self, worker: Worker, session: str, lease: Lease) -> None:
        self.worker = worker
        self.state = LinkState.REACHABLE
        self.outbox = Outbox()
        self.executions: dict[str, PlacedRun] = {}
        """Granted to the agent, and not ended."""
        self.lost: dict[str, PlacedRun] = {}
        """Declared lost, and neither released nor past their bound."""
        self.applied = 0
        """The number of the latest entry that was used."""
        self.lines: int | None = None
        """The latest count of log lines; None before the first, if the agent has sent some before."""
        self.heard_at = -inf
        self.unanswered_since = inf
        """When the first request was sent after which nothing was heard; inf if there is none."""
        self.agent = ""
        self.wants_request = False
        """A request has to wait until one of those in flight is answered."""
        self._session = session
        self._lease = lease
        self._heard_seq = 0
        self._stamp: float | None = None
        self._stamp_at = -inf
        self._renewed_at = -inf
        self._acknowledged = 0
        self._in_flight: dict[int, _InFlight] = {}

    # -- requests

    def request(self, seq: int, now: float, *, expects: bool) -> SendRequest:
        """Return the request with the number `seq`. `expects`: whether the program still wants the granted runs."""
        version, commands = self.outbox.take()
        within = min(_LONGEST_WAIT_SECONDS, self._lease.ttl / 2)
        self._in_flight[seq] = _InFlight(self.agent, version, now + within + _SPARE_SECONDS)
        self.unanswered_since = min(self.unanswered_since, now)
        self._renewed_at = max(self._renewed_at, self._stamp_at)
        self._acknowledged = self.applied
        self.wants_request = False
        expected = tuple(self.executions) if expects else ()
        request = Request(
            self._session, seq, self.agent, self._stamp, self._lease, self.applied, expected, commands
        )  # fmt: skip
        return SendRequest(self.worker.address, request, within)

    def conclude(self, seq: int, agent: str) -> None:
        """Called when the request was answered by `agent`, or has failed: then `agent` is ""."""
        sent = self._in_flight.pop(seq, None)
        if sent is not None and agent and sent.agent == agent:
            self.outbox.confirm(sent.version)

    def expire(self, now: float) -> None:
        """Give up the requests whose time is over."""
        for seq in [seq for seq, sent in self._in_flight.items() if sent.until <= now]:
            del self._in_flight[seq]

    @property
    def is_full(self) -> bool:
        """Whether no more requests may be sent until one is answered."""
        return len(self._in_flight) >= MOST_IN_FLIGHT

    @property
    def unacknowledged(self) -> int:
        """How far the agent is behind in what it may forget."""
        return self.applied - self._acknowledged

    @property
    def is_in_use(self) -> bool:
        """Whether the agent must be asked from time to time."""
        if self.state is LinkState.SILENT:
            return True
        return bool(self.executions or self.lost or self.outbox or self.unacknowledged)

    # -- replies

    def is_from_another_agent(self, reply: Reply, seq: int) -> bool:
        """Return whether the agent here was replaced by that of the reply, which answers the request `seq`."""
        # Only an answer to a request that was sent after the known agent was heard of is certain to be a newer one's: a
        # publication of an agent before it may be late.
        return reply.agent != self.agent and (seq > self._heard_seq if self.agent or reply.after else True)

    def adopt(self, reply: Reply) -> None:
        """Begin with another agent."""
        self.agent = reply.agent
        self.applied = self._acknowledged = reply.after
        self.lines = None if reply.after else 0
        self.outbox = Outbox()
        self._stamp, self._stamp_at, self._renewed_at = None, -inf, -inf

    def take_stamp(self, reply: Reply, newest_seq: int, now: float) -> bool:
        """Take over the stamp of a reply of the known agent; return whether it is news."""
        if self._stamp is not None and reply.stamp <= self._stamp:
            return False
        self._stamp, self._stamp_at = reply.stamp, now
        self.unanswered_since = inf
        self.heard_at, self._heard_seq = now, newest_seq
        return True

    def asks_since_heard(self) -> bool:
        """Return whether a request is in flight that was sent after the latest news."""
        return any(seq > self._heard_seq for seq in self._in_flight)

    # -- bounds

    def lease_ends_by(self) -> float:
        """Return when each lease that was sent to the agent has ended, in seconds of the program's clock.

        The agent's lease ends `ttl` after a stamp of its clock, and the stamp is older than the moment it came here.
        """
        return self._renewed_at + self._lease.ttl
