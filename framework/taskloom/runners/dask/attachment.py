"""One cluster as this program uses it: its thread, its connection, its session and its runs.

The states, in which only the cluster's thread changes it:
- AWAY: there is no connection, and no run needs one. So it begins, and so it is after an attach has failed.
- ATTACHING: the first connection of a session is made. A failure fails all runs that wait for it.
- ATTACHED: the session places runs.
- CUT: the Dask scheduler is gone. The session goes on, and another connection is tried without end.
- CLOSED: nothing more is done.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.core.endings import How
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.run_reports import RunEnded
from taskloom.runners import TERMINATE_SECONDS
from taskloom.runners.dask.attach import Attached, attach
from taskloom.runners.dask.cluster_log import ClusterLog
from taskloom.runners.dask.cluster_thread import ClusterThread, PostingWaker
from taskloom.runners.dask.connection import Connect, Connection
from taskloom.runners.dask.crew import Crew
from taskloom.runners.dask.dask_logs import DASK_LOGS
from taskloom.runners.dask.handle import DaskHandle
from taskloom.runners.dask.hello import CannotAttach, Hello, missing_task
from taskloom.runners.dask.protocol import placement_io as io
from taskloom.runners.dask.protocol.messages import CommandKind
from taskloom.runners.dask.remote_run import RemoteRun, explained
from taskloom.runners.dask.run_spec import needed_task, spec_of
from taskloom.runners.dask.session import Session
from taskloom.runners.dask.task_versions import TaskVersions
from taskloom.runners.error_info import describe
from taskloom.runners.process.log_thread import LogThread
from taskloom.text import duration

if TYPE_CHECKING:
    from taskloom.runners import Emit, RunOrder
    from taskloom.runners.dask.options import Cluster, DaskOptions
    from taskloom.runners.process.stack_requests import StackSlot
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["Attachment"]

# Between two attempts to reach a Dask scheduler that is gone.
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 15.0
# A first connection that takes longer is logged: until it is there, the program says nothing.
_QUIET_SECONDS = 5.0
# Closing must not hold up the end of the program.
_CLOSE_SECONDS = 0.5
_LAST_WORDS_SECONDS = 0.2


@plain_members
class State(FastEnum):
    """Described at the top of the module."""

    AWAY = "away"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    CUT = "cut"
    CLOSED = "closed"


class Attachment:
    """The cluster. `start`, `command`, `ask_stack`, `close`, `join` and `leave_behind` are for any thread."""

    def __init__(
        self, cluster: Cluster, connect: Connect, record_bug: Callable[[BaseException], object], sessions: set[str]
    ) -> None:
        self.runs: dict[str, RemoteRun] = {}
        """The runs whose end was not reported yet, by their ids."""
        self._cluster = cluster
        self._connect = connect
        self._record_bug = record_bug
        self._state = State.AWAY
        self._session: Session | None = None
        self._connection: Connection | None = None
        self._attaching: asyncio.Task[None] | None = None
        # The runs that wait for the first connection.
        self._waiting: dict[str, RemoteRun] = {}
        # The sessions of this program on all its clusters.
        self._sessions = sessions
        self._next_stack = 0
        self._is_closing = False
        self._logs = LogThread(name="taskloom-dask-logs")
        self._log = ClusterLog(self._logs)
        self._crew = Crew(cluster, self._joined, self._log.warn, sessions)
        self._versions = TaskVersions(self._log.warn)
        self._thread = ClusterThread(self._struck, DASK_LOGS.pass_on)
        self._logs.start()
        try:
            self._thread.start()
        except BaseException:
            self._logs.close()
            raise

    # -- for any thread

    @property
    def has_ended(self) -> bool:
        """Whether no run can be started any more."""
        return self._thread.has_ended

    def start(self, order: RunOrder, options: DaskOptions, token: CancelToken, emit: Emit) -> DaskHandle:
        """Begin the run; never blocks. Raises RuntimeError if an exception has ended the thread at this moment."""
        handle = DaskHandle(order.run, self)
        run = RemoteRun(
            order, options, token, emit, handle, logs=self._logs, thread=self._thread, ended=self._run_ended
        )
        self.runs[order.run] = run
        self._thread.post(self._begin, run)
        if self._thread.has_ended and self.runs.pop(order.run, None) is not None:
            raise RuntimeError("cannot start a run on a cluster: its thread has just ended")
        return handle

    def command(self, run: str, kind: str, number: float = 0.0) -> None:
        """Pass a command on to where the run executes."""
        self._thread.post(self._command, run, kind, number)

    def ask_stack(self, run: str, slot: StackSlot) -> None:
        """Have the run asked where it is."""
        self._thread.post(self._ask_stack, run, slot)

    def close(self) -> None:
        """Let the thread end with the last run; never blocks."""
        self._is_closing = True
        self._thread.post(self._leave_if_idle)

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the threads have ended. Returns at once if a run is left."""
        if self.runs:
            return False
        until = mono() + timeout
        if not self._thread.join(timeout):
            return False
        DASK_LOGS.leave(self._log.put)  # again, both: an exception may have ended the thread
        self._logs.close()
        return self._logs.join(max(0.0, until - mono()))

    def leave_behind(self) -> None:
        """Called in a forked child: let nothing of ours live on there."""
        self.runs.clear()
        if self._connection is not None:
            self._connection.leave_behind()
        self._thread.leave_behind()

    # -- the begin of a run

    def _begin(self, run: RemoteRun) -> None:
        try:
            run.spec = spec_of(run.order, run.options.process)
        except Exception as error:  # noqa: BLE001 - the params are those of a user
            run.start_failed(explained("CannotCross", str(error)) if type(error) is ValueError else describe(error))
            return
        returned = run.order.terminate_returned
        if returned is None or returned.is_open:
            self._proceed(run)
        else:
            waker = PostingWaker(lambda: self._thread.post(self._proceed, run))
            returned.add_waker(waker)
            self._thread.call_at(mono() + TERMINATE_SECONDS, self._proceed, run)
        # Last: a run that was cancelled before is known by now, so that the observer ends it.
        run.token.add_observer(lambda: self._thread.post(self._cancel, run))

    def _proceed(self, run: RemoteRun) -> None:
        if run.is_concluded or run.is_placed or run.order.run in self._waiting:
            return
        if self._state in (State.ATTACHED, State.CUT):
            self._place(run)
            return
        self._waiting[run.order.run] = run
        if self._state is State.AWAY:
            self._state = State.ATTACHING
            self._attaching = self._thread.spawn(self._attach())

    def _place(self, run: RemoteRun) -> None:
        session, order = self._session, run.order
        if run.is_concluded or run.is_placed or session is None:
            return
        task = needed_task(order)
        held_until = self._crew.held_until(order.job)
        if held_until > mono():
            self._thread.call_at(held_until, self._place, run)
        elif not self._crew.has_task(task):
            run.start_failed(missing_task(task, self._cluster.shown, self._crew.hellos.values()))
        elif not run.token.enter(None):
            run.conclude(RunEnded(order.run, How.NOT_ENTERED, None, True, callback_ran=False))
        else:
            run.placing()
            self._versions.need(task, order.job, self._crew.hellos.values())
            session.put(io.PlaceRun(order.run, order.job, task, order.attempt, run.spec))

    def _cancel(self, run: RemoteRun) -> None:
        reason = run.token.reason
        if run.is_concluded or run.cancelled is not None or reason is None:
            return
        run.cancelled = reason
        run.token.remote_wait = False
        if run.is_placed and self._session is not None:
            self._session.put_command(io.CancelRequested(run.order.run, reason))
        else:
            self._waiting.pop(run.order.run, None)
            run.conclude(run.not_entered())

    def _command(self, name: str, kind: str, number: float) -> None:
        run = self.runs.get(name)
        if run is None or run.is_concluded:
            return
        if run.is_placed and self._session is not None:
            self._session.put_command(io.CommandRequested(name, kind, number))
        elif kind == CommandKind.POLL_INTERVAL:
            run.spec = {**run.spec, "poll_interval": number}
        elif kind == CommandKind.KILL:
            self._waiting.pop(name, None)
            error = explained("Killed", "killed before a worker had begun it")
            run.conclude(RunEnded(name, How.KILLED, error, run.token.is_requested, callback_ran=False))

    def _ask_stack(self, name: str, slot: StackSlot) -> None:
        run = self.runs.get(name)
        if run is None or run.is_concluded or not run.is_placed or self._session is None:
            slot.answered.open()
            return
        self._next_stack += 1
        run.stacks.clear()  # an earlier question without an answer is given up
        run.stacks[self._next_stack] = slot
        self._session.put_command(io.CommandRequested(name, CommandKind.STACK, self._next_stack))

    # -- the connection

    async def _attach(self) -> None:
        """Make the first connection of a session; fail the runs that wait for it if that is not possible."""
        session = secrets.token_hex(8)
        text, within = "waiting for %s, for at most %s", duration(self._cluster.wait)
        note = self._thread.call_at(mono() + _QUIET_SECONDS, self._log.inform, text, self._cluster.shown, within)
        try:
            attached, connection = await self._open(session, self._cluster.wait)
        except CannotAttach as error:
            self._state = State.AWAY
            self._attaching = None
            for run in self._take_waiting():
                run.start_failed(error.info())
            return
        finally:
            note.cancel()
        self._sessions.add(session)
        self._session = Session(self._cluster, session, self._thread, self.runs)
        self._attached(attached, connection)
        for run in self._take_waiting():
            self._place(run)

    async def _open(self, session: str, within: float) -> tuple[Attached, Connection]:
        """Return a new connection, and who is there. Raises CannotAttach."""
        # The first one imports Dask, which takes seconds on a busy machine: a cancel must not wait for that.
        connection: Connection = await self._thread.call_elsewhere(self._connect, self._cluster, self)
        self._connection = connection
        self._crew.begin()
        DASK_LOGS.use(self._log.put)
        try:
            attached = await attach(connection, self._cluster, session, f"taskloom-{session}", within)
        except BaseException:
            self._connection = None
            await connection.close(_CLOSE_SECONDS)
            raise
        if self._connection is not connection:  # lost again meanwhile
            await connection.close(_CLOSE_SECONDS)
            raise CannotAttach(f"cannot use {self._cluster.shown}: the connection to the Dask scheduler was lost")
        return attached, connection

    def _attached(self, attached: Attached, connection: Connection) -> None:
        session = self._session
        assert session is not None
        session.connection = connection
        self._state = State.ATTACHED
        self._attaching = None
        self._crew.take(attached, connection, session.id, self._thread.spawn)
        if attached.lack:
            self._log.warn("%s", attached.lack)

    def _take_waiting(self) -> list[RemoteRun]:
        waiting = list(self._waiting.values())
        self._waiting.clear()
        return waiting

    async def _reconnect(self) -> None:
        """Try to reach the Dask scheduler again, without end."""
        pause = FIRST_RETRY_SECONDS
        while self._state is State.CUT and self._session is not None:
            try:
                attached, connection = await self._open(self._session.id, LONGEST_RETRY_SECONDS)
            except CannotAttach as error:
                self._log.warn("%s; trying again in %s", error, duration(pause))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY_SECONDS)
                continue
            self._log.inform("connected to %s again", self._cluster.shown)
            left = self._crew.hellos.keys() - attached.hellos.keys() - set(attached.silent)
            self._attached(attached, connection)
            for address in sorted(left):
                self._leave_worker(address, "the Dask scheduler does not know it any more")
            self._session.put(io.ClusterBack())
            return

    # -- Listener: what happens on the connection

    def worker_joined(self, address: str) -> None:
        """Greet a new worker."""
        self._crew.greet(address)

    def worker_left(self, address: str, why: str) -> None:
        """Inform the session."""
        self._leave_worker(address, why)

    def _leave_worker(self, address: str, why: str) -> None:
        self._crew.forget(address)
        if self._session is not None:
            self._session.put(io.WorkerLeft(address, why))

    def _joined(self, address: str, hello: Hello) -> None:
        if self._session is not None:
            self._session.put(io.WorkerJoined(hello.worker(address)))
            self._versions.join(hello)

    def published(self, address: str, text: str) -> None:
        """Hand an event to the session."""
        if self._session is not None:
            self._session.published(address, text)

    def task_ended(self, key: str, verdict: str, why: str) -> None:
        """Hand the end of a task to the session."""
        if self._session is not None:
            self._session.task_ended(key, verdict, why)

    def connection_lost(self, why: str) -> None:
        """Go on without a connection, and try to get another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._thread.spawn(connection.close(_CLOSE_SECONDS))
        if self._state is not State.ATTACHED or self._session is None:
            return  # the attach that goes on finds it out
        self._state = State.CUT
        self._session.connection = None
        self._log.warn("lost %s: %s; trying to connect again", self._cluster.shown, why)
        self._session.put(io.ClusterLost(why))
        self._attaching = self._thread.spawn(self._reconnect())

    # -- the end

    def _run_ended(self, run: RemoteRun) -> None:
        self.runs.pop(run.order.run, None)
        if self._is_closing and not self.runs:
            self._thread.post(self._leave_if_idle)

    def _leave_if_idle(self) -> None:
        if self._is_closing and not self.runs and self._state is not State.CLOSED:
            self._state = State.CLOSED
            self._thread.spawn(self._leave())

    async def _leave(self) -> None:
        """Take leave of the cluster, and let the threads end."""
        try:
            if self._attaching is not None:
                self._attaching.cancel()
            if self._session is not None:
                self._session.put(io.SessionClosed())
                await self._session.finish(_LAST_WORDS_SECONDS)
                self._session.end()
            if self._connection is not None:
                await self._connection.close(_CLOSE_SECONDS)
            elif self._attaching is not None:
                await asyncio.wait([self._attaching], timeout=_CLOSE_SECONDS)
        finally:
            DASK_LOGS.leave(self._log.put)
            self._logs.close()
            self._thread.stop()

    def _struck(self, error: BaseException) -> None:
        """End all runs that an exception of ours has struck: nothing more is done for them, and their leases end."""
        self._record_bug(error)
        if self._state is State.CLOSED:
            return
        session, self._session = self._session, None
        connection, self._connection = self._connection, None
        attaching, self._attaching = self._attaching, None
        self._state = State.AWAY
        self._waiting.clear()
        if session is not None:
            session.end()
        if attaching is not None:
            attaching.cancel()
        stopped_by = mono() + self._cluster.lease.ttl + self._cluster.lease.grace
        for run in list(self.runs.values()):
            with suppress(Exception):
                run.struck(stopped_by)
        if connection is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._thread.spawn(connection.close(_CLOSE_SECONDS))
