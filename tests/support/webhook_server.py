"""A loopback HTTP server that answers as scripted, and keeps what it was sent."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

__all__ = ["HANG", "Posted", "WebhookServer", "reply"]

HANG = b""
"""Instead of a reply: nothing, until the server is closed."""


class Posted(NamedTuple):
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes


def reply(status: str, headers: str = "") -> bytes:
    """Return a reply without a body."""
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n".encode()


class WebhookServer:
    """Gives one reply after the other, and the last one again and again; a connection each."""

    def __init__(
        self,
        replies: Sequence[bytes],
        context: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.posted: list[Posted] = []
        self._replies = list(replies)
        self._context = context
        self._closing = threading.Event()
        self._arrived = threading.Condition()
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    @property
    def url(self) -> str:
        """The URL of its hook."""
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}/hook?x=1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def wait(self, until: Callable[[list[Posted]], bool], seconds: float = 20.0) -> list[Posted]:
        """Wait until the requests so far are enough, and return them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: until(self.posted), seconds), self.posted
            return list(self.posted)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                try:
                    self._answer(client)
                except (OSError, ValueError):
                    pass  # the client has gone, does not trust the certificate, or does not speak HTTP

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(10)
        sock = client if self._context is None else self._context.wrap_socket(client, server_side=True)
        with sock, sock.makefile("rb") as file:
            line = file.readline().decode().strip()
            headers = {}
            while (each := file.readline().decode().strip()) != "":
                name, _, value = each.partition(": ")
                headers[name] = value
            body = file.read(int(headers["Content-Length"]))
            answer = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
            with self._arrived:
                self.posted.append(Posted(line, headers, body))
                self._arrived.notify_all()
            if answer == HANG:
                self._closing.wait()
            else:
                sock.sendall(answer)
