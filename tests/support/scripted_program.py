"""A program at the other end of a control socket whose jobs and events a test scripts."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import h11
from tests.support.fake_control import STREAM, FakeControl, event_text, fake_program, reply

__all__ = ["START", "Scripted", "job_status", "scripted_program"]

START = "0123abcd"


def job_status(job: str, state: str, **fields: Any) -> dict[str, Any]:
    """Return the status of a job, with what the verbs read."""
    return {"job": job, "state": state, "run": None, "marks": [], "labels": [], "family": job, **fields}


class Scripted:
    """The answers of the program. Change them while it runs; `posts` has the path and the body of each POST."""

    def __init__(self, *statuses: Mapping[str, Any]) -> None:
        self.jobs = {str(status["job"]): dict(status) for status in statuses}
        self.after: dict[str, tuple[int, Mapping[str, Any]]] = {}
        """The answer to a POST with this path, by default the status of the job."""
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        """What a stream has; a later stream goes on where an earlier one ended."""
        self.stacks: Sequence[Mapping[str, Any]] = ()
        self.gets: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self.posts: list[tuple[str, Any]] = []
        self.queries: list[tuple[str, Mapping[str, Sequence[str]]]] = []
        self._sent = 0

    def answer(self, connection: socket.socket, request: h11.Request, body: bytes) -> None:
        """Answer one request."""
        url = urlsplit(request.target.decode())
        path, query = unquote(url.path), parse_qs(url.query)
        if request.method == b"POST":
            self.posts.append((path, json.loads(body)))
            status, data = self.after.get(path) or (200, self._job(path.split("/")[3]))
            connection.sendall(reply(data, status))
            return
        self.queries.append((path, query))
        if path == "/v1/events":
            connection.sendall(STREAM)
            while self._sent < len(self.events):
                name, data = self.events[self._sent]
                self._sent += 1
                connection.sendall(event_text(name, data, f"{START}.{100 + self._sent}"))
            return
        status, data = self._get(path, query)
        connection.sendall(reply(data, status))

    def _get(self, path: str, query: Mapping[str, Sequence[str]]) -> tuple[int, Mapping[str, Any]]:
        if path in self.gets:
            return self.gets[path]
        if path == "/v1/jobs":
            wanted = query.get("job")
            jobs = [status for job, status in self.jobs.items() if wanted is None or job in wanted]
            if not jobs:
                return 404, {"error": {"code": "unknown-job", "message": "cannot find job"}}
            return 200, {"start": START, "seq": 100, "jobs": jobs}
        if path == "/v1/stacks":
            return 200, {"stacks": self.stacks}
        if path in {"/v1", "/v1/program"}:
            return 200, {"start": START, "seq": 100}
        return 200, self._job(path.rpartition("/")[2])

    def _job(self, job: str) -> Mapping[str, Any]:
        status = self.jobs[job]
        return {"start": START, "seq": 100, "run": status["run"], "job": status}


@contextmanager
def scripted_program(scripted: Scripted) -> Iterator[FakeControl]:
    """Run it at a socket of its own."""

    def answer(connection: socket.socket, request: h11.Request) -> None:
        wanted = (request.method.decode(), request.target.decode())
        body = next(body for *line, _, body in reversed(fake.requests) if tuple(line) == wanted)
        scripted.answer(connection, request, body)

    with fake_program(answer) as fake:
        yield fake
