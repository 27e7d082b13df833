from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taskloom import waiting
from taskloom.errors import Cancelled
from taskloom.testing import FakeContext

# Timeout of a failing test.
LONG = 60.0
SOON = 20.0

Call = Callable[[FakeContext], Any]


class SignallingContext(FakeContext):
    """Signals that the call under test has the descriptor that wakes it: from then on a cancel must be enough."""

    def __init__(self) -> None:
        super().__init__()
        self.is_about_to_wait = threading.Event()

    def fileno(self) -> int:
        number = super().fileno()
        self.is_about_to_wait.set()
        return number

    def wait(self, seconds: float | None = None) -> bool:
        self.is_about_to_wait.set()
        return super().wait(seconds)


@pytest.fixture
def ctx() -> Iterator[SignallingContext]:
    context = SignallingContext()
    yield context
    context.close()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def cancelled_while_blocked(ctx: SignallingContext, call: Call) -> Future[Any]:
    """Call the function in a thread, cancel once it is about to block, and return how it ended."""
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(call, ctx)
        assert ctx.is_about_to_wait.wait(SOON)
        ctx.cancel()
        blocked.exception(SOON)
        return blocked


def tcp_listener(closing: ExitStack, backlog: int = 8) -> socket.socket:
    listener = closing.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    return listener


def unix_listener(closing: ExitStack, folder: Path, backlog: int = 8) -> socket.socket:
    listener = closing.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(folder / "socket"))
    listener.listen(backlog)
    return listener


def tcp_pair(closing: ExitStack) -> tuple[socket.socket, socket.socket]:
    listener = tcp_listener(closing)
    ours = closing.enter_context(socket.create_connection(listener.getsockname()))
    theirs, _ = listener.accept()
    return ours, closing.enter_context(theirs)


