"""A connection to a Dask scheduler by Dask's own client. The only module of the program's side that imports Dask."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskloom.runners.dask.connection import CallFailed, Listener, SeenWorker
from taskloom.runners.dask.dask_logs import DASK_LOGS, attributed_logs
from taskloom.runners.dask.hello import CannotAttach
from taskloom.text import duration

with attributed_logs(DASK_LOGS, is_imported="distributed" in sys.modules):
    from distributed import Client, Future, Security
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker
    from distributed.versions import VersionMismatchWarning

from taskloom.runners.dask import on_worker

if TYPE_CHECKING:
    from taskloom.runners.dask.options import Cluster

__all__ = ["DaskClient", "root_cause"]

_LONGEST_REASON = 300
_PROBE_SECONDS = 1.0
_UNREADABLE = re.compile(r"""(ModuleNotFoundError|ImportError|AttributeError)\((?:'|")(.*)(?:'|")\)""")


class _WatchedClient(Client):
    """A client that says at once when its stream is gone, and does not connect again by itself.

    Its two methods, and `Client._close`, are private names of Dask, since its public API does not suffice:
    - Dask connects again with the same client, for `timeout` seconds, and then stays closed for good. The new
      connection has none of our topics, and the Dask scheduler has dropped our tasks. No call says so.
    - `Client.status` has to be polled, and a Dask scheduler that starts again within a tenth of a second is missed.
      If the Dask scheduler ends the stream in good order, it stays "running".
    - Calls such as `run` use other connections, which say nothing about the stream.
    - A future is cancelled when the stream breaks, not when it ends, and an idle program has no future.
    - `close` waits 2 s for a Dask scheduler that hangs, and if it is cancelled then, the client may connect again.

    tests/runners/dask/test_private_names.py checks the names, and tests/runners/dask/cluster what they do; both were
    tried with the releases 2026.7.0 and 2026.8.0.
    """

    on_lost: Callable[[str], None]

    async def _reconnect(self) -> None:
        self.scheduler_comm = None  # ends the loop that reads

    async def _handle_report(self) -> None:
        try:
            await super()._handle_report()
        finally:
            if self.status not in ("closing", "closed"):
                self.on_lost("the connection to the Dask scheduler was closed")


_NEW_CLIENT: Any = _WatchedClient


class DaskClient:
    """One connection."""

    def __init__(self, cluster: Cluster, listener: Listener) -> None:
        self._cluster = cluster
        self._listener = listener
        # Any: Dask says only of some functions what they return.
        self._client: Any = None
        self._is_lost = False
        self._topics: list[str] = []
        self._watches: dict[str, tuple[Any, asyncio.Task[None]]] = {}
        # The loop refers to its tasks only weakly.
        self._calls: set[asyncio.Future[Any]] = set()

    async def open(self, within: float) -> None:
        """Connect. Raises CannotAttach."""
        await self.connect(str(self._cluster.scheduler), self._security(), within)

    async def connect(self, address: str, security: Security, within: float) -> None:
        """Connect to this address. Raises CannotAttach."""
        # The hello checks the versions, so this warning is ignored. Set each time: others may reset the filters.
        warnings.filterwarnings("ignore", category=VersionMismatchWarning)
        client: Any = None
        try:
            async with asyncio.timeout(within + 1.0):
                client = _NEW_CLIENT(
                    address,
                    asynchronous=True,
                    set_as_default=False,
                    security=security,
                    timeout=within,
                    name="taskloom",
                    direct_to_workers=False,
                )
                client.on_lost = self._lost
                await client
            if self._is_lost:  # Dask reads the stream before we go on here, and does not say twice that it is gone
                raise ConnectionError("the connection to the Dask scheduler was closed")
        except Exception as error:  # noqa: BLE001 - of the system, of TLS or of Dask
            await _close(client, 0.5)
            is_silent = isinstance(root_cause(error), TimeoutError | asyncio.CancelledError)
            why = await self._why_silent(within) if is_silent else self._why_not(error, within)
            raise CannotAttach(why) from None
        except BaseException:  # cancelled
            await _close(client, 0.2)
            raise
        self._client = client
        # Before the first list of workers: one that joins in between is seen twice, and never missed.
        client.subscribe_topic("all", self._on_cluster_event)
        self._topics.append("all")

    def _security(self) -> Security:
        tls = self._cluster.tls
        if tls is None:
            return Security(require_encryption=False)
        return Security(
            require_encryption=True,
            tls_ca_file=tls.ca_file,
            tls_client_cert=tls.cert_file,
            tls_client_key=tls.key_file or tls.cert_file,
        )

    def _why_not(self, error: BaseException, within: float) -> str:
        name, cause = self._cluster.shown, root_cause(error)
        if isinstance(cause, FileNotFoundError | PermissionError) and cause.filename:
            return f"cannot use {name}: {cause.filename}: {cause.strerror}"
        text = _text_of(cause)
        if type(cause).__name__.startswith("SSL") or "SSL" in text or "certificate" in text:
            return f"cannot use {name}: TLS: {text}; see that ca_file has signed the certificates of both sides"
        return f"cannot reach {name} within {duration(within)}: {text}"

    async def _why_silent(self, within: float) -> str:
        """Return why there was no answer in time: Dask says so as well if every attempt was refused."""
        address, name = self._cluster.scheduler, self._cluster.shown
        if address is None:
            return f"cannot reach {name}: no answer within {duration(within)}"
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                _, writer = await asyncio.open_connection(address.host, address.port)
        except TimeoutError:
            return f"cannot reach {name}: no answer within {duration(within)}"
        except OSError as error:
            return f"cannot reach {name} within {duration(within)}: {_text_of(error)}"
        writer.close()
        hint = "" if address.is_encrypted else "; a scheduler with TLS needs tls:// and certificates"
        return f"cannot use {name}: what listens there does not answer as a Dask scheduler{hint}"

    # -- calls

    async def workers(self) -> list[SeenWorker]:
        """Return the workers of the Dask scheduler. Raises CallFailed."""
        identity = await _bounded(self._open_client().scheduler.identity(n_workers=-1), 10.0)
        return [
            SeenWorker(address, str(info.get("name", "")), str(info.get("host", "")), dict(info.get("resources") or {}))
            for address, info in identity["workers"].items()
        ]

    async def hello_scheduler(self, text: str, within: float) -> str:
        """Return the hello of the Dask scheduler. Raises CallFailed."""
        found: str = await _bounded(self._open_client().run_on_scheduler(on_worker.hello_scheduler, text), within)
        return found

    async def hello(self, address: str, text: str, within: float) -> str:
        """Return the hello of a worker. Raises CallFailed."""
        return await self._call(on_worker.hello, address, text, within)

    async def request(self, address: str, text: str, within: float) -> str:
        """Call the agent of a worker and return its reply. Raises CallFailed."""
        return await self._call(on_worker.request, address, text, within)

    async def _call(self, function: Callable[..., object], address: str, text: str, within: float) -> str:
        answers = await _bounded(self._open_client().run(function, text, workers=[address]), within)
        found = answers.get(address)
        if not isinstance(found, str):
            raise CallFailed("it is not a worker of the cluster any more")
        return found

    def _open_client(self) -> Any:
        if self._client is None:
            raise CallFailed("the connection to the Dask scheduler is closed")
        return self._client

    # -- events

    def subscribe(self, topic: str) -> None:
        """Have the events of the topic passed to the listener."""
        self._open_client().subscribe_topic(topic, self._on_published)
        self._topics.append(topic)

    def _on_published(self, event: tuple[float, Any]) -> None:
        data = event[1]
        # The Dask scheduler adds the address to an event that is a mapping.
        if isinstance(data, Mapping) and isinstance(data.get("reply"), str) and isinstance(data.get("worker"), str):
            self._listener.published(data["worker"], data["reply"])

    def _on_cluster_event(self, event: tuple[float, Any]) -> None:
        data = event[1]
        if not isinstance(data, Mapping) or "worker" not in data:
            return
        if data.get("action") == "add-worker":
            self._listener.worker_joined(data["worker"])
        elif data.get("action") == "remove-worker":
            why = "the worker has left the cluster" if data.get("expected") else "the worker is gone"
            self._listener.worker_left(data["worker"], why)

    def _lost(self, why: str) -> None:
        self._is_lost = True
        if self._client is not None:
            self._forget_tasks()  # Dask cancels all futures now: that says nothing about the runs
            self._listener.connection_lost(why)

    # -- tasks

    def submit(self, key: str, text: str, workers: Sequence[str], resources: Sequence[tuple[str, float]]) -> None:
        """Submit `on_worker.execute`; `task_ended` follows, unless the task is dropped before."""
        future = self._open_client().submit(
            on_worker.execute,
            text,
            key=key,
            pure=False,
            retries=0,
            workers=list(workers),
            allow_other_workers=False,
            resources=dict(resources) or None,
        )
        self._watches[key] = future, asyncio.get_running_loop().create_task(self._watch(key, future))

    async def _watch(self, key: str, future: Future[Any]) -> None:
        verdict, why = "error", ""
        try:
            found = await future
            verdict = found if isinstance(found, str) else "error"
        except FutureCancelledError as error:
            verdict, why = "cancelled", _text_of(error)
        except KilledWorker:
            verdict, why = "lost", "its worker is gone"
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the function has raised there, or Dask here
            why = _text_of(root_cause(error))
        if key in self._watches:
            self._listener.task_ended(key, verdict, why)

    def withdraw(self, key: str) -> None:
        """Cancel a task."""
        found = self._watches.get(key)
        if found is not None and self._client is not None:
            self._later(self._client.cancel([found[0]], force=True))

    def drop(self, key: str) -> None:
        """Forget a task."""
        found = self._watches.pop(key, None)
        if found is not None:
            found[1].cancel()
            found[0].release()

    def _forget_tasks(self) -> None:
        for _, task in self._watches.values():
            task.cancel()
        self._watches.clear()

    def _later(self, work: Awaitable[Any]) -> None:
        """Let a call go on by itself; what it raises says nothing that the protocol does not find out."""
        task = asyncio.ensure_future(work)
        self._calls.add(task)
        task.add_done_callback(self._call_done)

    def _call_done(self, task: asyncio.Future[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()

    # -- the end

    async def close(self, within: float) -> None:
        """Close everything in at most `within` seconds. Raises nothing; idempotent."""
        client, self._client = self._client, None
        # A Dask scheduler that tells a client of its own end logs a traceback about the closed connection.
        for topic in self._topics:
            with suppress(Exception):
                client.unsubscribe_topic(topic)
        self._topics.clear()
        self._forget_tasks()
        for call in list(self._calls):
            call.cancel()
        await _close(client, within)

    def leave_behind(self) -> None:
        """Do nothing: the loop knows all sockets."""


async def _bounded(call: Awaitable[Any], within: float) -> Any:
    """Return the result of a call. Raises CallFailed for whatever is raised here or there."""
    try:
        async with asyncio.timeout(within):
            return await call
    except TimeoutError:
        raise CallFailed(f"no answer within {duration(within)}") from None
    except CallFailed:
        raise
    except Exception as error:  # noqa: BLE001 - whatever was raised there
        cause = root_cause(error)
        text = _text_of(cause)
        # If an error comes before our function is called, Dask passes on only its text.
        unread = _UNREADABLE.fullmatch(text)
        is_final = unread is not None or isinstance(cause, ImportError | AttributeError)
        raise CallFailed(unread[2] if unread else text, is_final=is_final) from None


async def _close(client: Any, within: float) -> None:
    """Close a client, with force if it takes long."""
    if client is None or client.status == "closed":
        return
    client.status = "closing"  # before anything: our own end is not a loss
    with suppress(Exception):
        async with asyncio.timeout(within):
            await client._close(fast=True)
    client.status = "closed"


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain: Dask wraps what the system says into errors of its own."""
    seen = 0
    while (cause := error.__cause__ or error.__context__) is not None and seen < 20:
        error, seen = cause, seen + 1
    return error


def _text_of(error: BaseException) -> str:
    """Return the error on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ConnectionError) and error.errno:
        text = os.strerror(error.errno)  # asyncio replaces it with the address
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    elif isinstance(error, ImportError):
        text = str(error)
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."
