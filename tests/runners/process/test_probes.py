"""Probes of addresses: what answers, what does not, and how long that may take."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskloom.program import Target, parse_target
from taskloom.runners.process.probes import ProbeFailed, probe

PATIENCE = 30.0
"""Seconds; more than any probe that works takes."""


@contextmanager
def served(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """Serve one connection on a thread; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(PATIENCE)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(PATIENCE)
    assert not thread.is_alive()


def answers(data: bytes) -> Callable[[socket.socket], object]:
    """Return what reads the request and writes `data`."""

    def answer(connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        connection.sendall(data)

    return answer


def web(port: int, path: str = "/health?x=1") -> Target:
    return parse_target(f"http://127.0.0.1:{port}{path}")


def failure(target: Target, timeout: float = PATIENCE) -> str:
    with pytest.raises(ProbeFailed) as caught:
        probe(target, timeout)
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 204 No Content\r\n\r\n",
        b"HTTP/1.1 399 \r\n\r\n",
        b"HTTP/1.1 302\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["200", "204", "399", "no-reason", "early-hints"],
)
def test_a_good_status_is_an_answer(data: bytes) -> None:
    with served(answers(data)) as port:
        probe(web(port), PATIENCE)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "status 503"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\n\r\n", "status 500"),
        (b"", "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not an HTTP answer: 'SSH-2.0-OpenSSH_9.6'"),
        (b"HTTP/1.1 2", "not an HTTP answer: 'HTTP/1.1 2'"),
        (b"\xff" * 20_000, "no status in the first 16 KiB of its answer"),
    ],
    ids=["404", "503", "500-after-103", "nothing", "ssh", "half", "flood"],
)
def test_another_answer_fails_with_what_it_was(data: bytes, why: str) -> None:
    with served(answers(data)) as port:
        assert failure(web(port)) == why


def test_the_request_names_host_and_path() -> None:
    seen = []

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(4096).split(b"\r\n")[:2])
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with served(answer) as port:
        probe(web(port), PATIENCE)

    assert seen == [[b"GET /health?x=1 HTTP/1.1", b"Host: 127.0.0.1:%d" % port]]


def test_an_answer_in_drops_does_not_prolong_the_timeout() -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not done.wait(0.01):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with served(drip) as port:
        try:
            assert failure(web(port), 0.2) == "no answer within 200ms"
        finally:
            done.set()


def test_a_connection_is_enough_for_tcp() -> None:
    with served(lambda connection: connection.recv(1)) as port:
        probe(parse_target(f"tcp://127.0.0.1:{port}"), PATIENCE)


def test_a_port_without_a_listener_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert failure(parse_target(f"tcp://127.0.0.1:{port}")) == "connection refused"


def test_a_connection_of_a_port_to_itself_is_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may choose the port that is asked for as the one to come from: the socket is connected to itself."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    made = socket.socket

    def bound(*arguments: int) -> socket.socket:
        sock = made(*arguments)
        sock.bind(("127.0.0.1", port))
        return sock

    monkeypatch.setattr(socket, "socket", bound)

    assert failure(parse_target(f"tcp://127.0.0.1:{port}")) == "connection refused"


def test_a_unix_socket_answers() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "a b.sock")  # noqa: PTH118
        listener.bind(path)
        listener.listen()
        probe(parse_target(f"unix://{path}"), PATIENCE)

        assert failure(parse_target(f"unix://{folder}/none")) == "no such file or directory"
        assert not Path(folder, "none").exists()


def test_a_host_name_that_is_too_long_is_a_failure() -> None:
    assert "host name" in failure(parse_target(f"tcp://{'a' * 64}.:1"))
