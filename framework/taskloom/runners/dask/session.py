"""One session on a cluster: hands everything that happens to the Placement, and carries out its actions.

The Placement decides, and does nothing; the session does, and decides nothing. All of it is for the cluster's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono
from taskloom.runners.dask.connection import CallFailed, Connection
from taskloom.runners.dask.protocol import placement_io as io
from taskloom.runners.dask.protocol.messages import Reply, Request
from taskloom.runners.dask.protocol.placement import Placement
from taskloom.runners.dask.run_spec import execution_text
from taskloom.runners.wire_lines import ProtocolError
from taskloom.text import plural

if TYPE_CHECKING:
    from taskloom.runners.dask.cluster_thread import ClusterThread
    from taskloom.runners.dask.options import Cluster
    from taskloom.runners.dask.remote_run import RemoteRun

__all__ = ["Session"]

COMMAND_SECONDS = 0.001
"""Commands are collected for this long: a stop of 200 runs is one request to each worker."""


class Session:
    """The Placement with its clock, its network and its runs, by their ids."""

    def __init__(
        self,
        cluster: Cluster,
        session: str,
        thread: ClusterThread,
        runs: Mapping[str, RemoteRun],
    ) -> None:
        self.id = session
        self.topic = f"taskloom-{session}"
        """The topic of the events that the workers publish."""
        self.connection: Connection | None = None
        """None while there is none; tasks and requests then fail at once."""
        self.is_over = False
        """Whether nothing more is done: a bug has struck it, or the program has left the cluster."""
        self._cluster = cluster
        self._thread = thread
        self._runs = runs
        self._placement = Placement(session, cluster.lease)
        self._inputs: deque[io.Input] = deque()
        self._commands: list[io.Input] = []
        self._is_working = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        # The run of each task that Dask has, by its key.
        self._keys: dict[str, str] = {}
        self._requests: set[asyncio.Task[None]] = set()
        # Lost runs, which have been reported, until it is certain that nothing is left of them.
        self._lost: dict[str, RemoteRun] = {}

    # -- what comes in

    def put(self, given: io.Input) -> None:
        """Hand an input to the Placement, and carry out what follows from it."""
        self._inputs.append(given)
        if not self._is_working:
            self._work()

    def put_command(self, given: io.CancelRequested | io.CommandRequested) -> None:
        """Do the same within a millisecond, together with the other commands of that time."""
        self._commands.append(given)
        if len(self._commands) == 1:
            self._thread.call_at(mono() + COMMAND_SECONDS, self._put_commands)

    def _put_commands(self) -> None:
        commands, self._commands = self._commands, []
        self._inputs.extend(commands)
        if not self._is_working:
            self._work()

    def published(self, address: str, text: str) -> None:
        """Called when a worker has published a reply without being asked.

        A text that cannot be read is ignored: the next reply has it all.
        """
        with suppress(ProtocolError):
            self.put(io.Replied(address, 0, Reply.from_json(text)))

    def task_ended(self, key: str, verdict: str, why: str) -> None:
        """Called when a task of Dask has ended."""
        run = self._keys.pop(key, "")
        if run:
            self.put(io.FutureEnded(run, verdict, why, key))

    def _tick(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self.put(io.Tick())

    # -- the work

    def _work(self) -> None:
        self._is_working = True
        try:
            while self._inputs and not self.is_over:
                given, self._inputs = self._inputs, deque()
                for action in self._placement.handle_all(given, mono()):
                    _CARRY_OUT[type(action)](self, action)
        finally:
            self._is_working = False
        self._set_timer()

    def _set_timer(self) -> None:
        due = float("inf") if self.is_over else self._placement.next_deadline()
        if due == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = None if due == float("inf") else self._thread.call_at(due, self._tick)

    async def finish(self, within: float) -> None:
        """Let the requests that are on their way have `within` seconds."""
        if self._requests:
            await asyncio.wait(set(self._requests), timeout=within)

    def end(self) -> None:
        """Do nothing more. All that the Placement knows is dropped; the leases end the runs that are left."""
        self.is_over = True
        self._inputs.clear()
        self._set_timer()

    # -- actions on Dask

    def _submit(self, action: io.SubmitTask) -> None:
        text = execution_text(self.id, action.run, self._cluster.lease, action.spec)
        self._keys[action.key] = action.run
        try:
            if self.connection is None:
                raise CallFailed("there is no connection to the Dask scheduler")
            self.connection.submit(action.key, text, action.workers, self._cluster.resources)
        except CallFailed as error:  # the run is submitted again
            self._keys.pop(action.key, None)
            self._inputs.append(io.FutureEnded(action.run, "cancelled", str(error), action.key))

    def _withdraw(self, action: io.WithdrawTask) -> None:
        if self.connection is not None:
            self.connection.withdraw(action.key)

    def _drop(self, action: io.DropTask) -> None:
        self._keys.pop(action.key, None)
        if self.connection is not None:
            self.connection.drop(action.key)

    def _send(self, action: io.SendRequest) -> None:
        task = self._thread.spawn(self._request(action.address, action.request, action.within))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _request(self, address: str, request: Request, within: float) -> None:
        answer: io.Input
        try:
            if self.connection is None:
                raise CallFailed("there is no connection to the Dask scheduler")
            reply = Reply.from_json(await self.connection.request(address, request.to_json(), within))
            answer = io.Replied(address, request.seq, reply)
        except (CallFailed, ProtocolError) as error:
            answer = io.RequestFailed(address, request.seq, str(error))
        self.put(answer)

    # -- reports

    def _placed(self, action: io.Placed) -> None:
        run = self._runs.get(action.run)
        if run is not None:
            run.placed(action.worker, action.pid)

    def _reported(self, action: io.Reported) -> None:
        run = self._runs.get(action.run)
        if run is not None:
            run.reported(action.data)

    def _lines_dropped(self, action: io.LinesDropped) -> None:
        lines = plural(action.lines, "log line")
        text = f"{lines} of runs on {action.worker.name} were dropped there: this program did not take them in time"
        for run in self._runs.values():
            place = run.handle.whereabouts
            if place is not None and place[:2] == (action.worker.host, action.worker.name):
                run.lines_dropped(text)
                return

    def _unreachable(self, action: io.Unreachable) -> None:
        run = self._runs.get(action.run)
        if run is not None:
            run.unreachable(action.since)

    def _reachable(self, action: io.Reachable) -> None:
        run = self._runs.get(action.run)
        if run is not None:
            run.reachable()

    def _start_failed(self, action: io.StartFailed) -> None:
        run = self._runs.get(action.run)
        if run is not None:
            run.start_failed(action.error)

    def _ended(self, action: io.Ended) -> None:
        run = self._runs.get(action.run)
        if run is not None:
            run.end(entered=action.entered)

    def _lost_run(self, action: io.Lost) -> None:
        run = self._runs.get(action.run)
        if run is not None:
            self._lost[action.run] = run
            run.lost(action.why, action.stopped_by)

    def _released(self, action: io.Released) -> None:
        run = self._lost.pop(action.run, None)
        if run is not None:
            run.released()


_CARRY_OUT: Mapping[type, Callable[[Session, Any], object]] = {
    io.SubmitTask: Session._submit,
    io.WithdrawTask: Session._withdraw,
    io.DropTask: Session._drop,
    io.SendRequest: Session._send,
    io.Placed: Session._placed,
    io.Reported: Session._reported,
    io.LinesDropped: Session._lines_dropped,
    io.Unreachable: Session._unreachable,
    io.Reachable: Session._reachable,
    io.StartFailed: Session._start_failed,
    io.Ended: Session._ended,
    io.Lost: Session._lost_run,
    io.Released: Session._released,
}
