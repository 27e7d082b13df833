"""Accepting connections: which errors concern one connection, which the machine, and which the listening socket."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom.testing import FakeContext
from taskloom_plugins import listeners
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.loop import Loop
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

# accept(2): "Linux accept() passes already-pending network errors on the new socket as an error code from accept()".
LOST = [
    "EPERM", "EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH",
    "ECONNABORTED", "ECONNRESET", "ETIMEDOUT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "ENOSR", "EACCES",
]  # fmt: skip
SHORT = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]
BROKEN = ["EBADF", "EINVAL", "ENOTSOCK"]


class Failures:
    """What the next calls of accept raise, before they accept connections again."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.forever = 0
        self.calls = 0


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> Failures:
    """Failures of accept, before any connection is taken from the queue."""
    planned = Failures()
    real = socket.socket.accept

    class Failing(socket.socket):
        def accept(self) -> Any:
            planned.calls += 1
            code = planned.forever or (planned.codes.pop(0) if planned.codes else 0)
            if code:
                raise OSError(code, os.strerror(code))
            return real(self)

    monkeypatch.setattr(socket, "socket", Failing)
    monkeypatch.setattr(listeners, "_SHORTEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(listeners, "_LONGEST_PAUSE_SECONDS", 0.001)
    return planned


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize("listen", ["tcp://127.0.0.1:0", "unix://S"])
@pytest.mark.usefixtures("here")
def test_a_connection_that_is_refused_is_passed_over(
    start: Start, out: Path, failures: Failures, name: str, listen: str
) -> None:
    failures.codes = [getattr(errno, name)] * 3
    reader = start(SocketReader(listen=listen, output=str(out)))

    with reader.client() as client:
        client.sendall(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "hello\n"
    assert reader.ctx.counts["resets"] == 3
    [warning] = [line for line in reader.ctx.messages if "before it was accepted" in line]
    assert os.strerror(getattr(errno, name)).lower() in warning.lower()


@pytest.mark.parametrize("name", SHORT)
def test_a_machine_short_of_descriptors_or_memory_is_waited_for_and_named_once(
    start: Start, out: Path, failures: Failures, name: str
) -> None:
    failures.codes = [getattr(errno, name)] * 5
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out)))

    with reader.client() as client:
        client.sendall(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "hello\n"
    assert sum("cannot accept connections for now" in line for line in reader.ctx.messages) == 1


def test_a_refusal_of_every_connection_is_not_a_busy_loop(
    start: Start, out: Path, failures: Failures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A security module refuses before the connection is taken from the queue, so the socket stays readable."""
    pauses: list[int] = []
    real = Loop.unwatch

    def unwatch(self: Loop, sock: socket.socket) -> None:
        pauses.append(failures.calls)
        real(self, sock)

    monkeypatch.setattr(Loop, "unwatch", unwatch)
    failures.forever = errno.EPERM
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out)))
    with reader.client() as client:
        reader.until_count("resets", 3 * listeners._ACCEPTS_PER_CALL)
        failures.forever = 0
        client.sendall(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()

    per_call = listeners._ACCEPTS_PER_CALL
    assert pauses[:3] == [per_call, 2 * per_call, 3 * per_call]
    assert out.read_text() == "hello\n"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_listening_socket_is_a_clear_failure(start: Start, out: Path, failures: Failures, name: str) -> None:
    failures.codes = [getattr(errno, name)]
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out)))

    address = reader.address

    with socket.socket() as client, pytest.raises(EndpointError, match="cannot accept connections: "):
        with contextlib.suppress(ConnectionError):  # the listening socket may be closed during the call
            client.connect((address.host, address.port))
        reader.join()
    reader.error = None


def test_a_connection_that_cannot_be_watched_is_refused_and_the_others_are_served(
    start: Start, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel limits how many descriptors the processes of a user may watch (epoll(7), max_user_watches)."""
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out)))
    with reader.client() as first:
        first.sendall(b"a\n")
        reader.until_count("frames", 1)
        with monkeypatch.context() as limited:

            def watch(self: Loop, sock: socket.socket, handler: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            limited.setattr(Loop, "watch", watch)
            with reader.client() as second:
                assert second.recv(1) == b""
        first.sendall(b"b\n")
        reader.until_count("frames", 2)
    reader.stop()

    assert out.read_text() == "a\nb\n"
    assert reader.ctx.counts["refused"] == 1


def test_a_process_without_a_free_descriptor_is_a_clear_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def epoll() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(select, "epoll", epoll)

    with FakeContext() as ctx, pytest.raises(EndpointError, match=r"^cannot watch sockets: too many open files$"):
        SocketReader(listen="tcp://127.0.0.1:0", output=os.devnull).run(ctx)
