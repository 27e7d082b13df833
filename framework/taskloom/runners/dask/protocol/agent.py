"""`Agent`: what a worker process does for one session. Pure; see `agent_io` for its inputs and actions.

Rules:
- An execution starts at most once, only by a GRANT that names it, and only while the lease lasts and the worker stays.
- Its first state is a claim. It ends as a claim (`left`), or it was granted and ends when no process of it is left
  (`gone`); its caller is released then and not before.
- A request does in this order: what was due before it; it stops what the program no longer expects; it renews the
  lease; its commands. So an execution that the program has given up is never renewed.
- The end of the lease, the loss of the program's interest and the closing of the worker stop an execution: CANCEL and
  URGENT at once, and KillChild after the grace, or at the end of the lease and the grace if that is earlier. A lease
  that is renewed later does not save it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from taskloom.core.endings import Reason, ReasonKind
from taskloom.runners.dask.protocol.agent_io import (
    Action,
    Begun,
    Closing,
    CommandChild,
    ExecutionGone,
    ExecutionReported,
    Forget,
    Input,
    KillChild,
    Publish,
    ReleaseCaller,
    RenewChild,
    Requested,
    StartChild,
    Tick,
    Withdrawn,
)
from taskloom.runners.dask.protocol.deadlines import Deadlines, Key
from taskloom.runners.dask.protocol.journal import Journal
from taskloom.runners.dask.protocol.messages import Command, CommandKind, EntryKind, Lease, Phase, Reply, Request
from taskloom.text import duration

__all__ = ["Agent"]

# After the end of a lease and its grace, the program declares everything lost 10 s later, and waits no longer for an
# agent.
_OUT_OF_REACH_SECONDS = 10.0
# A request can be overtaken by a few others: the program has at most four in flight to one worker.
_REMEMBERED_REQUESTS = 64
_LEASE, _FORGET = ("lease", ""), ("forget", "")


@dataclass(slots=True)
class _Execution:
    id: str
    spec: Mapping[str, Any]
    phase: str = Phase.CLAIMING
    passed: frozenset[str] = frozenset()
    """The kinds of commands that were passed on and have an effect only once."""
    kill_at: float = inf
    """When its processes are killed; inf unless it is stopped."""
    kill_why: str = ""

    @property
    def is_stopping(self) -> bool:
        return self.kill_at < inf


class _Requests:
    """The numbers of the latest requests: one that comes a second time is known."""

    def __init__(self) -> None:
        self.newest = 0
        self._seen: deque[int] = deque(maxlen=_REMEMBERED_REQUESTS)

    def take(self, seq: int) -> tuple[bool, bool]:
        """Return whether the request is the newest, and whether it comes for the first time."""
        is_first = seq not in self._seen and (len(self._seen) < _REMEMBERED_REQUESTS or seq > min(self._seen))
        if is_first:
            self._seen.append(seq)
        is_newest = seq > self.newest
        self.newest = max(self.newest, seq)
        return is_newest, is_first


class Agent:
    """The machine of one session in one worker process."""

    def __init__(self, session: str, agent_id: str) -> None:
        self._session = session
        self._id = agent_id
        self._executions: dict[str, _Execution] = {}
        self._journal = Journal()
        self._requests = _Requests()
        self._deadlines = Deadlines()
        self._terms = Lease()
        self._lease_end = -inf
        self._heard_at = -inf
        self._closing_why: str | None = None
        self._actions: list[Action] = []

    def handle(self, given: Input, now: float) -> list[Action]:
        """Take one input at `now`, monotonic seconds of this host, and return what is to be done, in order."""
        self._actions = []
        last = self._journal.last
        self._do_what_is_due(now)
        _HANDLERS[type(given)](self, given, now)
        self._plan_to_forget(now)
        if self._journal.last > last:
            self._actions.append(Publish())
        return self._actions

    def next_deadline(self) -> float:
        """Return when to call `handle` with Tick, in monotonic seconds; inf for never."""
        return self._deadlines.next()

    def reply(self, now: float) -> Reply:
        """Return the Reply to the request that was just handled: with all entries that are not acknowledged."""
        return self._reply(now, self._journal.acknowledged, self._journal.unacknowledged())

    def publication(self, now: float) -> Reply | None:
        """Return a Reply with the entries that were not sent yet; None if there are none."""
        after, entries = self._journal.unpublished()
        return self._reply(now, after, entries) if entries else None

    def _reply(self, now: float, after: int, entries: tuple[Any, ...]) -> Reply:
        phases = {each.id: each.phase for each in self._executions.values()}
        return Reply(self._session, self._id, now, entries, phases, self._journal.last, after)

    # -- inputs

    def _begin(self, begun: Begun, now: float) -> None:
        if begun.execution in self._executions:
            return
        if self._closing_why is not None:
            self._actions.append(ReleaseCaller(begun.execution, "closing"))
            return
        self._heard_at = now
        if self._requests.newest == 0:
            self._terms = begun.lease
        self._executions[begun.execution] = _Execution(begun.execution, begun.spec)
        self._deadlines.plan(("claim", begun.execution), now + begun.lease.claim_wait)
        self._journal.add(EntryKind.CLAIM, begun.execution, {"run": begun.run})

    def _take_request(self, requested: Requested, now: float) -> None:
        request = requested.request
        self._heard_at = now
        if request.session != self._session or request.agent not in ("", self._id):
            return
        self._terms = request.lease
        self._journal.acknowledge(request.acknowledged)
        is_newest, is_first = self._requests.take(request.seq)
        if is_newest and request.expected is not None:
            self._stop_unexpected(frozenset(request.expected), now)
        self._renew(request, now)
        for command in request.commands:
            execution = self._executions.get(command.execution)
            # A newer request has repeated all commands of this one but those that are sent once.
            if execution is not None and (is_newest or (is_first and command.kind in CommandKind.SENT_ONCE)):
                self._command(execution, command, now)

    def _take_report(self, reported: ExecutionReported, now: float) -> None:
        execution = self._executions.get(reported.execution)
        if execution is None or execution.phase == Phase.CLAIMING:
            return
        if execution.phase == Phase.STARTING:
            execution.phase = Phase.RUNNING
        self._journal.add_report(execution.id, reported.data)

    def _end(self, gone: ExecutionGone, now: float) -> None:
        execution = self._executions.get(gone.execution)
        if execution is None or execution.phase == Phase.CLAIMING:
            return
        self._remove(execution, EntryKind.GONE, {}, "ended")

    def _withdraw(self, withdrawn: Withdrawn, now: float) -> None:
        execution = self._executions.get(withdrawn.execution)
        if execution is not None and execution.phase == Phase.CLAIMING:
            self._leave(execution, "cancelled")

    def _close(self, closing: Closing, now: float) -> None:
        self._closing_why = closing.why
        for execution in list(self._executions.values()):
            if execution.phase == Phase.CLAIMING:
                self._leave(execution, "closing")
            else:
                self._stop(execution, f"the worker is closing: {closing.why}", now)

    def _tick(self, tick: Tick, now: float) -> None:
        """Do nothing: what is due is done before each input."""

    # -- deadlines

    def _do_what_is_due(self, now: float) -> None:
        while (key := self._deadlines.pop_due(now)) is not None:
            _DUE[key[0]](self, key, now)

    def _end_claim(self, key: Key, now: float) -> None:
        self._leave(self._executions[key[1]], "unclaimed")

    def _end_lease(self, key: Key, now: float) -> None:
        why = f"the lease has ended: nothing was heard of the program for {duration(self._terms.ttl)}"
        for execution in self._executions.values():
            if execution.phase != Phase.CLAIMING:
                self._stop(execution, why, now)

    def _kill_late(self, key: Key, now: float) -> None:
        execution = self._executions[key[1]]
        self._kill(execution, execution.kill_why)

    def _forget(self, key: Key, now: float) -> None:
        self._actions.append(Forget())

    def _plan_to_forget(self, now: float) -> None:
        due = max(self._lease_end, self._heard_at) + self._terms.ttl + self._terms.grace + _OUT_OF_REACH_SECONDS
        if self._executions or due <= now:
            self._deadlines.clear(_FORGET)
        else:
            self._deadlines.plan(_FORGET, due)

    # -- steps

    def _renew(self, request: Request, now: float) -> None:
        if request.stamp is None or request.stamp + self._terms.ttl <= self._lease_end:
            return
        self._lease_end = request.stamp + self._terms.ttl
        if self._lease_end > now:
            self._deadlines.plan(_LEASE, self._lease_end)
        for execution in self._executions.values():
            if execution.phase != Phase.CLAIMING and not execution.is_stopping:
                self._actions.append(RenewChild(execution.id, self._lease_end, self._terms.grace))

    def _stop_unexpected(self, expected: frozenset[str], now: float) -> None:
        # Only the newest request gets here, before its own commands: each grant until now is older than its list.
        for execution in self._executions.values():
            if execution.phase != Phase.CLAIMING and execution.id not in expected:
                self._stop(execution, "the program no longer expects it", now)

    def _stop(self, execution: _Execution, why: str, now: float) -> None:
        """Stop a granted execution for good, from `now` on."""
        reason = Reason(ReasonKind.SHUTDOWN, why)
        self._pass_once(execution, Command(CommandKind.CANCEL, execution.id, reason))
        self._pass_once(execution, Command(CommandKind.URGENT, execution.id))
        execution.phase = Phase.ENDING
        kill_at = min(now, self._lease_end) + self._terms.grace
        if kill_at < execution.kill_at:
            execution.kill_at, execution.kill_why = kill_at, why
            self._deadlines.plan(("kill", execution.id), kill_at)

    def _command(self, execution: _Execution, command: Command, now: float) -> None:
        if execution.phase == Phase.CLAIMING:
            self._answer_claim(execution, command.kind, now)
        elif command.kind in (CommandKind.SIGNAL, CommandKind.STACK, CommandKind.POLL_INTERVAL):
            self._actions.append(CommandChild(command))
        elif command.kind in (CommandKind.CANCEL, CommandKind.URGENT, CommandKind.TERMINATE):
            self._pass_once(execution, command)
        elif command.kind == CommandKind.KILL:
            self._kill(execution, "")

    def _answer_claim(self, execution: _Execution, kind: str, now: float) -> None:
        if kind == CommandKind.GRANT and now < self._lease_end:
            self._start(execution)
        elif kind == CommandKind.DENY:
            self._leave(execution, "denied")
        elif kind in (CommandKind.CANCEL, CommandKind.KILL):
            self._leave(execution, "cancelled")

    def _start(self, execution: _Execution) -> None:
        self._deadlines.clear(("claim", execution.id))
        execution.phase = Phase.STARTING
        self._actions.append(StartChild(execution.id, execution.spec, self._lease_end, self._terms.grace))

    def _pass_once(self, execution: _Execution, command: Command) -> None:
        if command.kind in execution.passed:
            return
        execution.passed |= {command.kind}
        if command.kind == CommandKind.CANCEL:
            execution.phase = Phase.ENDING
        self._actions.append(CommandChild(command))

    def _kill(self, execution: _Execution, why: str) -> None:
        if CommandKind.KILL in execution.passed:
            return
        execution.passed |= {CommandKind.KILL}
        execution.phase = Phase.ENDING
        self._actions.append(KillChild(execution.id, why))

    def _leave(self, execution: _Execution, why: str) -> None:
        self._remove(execution, EntryKind.LEFT, {"why": why}, why)

    def _remove(self, execution: _Execution, kind: str, data: Mapping[str, Any], verdict: str) -> None:
        del self._executions[execution.id]
        self._deadlines.clear(("claim", execution.id))
        self._deadlines.clear(("kill", execution.id))
        self._journal.add(kind, execution.id, data)
        self._actions.append(ReleaseCaller(execution.id, verdict))


_HANDLERS: Mapping[type, Callable[[Agent, Any, float], None]] = {
    Begun: Agent._begin,
    Requested: Agent._take_request,
    ExecutionReported: Agent._take_report,
    ExecutionGone: Agent._end,
    Withdrawn: Agent._withdraw,
    Closing: Agent._close,
    Tick: Agent._tick,
}
_DUE: Mapping[str, Callable[[Agent, Any, float], None]] = {
    "claim": Agent._end_claim,
    "lease": Agent._end_lease,
    "kill": Agent._kill_late,
    "forget": Agent._forget,
}
