"""socket-reader with `connect`: connecting again, the first message, stopping in every state."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom import Cancelled
from taskloom.testing import FakeContext
from taskloom_plugins import endpoints
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

QUICK: dict[str, Any] = {"reconnect_delay": 0.01, "reconnect_max": 0.02}


def test_it_sends_its_first_message_and_reads_the_answer(
    start: Start, out: Path, server: socket.socket, to_server: str
) -> None:
    reader = start(SocketReader(connect=to_server, output=str(out), send_on_connect="?WATCH\n"))

    peer, _ = server.accept()
    with peer:
        asked = peer.recv(100)
        peer.sendall(b"$GPGGA\r\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert asked == b"?WATCH\n"
    assert out.read_text() == "$GPGGA\n"
    assert reader.ctx.is_ready.is_set()


def test_a_lost_connection_is_made_again_and_no_received_data_is_lost(
    start: Start, out: Path, server: socket.socket, to_server: str
) -> None:
    reader = start(SocketReader(connect=to_server, output=str(out), **QUICK))

    for number in range(3):
        peer, _ = server.accept()
        peer.sendall(b"%d\n" % number)
        peer.close()
    reader.until_count("frames", 3)
    reader.stop()

    assert out.read_text() == "0\n1\n2\n"
    assert reader.ctx.counts["reconnects"] >= 2
    assert reader.ctx.times_ready == 1


def test_it_waits_for_a_server_that_does_not_run_yet(start: Start, out: Path, tmp_path: Path) -> None:
    path = tmp_path / "S"
    reader = start(SocketReader(connect=f"unix://{path}", output=str(out), **QUICK))

    reader.until_count("reconnects", 2)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"here\n")
            reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "here\n"
    assert any(f"cannot connect to unix://{path}: no such file or directory" in line for line in reader.ctx.messages)


def test_without_reconnect_the_run_ends_with_its_connection(
    start: Start, out: Path, server: socket.socket, to_server: str
) -> None:
    reader = start(SocketReader(connect=to_server, output=str(out), reconnect=False))

    peer, _ = server.accept()
    peer.sendall(b"all\nthere is")
    peer.close()
    reader.join()

    assert out.read_text() == "all\nthere is\n"


def test_without_reconnect_a_refused_connection_is_a_clear_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"

    with FakeContext() as ctx, pytest.raises(ConnectionError) as caught:
        SocketReader(connect=address, reconnect=False).run(ctx)

    assert str(caught.value) == f"cannot connect to {address}: connection refused"


def test_a_socket_that_is_connected_to_itself_counts_as_refused(
    to_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may give our side the port to which we connect; both ends then have the same address."""
    monkeypatch.setattr(socket.socket, "getsockname", lambda self: self.getpeername())

    with FakeContext() as ctx, pytest.raises(ConnectionError, match="connection refused"):
        SocketReader(connect=to_server, reconnect=False).run(ctx)


def test_an_unknown_host_is_a_clear_failure_even_with_reconnect() -> None:
    with FakeContext() as ctx, pytest.raises(EndpointError) as caught:
        SocketReader(connect="tcp://no such host:1").run(ctx)

    assert str(caught.value).startswith("cannot connect to tcp://no such host:1: cannot find host 'no such host': ")


