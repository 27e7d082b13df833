"""logrotate(8) over the output of a socket-reader that is under load all the time."""

from __future__ import annotations

import gzip
import itertools
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.real_clients import Receiver

if TYPE_CHECKING:
    from tests.clients.conftest import Begin

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("fast_switching")]

ROTATIONS = 8
# About 20,000 lines a second: enough that the reader writes several times during each step of logrotate.
BATCH = 20
PAUSE_SECONDS = 0.001
# With its newline a divisor of the page size. A write becomes visible to logrotate page by page, so that its copy of a
# file, before it truncates it, may end at the end of a page: there a line ends, too. (Measured with other lines, at
# 380,000 lines a second: 1 of 60 copies ended within a line.)
WIDTH = 31

NeedTool = Callable[[str], str]


class Load:
    """Sends numbered lines until it is closed."""

    def __init__(self, receiver: Receiver) -> None:
        self.sent = 0
        self._receiver = receiver
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send, name="test-load")
        self._thread.start()

    def _send(self) -> None:
        with socket.create_connection(("127.0.0.1", self._receiver.running.address.port)) as sock:
            while not self._is_over.wait(PAUSE_SECONDS):
                numbers = range(self.sent, self.sent + BATCH)
                sock.sendall("".join(line(number) + "\n" for number in numbers).encode())
                self.sent += BATCH

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()


def line(number: int) -> str:
    return f"{number:08}".ljust(WIDTH, ".")


@pytest.fixture
def rotate(need_tool: NeedTool, tmp_path: Path) -> Callable[[str], None]:
    """Run logrotate once, with these directives."""
    (tmp_path / "logs").mkdir(mode=0o755)

    def go(directives: str) -> None:
        config = tmp_path / "logrotate.conf"
        config.write_text(f'"{tmp_path}/logs/out.log" {{\n rotate 100\n compress\n {directives}\n}}\n')
        done = subprocess.run(
            [need_tool("logrotate"), "--force", "--state", tmp_path / "state", config],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        # Only with `create`: the machine was so slow that the reader made the new file first. No line is lost by that.
        told = re.sub(r"error: destination \S+ already exists, renaming to \S+\.backup\n", "", done.stderr)
        assert (done.returncode, told) == (0, "")

    return go


def rotate_under_load(begin: Begin, tmp_path: Path, rotate: Callable[[str], None], directives: str) -> int:
    """Rotate again and again while lines arrive; return how many were sent and written."""
    receiver = begin(listen="tcp://127.0.0.1:0", output=tmp_path / "logs/out.log")
    load = Load(receiver)
    try:
        for _ in range(ROTATIONS):
            receiver.until_frames(receiver.running.ctx.counts["frames"] + 50 * BATCH)
            rotate(directives)
    finally:
        load.close()
    receiver.until_frames(load.sent)
    receiver.running.stop()
    assert receiver.running.ctx.counts["frames"] == load.sent
    return load.sent


def files(folder: Path) -> Iterator[list[str]]:
    """Yield the lines of each file, the oldest file first."""

    def age(path: Path) -> int:
        found = re.search(r"\.log\.(\d+)", path.name)
        return -int(found[1]) if found else 0

    for path in sorted((path for path in folder.rglob("*") if path.is_file()), key=age):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not content or content.endswith(b"\n"), path
        assert b"\0" not in content, path
        yield content.decode().splitlines()


@pytest.mark.parametrize(
    "directives",
    [
        "nocreate\n delaycompress",
        "create 0640\n delaycompress",
        "nocreate\n delaycompress\n olddir old\n createolddir 755",
        "nocreate\n delaycompress\n start 7",
    ],
    ids=lambda value: value.replace("\n", ","),
)
def test_with_move_and_delaycompress_no_line_is_lost_or_doubled(
    begin: Begin, tmp_path: Path, rotate: Callable[[str], None], directives: str
) -> None:
    sent = rotate_under_load(begin, tmp_path, rotate, directives)

    per_file = list(files(tmp_path / "logs"))
    assert len(per_file) > ROTATIONS
    assert all(texts == sorted(texts) for texts in per_file)
    assert sorted(itertools.chain(*per_file)) == [line(number) for number in range(sent)]


@pytest.mark.parametrize("directives", ["copytruncate", "copytruncate\n delaycompress"], ids=["", "delaycompress"])
def test_with_copytruncate_lines_are_lost_only_between_the_copy_and_the_truncate(
    begin: Begin, tmp_path: Path, rotate: Callable[[str], None], directives: str
) -> None:
    sent = rotate_under_load(begin, tmp_path, rotate, directives)

    per_file = list(files(tmp_path / "logs"))
    texts = list(itertools.chain(*per_file))
    # No line is torn, doubled or in another place, and inside of a file none is missing.
    numbers = [[int(text[:8]) for text in texts] for texts in per_file]
    assert texts == [line(int(text[:8])) for text in texts]
    assert all(part == list(range(part[0], part[-1] + 1)) for part in numbers if part)
    joined = list(itertools.chain(*numbers))
    assert joined == sorted(set(joined))
    assert joined[0] == 0
    assert joined[-1] == sent - 1
