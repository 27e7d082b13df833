"""A web page over a scheduler in this process, and a plain HTTP client that sends what a test says."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

from taskloom import Scheduler
from taskloom.control import serve
from taskloom.web.app import WebApp
from taskloom.web.guard import Rules
from taskloom.web.listener import HttpListener

__all__ = ["ACT", "READ", "Answered", "WebClient", "serving_page"]

ACT, READ = "act-token-of-the-tests-0123456789", "read-token-of-the-tests-0123456789"
PATIENCE_SECONDS = 30.0
# A process has each name of a program once.
_NUMBERS = count()


class Answered(NamedTuple):
    """One reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON data."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.data["error"]["code"])


class WebClient:
    """Sends requests to one listener, each over a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def open(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, *, token: str = "", body: bytes = b""
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request, and return its connection and its reply, whose body is not read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        sent = {"Host": f"127.0.0.1:{self.port}", **({"Authorization": f"Bearer {token}"} if token else {})}
        sent |= {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body or None, {**sent, **(headers or {})})
        return connection, connection.getresponse()

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, *, token: str = "", body: bytes = b""
    ) -> Answered:
        """Send a request, and return the whole reply."""
        connection, response = self.open(method, path, headers, token=token, body=body)
        try:
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, found, response.read())
        finally:
            connection.close()


@contextmanager
def serving_page(scheduler: Scheduler) -> Iterator[tuple[WebClient, HttpListener]]:
    """Serve the page of a scheduler; the socket of its control server is where XDG_RUNTIME_DIR says."""
    failed: list[BaseException] = []
    name = f"page-{next(_NUMBERS)}"
    with serve(scheduler, name=name) as control:
        app = WebApp(control.connect, Rules(ACT, READ), {"start": "1", "name": name, "version": "0"})
        listener = HttpListener("127.0.0.1", 0, app)
        listener.start(failed.append)
        try:
            yield WebClient(int(listener.url.rstrip("/").rpartition(":")[2])), listener
        finally:
            assert listener.close(PATIENCE_SECONDS)
    assert failed == []
