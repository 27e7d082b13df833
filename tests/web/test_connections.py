"""The connections of the listener: however many a client opens, the page answers and the stop is prompt."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.support.certificates import write_certificates
from tests.support.web_client import ACT, PATIENCE_SECONDS, READ, WebClient, serving_page

from taskloom import Scheduler
from taskloom.web import connections
from taskloom.web.app import WebApp
from taskloom.web.connections import Acceptor, BoundedProtocol
from taskloom.web.guard import Rules
from taskloom.web.listener import HttpListener, Tls

MANY = 200
HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX"
WHOLE = b"GET /static/main.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF_A_BODY = (
    b"POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer wrong\r\nContent-Length: 99\r\n\r\n{"
)
STREAM = f"GET /v1/events?follow=true HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {READ}\r\n\r\n".encode()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebClient]:
    """A client of a page whose end must be prompt."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with Scheduler(log=False) as scheduler, serving_page(scheduler) as (found, _):
        yield found


def is_closed(sock: socket.socket) -> bool:
    """Read what has come, and return whether the other side has closed."""
    sock.settimeout(PATIENCE_SECONDS)
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("sent", [b"", HALF_A_HEAD, WHOLE, HALF_A_BODY], ids=["nothing", "head", "replies", "body"])
def test_many_connections_without_a_token_do_not_keep_others_out(client: WebClient, sent: bytes) -> None:
    with ExitStack() as opened:
        first = None
        for _ in range(MANY):
            sock = opened.enter_context(socket.create_connection(("127.0.0.1", client.port), PATIENCE_SECONDS))
            with suppress(ConnectionError):  # it had to make room
                sock.sendall(sent)
            first = first or sock

        assert client.request("GET", "/v1/access", token=ACT).status == 200
        assert first is not None
        assert is_closed(first)


def test_more_streams_than_there_is_room_for_are_refused(client: WebClient) -> None:
    with ExitStack() as opened:
        for _ in range(connections.BUSY_CLIENTS):
            sock = opened.enter_context(socket.create_connection(("127.0.0.1", client.port), PATIENCE_SECONDS))
            sock.sendall(STREAM)
            assert sock.recv(100)

        assert client.request("GET", "/v1/access", token=ACT).status == 503


@pytest.mark.parametrize(
    "before, sent", [(b"", b""), (b"", HALF_A_HEAD), (WHOLE, HALF_A_HEAD)], ids=["nothing", "head", "second head"]
)
def test_a_client_that_sends_no_whole_request_is_dropped(
    client: WebClient, before: bytes, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not before:
        monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.05)

    with socket.create_connection(("127.0.0.1", client.port)) as sock:
        if before:
            sock.sendall(before)
            assert sock.recv(100)
            monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.05)
        with suppress(ConnectionError):
            sock.sendall(sent)

        assert is_closed(sock)


def test_a_client_that_does_not_read_its_replies_holds_up_no_end() -> None:
    """A reply that waits for its client does not end when it is cancelled."""
    app = WebApp(lambda _: pytest.fail("nothing is asked of the program"), Rules(ACT, READ), {"name": "x"})
    listener = HttpListener("127.0.0.1", 0, app)
    # Of its accepted sockets: Linux lets a buffer grow to megabytes, thousands of replies.
    listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.start(lambda _: None)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", int(listener.url.rstrip("/").rpartition(":")[2])))
        sock.setblocking(False)
        connected: set[Any] = listener._server.server_state.connections
        while not any(each.flow.write_paused for each in list(connected)):
            select.select([sock], [sock], [], 0.01)
            with suppress(BlockingIOError):
                sock.send(WHOLE)

        assert listener.close(PATIENCE_SECONDS)


@pytest.mark.parametrize("awaits", ["a request", "its client to read", "nothing"])
def test_the_one_that_has_waited_longest_for_its_client_makes_room(awaits: str) -> None:
    closed: list[str] = []

    class Connection(BoundedProtocol):
        def __init__(self, name: str, since: float, *, is_idle: bool, is_unread: bool) -> None:
            self.name, self.since = name, since
            self.cycle = cast("Any", SimpleNamespace(response_complete=is_idle))
            self.flow = cast("Any", SimpleNamespace(write_paused=is_unread))

        def drop(self) -> None:
            closed.append(self.name)

    first = Connection("first", 1.0, is_idle=awaits == "a request", is_unread=awaits == "its client to read")
    others = [
        Connection("later", 2.0, is_idle=True, is_unread=False),
        Connection("busy", 0.0, is_idle=False, is_unread=False),
    ]
    with socket.socket() as server:
        Acceptor(server, BoundedProtocol, None, {first, *others})._make_room()  # type: ignore[arg-type]

    assert closed == ["later" if awaits == "nothing" else "first"]


def test_a_flood_of_handshakes_takes_no_more_descriptors_than_there_is_room_for() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def most_at_once(server: socket.socket) -> int:
        acceptor = Acceptor(server, asyncio.Protocol, context, set())  # type: ignore[arg-type]
        running = asyncio.ensure_future(acceptor.run())
        loop, most = asyncio.get_running_loop(), 0
        for _ in range(400):
            turn = loop.create_future()
            loop.call_soon(turn.set_result, None)
            await turn
            most = max(most, len(list(acceptor.beginning)))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return most

    with ExitStack() as opened, socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        for _ in range(100):
            opened.enter_context(socket.create_connection(server.getsockname(), PATIENCE_SECONDS))

        assert asyncio.run(most_at_once(server)) < connections.BUSY_CLIENTS + 8


def test_handshakes_that_do_not_end_keep_no_client_out(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    files = {name: str(path) for name, path in write_certificates(tmp_path).items()}
    app = WebApp(lambda _: pytest.fail("nothing is asked of the program"), Rules(ACT, READ), {"name": "x"})
    listener = HttpListener("127.0.0.1", 0, app, tls=Tls(files["cert_file"], files["key_file"]))
    listener.start(lambda _: None)
    place = ("127.0.0.1", int(listener.url.rstrip("/").rpartition(":")[2]))
    context = ssl.create_default_context(cafile=files["ca_file"])
    try:
        with ExitStack() as opened:
            idle = [opened.enter_context(socket.create_connection(place, PATIENCE_SECONDS)) for _ in range(MANY)]

            sock = opened.enter_context(
                context.wrap_socket(socket.create_connection(place, PATIENCE_SECONDS), server_hostname="127.0.0.1")
            )
            sock.sendall(WHOLE)

            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            assert is_closed(idle[0])
    finally:
        assert listener.close(PATIENCE_SECONDS)
