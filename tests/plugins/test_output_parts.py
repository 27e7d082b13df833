"""The output accepts a part of a batch only: what is kept, what is removed, and what a stop may cut."""

from __future__ import annotations

import errno
import os
import select
import threading
from pathlib import Path

import pytest
from tests.support.outputs import files, target

from taskloom import Cancelled
from taskloom.testing import FakeContext
from taskloom_plugins import output
from taskloom_plugins.output import FileTarget, OutputError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the folder of the output; few waits, since nothing else writes there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "_UNFINISHED_SECONDS", 0.001)
    Path("logs").mkdir()


def short_writes(monkeypatch: pytest.MonkeyPatch, sizes: list[int], error: OSError | None = None) -> None:
    """Make the system accept only this number of bytes of each write; then it reports the error, or accepts all."""
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if sizes:
            return real(descriptor, data[: sizes.pop(0)])
        if error is not None:
            raise error
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)


def test_a_batch_that_the_system_accepts_in_parts_stays_in_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation in the middle of it does not tear a line: the path is looked up before the batch only."""
    with target() as opened, monkeypatch.context() as patch:
        short_writes(patch, [1, 2, 3, 4])
        opened.write(b"one\ntwo\nthree\n")

    assert files() == {"out": "one\ntwo\nthree\n"}


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EFBIG", "EIO"])
@pytest.mark.parametrize(
    ("sizes", "kept"), [([], ""), ([2], ""), ([4], "one\n"), ([6], "one\n"), ([3, 2], "one\n"), ([8], "one\ntwo\n")]
)
def test_a_line_that_a_full_disk_cut_is_removed(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], kept: str, code: str
) -> None:
    number = int(getattr(errno, code))
    with target() as opened:
        opened.write(b"zero\n")
        with monkeypatch.context() as patch:
            short_writes(patch, list(sizes), OSError(number, os.strerror(number)))
            with pytest.raises(OutputError, match="cannot append to 'logs/out': "):
                opened.write(b"one\ntwo\nthree\n")

    assert files() == {"out": f"zero\n{kept}"}
    with target() as opened:  # the next run
        opened.write(b"next\n")
    assert files() == {"out": f"zero\n{kept}next\n"}


def test_a_cut_line_after_which_another_program_wrote_is_ended_and_not_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = os.write
    with target() as opened, target() as other, monkeypatch.context() as patch:

        def write(descriptor: int, data: memoryview) -> int:
            if len(data) < 8:
                patch.setattr(os, "write", real)
                other.write(b"theirs\n")
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data[:6])

        patch.setattr(os, "write", write)
        with pytest.raises(OutputError):
            opened.write(b"one\ntwo\n")

    assert files() == {"out": "one\ntwtheirs\n"}


def test_of_a_raw_stream_every_byte_that_was_accepted_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with target(is_lines=False) as opened, monkeypatch.context() as patch:
        short_writes(patch, [6], OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(OutputError):
            opened.write(b"one\ntwo\n")

    assert files() == {"out": "one\ntw"}


def test_an_error_at_the_close_is_a_clear_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on a network may report only then that the disk is full."""
    with FakeContext() as ctx:
        opened = FileTarget(ctx, str(Path("logs/out").absolute()))
        real = os.close

        def close(descriptor: int) -> None:
            real(descriptor)
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

        with monkeypatch.context() as patch:
            patch.setattr(os, "close", close)
            with pytest.raises(OutputError, match="disk quota exceeded"):
                opened.close()
        opened.close()


# -- pipes -----------------------------------------------------------------------------------------


def test_a_stop_while_a_pipe_is_full_tears_no_line() -> None:
    """The reader of the pipe reads nothing until the run is cancelled."""
    os.mkfifo("pipe")
    reading = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    lines = b"".join(b"%06d" % number + b"." * 90 + b"\n" for number in range(5000))
    with FakeContext() as ctx:
        opened = FileTarget(ctx, "pipe")
        stop = threading.Timer(0.05, ctx.cancel, ["stop"])
        stop.start()

        with pytest.raises(Cancelled):
            opened.write(lines)
        stop.join()
        opened.close()
    content = b""
    while piece := os.read(reading, 1 << 16):
        content += piece
    os.close(reading)

    assert 0 < len(content) < len(lines)
    assert content.endswith(b"\n")
    assert lines.startswith(content)


@pytest.mark.parametrize("longest", [1, 100, select.PIPE_BUF - 1, select.PIPE_BUF, 3 * select.PIPE_BUF])
def test_records_for_a_pipe_are_split_at_newlines_only(longest: int) -> None:
    records = b"".join(b"x" * (longest * number // 50) + b"\n" for number in range(51)) + b"y" * longest

    pieces = list(output._atomic_pieces(records))

    assert b"".join(pieces) == records
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])
    assert all(len(piece) <= select.PIPE_BUF or piece.count(b"\n", 0, -1) == 0 for piece in pieces)


def test_a_pipe_that_was_replaced_is_opened_again() -> None:
    os.mkfifo("pipe")
    first = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    with target("pipe") as opened:
        opened.write(b"1\n")
        Path("pipe").unlink()
        os.mkfifo("pipe")
        second = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
        opened.write(b"2\n")

        assert (os.read(first, 100), os.read(second, 100)) == (b"1\n", b"2\n")
    os.close(first)
    os.close(second)
