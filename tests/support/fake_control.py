"""A scripted program at the other end of a control socket: what it sends is written by the test."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h11

from taskloom.control.finding import Program

__all__ = ["FakeControl", "event_text", "fake_program", "reply", "short_folder"]

PATIENCE_SECONDS = 30.0

Handler = Callable[[socket.socket, h11.Request], None]
"""Answers one request, by writing to the connection; it is closed after that."""


def reply(body: Any, status: int = 200, content_type: str = "application/json") -> bytes:
    """Return a whole answer. `body`: JSON data, or bytes that are sent as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def event_text(event: str, data: Mapping[str, Any], number: str = "") -> bytes:
    """Return a server-sent event."""
    lines = [f"event: {event}", *([f"id: {number}"] if number else []), f"data: {json.dumps(data)}", "", ""]
    return "\n".join(lines).encode()


STREAM = b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder of mode 0700 whose path is short enough for a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="t l", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class FakeControl:
    """Listens at `path` and answers each request by `handler`, on a thread of its own; `requests` has all of them."""

    def __init__(self, path: Path, handler: Handler, backlog: int = 16) -> None:
        self.path, self.handler = path, handler
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(backlog)
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="fake-control")
        self._thread.start()

    @property
    def program(self) -> Program:
        """The program as `find` would return it."""
        import os

        return Program(self.path.stem, str(self.path), os.getpid(), os.geteuid())

    def close(self) -> None:
        """Stop listening and close all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_SECONDS)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            with connection, contextlib.suppress(OSError):
                request = self._read(connection)
                if request is not None:
                    self.handler(connection, request)
            self._open.remove(connection)

    def _read(self, connection: socket.socket) -> h11.Request | None:
        http = h11.Connection(h11.SERVER)
        request, body = None, b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(connection.recv(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                break
        if request is not None:
            headers = {name.decode(): value.decode() for name, value in request.headers}
            self.requests.append((request.method.decode(), request.target.decode(), headers, body))
        return request


@contextlib.contextmanager
def fake_program(handler: Handler | bytes) -> Iterator[FakeControl]:
    """A program that answers each request by `handler`, or with these bytes."""

    def answer(connection: socket.socket, request: h11.Request) -> None:
        if isinstance(handler, bytes):
            connection.sendall(handler)
        else:
            handler(connection, request)

    with short_folder() as folder:
        fake = FakeControl(folder / "jobs-3f2a.sock", answer)
        try:
            yield fake
        finally:
            fake.close()
