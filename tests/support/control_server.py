"""A control server in this process with an answer that the test chooses, and clients that send bytes as they are."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from taskloom.control.endpoint import Endpoint, Wanted
from taskloom.control.exchange import Answer, Caller, Reply, Request
from taskloom.control.peer import Peers, peer_of
from taskloom.control.server import Server

__all__ = ["PATIENCE_SECONDS", "Client", "Served", "echo", "get", "serving", "wanted"]

PATIENCE_SECONDS = 30.0


def echo(request: Request) -> Reply:
    """Answer with what was asked."""
    return Reply(200, {"method": request.method, "path": request.path, "body": request.body.decode("latin-1")})


def get(path: str = "/v1", **headers: str) -> bytes:
    """Return a GET request."""
    lines = [f"GET {path} HTTP/1.1", "host: x", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


class Client:
    """One connection that sends what the test says, and reads to the end."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(path)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Client:
        self.socket.sendall(data)
        return self

    def half_close(self) -> Client:
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def read_all(self) -> bytes:
        """Read until the server closes; a reset counts as its end."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.socket.recv(65_536):
                data += piece
        return data

    def read_until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data:
            piece = self.socket.recv(65_536)
            assert piece, data
            data += piece
        return data

    def request(self, data: bytes) -> tuple[int, Any]:
        """Send a request, and return the status and the body of its reply; the connection stays open."""
        self.send(data)
        head, _, rest = self.read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        while len(rest) < int(lengths[0]):
            rest += self.socket.recv(65_536)
        return int(head.split()[1]), json.loads(rest)


class Served:
    """A running server, its endpoint, and what it has logged."""

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        folder: str,
        peers: Peers,
        socket_path: str | None,
        is_slow: Callable[[Request], bool],
    ) -> None:
        self.log: list[tuple[str, str]] = []
        self.endpoint = Endpoint(wanted(socket=socket_path), {"XDG_RUNTIME_DIR": folder})
        log = self.log
        self.server = Server(
            answer, self.endpoint, log=lambda line, level: log.append((level, line)), is_slow=is_slow, peers=peers
        )
        self.server.start()

    @property
    def path(self) -> str:
        return self.endpoint.path

    def client(self) -> Client:
        return Client(self.path)

    def request(self, data: bytes) -> tuple[int, Any]:
        with self.client() as client:
            return client.request(data)


@contextlib.contextmanager
def serving(
    answer: Callable[[Request], Answer],
    folder: str | Path,
    *,
    peers: Peers = peer_of,
    socket_path: str | None = None,
    is_slow: Callable[[Request], bool] = lambda _: False,
) -> Iterator[Served]:
    """Serve in this folder, and close at the end."""
    served = Served(answer, str(folder), peers, socket_path, is_slow)
    try:
        yield served
    finally:
        assert served.server.close(PATIENCE_SECONDS)


def wanted(name: str = "web", **fields: Any) -> Wanted:
    """Return what a program with this name wants."""
    values: dict[str, Any] = {"is_named": True, "path": "", "start": "0a1b2c3d", "since": 1.0} | fields
    return Wanted(name, **values)


def caller(uid: int) -> Peers:
    """Return what takes every client for one of this user."""
    return lambda _sock: Caller(uid, 4242)
