"""The HTTP listener of a program: a socket that is bound before the first job, and uvicorn on a thread of its own.

The end of the program does not wait for that thread: a client that reads slowly, or a stream, holds up nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import uvicorn

from taskloom.sync.latch import Latch
from taskloom.sync.prompt_thread import PromptThread
from taskloom.web.connections import BUSY_CLIENTS, Acceptor, BoundedProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["HttpListener", "Tls"]

_BACKLOG = 64
_KEEP_ALIVE_SECONDS = 30
_HEAD_BYTES = 16 << 10


class Tls(NamedTuple):
    """The certificate of the listener and its key, as paths of PEM files."""

    certificate: str
    key: str

    def check(self) -> None:
        """Raise OSError, of which ssl.SSLError is one, if they cannot be used: no file, not its key, a password."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key, password=_no_password)


def _no_password() -> str:
    """Return what no key has as its password; without it, the terminal would be asked for one."""
    return ""


class _SleepingServer(uvicorn.Server):
    """Sleeps until it is told to end. uvicorn itself looks ten times a second, also while there is no client.

    It accepts connections by itself, too: as many as it has room for.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._wake: Callable[[], object] = lambda: None
        self.acceptor: Acceptor | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections of the one socket that it is given."""
        state = self.server_state
        protocol = partial(BoundedProtocol, self.config, state, {})
        self.servers = []
        self.acceptor = Acceptor((sockets or [])[0], protocol, self.config.ssl, state.connections)
        self._accepting = asyncio.ensure_future(self.acceptor.run())
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, and then end all connections."""
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        if not (self.server_state.connections or self.server_state.tasks):
            return  # uvicorn sleeps for a tenth of a second, for its clients, also if there is none
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.drop()  # a reply that waits for its client to read does not end when it is cancelled

    async def main_loop(self) -> None:
        """Wait for `end`."""
        is_over = asyncio.Event()
        self._wake = partial(asyncio.get_running_loop().call_soon_threadsafe, is_over.set)
        if not self.should_exit:
            await is_over.wait()

    def end(self) -> None:
        """End without waiting for a client. Any thread may call it."""
        self.should_exit = self.force_exit = True
        try:
            self._wake()
        except RuntimeError:
            pass  # its event loop has ended


class HttpListener:
    """Listens at an address from the construction on, and answers from `start` until `close`.

    Raises OSError if the address cannot be used, and ssl.SSLError or OSError for a certificate that cannot.
    `failed` gets the exception if its thread ends by itself.
    """

    def __init__(self, host: str, port: int, app: ASGIApp, *, tls: Tls | None = None) -> None:
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=BUSY_CLIENTS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=0,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
        )
        config.load()
        self._server = _SleepingServer(config)
        self._socket = _bound(host, port)
        self._pid = os.getpid()
        self._is_ended = Latch()
        self._thread: PromptThread | None = None
        self._scheme = "http" if tls is None else "https"

    @property
    def url(self) -> str:
        """The address as a browser takes it, with the port that was chosen if it was 0."""
        host, port = self._socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}/"

    def start(self, failed: Callable[[BaseException], object]) -> None:
        """Begin to answer. Raises RuntimeError if the system refuses the thread."""
        self._thread = PromptThread(target=partial(self._main, failed), name="taskloom-web", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> bool:
        """End all connections; return False if that takes more than `seconds`. Idempotent; raises nothing."""
        if os.getpid() != self._pid:
            return True
        if self._thread is None:
            self._socket.close()
            return True
        self._server.end()
        return self._is_ended.wait(seconds)

    def forget(self) -> None:
        """Close its sockets in a forked child, where its thread does not exist: clients would wait for the child."""
        try:
            self._socket.close()
        except OSError:
            pass  # a task has closed it
        for beginning in () if self._server.acceptor is None else self._server.acceptor.beginning:
            beginning.close()
        for connection in list(self._server.server_state.connections):
            try:
                os.close(connection.transport.get_extra_info("socket").fileno())
            except (OSError, AttributeError):
                pass  # it is ending at this moment

    def _main(self, failed: Callable[[BaseException], object]) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except BaseException as error:  # noqa: BLE001 - the jobs run on without the page
            failed(error)
        finally:
            self._socket.close()  # also if it was told to end before it began
            self._is_ended.open()


def _bound(host: str, port: int) -> socket.socket:
    """Return a listening socket, by the first address of the host. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
