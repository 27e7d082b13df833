"""The functions that a program calls by name in the workers of a cluster, and on its Dask scheduler.

All take and return JSON text: no class of ours or of a user is ever pickled. This module is imported wherever Dask
unpickles their names, so it imports next to nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
from _thread import allocate_lock
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from taskloom.runners.dask.agent_shell import AgentShell, Call, Question

__all__ = ["execute", "execute_on", "hello", "hello_scheduler", "request"]

DRAIN_SECONDS = 8.0
"""How long a worker that closes waits for its runs. A nanny that gets TERM kills its worker after 8 s."""

# The agents of each worker object of this process by session, and the lock for both.
_AGENTS: WeakKeyDictionary[Any, dict[str, AgentShell]] = WeakKeyDictionary()
_LOCK = allocate_lock()


def execute(text: str) -> str:
    """Execute one run, if the program grants it; the function of a Dask task. Returns what became of it.

    That is `ended`, `denied`, `unclaimed`, `cancelled` or `closing`. `text`: the session, the run, the terms of the
    lease and the spec. Blocks until nothing of the run is left.
    """
    from distributed import get_worker

    return execute_on(get_worker(), text)


def execute_on(worker: Any, text: str) -> str:
    """Execute one run on this worker, by a thread that executes one of its tasks."""
    from queue import SimpleQueue
    from secrets import token_hex

    from taskloom.runners.dask.agent_shell import Call
    from taskloom.runners.dask.protocol.agent_io import Begun
    from taskloom.runners.dask.protocol.messages import Lease

    call = json.loads(text)
    verdicts: SimpleQueue[str] = SimpleQueue()
    lease = Lease(*(float(call["lease"][name]) for name in Lease._fields))
    begun = Begun(token_hex(8), call["run"], call["spec"], lease)
    _put(worker, call["session"], Call(begun, str(worker.get_current_task()), verdicts.put))
    return verdicts.get()


async def request(text: str, dask_worker: Any = None) -> str:
    """Pass a Request to the agent of its session, which is made if there is none, and return the Reply.

    Raises ProtocolError if the text is not a Request. The event loop only waits.
    """
    from taskloom.runners.dask.agent_shell import Question
    from taskloom.runners.dask.protocol.messages import Request

    asked = Request.from_json(text)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[str] = loop.create_future()

    def set_answer(reply: str | BaseException) -> None:
        if answered.done():
            return  # the program has given up
        if isinstance(reply, str):
            answered.set_result(reply)
        else:
            answered.set_exception(RuntimeError(f"an exception struck the agent: {reply!r}"))

    def answer(reply: str | BaseException) -> None:
        try:
            loop.call_soon_threadsafe(set_answer, reply)
        except RuntimeError:
            pass  # the loop of the worker was closed

    _put(dask_worker, asked.session, Question(asked, answer))
    return await answered


async def hello(text: str, dask_worker: Any = None) -> str:
    """Return what this worker is, and which runs of other programs it executes."""
    from taskloom.runners.dask.dask_worker import DaskWorker

    # The first one reads the metadata of all distributions, and imports what the agents need.
    here = await asyncio.to_thread(_describe)
    from taskloom.runners.dask.drain import add_drain

    await add_drain(dask_worker, _drain)
    worker = DaskWorker(dask_worker)
    session = json.loads(text)["session"]
    return _to_json({**here, "name": worker.name, "slots": worker.slots, "elder": _elder(dask_worker, session)})


async def _drain(worker: Any) -> None:
    """Wait until the runs of a worker that closes have ended and their ends were sent, at most DRAIN_SECONDS."""
    from taskloom.runners.dask.agent_shell import Drain

    loop = asyncio.get_running_loop()
    drained: list[asyncio.Future[None]] = []
    with _LOCK:  # an agent that ends at this moment is not in the table any more, or finds the message
        for shell in _AGENTS.get(worker, {}).values():
            drained.append(loop.create_future())
            shell.put(Drain(partial(_set_done, loop, drained[-1])))
    if drained:
        await asyncio.wait(drained, timeout=DRAIN_SECONDS)


def _set_done(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    """Set the result of the future, from another thread, unless the loop was closed meanwhile."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(future.set_result, None)


def hello_scheduler(text: str) -> str:  # noqa: ARG001 - as for the workers
    """Return what the process of the Dask scheduler is: it imports this module to read the tasks."""
    from taskloom import __version__
    from taskloom.runners.dask.extra import problems_here
    from taskloom.runners.dask.protocol.messages import PROTOCOL

    here = {"protocol": PROTOCOL, "version": __version__, **_interpreter()}
    return _to_json({**here, "tasks": {}, "problems": problems_here()})


def _describe() -> dict[str, Any]:
    import taskloom.runners.dask.agent_shell  # noqa: F401 - here, and not on the event loop with the first request
    from taskloom import __version__
    from taskloom.runners.dask.place import place
    from taskloom.runners.dask.protocol.messages import PROTOCOL

    here = place()
    return {
        "protocol": PROTOCOL,
        "version": __version__,
        **_interpreter(),
        "tasks": dict(here.tasks),
        "problems": list(here.problems),
    }


def _interpreter() -> dict[str, Any]:
    import platform
    import socket
    import sys

    return {
        "python": platform.python_version(),
        "executable": sys.executable or "",
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def _elder(worker: Any, session: str) -> list[dict[str, Any]]:
    """Return the other sessions that have runs here, and by when these have stopped if nothing renews the lease."""
    with _LOCK:
        shells = [shell for other, shell in _AGENTS.get(worker, {}).items() if other != session]
    found = [(shell.session, shell.live_runs()) for shell in shells]
    return [
        {"session": other, "runs": sorted(runs), "stopped_by_seconds": max(runs.values())}
        for other, runs in found
        if runs
    ]


def _to_json(data: dict[str, Any]) -> str:
    from taskloom.text import to_json

    return to_json(data, is_ascii=True)


def _put(worker: Any, session: str, message: Call | Question) -> None:
    """Pass a message to the agent of the session, which is made if there is none. Raises RuntimeError without threads.

    Under the lock: an agent that ends at this moment is not in the table any more, or finds the message.
    """
    from taskloom.runners.dask.agent_shell import AgentShell
    from taskloom.runners.dask.dask_worker import DaskWorker

    def forget(shell: AgentShell) -> bool:
        with _LOCK:
            agents = _AGENTS.get(worker, {})
            if shell.has_messages:
                return False
            if agents.get(session) is shell:
                del agents[session]
            return True

    with _LOCK:
        agents = _AGENTS.setdefault(worker, {})
        shell = agents.get(session)
        if shell is None:
            shell = AgentShell(DaskWorker(worker), session, forget)
            shell.start()
            agents[session] = shell
        shell.put(message)
