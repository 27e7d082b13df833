"""The first conversation with a cluster: whether its Dask scheduler and its workers can be used by this program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from taskloom.diagnostics import near_match, quoted
from taskloom.runners.dask.connection import CallFailed, Connection, SeenWorker
from taskloom.runners.dask.hello import CannotAttach, Hello, hello_text, odd_hosts, read_hello, why_unsuitable
from taskloom.runners.wire_lines import ProtocolError
from taskloom.text import first_of, suggest

if TYPE_CHECKING:
    from taskloom.runners.dask.options import Cluster

__all__ = ["HELLO_SECONDS", "Attached", "Unsuitable", "attach", "greet", "is_wanted"]

HELLO_SECONDS = 10.0
"""A worker may import Taskloom for its hello, beside all that it does already."""

# In one line of a message.
_MOST_NAMED = 5


class Unsuitable(Exception):
    """A worker cannot be used, whatever is tried; the message says why. `hello`: what it has said, if it has."""

    def __init__(self, why: str, hello: Hello | None = None) -> None:
        super().__init__(why)
        self.hello = hello


class Attached(NamedTuple):
    """The cluster as it was found."""

    hellos: Mapping[str, Hello]
    """The hellos of the workers that can be used, by address."""
    silent: tuple[str, ...]
    """The addresses of workers that have not answered yet."""
    lack: str = ""
    """Why no run could begin on what is there now, in words; "" if one could."""


async def attach(connection: Connection, cluster: Cluster, session: str, topic: str, within: float) -> Attached:
    """Connect, and ask all. Raises CannotAttach if nothing is there, or if one of the hosts does not fit."""
    await connection.open(within)
    try:
        connection.subscribe(topic)
        seen = await connection.workers()
        asked = [ask_scheduler(connection, session), *(greet(connection, each.address, session) for each in seen)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    except CallFailed as error:
        raise CannotAttach(f"cannot use {cluster.shown}: the Dask scheduler does not answer: {error}") from None
    return _judged(cluster, seen, answers)


def _judged(cluster: Cluster, seen: list[SeenWorker], answers: list[Hello | BaseException]) -> Attached:
    hellos: dict[str, Hello] = {}
    odd: list[tuple[str, str, str]] = []
    silent = []
    for worker, answer in zip([None, *seen], answers, strict=True):
        if isinstance(answer, Unsuitable):
            if worker is None or is_wanted(worker, answer.hello, cluster):
                odd.append(_row(worker, answer))
        elif isinstance(answer, CallFailed):
            if worker is None:
                raise CannotAttach(f"cannot use {cluster.shown}: the Dask scheduler does not answer: {answer}")
            silent.append(worker.address)
        elif isinstance(answer, BaseException):
            raise answer
        elif worker is not None and is_wanted(worker, answer, cluster):
            hellos[worker.address] = answer
    if odd:
        raise odd_hosts(cluster.shown, odd, len(answers))
    return Attached(hellos, tuple(silent), why_none_fits(cluster, seen, hellos))


def _row(worker: SeenWorker | None, error: Unsuitable) -> tuple[str, str, str]:
    hello = error.hello
    interpreter = hello.executable if hello is not None else ""
    if worker is None:
        return "the Dask scheduler", interpreter or "-", str(error)
    return f"worker {worker.name} on {hello.host if hello else worker.host}", interpreter or "-", str(error)


async def ask_scheduler(connection: Connection, session: str) -> Hello:
    """Return the hello of the Dask scheduler. Raises CallFailed or Unsuitable."""
    return _fit(await _answer(connection.hello_scheduler(hello_text(session), HELLO_SECONDS)))


async def greet(connection: Connection, address: str, session: str) -> Hello:
    """Return the hello of one worker. Raises CallFailed or Unsuitable."""
    return _fit(await _answer(connection.hello(address, hello_text(session), HELLO_SECONDS)))


async def _answer(call: Awaitable[str]) -> Hello:
    try:
        return read_hello(await call)
    except CallFailed as error:
        if error.is_final:
            raise Unsuitable(f"cannot import Taskloom ({error})") from None
        raise
    except ProtocolError as error:
        raise Unsuitable(str(error)) from None


def _fit(hello: Hello) -> Hello:
    why = why_unsuitable(hello)
    if why:
        raise Unsuitable(why, hello)
    return hello


def is_wanted(worker: SeenWorker, hello: Hello | None, cluster: Cluster) -> bool:
    """Return whether the options allow the worker: by its name, or by the name or the address of its host."""
    names = {worker.name, worker.host, hello.host if hello is not None else worker.host}
    return not cluster.workers or not names.isdisjoint(cluster.workers)


def why_none_fits(cluster: Cluster, seen: Sequence[SeenWorker], usable: Container[str]) -> str:
    """Return why no run could begin on the workers that were seen, of which some can be used; "" if one could."""
    known = [each for each in seen if each.address in usable]
    if not known and cluster.workers and seen and not any(is_wanted(each, None, cluster) for each in seen):
        names = sorted({each.name or each.host for each in seen})
        meant = next(filter(None, (near_match(each, names) for each in cluster.workers)), None)
        needed = " or ".join(quoted(each) for each in cluster.workers[:_MOST_NAMED])
        there = f"{first_of(names, _MOST_NAMED)}{suggest(meant, before='; ')}"
        return f"{cluster.shown} has no worker {needed}: its runs wait until there is one; known: {there}"
    if not known:
        return f"{cluster.shown} has no worker yet: its runs wait until there is one"
    if any(all(each.resources.get(name, 0.0) >= amount for name, amount in cluster.resources) for each in known):
        return ""
    needed = ", ".join(f"{name}: {amount:g}" for name, amount in cluster.resources)
    offered = sorted({f"{name}: {amount:g}" for each in known for name, amount in each.resources.items()})
    there = f"they have {first_of(offered, _MOST_NAMED)}" if offered else "they have none"
    return f"no worker of {cluster.shown} has the resources {{{needed}}}: its runs wait until one has; {there}"
