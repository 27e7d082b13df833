"""socket-reader with `listen`, against real peers on loopback."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskloom import PermanentFailure
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

ADDRESSES = ["tcp://127.0.0.1:0", "tcp://[::1]:0", "udp://127.0.0.1:0", "udp://[::1]:0", "unix://S", "unix-dgram://S"]


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "reader.sock"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class SlowPipe:
    """A named pipe that takes what fits, until the test begins to read it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._pieces: list[bytes] = []
        self._thread = threading.Thread(target=self._read)

    def read_first(self) -> bytes:
        """Wait for the first write."""
        os.set_blocking(self._end, True)
        return os.read(self._end, 1 << 16)

    def begin_reading(self) -> None:
        os.set_blocking(self._end, True)
        self._thread.start()

    def _read(self) -> None:
        while piece := os.read(self._end, 1 << 20):
            self._pieces.append(piece)

    def content(self) -> bytes:
        """Return everything, once the writer has closed its end."""
        self._thread.join()
        return b"".join(self._pieces)

    def close(self) -> None:
        os.close(self._end)


@pytest.fixture
def slow_pipe(tmp_path: Path) -> Iterator[SlowPipe]:
    pipe = SlowPipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_sent_to_any_kind_of_address_is_written_a_line_each(start: Start, out: Path, address: str) -> None:
    reader = start(SocketReader(listen=address, output=str(out)))

    with reader.client() as client:
        for line in ("one", "two", "drei ß"):
            client.send(line.encode() + (b"\n" if reader.address.is_stream else b""))
        reader.until_count("frames", 3)
    reader.stop()

    assert out.read_text("utf-8") == "one\ntwo\ndrei ß\n"
    assert reader.ctx.is_ready.is_set()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix-dgram://S"])
def test_a_json_record_says_when_and_from_where(start: Start, out: Path, address: str) -> None:
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


def test_a_hundred_peers_are_read_side_by_side(start: Start, out: Path) -> None:
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


def test_the_end_of_a_peer_is_answered_with_a_close_after_its_last_line_is_written(start: Start, out: Path) -> None:
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


def test_a_stop_leaves_an_unfinished_frame_out_and_counts_it(start: Start, out: Path) -> None:
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


def test_delimiter_and_fixed_take_their_option(start: Start, out: Path) -> None:
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


def test_datagrams_are_whole_frames_but_may_hold_lines(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="udp://127.0.0.1:0", output=str(out), framing="line"))

    with reader.client() as client:
        client.send(b"one:1|c\ntwo:2|c\nlast:3|c")
        client.send(b"next:4|c")
        reader.until_count("frames", 4)
    reader.stop()

    assert out.read_text() == "one:1|c\ntwo:2|c\nlast:3|c\nnext:4|c\n"


def test_a_datagram_over_the_limit_is_seen_as_such_even_where_the_kernel_cut_it(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="unix-dgram://S", output=str(out), max_frame=1000, oversize="truncate"))

    with reader.client() as client:
        client.send(b"x" * 100_000)
        client.send(b"y" * 1000)
        reader.until_count("frames", 2)
    reader.stop()

    assert [len(line) for line in out.read_text().split()] == [1000, 1000]
    assert (reader.ctx.counts["oversize"], reader.ctx.counts["truncated"]) == (1, 1)


def test_a_datagram_under_a_large_limit_comes_whole(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="unix-dgram://S", output=str(out), max_frame=150_000))

    with reader.client() as client:
        client.send(b"x" * 100_000)
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "x" * 100_000 + "\n"
    assert reader.ctx.counts["oversize"] == 0


def test_datagrams_that_the_kernel_had_to_drop_are_counted(start: Start, slow_pipe: SlowPipe) -> None:
    reader = start(SocketReader(listen="udp://127.0.0.1:0", output=slow_pipe.path))
    sent = 20_000

    with reader.client() as client:
        for _ in range(sent):
            client.send(b"x" * 1000)
    slow_pipe.begin_reading()
    reader.until(lambda: reader.ctx.counts["frames"] + reader.ctx.counts["lost"] == sent, "account of each datagram")
    reader.stop()

    assert reader.ctx.counts["lost"] > 0
    assert reader.ctx.counts["frames"] + reader.ctx.counts["lost"] == sent
    assert slow_pipe.content() == (b"x" * 1000 + b"\n") * reader.ctx.counts["frames"]


def test_a_greedy_peer_meets_back_pressure_and_loses_nothing(start: Start, slow_pipe: SlowPipe) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=slow_pipe.path))
    stream = b"".join(b"%07d" % number + b"." * 992 + b"\n" for number in range(30_000))

    with reader.client() as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.sendall(stream)
        slow_pipe.begin_reading()
        client.settimeout(None)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    reader.stop()

    content = slow_pipe.content()
    # What the kernel took before the time-out came through, to the last byte; its last line may be a part of one.
    came_through = stream.startswith(content[:-1])
    assert came_through
    assert 0 < len(content) < len(stream)


