"""A Dask cluster in the same process: real agents, and children that a test plays. Nothing of Dask is needed.

Everything happens on the thread of the runner, in whose event loop the connection was made; a test changes the cluster
with `do`, which waits until the change is made there.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from math import inf
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, TypeVar

from taskloom import __version__
from taskloom.clock import mono
from taskloom.core.endings import ErrorInfo, How, Reason, ReasonKind
from taskloom.core.run_reports import RunEnded, RunStarted, RunStartFailed
from taskloom.runners import Report, RunOrder
from taskloom.runners.binding import Binding, Body, TaskReference
from taskloom.runners.dask.connection import CallFailed, Connection, Listener, SeenWorker
from taskloom.runners.dask.handle import DaskHandle
from taskloom.runners.dask.hello import CannotAttach
from taskloom.runners.dask.options import Cluster
from taskloom.runners.dask.protocol import agent_io as io
from taskloom.runners.dask.protocol.agent import Agent
from taskloom.runners.dask.protocol.messages import PROTOCOL, Command, CommandKind, Lease, Request
from taskloom.runners.dask.reports import RunReportElsewhere, encode
from taskloom.runners.dask.runner import DaskRunner
from taskloom.sync.cancel_token import CancelToken

__all__ = [
    "ADDRESS",
    "WHY",
    "Child",
    "DaskBench",
    "FakeConnection",
    "SimulatedCluster",
    "SimulatedWorker",
    "dask_threads",
    "hello_of",
    "obey",
]

SOON = 20.0
ADDRESS = "tcp://127.0.0.1:8786"
WHY = Reason(ReasonKind.USER, "enough")
Result = TypeVar("Result")


def hello_of(name: str, **changes: Any) -> dict[str, Any]:
    """Return the hello of a worker that can be used, with changes."""
    told = {
        "protocol": PROTOCOL, "version": __version__, "python": "3.11.7", "executable": "/opt/bin/python",
        "host": f"host-{name}", "pid": 77, "name": name, "slots": 2, "tasks": {"countdown": f"taskloom {__version__}"},
        "problems": [], "elder": [],
    }  # fmt: skip
    return {**told, **changes}


class Child:
    """The processes of one execution, which the test plays by `cluster.do`."""

    def __init__(self, worker: SimulatedWorker, session: str, started: io.StartChild) -> None:
        self.worker = worker
        self._session = session
        self.execution = started.execution
        self.spec = started.spec
        self.commands: list[Command] = []
        self.is_entered = False

    def report(self, *reports: RunReportElsewhere) -> None:
        """Report to the program."""
        for report in reports:
            self.is_entered = self.is_entered or isinstance(report, RunStarted)
            self.handle(io.ExecutionReported(self.execution, encode(report)))

    def end(self, how: How = How.RETURNED, error: ErrorInfo | None = None, *, was_requested: bool = False) -> None:
        """Report the end, with no process left."""
        self.report(RunEnded(self.spec["run"], how, error, was_requested, callback_ran=False))
        self.handle(io.ExecutionGone(self.execution))

    def handle(self, given: io.Input) -> None:
        """Hand an input to the agent."""
        self.worker.handle(self._session, given)


class SimulatedWorker:
    """One worker with its agents by session."""

    def __init__(self, cluster: SimulatedCluster, name: str, hello: Mapping[str, Any]) -> None:
        self.address = f"tcp://10.0.0.{name[-1]}:4000"
        self.name = name
        self.hello: Mapping[str, Any] | Exception = hello
        self.requests: list[Request] = []
        self.executed = 0
        self.is_silent = False
        """Whether it answers nothing."""
        self.agents: dict[str, Agent] = {}
        self.children: dict[str, Child] = {}
        self.keys: dict[str, str] = {}
        self._cluster = cluster
        self._ids = count(1)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def execute(self, key: str, text: str) -> None:
        """Do what the function of the Dask task does."""
        call = json.loads(text)
        execution = f"{self.name}-{next(self._ids)}"
        self.keys[execution] = key
        self.handle(call["session"], io.Begun(execution, call["run"], call["spec"], Lease(**call["lease"])))

    def request(self, text: str) -> str:
        asked = Request.from_json(text)
        self.requests.append(asked)
        self.handle(asked.session, io.Requested(asked))
        return self.agents[asked.session].reply(mono()).to_json()

    def handle(self, session: str, given: io.Input) -> None:
        agent = self.agents.setdefault(session, Agent(session, f"agent-{self.name}"))
        for action in agent.handle(given, mono()):
            self._do(session, action)
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()
        due = agent.next_deadline()
        if due < inf:
            self._timers[session] = asyncio.get_running_loop().call_at(due, self.handle, session, io.Tick())

    def _do(self, session: str, action: io.Action) -> None:
        if isinstance(action, io.StartChild):
            child = self.children[action.execution] = Child(self, session, action)
            self._cluster.children.put(child)
        elif isinstance(action, io.CommandChild):
            self._command(self.children[action.command.execution], action.command)
        elif isinstance(action, io.KillChild):
            self._command(self.children[action.execution], Command(CommandKind.KILL, action.execution))
        elif isinstance(action, io.ReleaseCaller):
            self._cluster.task_ended(self.keys.pop(action.execution), action.verdict)
        elif isinstance(action, io.Publish) and not self.is_silent:
            asyncio.get_running_loop().call_soon(self._publish, session)

    def _command(self, child: Child, command: Command) -> None:
        child.commands.append(command)
        asyncio.get_running_loop().call_soon(self._cluster.on_command, child, command)

    def _publish(self, session: str) -> None:
        reply = self.agents[session].publication(mono())
        for connection in self._cluster.connections:
            if reply is not None and f"taskloom-{session}" in connection.topics:
                connection.listener.published(self.address, reply.to_json())


class SimulatedCluster:
    """The Dask scheduler and its workers."""

    def __init__(self, *names: str) -> None:
        self.workers: dict[str, SimulatedWorker] = {}
        self.connections: list[FakeConnection] = []
        """Those that are open."""
        self.failures: list[str] = []
        """Why the next attempts to connect fail; "" for one that never ends, so that it is given up."""
        self.opened = 0
        self.is_opening, self.is_open = threading.Event(), threading.Event()
        self.submitted: dict[str, FakeConnection] = {}
        self.hello: Mapping[str, Any] | Exception = hello_of("scheduler")
        self.children: SimpleQueue[Child] = SimpleQueue()
        self.on_command: Callable[[Child, Command], None] = obey
        for name in names:
            self.add(name)

    @property
    def connection(self) -> FakeConnection | None:
        """The latest that is open."""
        return self.connections[-1] if self.connections else None

    def add(self, name: str, hello: Mapping[str, Any] | Exception | None = None) -> SimulatedWorker:
        """Let a worker join. On the thread, if the runner is connected."""
        worker = SimulatedWorker(self, name, {})
        worker.hello = hello if hello is not None else hello_of(name)
        self.workers[worker.address] = worker
        for connection in self.connections:
            connection.listener.worker_joined(worker.address)
        return worker

    def remove(self, worker: SimulatedWorker) -> None:
        """Let a worker be gone."""
        del self.workers[worker.address]
        for connection in self.connections:
            connection.listener.worker_left(worker.address, "the worker is gone")

    def cut(self) -> None:
        """End the connection, as when the Dask scheduler is gone."""
        self.submitted.clear()
        self.connections.pop().listener.connection_lost("the connection was closed")

    def connect(self, cluster: Cluster, listener: Listener) -> Connection:
        """Take the place of `connect_by_dask`."""
        return FakeConnection(self, cluster, listener)

    def task_ended(self, key: str, verdict: str) -> None:
        connection = self.submitted.pop(key, None)
        if connection is not None:
            connection.loop.call_soon_threadsafe(connection.listener.task_ended, key, verdict, "")

    def child(self) -> Child:
        """Wait for the next run that is granted and started. For the test's thread."""
        return self.children.get(timeout=SOON)


