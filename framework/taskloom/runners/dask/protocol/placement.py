"""`Placement`: what the program does for one session. Pure; see `placement_io` for its inputs and actions.

Rules:
- A run waits for a slot, is submitted as a Dask task, and is granted to the first execution that claims it; every other
  claim is denied. So one execution of a run is entered at most, whatever Dask executes again.
- A worker that has not answered for a ttl gets no run until it does, and what it has not claimed goes to another one.
- A run whose task ends without a grant, or whose granted execution has left before it began, is submitted again.
- Each request to an agent renews its lease and carries all that the agent needs: what it may forget, what is expected
  there, and the commands that are not confirmed. It goes out at once when there is a command, and each period.
- A granted run ends when its agent reports that it is gone. Failing that it is lost: with the moment by which its lease
  and the grace have passed there. It is not expected any more from then on, and released if it is gone before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from math import inf
from typing import Any

from taskloom.runners.dask.protocol.assignments import Assignments
from taskloom.runners.dask.protocol.deadlines import Key
from taskloom.runners.dask.protocol.entries import Entries
from taskloom.runners.dask.protocol.link import Link, LinkState
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Lease, Phase, Reply
from taskloom.runners.dask.protocol.placement_io import (
    Action,
    CancelRequested,
    ClusterBack,
    ClusterLost,
    CommandRequested,
    Ended,
    FutureEnded,
    Input,
    PlaceRun,
    Reachable,
    Replied,
    RequestFailed,
    SessionClosed,
    SubmitTask,
    Tick,
    Unreachable,
    WorkerJoined,
    WorkerLeft,
)
from taskloom.runners.dask.protocol.runs import PlacedRun, RunState
from taskloom.text import duration, measured

__all__ = ["Placement"]

_KILL_SECONDS = 2.0
_RETRY_SECONDS = 0.5
# An agent keeps each entry until it is acknowledged; the next request may be a period away.
_MOST_UNACKNOWLEDGED = 200
_CLAIMS: Key = ("claims", "")


class _Session(Enum):
    OPEN = "open"
    CLOSED = "closed"


class _Cluster(Enum):
    CONNECTED = "connected"
    CUT_OFF = "cut off"


class Placement:
    """The machine of one session in the program."""

    def __init__(self, session: str, lease: Lease) -> None:
        self._session = session
        self._lease = lease
        self._state = _Session.OPEN
        self._cluster = _Cluster.CONNECTED
        self._all = Assignments(lease)
        self._entries = Entries(self._all)
        self._deadlines = self._all.deadlines
        self._seq = 0
        self._placed = 0

    def handle(self, given: Input, now: float) -> list[Action]:
        """Take one input at `now`, monotonic seconds of this host, and return what is to be done, in order."""
        return self.handle_all((given,), now)

    def handle_all(self, given: Iterable[Input], now: float) -> list[Action]:
        """Take inputs of the same moment, in order: the commands among them are one request to each worker."""
        self._all.actions = []
        while (key := self._deadlines.pop_due(now)) is not None:
            _DUE[key[0]](self, key[1], now)
        for each in given:
            _HANDLERS[type(each)](self, each, now)
        if self._cluster is _Cluster.CONNECTED:
            self._admit(now)
            self._send(now)
        return self._all.actions

    def next_deadline(self) -> float:
        """Return when to call `handle` with Tick, in monotonic seconds; inf for never."""
        return self._deadlines.next()

    # -- the cluster

    def _join(self, joined: WorkerJoined, now: float) -> None:
        worker = joined.worker
        link = self._all.links.get(worker.address)
        if link is None:
            link = self._all.links[worker.address] = Link(worker, self._session, self._lease)
        link.worker = worker
        if link.state is LinkState.LEFT:
            link.state = LinkState.REACHABLE
            self._all.want(link)
        if link.state is LinkState.REACHABLE:
            self._all.slots.join(worker)

    def _leave(self, left: WorkerLeft, now: float) -> None:
        link = self._all.links.get(left.address)
        if link is None or link.state is LinkState.LEFT:
            return
        worker = link.worker
        self._all.lose_all(link, f"the cluster has removed its worker {worker.name} on {worker.host}: {left.why}", now)
        link.state = LinkState.LEFT
        self._all.wanted.pop(left.address, None)
        self._deadlines.clear(("sync", left.address))
        self._all.forget(link)
        self._all.slots.leave(left.address)
        # Dask would wait for ever for one of the workers that it was told.
        for run in list(self._all.submitted.values()):
            if not any(map(self._all.slots.has, run.workers)):
                self._all.submit_again(run)

    def _lose_cluster(self, lost: ClusterLost, now: float) -> None:
        self._cluster = _Cluster.CUT_OFF
        # The tasks may be known to the scheduler that comes back, or not: no key is used a second time.
        for run in list(self._all.submitted.values()):
            self._all.submit_again(run)

    def _regain_cluster(self, back: ClusterBack, now: float) -> None:
        self._cluster = _Cluster.CONNECTED
        for link in self._all.links.values():
            link.unanswered_since = inf  # the requests were lost with the connection
            if link.is_in_use:
                self._all.want(link)

    def _close(self, closed: SessionClosed, now: float) -> None:
        self._state = _Session.CLOSED
        for run in list(self._all.runs.values()):
            if run.state is RunState.GRANTED:
                run.is_cancelled = True
            else:
                self._all.end(run, entered=False)
        for link in self._all.links.values():
            if link.executions:
                self._all.want(link)

    def _tick(self, tick: Tick, now: float) -> None:
        """Do nothing: what is due is done before each input."""

    # -- the runs

    def _place(self, place: PlaceRun, now: float) -> None:
        if self._state is _Session.CLOSED:
            self._all.actions.append(Ended(place.run, entered=False))
            return
        self._placed += 1
        run = self._all.runs[place.run] = PlacedRun(place, self._placed)
        self._all.slots.enqueue(run)

    def _cancel(self, cancel: CancelRequested, now: float) -> None:
        run = self._all.runs.get(cancel.run)
        if run is None or run.is_cancelled:
            return
        run.is_cancelled = True
        if run.state is RunState.GRANTED:
            self._all.send(self._all.links[run.address], Command(CommandKind.CANCEL, run.execution, cancel.reason))
        else:
            self._all.end(run, entered=False)

    def _take_command(self, requested: CommandRequested, now: float) -> None:
        run = self._all.runs.get(requested.run)
        if run is None:
            return
        kind, number = requested.kind, requested.number
        if kind in (CommandKind.URGENT, CommandKind.POLL_INTERVAL):
            run.kept[kind] = number
        if run.state is RunState.GRANTED:
            self._all.command(run, kind, number)
            if kind == CommandKind.KILL:
                self._plan_kill(run, now)
        elif kind == CommandKind.KILL:
            self._all.end(run, entered=False)

    def _plan_kill(self, run: PlacedRun, now: float) -> None:
        run.is_cancelled = True
        if self._deadlines.of(("kill", run.id)) == inf:
            self._deadlines.plan(("kill", run.id), now + _KILL_SECONDS)

    def _take_future(self, ended: FutureEnded, now: float) -> None:
        run = self._all.runs.get(ended.run)
        if run is None or ended.key not in ("", run.key):
            return
        if run.state is RunState.GRANTED:
            self._take_granted_future(run, ended, now)
        elif run.state is RunState.SUBMITTED and ended.verdict == "error":
            self._all.fail_start(run, ended.why)
        elif run.state is RunState.SUBMITTED:
            self._all.pause(run, now)

    def _take_granted_future(self, run: PlacedRun, ended: FutureEnded, now: float) -> None:
        if ended.verdict in ("error", "lost"):
            why = f"its Dask task has ended without a report: {ended.why or ended.verdict}"
            self._all.lose(run, why, now)
            return
        # Its end, or how it has left, waits at the agent. Or another execution of its task was denied, or Dask's client
        # has given up all its futures after a cut: that says nothing about the run.
        run.ended_there = run.ended_there or ended.verdict == "ended"
        self._all.want(self._all.links[run.address])

    # -- replies

    def _take_reply(self, replied: Replied, now: float) -> None:
        link = self._all.links.get(replied.address)
        reply, seq = replied.reply, replied.seq
        if link is None or reply.session != self._session:
            return
        link.conclude(seq, reply.agent)
        if reply.agent != link.agent and not self._adopt(link, reply, seq, now):
            return
        if link.take_stamp(reply, self._seq, now):
            self._reach(link)
        if seq:
            # It begins after what this program has acknowledged, perhaps before it forgot this worker for a time.
            link.applied = max(link.applied, reply.after)
        self._entries.apply(link, reply, self._seq + 1, now)
        if seq:
            self._check_grants(link, reply, seq, now)
        is_behind = reply.last > link.applied and not link.asks_since_heard()
        if is_behind or link.wants_request or link.unacknowledged >= _MOST_UNACKNOWLEDGED:
            self._all.want(link)
        self._keep_asking(link, now)
        self._all.forget(link)

    def _adopt(self, link: Link, reply: Reply, seq: int, now: float) -> bool:
        if not link.is_from_another_agent(reply, seq):
            if not link.asks_since_heard():
                self._all.want(link)
            return False
        self._all.lose_all(link, f"the process of its worker {link.worker.name} was replaced", now)
        link.adopt(reply)
        return True

    def _reach(self, link: Link) -> None:
        if link.state in (LinkState.UNREACHABLE, LinkState.SILENT):
            self._all.slots.join(link.worker)
            if link.state is LinkState.UNREACHABLE:
                self._all.actions += [Reachable(run.id) for run in link.executions.values()]
            link.state = LinkState.REACHABLE
        self._all.plan_silence(link)

    def _check_grants(self, link: Link, reply: Reply, seq: int, now: float) -> None:
        """Find the executions for which the grants that the request `seq` or one before it carried were of no use."""
        for run in [run for run in link.executions.values() if run.granted_by <= seq]:
            phase = reply.executions.get(run.execution)
            if phase == Phase.CLAIMING:
                self._all.send_grant(link, run)  # the last one came after the end of the lease
            elif phase is None and reply.last <= link.applied:
                self._all.pause(run, now)  # an old claim came late: the execution had left before the grant

    def _fail_request(self, failed: RequestFailed, now: float) -> None:
        link = self._all.links.get(failed.address)
        if link is None:
            return
        link.conclude(failed.seq, "")
        # Not at once: a request to a worker that is gone fails at once.
        again = now + min(_RETRY_SECONDS, self._lease.period)
        if (link.is_in_use or link.wants_request) and link.state is not LinkState.LEFT:
            key = ("sync", failed.address)
            self._deadlines.plan(key, min(self._deadlines.of(key), again))

    # -- deadlines

    def _sync(self, address: str, now: float) -> None:
        link = self._all.links[address]
        if link.is_in_use or link.wants_request:
            self._all.want(link)

    def _look_for_claims(self, _: str, now: float) -> None:
        """Ask every worker that is not asked anyway: a claim was published, but the events may be stuck."""
        self._set_silent_aside(now)
        if self._all.submitted:
            for link in self._all.links.values():
                if self._deadlines.of(("sync", link.worker.address)) == inf:
                    self._all.want(link)
            self._deadlines.plan(_CLAIMS, now + self._lease.period)

    def _set_silent_aside(self, now: float) -> None:
        """Find the workers without runs that do not answer: Dask may have sent a run to one, and keep it there long."""
        for link in self._all.links.values():
            is_silent = link.unanswered_since + self._lease.ttl <= now and not link.executions
            if is_silent and link.state is LinkState.REACHABLE:
                link.state = LinkState.SILENT
                self._all.set_aside(link)

    def _end_silence(self, address: str, now: float) -> None:
        link = self._all.links[address]
        if link.state is not LinkState.UNREACHABLE:
            link.state = LinkState.UNREACHABLE
            self._all.set_aside(link)
            self._all.actions += [Unreachable(run.id, link.heard_at) for run in link.executions.values()]
            self._all.plan_silence(link)
        else:
            worker = link.worker
            silence = measured(now - link.heard_at)
            why = f"nothing was heard of its worker {worker.name} on {worker.host} for {silence}"
            self._all.lose_all(link, why, now)

    def _end_kill(self, run_id: str, now: float) -> None:
        run = self._all.runs[run_id]
        link, execution = self._all.links[run.address], run.execution
        self._all.lose(run, f"it was killed, and that was not confirmed within {duration(_KILL_SECONDS)}", now)
        self._all.send(link, Command(CommandKind.KILL, execution))

    def _end_pause(self, run_id: str, now: float) -> None:
        self._all.slots.enqueue(self._all.runs[run_id])

    def _end_lost(self, run_id: str, now: float) -> None:
        self._all.end_lost(run_id)

    # -- after each input

    def _keep_asking(self, link: Link, now: float) -> None:
        key = ("sync", link.worker.address)
        if link.is_in_use and link.state is not LinkState.LEFT and self._deadlines.of(key) == inf:
            self._deadlines.plan(key, now + self._lease.period)

    def _admit(self, now: float) -> None:
        while (run := self._all.slots.admit()) is not None:
            run.state, run.workers = RunState.SUBMITTED, self._all.slots.fit(run.task)
            self._all.submitted[run.id] = run
            key = run.next_key(self._session)
            self._all.actions.append(SubmitTask(run.id, key, run.order.spec, run.workers))
            if self._deadlines.of(_CLAIMS) == inf:
                self._deadlines.plan(_CLAIMS, now + self._lease.period)

    def _send(self, now: float) -> None:
        wanted, self._all.wanted = self._all.wanted, {}
        for address, link in wanted.items():
            link.expire(now)
            if link.is_full:
                link.wants_request = True
            else:
                self._seq += 1
                request = link.request(self._seq, now, expects=self._state is _Session.OPEN)
                self._all.actions.append(request)
            if link.is_in_use or link.wants_request:
                self._deadlines.plan(("sync", address), now + self._lease.period)


_HANDLERS: Mapping[type, Callable[[Placement, Any, float], None]] = {
    WorkerJoined: Placement._join,
    WorkerLeft: Placement._leave,
    ClusterLost: Placement._lose_cluster,
    ClusterBack: Placement._regain_cluster,
    PlaceRun: Placement._place,
    CancelRequested: Placement._cancel,
    CommandRequested: Placement._take_command,
    Replied: Placement._take_reply,
    RequestFailed: Placement._fail_request,
    FutureEnded: Placement._take_future,
    SessionClosed: Placement._close,
    Tick: Placement._tick,
}
_DUE: Mapping[str, Callable[[Placement, str, float], None]] = {
    "sync": Placement._sync,
    "claims": Placement._look_for_claims,
    "silence": Placement._end_silence,
    "kill": Placement._end_kill,
    "again": Placement._end_pause,
    "release": Placement._end_lost,
}
