"""The workers of a cluster: greets each that joins, and knows those that can be used.

A worker that cannot be used is named once in a warning. One that does not answer is asked again a few times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Set
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono
from taskloom.runners.dask.attach import Unsuitable, greet, is_wanted
from taskloom.runners.dask.connection import CallFailed, SeenWorker
from taskloom.text import first_of, rough

if TYPE_CHECKING:
    from taskloom.runners.dask.attach import Attached
    from taskloom.runners.dask.connection import Connection
    from taskloom.runners.dask.hello import Hello
    from taskloom.runners.dask.options import Cluster

__all__ = ["Crew"]

# Before each attempt to greet a worker, in seconds.
_PAUSES = (0.0, 1.0, 5.0, 15.0)

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Crew:
    """The workers. `joined` is called with each that can be used, `warn` with a format and its values."""

    def __init__(
        self,
        cluster: Cluster,
        joined: Callable[[str, Hello], object],
        warn: Callable[..., object],
        own_sessions: Set[str] = frozenset(),
    ) -> None:
        self.hellos: dict[str, Hello] = {}
        """The hellos of the workers that can be used, by address."""
        self._cluster = cluster
        self._joined = joined
        self._warn = warn
        self._own_sessions = own_sessions
        self._connection: Connection | None = None
        self._session = ""
        self._spawn: Spawn | None = None
        # Until when runs of another session of these jobs may be left, in monotonic seconds.
        self._held: dict[str, float] = {}
        # Seen before the list of workers has come.
        self._early: dict[str, None] = {}
        self._asked: set[str] = set()
        self._named: set[str] = set()

    def begin(self) -> None:
        """Called when a connection is being made: a worker that joins from now on is greeted once it is there."""
        self._connection = None
        self._early.clear()
        self._asked.clear()

    def take(self, attached: Attached, connection: Connection, session: str, spawn: Spawn) -> None:
        """Take what the attach has found."""
        self._connection, self._session, self._spawn = connection, session, spawn
        self._hold(attached.hellos.values())
        for address, hello in attached.hellos.items():
            self._take(address, hello)
        for address in dict.fromkeys([*attached.silent, *self._early]):
            self.greet(address)
        self._early.clear()

    def greet(self, address: str) -> None:
        """Ask a worker, unless it is known or being asked."""
        if self._connection is None or self._spawn is None:
            self._early[address] = None
        elif address not in self.hellos and address not in self._asked:
            self._asked.add(address)
            self._spawn(self._greet(self._connection, address))

    def forget(self, address: str) -> None:
        """Called when the worker is gone; another one may come to its address."""
        self.hellos.pop(address, None)
        self._early.pop(address, None)
        self._asked.discard(address)

    def held_until(self, job: str) -> float:
        """Return when no run of the job is left that this program has started before it was killed and started again.

        Those of its own sessions, on a cluster that it is leaving, do not count: the core waits for them.
        Runs of an equal job of another program look the same, so a start waits for them once, and not any longer.
        """
        return self._held.get(job, 0.0)

    def _hold(self, hellos: Iterable[Hello]) -> None:
        now = mono()
        left: dict[str, float] = {}
        for elder in (each for hello in hellos for each in hello.elder if each.session not in self._own_sessions):
            for run in elder.runs:
                job = run.partition("#")[0]
                left[job] = max(left.get(job, 0.0), now + elder.stopped_by_seconds)
        self._held = left
        if left:
            text = "%s still executes runs of another session; starts of %s wait for at most %s"
            self._warn(text, self._cluster.shown, first_of(sorted(left), 5), rough(max(left.values()) - now))

    def has_task(self, task: str) -> bool:
        """Return whether a worker has the task; also if there is no worker yet, or no task is needed."""
        return not task or not self.hellos or any(task in hello.tasks for hello in self.hellos.values())

    async def _greet(self, connection: Connection, address: str) -> None:
        why = ""
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            if not self._is_asked(connection, address):
                return
            try:
                hello = await greet(connection, address, self._session)
            except CallFailed as error:
                why = str(error)
                continue
            except Unsuitable as error:
                self._refuse(connection, address, str(error), error.hello)
                return
            await self._admit(connection, address, hello)
            return
        self._refuse(connection, address, f"does not answer: {why}", None)

    async def _admit(self, connection: Connection, address: str, hello: Hello) -> None:
        if self._cluster.workers:
            try:
                seen = {each.address: each for each in await connection.workers()}
            except CallFailed:
                seen = {}
            if not is_wanted(seen.get(address, SeenWorker(address, hello.name, hello.host)), hello, self._cluster):
                return
        if self._is_asked(connection, address):
            self._asked.discard(address)
            self._take(address, hello)

    def _is_asked(self, connection: Connection, address: str) -> bool:
        """Return whether the worker and the connection are still there."""
        return connection is self._connection and address in self._asked

    def _take(self, address: str, hello: Hello) -> None:
        self.hellos[address] = hello
        self._joined(address, hello)

    def _refuse(self, connection: Connection, address: str, why: str, hello: Hello | None) -> None:
        if not self._is_asked(connection, address) or address in self._named:
            return
        if hello is not None and not is_wanted(SeenWorker(address, hello.name, hello.host), hello, self._cluster):
            return
        self._named.add(address)
        place = f"{hello.name} on {hello.host} ({hello.executable})" if hello is not None else f"at {address}"
        self._warn("%s: worker %s is not used: it %s", self._cluster.shown, place, why)
