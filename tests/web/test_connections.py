"""The connections of the listener: however many a client opens, the page answers and the stop is prompt."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.support.certificates import write_certificates
from tests.support.web_client import ACT, PATIENCE_SECONDS, READ, WebClient, serving_page

from taskloom import Scheduler
from taskloom.web import connections
from taskloom.web.app import WebApp
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
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.05)

    with socket.create_connection(("127.0.0.1", client.port)) as sock:
        if before:
            sock.sendall(before)
            assert sock.recv(100)
        with suppress(ConnectionError):
            sock.sendall(sent)

        assert is_closed(sock)


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
