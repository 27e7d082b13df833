"""The task `socket-sender`: every line is sent once, connections are made again, and a stop works at any point."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

QUICK: dict[str, Any] = {"reconnect_delay": 0.01, "reconnect_max": 0.02}
SELDOM = 3600.0


@pytest.mark.parametrize(
    "listen", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "udp://127.0.0.1:0", "unix://S", "unix-dgram://S"]
)
def test_it_sends_its_lines_to_any_kind_of_address(
    start: Start, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen: str
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = start(SocketReader(listen=listen, output=str(out)), job="reader")

    sender = start(SocketSender(to=str(reader.address), count=3, interval=0.0, line="{job} {n} {{}}"), job="sender")
    sender.join()
    reader.until_count("frames", 3)
    reader.stop()

    assert out.read_text() == "sender 1 {}\nsender 2 {}\nsender 3 {}\n"
    assert sender.ctx.counts["lines"] == 3
    assert sender.ctx.progress_calls[-1].done == 3


def test_it_waits_for_a_server_that_does_not_listen_yet(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "S"
    sender = start(SocketSender(to=f"unix://{path}", count=1, **QUICK))
    sender.until_log("cannot connect to")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        peer, _ = server.accept()
        with peer:
            received = peer.recv(100)
    sender.join()

    assert received == b"hello 1\n"


def test_a_line_for_a_closed_connection_is_sent_on_the_next_one_and_only_there(
    start: Start, server: socket.socket, to_server: str
) -> None:
    sender = start(SocketSender(to=to_server, count=3, interval=0.05, **QUICK))
    received = b""

    for _ in range(3):
        peer, _ = server.accept()
        with peer:
            received += peer.recv(100)
    sender.join()

    assert received == b"hello 1\nhello 2\nhello 3\n"
    assert sender.ctx.counts["reconnects"] == 2
    assert any("after line 1: the other side has closed the connection" in line for line in sender.ctx.messages)


def test_a_partly_sent_line_is_sent_again_as_a_whole(start: Start, server: socket.socket, to_server: str) -> None:
    """The first server reads nothing, and closes the connection while the line fills its window."""
    sender = start(SocketSender(to=to_server, count=1, line="x" * 20_000_000, **QUICK))
    first, _ = server.accept()
    first.recv(1)
    first.close()

    second, _ = server.accept()
    received = 0
    with second:
        while piece := second.recv(1 << 20):
            received += len(piece)
    sender.join()

    assert received == 20_000_001
    assert any("before the first line: " in line for line in sender.ctx.messages)


def test_a_count_of_zero_means_no_limit(start: Start, server: socket.socket, to_server: str) -> None:
    sender = start(SocketSender(to=to_server, count=0, interval=0.0))

    peer, _ = server.accept()
    with peer:
        received = 0
        while received < 100_000:
            received += len(peer.recv(1 << 16))
        sender.stop()

    assert sender.ctx.counts["lines"] > 1000


@pytest.mark.parametrize("state", ["connecting again", "waiting for its interval", "sending"])
def test_a_stop_wakes_it_at_once(
    start: Start, server: socket.socket, to_server: str, tmp_path: Path, state: str
) -> None:
    """One hour between two polls: the run can only end in time if the stop wakes it."""
    if state == "connecting again":
        to = f"unix://{tmp_path}/S"
        sender = start(SocketSender(to=to, reconnect_delay=SELDOM, reconnect_max=SELDOM), poll_interval=SELDOM)
        sender.until_log("cannot connect to")
        sender.stop()
        return
    line = "x" * 20_000_000 if state == "sending" else "x"
    sender = start(SocketSender(to=to_server, line=line, interval=SELDOM), poll_interval=SELDOM)
    peer, _ = server.accept()
    with peer:
        peer.recv(1)

        sender.stop()

    assert sender.ctx.counts["lines"] == (state != "sending")
