"""A scripted program at the other end of a control socket: what it sends is written by the test."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h11

from taskloom.control.finding import Program

__all__ = [
    "STREAM",
    "FakeControl",
    "event_text",
    "fake_program",
    "is_gone",
    "job_status",
    "program_status",
    "reply",
    "routes",
    "short_folder",
    "until_gone",
]

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
    """Listens at `path` and answers each request by `handler`, each on a thread; `requests` has all of them."""

    def __init__(self, path: Path, handler: Handler, backlog: int = 16) -> None:
        self.path, self.handler = path, handler
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _open_folder(path.parent) as folder:
            self._listener.bind(f"{folder}/{path.name}")
        self._listener.listen(backlog)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, name="fake-control")]
        self._threads[0].start()

    @property
    def program(self) -> Program:
        """The program as `find` would return it."""
        return Program(self.path.stem, str(self.path), os.getpid(), os.geteuid())

    def close(self) -> None:
        """Stop listening and close all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE_SECONDS)
        self.drop()
        for thread in self._threads[1:]:
            thread.join(PATIENCE_SECONDS)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Break all connections."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._answer, args=(connection,), name="fake-control-answer")
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
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
def _open_folder(folder: Path) -> Iterator[str]:
    """Yield a short path of the folder: that of a socket has 107 bytes at most."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def until_gone(connection: socket.socket) -> None:
    """Wait until the client has closed the connection."""
    with contextlib.suppress(OSError):
        connection.recv(1)


def is_gone(connection: socket.socket, timeout: float) -> bool:
    """Return whether the client closes the connection within `timeout` seconds."""
    return bool(select.select([connection], [], [], timeout)[0])


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


def routes(answers: Mapping[str, Any]) -> Handler:
    """Answer each path with its data, or bytes as they are; a list holds one answer for each request in turn.

    The last of a list is repeated. A request with `follow=true` has the path `follow PATH`.
    """
    left = {path: list(value) if isinstance(value, list) else [value] for path, value in answers.items()}

    def answer(connection: socket.socket, request: h11.Request) -> None:
        path, _, query = request.target.decode().partition("?")
        path = f"follow {path}" if "follow=true" in query else path
        if path not in left:
            error = {"code": "unknown-route", "message": f"cannot find route {path!r}"}
            connection.sendall(reply({"error": error}, 404))
            return
        found = left[path].pop(0) if len(left[path]) > 1 else left[path][0]
        connection.sendall(found if isinstance(found, bytes) else reply(found))

    return answer


def job_status(job: str, state: str = "running", **fields: Any) -> dict[str, Any]:
    """Return the status of a job as the API has it."""
    known: dict[str, Any] = {
        "job": job, "task": "t", "daemon": False, "state": state, "waiting_for": None, "runs": 1, "run": f"{job}#1",
        "outcome": None, "seconds": 1.5, "reason": None, "error": None, "overdue": False, "outcomes": {},
        "attempt": 1, "restarts": 0, "missed": 0, "waits_for": None, "due_in": None, "next_firing": None,
        "failed": False, "marks": ["ready"] if state == "running" else [], "replica": 1, "labels": [],
        "poll_age": None, "worst_gap": 0.0, "wakeable": True, "would_meet_join": None, "counts": {},
        "progress": None, "wrong": False, "paused": False, "paused_since": None, "held": None,
        "stopping_for": None, "stop_left": None, "within": 10.0,
    }  # fmt: skip
    return known | fields


def program_status(state: str = "running", **fields: Any) -> dict[str, Any]:
    """Return the description of a program as the API has it."""
    known: dict[str, Any] = {
        "name": "jobs-3f2a", "label": "jobs", "pid": 4711, "uid": 1000, "version": "0.1.0", "python": "3.11.2",
        "start": "0a1b2c3d", "since": "2026-01-31T12:00:00Z", "paths": ["jobs"], "cwd": "/", "command": [],
        "state": state, "stop": None, "jobs": {"total": 2, "by_state": {}, "wrong": 0}, "seq": 7,
        "log": {"from": None, "dir": None, "problem": None},
        "history": {"state": "off", "reason": None, "since": None, "url": None, "queued": 0, "dropped": 0},
    }  # fmt: skip
    return known | fields