def test_records_may_be_gathered_but_no_longer_than_asked(start: Start, slow_pipe: SlowPipe) -> None:
    """Nothing more ever comes, so only the delay can bring out what has come."""
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=slow_pipe.path, flush=0.05))

    with reader.client() as client:
        client.sendall(b"one\ntwo\n")
        written = slow_pipe.read_first()
    reader.stop()

    assert written == b"one\ntwo\n"


def test_a_stop_writes_what_was_gathered(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out), flush=3600.0))

    with reader.client() as client:
        client.sendall(b"one\n")
        reader.until_count("frames", 1)
        before_the_stop = out.read_text()
        reader.stop()

    assert (before_the_stop, out.read_text()) == ("", "one\n")


# -- places ----------------------------------------------------------------------------------------


def test_a_port_in_use_is_a_clear_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(EndpointError) as caught:
            run_alone(SocketReader(listen=address))

    assert str(caught.value) == f"cannot listen on {address}: address already in use"


def test_an_unknown_host_is_a_clear_failure() -> None:
    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen="tcp://no such host:1"))

    assert str(caught.value).startswith("cannot listen on tcp://no such host:1: cannot find host 'no such host': ")


def test_an_address_of_another_machine_is_a_clear_failure() -> None:
    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen="udp://192.0.2.1:5514"))

    assert str(caught.value) == "cannot listen on udp://192.0.2.1:5514: cannot assign requested address"


def test_a_path_that_no_unix_socket_takes_is_a_failure_for_good() -> None:
    path = "/tmp/" + "x" * 103

    with pytest.raises(PermanentFailure) as caught:
        run_alone(SocketReader(listen=f"unix://{path}"))

    assert str(caught.value) == (f"cannot listen on unix://{path}: the path has 108 bytes, and a unix socket takes 107")


def test_a_folder_that_is_not_there_is_a_clear_failure() -> None:
    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen="unix:///no/such/folder/S"))

    assert str(caught.value) == "cannot listen on unix:///no/such/folder/S: no such file or directory"


@pytest.mark.parametrize("scheme", ["unix", "unix-dgram"])
def test_a_socket_that_a_killed_program_left_is_replaced_and_the_file_goes_at_the_end(
    start: Start, out: Path, socket_path: Path, scheme: str
) -> None:
    kind = socket.SOCK_STREAM if scheme == "unix" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_UNIX, kind) as left_behind:
        left_behind.bind(str(socket_path))

    reader = start(SocketReader(listen=f"{scheme}://{socket_path}", output=str(out)))
    with reader.client() as client:
        client.send(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert not socket_path.exists()


def test_a_socket_at_which_somebody_answers_is_left_alone(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(socket_path))
        other.listen()

        with pytest.raises(EndpointError, match="address already in use"):
            run_alone(SocketReader(listen=f"unix://{socket_path}"))

        assert socket_path.is_socket()


def test_a_file_that_is_no_socket_is_left_alone(socket_path: Path) -> None:
    socket_path.write_text("precious")

    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen=f"unix://{socket_path}"))

    assert str(caught.value) == f"cannot listen on unix://{socket_path}: a file that is no socket is in its place"
    assert socket_path.read_text() == "precious"


def test_a_socket_that_another_program_put_in_our_place_is_not_removed(
    start: Start, out: Path, socket_path: Path
) -> None:
    reader = start(SocketReader(listen=f"unix://{socket_path}", output=str(out)))
    reader.until_log("listening on")
    socket_path.unlink()
    socket_path.write_text("theirs")

    reader.stop()

    assert socket_path.read_text() == "theirs"


@pytest.mark.parametrize("mode", ["600", "0666"])
def test_the_permissions_of_a_unix_socket_are_as_asked_whatever_the_umask(
    start: Start, out: Path, socket_path: Path, mode: str
) -> None:
    reader = start(SocketReader(listen=f"unix://{socket_path}", output=str(out), mode=mode))
    reader.until_log("listening on")

    assert stat.S_IMODE(socket_path.stat().st_mode) == int(mode, 8)

    reader.stop()


def test_a_unix_socket_is_at_no_moment_open_to_more_people_than_asked(
    start: Start, out: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before the permissions are made exact, which is when the file is new, they are no wider."""
    modes: list[int] = []
    real = Path.chmod

    def chmod(self: Path, mode: int, **options: bool) -> None:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        real(self, mode, **options)

    monkeypatch.setattr(Path, "chmod", chmod)
    start(SocketReader(listen=f"unix://{socket_path}", output=str(out), mode="600")).until_log("listening on")

    assert [mode & 0o077 for mode in modes] == [0]


def test_an_empty_host_listens_on_every_interface(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://:0", output=str(out)))
    port = reader.address.port

    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"four\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "four\n"


def run_alone(reader: SocketReader) -> None:
    """Run a reader that is to fail at once, here and now."""
    from taskloom.testing import FakeContext

    with FakeContext() as ctx:
        reader.run(ctx)