def unix_pair(closing: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    return closing.enter_context(ours), closing.enter_context(theirs)


def datagram_pair(closing: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return closing.enter_context(ours), closing.enter_context(theirs)


# -- recv


@pytest.mark.parametrize("make_pair", [tcp_pair, unix_pair, datagram_pair])
@pytest.mark.parametrize("timeout", [None, 0.0, LONG, 1e8])
def test_a_blocked_recv_is_woken(
    ctx: SignallingContext, closing: ExitStack, make_pair: Callable[..., Any], timeout: float | None
) -> None:
    ours, _ = make_pair(closing)
    ours.settimeout(timeout)

    blocked = cancelled_while_blocked(ctx, lambda ctx: waiting.recv(ctx, ours, 100))

    assert isinstance(blocked.exception(), Cancelled)
    assert ours.gettimeout() == timeout


@pytest.mark.parametrize("make_pair", [tcp_pair, unix_pair, datagram_pair])
@pytest.mark.parametrize("timeout", [None, 0.0, LONG])
def test_recv_returns_the_received_bytes(
    ctx: SignallingContext, closing: ExitStack, make_pair: Callable[..., Any], timeout: float | None
) -> None:
    ours, theirs = make_pair(closing)
    ours.settimeout(timeout)
    theirs.sendall(b"early")
    found = [waiting.recv(ctx, ours, 100)]

    ctx.is_about_to_wait.clear()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(waiting.recv, ctx, ours, 100)
        assert ctx.is_about_to_wait.wait(SOON)
        theirs.sendall(b"late")
        found.append(late.result(SOON))

    assert found == [b"early", b"late"]


@pytest.mark.parametrize("timeout", [None, LONG])
def test_the_peers_end_of_file_is_not_a_cancellation(
    ctx: FakeContext, closing: ExitStack, timeout: float | None
) -> None:
    ours, theirs = tcp_pair(closing)
    ours.settimeout(timeout)
    theirs.sendall(b"last words")
    theirs.close()

    assert [waiting.recv(ctx, ours, 100), waiting.recv(ctx, ours, 100)] == [b"last words", b""]


def test_the_end_of_file_after_a_shutdown_is_distinguished_from_the_peers(ctx: FakeContext, closing: ExitStack) -> None:
    """The other way to wake a recv is shutting the socket down, which looks like the peer's end of file."""
    ours, _ = tcp_pair(closing)
    ctx.on_cancel(lambda: ours.shutdown(socket.SHUT_RDWR))
    ctx.cancel()

    with pytest.raises(Cancelled):
        waiting.recv(ctx, ours, 100)


def test_a_reset_is_an_error_of_the_peer(ctx: FakeContext, closing: ExitStack) -> None:
    ours, theirs = tcp_pair(closing)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()

    with pytest.raises(ConnectionResetError):
        waiting.recv(ctx, ours, 100)


def test_recv_honours_the_timeout_of_the_socket(ctx: FakeContext, closing: ExitStack) -> None:
    ours, _ = tcp_pair(closing)
    ours.settimeout(0.01)

    with pytest.raises(TimeoutError, match="timed out"):
        waiting.recv(ctx, ours, 100)


# -- accept


@pytest.mark.parametrize("timeout", [None, 0.0, LONG])
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_blocked_accept_is_woken(
    ctx: SignallingContext, closing: ExitStack, tmp_path: Path, family: str, timeout: float | None
) -> None:
    listener = tcp_listener(closing) if family == "tcp" else unix_listener(closing, tmp_path)
    listener.settimeout(timeout)

    blocked = cancelled_while_blocked(ctx, lambda ctx: waiting.accept(ctx, listener))

    assert isinstance(blocked.exception(), Cancelled)
    assert listener.gettimeout() == timeout


@pytest.mark.parametrize("timeout", [None, 0.0, LONG])
def test_an_accepted_socket_blocks(ctx: FakeContext, closing: ExitStack, timeout: float | None) -> None:
    listener = tcp_listener(closing)
    listener.settimeout(timeout)
    peer = closing.enter_context(socket.create_connection(listener.getsockname()))

    accepted, address = waiting.accept(ctx, listener)

    closing.enter_context(accepted)
    assert address == peer.getsockname()
    assert accepted.gettimeout() is None
    assert accepted.getblocking()
    assert listener.gettimeout() == timeout


def test_accept_honours_the_timeout_of_the_socket(ctx: FakeContext, closing: ExitStack) -> None:
    listener = tcp_listener(closing)
    listener.settimeout(0.01)

    with pytest.raises(TimeoutError, match="timed out"):
        waiting.accept(ctx, listener)


def test_accept_skips_a_peer_that_has_gone(ctx: FakeContext, closing: ExitStack) -> None:
    class Fickle(socket.socket):
        answers: list[Exception] = [ConnectionAbortedError(), BlockingIOError()]

        def accept(self) -> tuple[socket.socket, Any]:
            if self.answers:
                raise self.answers.pop()
            return super().accept()

    listener = closing.enter_context(Fickle())
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    closing.enter_context(socket.create_connection(listener.getsockname()))

    accepted, _ = waiting.accept(ctx, listener)

    closing.enter_context(accepted)
    assert Fickle.answers == []


# -- connect


def full_tcp_listener(closing: ExitStack) -> socket.socket:
    """Return a listener whose backlog is full: the kernel drops further connection requests."""
    listener = tcp_listener(closing, backlog=0)
    for _ in range(3):
        filler = closing.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    return listener


def full_unix_listener(closing: ExitStack, folder: Path) -> socket.socket:
    listener = unix_listener(closing, folder, backlog=0)
    closing.enter_context(socket.socket(socket.AF_UNIX)).connect(listener.getsockname())
    return listener


@pytest.mark.parametrize("timeout", [None, 0.0, LONG])
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_blackholed_connect_is_woken(
    ctx: SignallingContext, closing: ExitStack, tmp_path: Path, family: str, timeout: float | None
) -> None:
    listener = full_tcp_listener(closing) if family == "tcp" else full_unix_listener(closing, tmp_path)
    sock = closing.enter_context(socket.socket(listener.family))
    sock.settimeout(timeout)

    blocked = cancelled_while_blocked(ctx, lambda ctx: waiting.connect(ctx, sock, listener.getsockname()))

    assert isinstance(blocked.exception(), Cancelled)
    assert sock.gettimeout() == timeout


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_connect_honours_the_timeout_of_the_socket(
    ctx: FakeContext, closing: ExitStack, tmp_path: Path, family: str
) -> None:
    listener = full_tcp_listener(closing) if family == "tcp" else full_unix_listener(closing, tmp_path)
    sock = closing.enter_context(socket.socket(listener.family))
    sock.settimeout(0.05)

    with pytest.raises(TimeoutError, match="timed out"):
        waiting.connect(ctx, sock, listener.getsockname())


def test_a_unix_connect_succeeds_once_the_backlog_has_room_again(
    ctx: SignallingContext, closing: ExitStack, tmp_path: Path
) -> None:
    listener = full_unix_listener(closing, tmp_path)
    sock = closing.enter_context(socket.socket(socket.AF_UNIX))

    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(waiting.connect, ctx, sock, listener.getsockname())
        assert ctx.is_about_to_wait.wait(SOON)
        closing.enter_context(listener.accept()[0])
        connecting.result(SOON)

    peer = closing.enter_context(listener.accept()[0])
    sock.sendall(b"hello")
    assert peer.recv(5) == b"hello"


@pytest.mark.parametrize("timeout", [None, 0.0, LONG])
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_connected_socket_is_as_blocking_as_before(
    ctx: FakeContext, closing: ExitStack, tmp_path: Path, family: str, timeout: float | None
) -> None:
    listener = tcp_listener(closing) if family == "tcp" else unix_listener(closing, tmp_path)
    sock = closing.enter_context(socket.socket(listener.family))
    sock.settimeout(timeout)

    waiting.connect(ctx, sock, listener.getsockname())

    peer = closing.enter_context(listener.accept()[0])
    sock.sendall(b"hello")
    assert peer.recv(5) == b"hello"
    assert sock.gettimeout() == timeout


def test_a_refused_connect_raises(ctx: FakeContext, closing: ExitStack, tmp_path: Path) -> None:
    refusing = closing.enter_context(socket.socket())
    refusing.bind(("127.0.0.1", 0))  # bound, but not listening
    sock = closing.enter_context(socket.socket())

    with pytest.raises(ConnectionRefusedError):
        waiting.connect(ctx, sock, refusing.getsockname())

    missing = closing.enter_context(socket.socket(socket.AF_UNIX))
    with pytest.raises(FileNotFoundError):
        waiting.connect(ctx, missing, str(tmp_path / "nobody"))


# -- all of them


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx, sock: waiting.recv(ctx, sock, 100),
        waiting.accept,
        lambda ctx, sock: waiting.connect(ctx, sock, ("127.0.0.1", 9)),
        lambda ctx, sock: waiting.get(ctx, queue.Queue()),
        lambda ctx, sock: waiting.put(ctx, queue.Queue(), 1),
        lambda ctx, sock: next(waiting.process(ctx, ["true"])),
    ],
    ids=["recv", "accept", "connect", "get", "put", "process"],
)
def test_nothing_begins_after_the_cancellation(ctx: FakeContext, closing: ExitStack, call: Callable[..., Any]) -> None:
    listener = tcp_listener(closing)
    ctx.cancel()

    with pytest.raises(Cancelled):
        call(ctx, listener)


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx, sock: waiting.recv(ctx, sock, 100),
        waiting.accept,
        lambda ctx, sock: waiting.connect(ctx, sock, ("127.0.0.1", 9)),
    ],
    ids=["recv", "accept", "connect"],
)
@pytest.mark.parametrize("timeout", [None, 0.0, LONG])
def test_a_closed_socket_is_an_oserror(ctx: FakeContext, call: Callable[..., Any], timeout: float | None) -> None:
    sock = socket.socket()
    sock.settimeout(timeout)
    sock.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        call(ctx, sock)
