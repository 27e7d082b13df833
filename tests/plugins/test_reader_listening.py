"""socket-reader with `listen` and real peers on loopback: which peers are read, and what is written."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

ADDRESSES = ["tcp://127.0.0.1:0", "tcp://[::1]:0", "udp://127.0.0.1:0", "udp://[::1]:0", "unix://S", "unix-dgram://S"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("address", ADDRESSES)
def test_records_from_every_kind_of_address_are_written_one_per_line(start: Start, out: Path, address: str) -> None:
    reader = start(SocketReader(listen=address, output=str(out)))

    with reader.client() as client:
        for line in ("one", "two", "drei ß"):
            client.send(line.encode() + (b"\n" if reader.address.is_stream else b""))
        reader.until_count("frames", 3)
    reader.stop()

    assert out.read_text("utf-8") == "one\ntwo\ndrei ß\n"
    assert reader.ctx.is_ready.is_set()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix-dgram://S"])
def test_a_json_record_has_its_time_and_source(start: Start, out: Path, address: str) -> None:
    reader = start(SocketReader(listen=address, output=str(out), format="json"))

    with reader.client() as client:
        if reader.address.is_unix:
            client.bind("sender.sock")
        client.send(b"hello\n")
        own = client.getsockname()
        reader.until_count("frames", 1)
    reader.stop()

    record = json.loads(out.read_text())
    assert record["data"].rstrip("\n") == "hello"
    assert record["from"] == (
        "unix-dgram://sender.sock" if isinstance(own, str) else f"{address[:3]}://{own[0]}:{own[1]}"
    )
    assert record["at"].endswith("Z")


def test_a_hundred_peers_are_read_at_the_same_time(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out)))

    clients = [reader.client() for _ in range(100)]
    for number, client in enumerate(clients):
        client.sendall(b"%d\n" % number)
    reader.until_count("frames", 100)
    for client in clients:
        client.close()
    reader.stop()

    assert sorted(map(int, out.read_text().split())) == list(range(100))
    assert reader.ctx.counts["peers"] == 100


def test_a_peer_over_the_limit_is_refused_and_the_others_are_served(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out), max_peers=1))

    with reader.client() as first:
        first.sendall(b"a\n")
        reader.until_count("frames", 1)
        with reader.client() as second:
            refusal = second.recv(1)
        first.sendall(b"b\n")
        reader.until_count("frames", 2)
    reader.stop()

    assert refusal == b""
    assert reader.ctx.counts["refused"] == 1
    assert any("1 peers are connected" in line for line in reader.ctx.messages)
    assert out.read_text() == "a\nb\n"


def test_when_a_peer_ends_its_last_line_is_written_and_the_connection_closed(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out)))

    with reader.client() as client:
        client.sendall(b"a\nunfinished")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        written = out.read_text()
    reader.stop()

    assert written == "a\nunfinished\n"
    assert reader.ctx.counts["truncated"] == 1
    assert reader.ctx.counts["drops"] == 0


def test_a_stop_drops_and_counts_an_unfinished_frame(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out)))

    with reader.client() as client:
        client.sendall(b"whole\nunfin")
        reader.until_count("frames", 1)
        reader.stop()

    assert out.read_text() == "whole\n"
    assert (reader.ctx.counts["truncated"], reader.ctx.counts["drops"]) == (1, 1)


@pytest.mark.parametrize(
    ("framing", "sent", "written"),
    [
        ("line", b"a\r\nb\n", "a\nb\n"),
        ("nul", b"a\0b\nc\0", "a\nb\nc\n"),
        ("octet-counted", b"1 a3 b c", "a\nb c\n"),
        ("syslog", b"<1>lf\n6 <2>oct<3>x\n", "<1>lf\n<2>oct\n<3>x\n"),
        ("length-prefixed", b"\0\0\0\1a\0\0\0\2bc", "a\nbc\n"),
        ("raw", b"any\0thing", "any\0thing"),
    ],
)
def test_each_framing_reaches_the_output(start: Start, out: Path, framing: str, sent: bytes, written: str) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out), framing=framing))  # type: ignore[arg-type]

    with reader.client() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    reader.stop()

    assert out.read_text() == written


def test_delimiter_and_fixed_use_their_option(start: Start, out: Path) -> None:
    delimited = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out), framing="delimiter", delimiter="--"))
    with delimited.client() as client:
        client.sendall(b"a--b-")
    delimited.until_count("frames", 2)
    delimited.stop()
    fixed = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out), framing="fixed", frame_size=2))
    with fixed.client() as client:
        client.sendall(b"abcde")
    fixed.until_count("drops", 1)
    fixed.stop()

    assert out.read_text() == "a\nb-\nab\ncd\n"


def test_a_datagram_is_a_frame_unless_another_framing_splits_it(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="udp://127.0.0.1:0", output=str(out), framing="line"))

    with reader.client() as client:
        client.send(b"one:1|c\ntwo:2|c\nlast:3|c")
        client.send(b"next:4|c")
        reader.until_count("frames", 4)
    reader.stop()

    assert out.read_text() == "one:1|c\ntwo:2|c\nlast:3|c\nnext:4|c\n"


def test_a_datagram_over_the_limit_is_recognized_even_if_the_kernel_cut_it(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="unix-dgram://S", output=str(out), max_frame=1000, oversize="truncate"))

    with reader.client() as client:
        client.send(b"x" * 100_000)
        client.send(b"y" * 1000)
        reader.until_count("frames", 2)
    reader.stop()

    assert [len(line) for line in out.read_text().split()] == [1000, 1000]
    assert (reader.ctx.counts["oversize"], reader.ctx.counts["truncated"]) == (1, 1)


def test_a_datagram_below_a_large_limit_is_complete(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="unix-dgram://S", output=str(out), max_frame=150_000))

    with reader.client() as client:
        client.send(b"x" * 100_000)
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "x" * 100_000 + "\n"
    assert reader.ctx.counts["oversize"] == 0


def test_an_empty_host_listens_on_every_interface(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://:0", output=str(out)))
    port = reader.address.port

    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"four\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "four\n"
