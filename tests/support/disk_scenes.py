"""A program for namespaces of its own: a socket-reader writes to a disk that becomes full, and has room again.

unshare --mount --net python -m tests.support.disk_scenes SCENE FOLDER
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.plugins.conftest import Running

from taskloom_plugins.output import OutputError
from taskloom_plugins.socket_reader import SocketReader

DISK = Path("disk")
OUT = DISK / "out.log"
# No divisor of the page size, so that the disk becomes full in the middle of a line.
LINES = [f"{number:05}".ljust(100, ".") for number in range(20_000)]
TEXT = [f"{line}\n" for line in LINES]


@contextmanager
def running(output: Path = OUT) -> Iterator[Running]:
    """A reader that writes to this file; cancelled at the end."""
    reader = Running(SocketReader(listen="tcp://127.0.0.1:0", output=str(output)), "reader", 1.0)
    try:
        yield reader
    finally:
        reader.ctx.cancel("end of the scene")


def run_until_full(lines: list[str]) -> int:
    """Send the lines to a reader until it fails; return how many whole ones the file has."""
    with running() as reader, reader.client() as client:
        with suppress(OSError):  # the reader may have failed already
            client.sendall("".join(lines).encode())
            client.shutdown(socket.SHUT_WR)
        assert_fails(reader, f"cannot append to '{OUT}': no space left on device")
    return OUT.read_text().count("\n")


def run_to_the_end(lines: list[str]) -> None:
    with running() as reader, reader.client() as client:
        client.sendall("".join(lines).encode())
        reader.until_count("frames", len(lines))
        reader.stop()


def assert_fails(reader: Running, why: str) -> None:
    reader.until(lambda: reader.has_ended, "end")
    assert isinstance(reader.error, OutputError), reader.error
    assert str(reader.error) == why


def goes_on_when_there_is_room() -> None:
    """All that was written is whole, also after a second time."""
    filler = DISK / "filler"
    filler.write_bytes(b"x" * 500_000)
    first = run_until_full(TEXT)
    assert 0 < first < len(TEXT)
    assert OUT.read_text() == "".join(TEXT[:first])

    os.truncate(filler, 300_000)
    second = run_until_full(TEXT[first:])
    assert second > first
    assert OUT.read_text() == "".join(TEXT[:second])

    filler.unlink()
    run_to_the_end(TEXT[second : second + 100])
    assert OUT.read_text() == "".join(TEXT[: second + 100])


def goes_on_after_a_rotation() -> None:
    """The full file is moved to another disk."""
    first = run_until_full(TEXT)
    subprocess.run(["mv", OUT, "rotated.log"], check=True)
    run_to_the_end(TEXT[first : first + 100])

    assert Path("rotated.log").read_text() == "".join(TEXT[:first])
    assert OUT.read_text() == "".join(TEXT[first : first + 100])


def has_no_room_for_a_new_file_after_a_rotation() -> None:
    """The former file, still open, gets what was read; then the run fails."""
    subprocess.run(["mount", "-o", "remount,nr_inodes=3", DISK], check=True)
    with running() as reader, reader.client() as client:
        client.sendall(TEXT[0].encode())
        reader.until_count("frames", 1)
        OUT.rename(DISK / "out.1")
        (DISK / "another").touch()
        client.sendall(TEXT[1].encode())
        assert_fails(reader, f"cannot append to '{OUT}': no space left on device")
    assert (DISK / "out.1").read_text() == "".join(TEXT[:2])


def becomes_read_only_after_a_rotation() -> None:
    with running() as reader, reader.client() as client:
        client.sendall(TEXT[0].encode())
        reader.until_count("frames", 1)
        OUT.rename(DISK / "out.1")
        subprocess.run(["mount", "--bind", DISK, DISK], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", DISK], check=True)
        client.sendall(TEXT[1].encode())
        assert_fails(reader, f"cannot append to '{OUT}': read-only file system")
    assert (DISK / "out.1").read_text() == "".join(TEXT[:2])


SCENES = {
    scene.__name__: scene
    for scene in (goes_on_when_there_is_room, goes_on_after_a_rotation, has_no_room_for_a_new_file_after_a_rotation,
                  becomes_read_only_after_a_rotation)
}  # fmt: skip


def main(name: str, folder: str) -> None:
    os.chdir(folder)
    DISK.mkdir()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", DISK], check=True)
    SCENES[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
