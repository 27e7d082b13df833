"""What the tests with real programs share: a receiver, a program that sends, and how datagrams are paced."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from tests.plugins.conftest import Running

LINES = [f"line-{number:05}" for number in range(10_000)]
"""Ten thousand different lines."""
TEXT = "".join(f"{line}\n" for line in LINES)
"""The same lines, as a file has them."""

# Records on the way at a time: so few that the smallest receive buffer holds them.
_STEP = 100
_TRIALS = 3
_FAULTS = ("drops", "truncated", "malformed", "decode_errors", "oversize", "refused", "resets")

Result = TypeVar("Result")


class DroppedError(Exception):
    """The kernel dropped a datagram, so that the trial shows nothing."""


def without_drops(trial: Callable[[], Result]) -> Result:
    """Return the result of the trial; one in which the kernel dropped a datagram counts as not run."""
    for _ in range(_TRIALS):
        try:
            return trial()
        except DroppedError:
            continue
    pytest.skip(f"LOUD: the kernel dropped datagrams in each of {_TRIALS} trials")


class Receiver:
    """A running socket-reader and the file that it writes."""

    def __init__(self, running: Running, output: Path) -> None:
        self.running, self.output = running, output

    @property
    def endpoint(self) -> str:
        """The port or the path at which it listens."""
        address = self.running.address
        return address.path if address.is_unix else str(address.port)

    def until_frames(self, count: int) -> None:
        """Wait until this number of records was written. Raises DroppedError."""
        counts = self.running.ctx.counts
        self.running.until(lambda: counts["frames"] >= count or counts["lost"] > 0, f"{count} frames")
        if counts["lost"]:
            raise DroppedError

    def records(self, count: int = len(LINES)) -> list[str]:
        """Wait until all records have been written, stop, and return them. Raises DroppedError."""
        self.until_frames(count)
        if self._kernel_drops():
            raise DroppedError
        self.running.stop()
        counts = self.running.ctx.counts
        assert not any(counts[name] for name in _FAULTS), counts
        assert counts["frames"] == count, counts
        return self.output.read_text().splitlines()

    def _kernel_drops(self) -> int:
        """Return how many datagrams the kernel has dropped for the reader's port: the last column of /proc/net/udp."""
        if "udp://" not in self.running.ctx.messages[0]:
            return 0
        port = self.running.address.port
        tables = [Path(name).read_text().splitlines()[1:] for name in ("/proc/net/udp", "/proc/net/udp6")]
        rows = [row.split() for table in tables for row in table]
        return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


def pace(
    receiver: Receiver, records: Sequence[str], send: Callable[[Sequence[str]], object], step: int = _STEP
) -> None:
    """Send some records at a time, and the next ones only when the receiver has written the former ones."""
    for begin in range(0, len(records), step):
        part = records[begin : begin + step]
        send(part)
        receiver.until_frames(begin + len(part))


class Program:
    """A program that sends."""

    def __init__(self, process: subprocess.Popen[bytes], told: Path) -> None:
        """`told`: the file that gets its standard output and error."""
        self.process, self._told = process, told

    def assert_running(self) -> None:
        """Fail, with what the program said, if it has ended."""
        assert self.process.poll() is None, self._told.read_text()

    def write(self, lines: Sequence[str]) -> None:
        """Write the lines to its standard input, in one piece."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def feed(self, receiver: Receiver, lines: Sequence[str] = LINES) -> None:
        """Write the lines to its standard input; the next ones only when the receiver has the former ones."""
        pace(receiver, lines, self.write)

    def close(self) -> None:
        """Terminate it if it is still running, and wait for its end."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
