"""socket-reader with `listen` and a slow output or a flush delay: what is buffered, and what is lost."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start


class SlowPipe:
    """A named pipe that accepts only what fits into it, until the test begins to read."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._pieces: list[bytes] = []
        self._thread = threading.Thread(target=self._read)

    def read_first(self) -> bytes:
        """Wait for the first write, and return it."""
        os.set_blocking(self._end, True)
        return os.read(self._end, 1 << 16)

    def begin_reading(self) -> None:
        os.set_blocking(self._end, True)
        self._thread.start()

    def _read(self) -> None:
        while piece := os.read(self._end, 1 << 20):
            self._pieces.append(piece)

    def content(self) -> bytes:
        """Return everything that was written, once the writer has closed its end."""
        self._thread.join()
        return b"".join(self._pieces)

    def close(self) -> None:
        os.close(self._end)


@pytest.fixture
def slow_pipe(tmp_path: Path) -> Iterator[SlowPipe]:
    pipe = SlowPipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


def test_datagrams_that_the_kernel_dropped_are_counted(start: Start, slow_pipe: SlowPipe) -> None:
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


def test_a_fast_peer_is_slowed_down_and_loses_nothing(start: Start, slow_pipe: SlowPipe) -> None:
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
    # Everything that the kernel accepted before the timeout arrived; the last line may be incomplete.
    came_through = stream.startswith(content[:-1])
    assert came_through
    assert 0 < len(content) < len(stream)


def test_records_are_buffered_no_longer_than_requested(start: Start, slow_pipe: SlowPipe) -> None:
    """No more data arrives, so only the delay can cause the write."""
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=slow_pipe.path, flush=0.05))

    with reader.client() as client:
        client.sendall(b"one\ntwo\n")
        written = slow_pipe.read_first()
    reader.stop()

    assert written == b"one\ntwo\n"


def test_a_stop_writes_the_buffered_records(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://127.0.0.1:0", output=str(out), flush=3600.0))

    with reader.client() as client:
        client.sendall(b"one\n")
        reader.until_count("frames", 1)
        before_the_stop = out.read_text()
        reader.stop()

    assert (before_the_stop, out.read_text()) == ("", "one\n")
