"""A worker of Dask without Dask, and a program that talks to the agent in it: the agent and the runs are real."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from importlib import import_module
from queue import SimpleQueue
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.support import dask_tasks

from taskloom import __version__
from taskloom.core.endings import Reason, ReasonKind
from taskloom.runners.dask import on_worker
from taskloom.runners.dask.protocol.agent_io import Tick
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Entry, Lease, Reply, Request
from taskloom.runners.dask.reports import RunReportElsewhere, decode
from taskloom.text import to_json

__all__ = ["SHORT", "WHY", "ClusterProgram", "FakeWorker", "WorkerProgram", "spec_of"]

# Reached only when a test fails.
SOON = 60.0
WHY = Reason(ReasonKind.USER, "enough")
# The processes of a run begin within it, also on a machine that is busy.
SHORT = Lease(ttl=2.0, grace=1.0, period=0.5, claim_wait=30.0)


def spec_of(task: Callable[..., object], run: str, **changed: Any) -> dict[str, Any]:
    """Return what a program sends for a run of a task."""
    return {
        "version": __version__, "job": run.partition("#")[0], "run": run, "task": task.__name__, "attempt": 1,
        "replica": 0, "daemon": False, "poll_interval": 0.5, "module": dask_tasks.__name__,
        "qualname": task.__name__, "params": {}, "values": {}, "label": f"{dask_tasks.__name__}:{task.__name__}",
        "log_levels": {"": 20}, "options": {}, **changed,
    }  # fmt: skip


class _Plugin:
    """A plugin of a worker without Dask."""


def _import_drain() -> None:
    """Import the plugin without Dask, which changes its process for good: its logs, and how distributions are found."""
    if "distributed" not in sys.modules:
        without = ModuleType("distributed")
        without.WorkerPlugin = _Plugin  # type: ignore[attr-defined]
        with patch.dict(sys.modules, {"distributed": without}):
            drain = import_module("taskloom.runners.dask.drain")
        sys.modules[drain.__name__] = drain


class FakeWorker:
    """What the agent uses of a worker of Dask. A test sets `status` and the states of its tasks."""

    def __init__(self) -> None:
        self.name = "worker-1"
        self.status = SimpleNamespace(name="running")
        self.state = SimpleNamespace(nthreads=4, tasks={})
        self.plugins: dict[str, Any] = {}
        self.events: SimpleQueue[tuple[str, dict[str, str]]] = SimpleQueue()

    def get_current_task(self) -> str:
        return f"key of {threading.current_thread().name}"

    async def plugin_add(self, plugin: Any, name: str) -> None:
        self.plugins[name] = plugin

    def log_event(self, topic: str, event: dict[str, str]) -> None:
        self.events.put((topic, event))


class WorkerProgram:
    """One session of a program, as far as one worker sees it."""

    def __init__(self, worker: Any, session: str = "session", lease: Lease = Lease()) -> None:  # noqa: B008
        self.worker = worker
        self.session = session
        self.lease = lease
        self.reply = Reply(session, "", 0.0, (), {}, 0)
        self.entries: list[Entry] = []
        self.threads: list[threading.Thread] = []
        self._stamp: float | None = None
        self._sequence = itertools.count(1)
        self._granted: list[str] = []

    def _call_request(self, text: str) -> str:
        return asyncio.run(on_worker.request(text, self.worker))

    def _await_event(self) -> None:
        topic, event = self.worker.events.get(timeout=SOON)
        assert topic == f"taskloom-{self.session}"
        self._take(Reply.from_json(event["reply"]))

    def execute(self, spec: Mapping[str, Any]) -> Any:
        """Have our function called as Dask does; return its verdict."""
        text = to_json({"session": self.session, "run": spec["run"], "lease": self.lease._asdict(), "spec": spec})
        return self._call_execute(str(spec["run"]), text)

    def _call_execute(self, run: str, text: str) -> Any:
        """Call it on a thread."""
        verdict: Future[str] = Future()

        def call() -> None:
            try:
                verdict.set_result(on_worker.execute_on(self.worker, text))
            except BaseException as error:  # noqa: BLE001 - for the test
                verdict.set_exception(error)

        thread = threading.Thread(target=call, name=run)
        self.threads.append(thread)
        thread.start()
        return verdict

    def request(self, commands: Sequence[Command] = (), *, agent: str = "", expects: bool = True) -> Reply:
        """Send a request and take its reply."""
        request = Request(
            self.session, next(self._sequence), agent, self._stamp, self.lease, self._last,
            tuple(self._granted) if expects else None, tuple(commands),
        )  # fmt: skip
        return self._take(Reply.from_json(self._call_request(request.to_json())))

    def begin(self, spec: Mapping[str, Any]) -> tuple[str, Any]:
        """Execute and grant; return the id of the execution, and its verdict."""
        verdict = self.execute(spec)
        execution = self.claim(spec["run"])
        self.grant(execution)
        return execution, verdict

    def claim(self, run: str) -> str:
        """Wait for the claim of a run; return the execution."""
        return self.wait_for(lambda entry: entry.kind == "claim" and entry.data["run"] == run).execution

    def grant(self, *executions: str) -> None:
        """Grant executions. The lease begins with the first request: without a stamp there is none."""
        if self._stamp is None:
            self.request()
        self._granted += executions
        self.request([Command(CommandKind.GRANT, execution) for execution in executions])

    def command(self, kind: str, *executions: str, reason: Reason | None = None, number: float = 0.0) -> Reply:
        """Send a command."""
        return self.request([Command(kind, execution, reason, number) for execution in executions])

    def cancel(self, *executions: str) -> None:
        """Cancel executions."""
        self.command(CommandKind.CANCEL, *executions, reason=WHY)

    def wait_for(self, is_wanted: Callable[[Entry], bool]) -> Entry:
        """Wait for an entry: with the events of the worker, in which nothing is lost here."""
        while True:
            for entry in self.entries:
                if is_wanted(entry):
                    return entry
            self._await_event()

    def report(self, execution: str, kind: type[Any]) -> Any:
        """Wait for a report of this kind."""
        found = self.wait_for(lambda entry: entry.execution == execution and type(_report(entry)) is kind)
        return _report(found)

    def waits(self, execution: str) -> None:
        """Wait until the task waits to be stopped."""
        self.wait_for(lambda entry: entry.execution == execution and entry.data.get("poll", {}).get("waiting") is True)

    def reports(self, execution: str) -> list[RunReportElsewhere]:
        """Return the reports that have come."""
        reports = [_report(entry) for entry in self.entries if entry.execution == execution]
        return [report for report in reports if report is not None]

    def gone(self, execution: str) -> None:
        """Wait until nothing of the execution is left."""
        self.wait_for(lambda entry: entry.kind == "gone" and entry.execution == execution)

    def hello(self) -> dict[str, Any]:
        """Return the hello of the worker."""
        _import_drain()
        text = to_json({"protocol": 1, "version": __version__, "session": self.session})
        found: dict[str, Any] = json.loads(asyncio.run(on_worker.hello(text, self.worker)))
        return found

    @property
    def _last(self) -> int:
        return self.entries[-1].number if self.entries else 0

    def _take(self, reply: Reply) -> Reply:
        if self.reply.agent and reply.agent != self.reply.agent:
            self.entries, self._granted = [], []
        assert reply.after <= self._last, "entries are missing"
        self.entries += [entry for entry in reply.entries if entry.number > self._last]
        self._stamp = reply.stamp
        self.reply = reply
        return reply

    def end(self) -> None:
        """End all that is left, and the agent."""
        for shell in list(on_worker._AGENTS.get(self.worker, {}).values()):
            self.worker.status = SimpleNamespace(name="closed")
            for child in list(shell._children.values()):
                child.kill("the test is over")
            shell._status_at = 0.0
            shell.put(Tick())
            assert shell.join(SOON)
        for thread in self.threads:
            thread.join(SOON)
            assert not thread.is_alive()


class ClusterProgram(WorkerProgram):
    """The same with a worker of a real cluster. `client`: of Dask. It asks the worker, and awaits no events."""

    def __init__(self, client: Any, address: str, session: str = "session", lease: Lease = Lease()) -> None:  # noqa: B008
        super().__init__(None, session, lease)
        self._client = client
        self._address = address

    def _call_execute(self, run: str, text: str) -> Any:
        return self._client.submit(on_worker.execute, text, key=run, pure=False, retries=0, workers=[self._address])

    def _call_request(self, text: str) -> str:
        return str(self._client.run(on_worker.request, text, workers=[self._address])[self._address])

    def _await_event(self) -> None:
        self.request()


def _report(entry: Entry) -> RunReportElsewhere | None:
    return decode("run", entry.data) if entry.kind in ("report", "log") else None