def obey(child: Child, command: Command) -> None:
    """End a run that is requested to stop, as most do."""
    if command.kind == CommandKind.CANCEL:
        child.end(How.CANCELLED if child.is_entered else How.NOT_ENTERED, was_requested=True)
    elif command.kind == CommandKind.KILL:
        child.end(How.KILLED, ErrorInfo("Killed", "SIGKILL after 1.0 s", "", is_explained=True), was_requested=True)


class FakeConnection:
    """One connection to a simulated cluster."""

    def __init__(self, cluster: SimulatedCluster, options: Cluster, listener: Listener) -> None:
        self.cluster = cluster
        self.options = options
        self.listener = listener
        self.topics: list[str] = []
        self.closed = threading.Event()
        self.loop: asyncio.AbstractEventLoop

    async def open(self, within: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.cluster.opened += 1
        self.cluster.is_opening.set()
        if self.cluster.failures:
            refusal = self.cluster.failures.pop(0)
            if not refusal:
                await asyncio.Event().wait()
            raise CannotAttach(refusal)
        self.cluster.connections.append(self)
        self.cluster.is_open.set()

    async def workers(self) -> list[SeenWorker]:
        return [SeenWorker(each.address, each.name, each.address[6:].partition(":")[0]) for each in self._workers()]

    def _workers(self) -> list[SimulatedWorker]:
        return list(self.cluster.workers.values())

    async def hello_scheduler(self, text: str, within: float) -> str:
        return _said(self.cluster.hello)

    async def hello(self, address: str, text: str, within: float) -> str:
        return _said(self._worker(address).hello)

    async def request(self, address: str, text: str, within: float) -> str:
        worker = self._worker(address)
        if self not in self.cluster.connections:
            raise CallFailed("the connection is closed")
        if worker.is_silent:
            await asyncio.Event().wait()
        return worker.request(text)

    def _worker(self, address: str) -> SimulatedWorker:
        if address not in self.cluster.workers:
            raise CallFailed("it is not a worker of the cluster any more")
        return self.cluster.workers[address]

    def subscribe(self, topic: str) -> None:
        self.topics.append(topic)

    def submit(self, key: str, text: str, workers: Sequence[str], resources: Sequence[tuple[str, float]]) -> None:
        self.cluster.submitted[key] = self
        worker = min((self.cluster.workers[each] for each in workers), key=lambda each: each.executed)
        worker.executed += 1
        self.loop.call_soon(worker.execute, key, text)

    def withdraw(self, key: str) -> None:
        self.cluster.task_ended(key, "cancelled")

    def drop(self, key: str) -> None:
        self.cluster.submitted.pop(key, None)

    async def close(self, within: float) -> None:
        if self in self.cluster.connections:
            self.cluster.connections.remove(self)
        self.closed.set()

    def leave_behind(self) -> None:
        pass


def _said(hello: Mapping[str, Any] | Exception) -> str:
    if isinstance(hello, Exception):
        raise hello
    return json.dumps(dict(hello))


class DaskBench:
    """A DaskRunner on a simulated cluster, and its reports."""

    def __init__(self, *names: str) -> None:
        self.cluster = SimulatedCluster(*names)
        self.bugs: list[BaseException] = []
        self.runner = DaskRunner(self.cluster.connect)
        self.runner.record_bug = self.bugs.append
        self.handles: dict[str, DaskHandle] = {}
        self.tokens: dict[str, CancelToken] = {}
        self.reports: list[Report] = []
        self._changed = threading.Condition()

    def emit(self, report: Report) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def start(
        self, job: str = "job", options: Mapping[str, Any] = MappingProxyType({}), *, task: str = "task", **changes: Any
    ) -> DaskHandle:
        """Start a run."""
        name = f"{job}#{len(self.handles) + 1}"
        reference = changes.pop("reference", TaskReference("somewhere", "task", {"n": 3}, "somewhere.task"))
        binding = Binding(lambda: Body(lambda ctx: None, None), refer=lambda: reference, label=reference.label)
        written = {"scheduler": ADDRESS, **options}
        order = RunOrder(name, job, task, 1, 1, False, 0.5, binding, written)._replace(**changes)
        self.tokens[name] = CancelToken(run=name)
        handle = self.handles[name] = self.runner.start(order, self.tokens[name], self.emit)
        return handle

    def begun(self, job: str = "job", **options: Any) -> tuple[DaskHandle, Child]:
        """Start a run and let it begin."""
        handle = self.start(job, options)
        child = self.cluster.child()
        self.do(lambda: child.report(RunStarted(handle.run, True)))
        self.wait_for(lambda: RunStarted(handle.run, True) in self.reports)
        return handle, child

    def cancel(self, handle: DaskHandle) -> None:
        """Request the run to stop, as a scheduler does."""
        token = self.tokens[handle.run]
        token.request(WHY)
        token.wake()

    def do(self, change: Callable[[], Result]) -> Result:
        """Change the cluster on the thread of the runner; return what the change returns."""
        assert self.cluster.connection is not None
        return self.do_in(self.cluster.connection.loop, change)

    def do_in(self, loop: asyncio.AbstractEventLoop, change: Callable[[], Result]) -> Result:
        """Do the same for a cluster to which there is no connection."""
        done: Future[Result] = Future()

        def call() -> None:
            try:
                done.set_result(change())
            except BaseException as error:  # noqa: BLE001 - for the test
                done.set_exception(error)

        loop.call_soon_threadsafe(call)
        return done.result(SOON)

    def wait_for(self, is_true: Callable[[], bool]) -> None:
        """Wait until this is true after a report."""
        with self._changed:
            assert self._changed.wait_for(is_true, SOON), self.reports

    def ends(self) -> list[RunEnded | RunStartFailed]:
        return [report for report in self.reports if isinstance(report, RunEnded | RunStartFailed)]

    def end(self, handle: DaskHandle) -> RunEnded | RunStartFailed:
        """Wait until the run has ended; return how."""
        assert handle.join(SOON), self.reports
        (found,) = [end for end in self.ends() if end.run == handle.run]
        return found

    def kinds(self) -> list[str]:
        """Return the kinds of the reports so far."""
        return [type(report).__name__ for report in self.reports]

    def close(self) -> None:
        """End everything, and check that no thread is left."""
        for handle in self.handles.values():
            if handle.is_alive():
                self.cancel(handle)
        for handle in self.handles.values():
            assert handle.join(SOON), handle
        self.runner.close()
        assert self.runner.join(SOON)
        for thread in dask_threads():
            if thread.name == "taskloom-dask-import":  # no end waits for an import
                thread.join(SOON)
        assert not dask_threads(), dask_threads()


def dask_threads() -> list[threading.Thread]:
    """Return the threads of all clusters."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("taskloom-dask")]
