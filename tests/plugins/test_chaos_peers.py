"""socket-reader with peers that misbehave: broken connections, single bytes, garbage, floods, shortages."""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom_plugins.counted_framing import MAX_ANNOUNCED_BYTES
from taskloom_plugins.listeners import Acceptor
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Running, Start

LISTEN = "tcp://127.0.0.1:0"


def reset(sock: socket.socket) -> None:
    """Close the connection with a RST instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def still_serves(reader: Running, frames: int) -> None:
    """Check that another peer is still served."""
    with reader.client() as healthy:
        healthy.sendall(b"7 healthy" if reader.ctx.job == "counted" else b"healthy\n")
        reader.until_count("frames", frames)


@pytest.mark.parametrize("sent_before", range(7))
def test_a_reset_at_any_byte_ends_only_that_peer(start: Start, out: Path, sent_before: int) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out)))
    line = b"broken"

    client = reader.client()
    client.sendall(b"first\n" + line[:sent_before])
    reader.until_count("bytes", 6 + sent_before)
    reset(client)
    reader.until_count("resets", 1)
    still_serves(reader, 2)
    reader.stop()

    assert out.read_text() == "first\nhealthy\n"
    assert reader.ctx.counts["truncated"] == reader.ctx.counts["drops"] == bool(sent_before)
    assert any("connection reset by peer" in message for message in reader.ctx.messages)


def test_bytes_that_arrive_one_by_one_make_the_same_lines(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out)))
    stream = "naïve ☃ line\r\nanother\n".encode()

    with reader.client() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(stream)):
            client.sendall(stream[position : position + 1])
            reader.until_count("bytes", position + 1)
    reader.stop()

    assert out.read_text("utf-8") == "naïve ☃ line\nanother\n"


@pytest.mark.parametrize(
    ("framing", "garbage"),
    [
        ("octet-counted", b"GET / HTTP/1.1\r\n\r\n"),
        ("octet-counted", b"99999999999999999999 x"),
        ("octet-counted", b"0 "),
        ("length-prefixed", b"\xff\xff\xff\xffx"),
        ("length-prefixed", b"\x7f\xff\xff\xffx"),
    ],
)
def test_an_invalid_length_ends_only_that_peer(start: Start, out: Path, framing: Any, garbage: bytes) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), framing=framing))

    with reader.client() as client:
        client.sendall(garbage)
        assert client.recv(1) == b""
    with reader.client() as healthy:
        healthy.sendall(b"\0\0\0\2ok" if framing == "length-prefixed" else b"2 ok")
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "ok\n"
    assert reader.ctx.counts["malformed"] == 1
    assert any("cannot read any further from tcp://127.0.0.1:" in message for message in reader.ctx.messages)


def test_a_frame_with_a_huge_valid_length_is_skipped_without_being_stored(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), framing="length-prefixed", max_frame=10))

    with reader.client() as client:
        client.sendall(MAX_ANNOUNCED_BYTES.to_bytes(4, "big") + b"x" * 100_000)
        reader.until_count("bytes", 100_004)
    reader.stop()

    assert out.read_text() == ""
    assert (reader.ctx.counts["oversize"], reader.ctx.counts["drops"]) == (1, 1)
    assert reader.ctx.counts["truncated"] == 0


@pytest.mark.parametrize(
    ("oversize", "written", "counter"),
    [("drop", "a\nb\n", "drops"), ("truncate", "a\nxxxxxxxxxx\nb\n", "truncated"), ("close", "a\n", "drops")],
)
def test_a_line_over_the_limit_is_handled_by_the_policy(
    start: Start, out: Path, oversize: Any, written: str, counter: str
) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), max_frame=10, oversize=oversize))

    with reader.client() as client:
        client.sendall(b"a\n" + b"x" * 1000 + b"\nb\n")
        client.shutdown(socket.SHUT_WR)
        with_end = client.recv(1)
    reader.stop()

    assert with_end == b""
    assert out.read_text() == written
    counts = reader.ctx.counts
    assert counts["oversize"] == counts["drops"] + counts["truncated"] == counts[counter] == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"idle_timeout": 0.02}, "silent for 0.02 s"),
        ({"frame_timeout": 0.02}, "a frame took over 0.02 s"),
    ],
)
def test_a_peer_that_stalls_within_a_frame_is_closed_by_either_deadline(
    start: Start, out: Path, options: dict[str, Any], why: str
) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), **options))

    with reader.client() as client:
        client.sendall(b"whole\nunfin")
        assert client.recv(1) == b""
    reader.stop()

    assert out.read_text() == "whole\n"
    assert (reader.ctx.counts["timeouts"], reader.ctx.counts["truncated"]) == (1, 1)
    assert any(message.endswith(why) for message in reader.ctx.messages)


def test_single_bytes_do_not_extend_the_time_of_a_frame(start: Start, out: Path) -> None:
    """The peer is never silent for long, so the idle timeout never ends it."""
    reader = start(SocketReader(listen=LISTEN, output=str(out), idle_timeout=30, frame_timeout=0.4))

    with reader.client() as client:
        client.settimeout(0.01)
        sent = 0
        while not reader.ctx.counts["timeouts"] and sent < 300:
            try:
                sent += client.send(b"x")
                client.recv(1)
            except TimeoutError:
                continue
            except OSError:
                break
    reader.until_count("timeouts", 1)
    reader.stop()

    assert sent < 300
    assert any("a frame took over 0.4 s" in message for message in reader.ctx.messages)


def test_the_frame_timeout_does_not_apply_between_two_frames(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), frame_timeout=0.01))

    with reader.client() as quiet, reader.client() as stalling:
        quiet.sendall(b"one\n")
        stalling.sendall(b"unfin")
        reader.until_count("timeouts", 1)
        quiet.sendall(b"two\n")
        reader.until_count("frames", 2)
    reader.stop()

    assert out.read_text() == "one\ntwo\n"
    assert reader.ctx.counts["timeouts"] == 1


@pytest.mark.parametrize(
    ("errors", "written", "drops"),
    [("replace", "a\n\ufffdb\nc\n", 0), ("strict", "a\nc\n", 1), ("backslashreplace", "a\n\\xffb\nc\n", 0)],
)
def test_bytes_that_are_not_text_are_handled_by_the_policy_and_counted(
    start: Start, out: Path, errors: Any, written: str, drops: int
) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), errors=errors))

    with reader.client() as client:
        client.sendall(b"a\n\xffb\nc\n")
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    reader.stop()

    assert out.read_text("utf-8") == written
    assert (reader.ctx.counts["decode_errors"], reader.ctx.counts["drops"]) == (1, drops)
    assert any("byte 0xff in position 0" in message for message in reader.ctx.messages)


def test_frames_that_are_not_json_are_dropped_and_counted(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), decoder="json"))
    deep = b"[" * 100_000 + b"\n"

    with reader.client() as client:
        client.sendall(b'{"a": 1}\nnonsense\nNaN\n1e999\n\n' + deep + b" [1.10] \n")
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    reader.stop()

    assert out.read_text() == '{"a": 1}\n[1.10]\n'
    assert reader.ctx.counts["decode_errors"] + reader.ctx.counts["oversize"] == 5


def test_a_flood_of_broken_peers_causes_one_warning(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen=LISTEN, output=str(out), framing="octet-counted"), job="counted")

    for _ in range(50):
        with reader.client() as client:
            client.sendall(b"garbage")
    reader.until_count("malformed", 50)
    still_serves(reader, 1)
    reader.stop()

    warnings = [record.getMessage() for record in reader.ctx.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    assert warnings[1] == "49 more warnings about broken streams were not logged"


def test_a_shortage_of_descriptors_pauses_accepting(start: Start, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`accept` fails three times; pauses of 0.1, 0.2 and 0.4 seconds and one warning follow."""
    shortages = 3
    real = socket.socket.accept
    pauses: list[float] = []
    real_pause = Acceptor._pause_accepting

    def accept(self: socket.socket) -> Any:
        nonlocal shortages
        if shortages:
            shortages -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self)

    def pause_accepting(self: Acceptor, error: OSError) -> None:
        pauses.append(self._pause)
        real_pause(self, error)

    reader = start(SocketReader(listen=LISTEN, output=str(out)))
    with reader.client() as early:
        early.sendall(b"early\n")
        reader.until_count("frames", 1)
        monkeypatch.setattr(socket.socket, "accept", accept)
        monkeypatch.setattr(Acceptor, "_pause_accepting", pause_accepting)
        with reader.client() as late:
            late.sendall(b"late\n")
            reader.until_log("cannot accept connections for now: too many open files")
            early.sendall(b"meanwhile\n")
            reader.until_count("frames", 3)
    reader.stop()

    assert out.read_text() == "early\nmeanwhile\nlate\n"
    assert pauses == [0.1, 0.2, 0.4]
    assert sum("cannot accept" in message for message in reader.ctx.messages) == 1


def test_the_kernel_checks_whether_a_half_open_peer_is_alive(
    start: Start, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[socket.socket] = []
    real = socket.socket.accept

    def accept(self: socket.socket) -> Any:
        sock, address = real(self)
        accepted.append(sock)
        return sock, address

    monkeypatch.setattr(socket.socket, "accept", accept)
    reader = start(SocketReader(listen=LISTEN, output=str(out)))
    with reader.client():
        reader.until_count("peers", 1)

        assert accepted[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_a_full_disk_is_a_clear_failure_and_the_socket_is_closed(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "S"
    reader = start(SocketReader(listen=f"unix://{path}", output="/dev/full"))

    with reader.client() as client:
        client.sendall(b"line\n")
        client.recv(1)
    with pytest.raises(Exception, match="cannot append to '/dev/full': no space left on device"):
        reader.join()

    assert not path.exists()