def test_a_temporary_failure_of_the_resolver_is_tried_again(
    start: Start, out: Path, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[object] = [socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")]
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **options: Any) -> object:
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            return real(host, *args, **options)
        if answers:
            raise answers.pop()  # type: ignore[misc]
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    port = server.getsockname()[1]
    reader = start(SocketReader(connect=f"tcp://device.example:{port}", output=str(out), **QUICK))

    server.accept()[0].close()
    reader.until_log("connected to tcp://device.example")
    reader.stop()

    assert any("cannot look up 'device.example' now" in line for line in reader.ctx.messages)


def test_a_udp_peer_gets_the_first_message_and_its_answer_is_read(start: Start, out: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        address = f"udp://127.0.0.1:{server.getsockname()[1]}"
        reader = start(SocketReader(connect=address, output=str(out), send_on_connect="go", format="json"))

        asked, client = server.recvfrom(100)
        server.sendto(b"answer", client)
        reader.until_count("frames", 1)
    reader.stop()

    assert asked == b"go"
    assert f'"from":"{address}","data":"answer"' in out.read_text()


def test_it_connects_again_to_a_udp_peer_that_is_gone(start: Start, out: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{closed.getsockname()[1]}"

    reader = start(SocketReader(connect=address, output=str(out), send_on_connect="go", **QUICK))
    reader.until_count("reconnects", 2)
    reader.stop()

    assert reader.ctx.counts["resets"] >= 2


def test_a_unix_datagram_peer_gets_the_first_message_and_its_answer_is_read(
    start: Start, out: Path, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "S"))
        reader = start(SocketReader(connect=f"unix-dgram://{tmp_path}/S", output=str(out), send_on_connect="go"))
        _, client = server.recvfrom(100)
        server.sendto(b"answer", client)
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "answer\n"


def test_the_connection_to_a_silent_server_is_closed_after_the_idle_timeout(
    start: Start, out: Path, server: socket.socket, to_server: str
) -> None:
    reader = start(SocketReader(connect=to_server, output=str(out), idle_timeout=0.01, **QUICK))

    first, _ = server.accept()
    second, _ = server.accept()
    reader.stop()

    assert first.recv(1) == b""
    assert reader.ctx.counts["timeouts"] >= 1
    first.close()
    second.close()


# -- stopping in every state -----------------------------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address that neither accepts nor refuses connections, because its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        for sock in waiting:
            sock.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """A semaphore that is released whenever an endpoint begins to wait."""
    begun = threading.Semaphore(0)
    real = endpoints.wait_for

    def wait_for(*args: Any, **options: Any) -> bool:
        begun.release()
        return real(*args, **options)

    monkeypatch.setattr(endpoints, "wait_for", wait_for)
    return begun


# One hour between two polls: the run can only end within the 20 seconds of a join if the stop wakes it.
SELDOM = 3600.0


def test_a_stop_wakes_it_while_it_connects(start: Start, out: Path, deaf: str, waits: threading.Semaphore) -> None:
    reader = start(SocketReader(connect=deaf, output=str(out), connect_timeout=SELDOM), poll_interval=SELDOM)
    assert waits.acquire(timeout=20)

    reader.stop()

    assert reader.ctx.counts["peers"] == 0


def test_an_unanswered_attempt_to_connect_is_given_up(start: Start, out: Path, deaf: str) -> None:
    reader = start(SocketReader(connect=deaf, output=str(out), connect_timeout=0.02, **QUICK))

    reader.until_count("reconnects", 1)
    reader.stop()

    assert f"cannot connect to {deaf}: no answer within 0.02 s" in reader.ctx.messages


def test_a_stop_wakes_it_while_a_name_is_looked_up(
    start: Start, out: Path, waits: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can interrupt the resolver: its helper thread is left behind and ends when the resolver returns."""
    release, before = threading.Event(), {*threading.enumerate()}

    def resolve(*_: Any, **options: Any) -> object:
        if not options.get("flags", 0) & socket.AI_NUMERICHOST:
            release.wait(20)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    reader = start(SocketReader(connect="tcp://slow.example:1", output=str(out)), poll_interval=SELDOM)
    assert waits.acquire(timeout=20)

    reader.stop()

    helpers = [thread for thread in {*threading.enumerate()} - before if thread.name == "job-lookup"]
    assert [helper.daemon for helper in helpers] == [True]
    release.set()
    helpers[0].join(20)
    assert not helpers[0].is_alive()


@pytest.mark.parametrize("state", ["silent", "backoff"])
def test_a_stop_wakes_it_while_it_waits_for_data(
    start: Start, out: Path, server: socket.socket, to_server: str, state: str
) -> None:
    reader = start(
        SocketReader(connect=to_server, output=str(out), reconnect_delay=SELDOM, reconnect_max=SELDOM),
        poll_interval=SELDOM,
    )
    peer, _ = server.accept()
    reader.until_log("connected to")
    if state == "backoff":
        peer.close()
        reader.until_log("again in")

    reader.stop()

    peer.close()


@pytest.mark.parametrize("listen", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix-dgram://S"])
def test_a_stop_wakes_a_listener(
    start: Start, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen: str
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = start(SocketReader(listen=listen, output=str(out)), poll_interval=SELDOM)
    reader.until_log("listening")

    reader.stop()

    assert reader.error is None


def test_a_stop_wakes_it_while_its_output_is_a_full_pipe(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(path)), poll_interval=SELDOM)
    with reader.client() as client:
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.sendall(b"line\n" * 4_000_000)

        reader.stop()

    os.close(end)


def test_a_reader_cancelled_before_it_runs_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "S"
    with FakeContext() as ctx:
        ctx.cancel()
        SocketReader(listen=f"unix://{path}", output=str(tmp_path / "out")).run(ctx)

    assert not path.exists()


def test_a_connecting_reader_cancelled_before_it_runs_does_not_connect(server: socket.socket, to_server: str) -> None:
    with FakeContext() as ctx, pytest.raises(Cancelled):
        ctx.cancel()
        SocketReader(connect=to_server, output="stdout").run(ctx)
