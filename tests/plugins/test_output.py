"""The output: records are written completely, in order and no later than requested."""

from __future__ import annotations

import io
import math
import os
import sys
from pathlib import Path

import pytest

from taskloom.testing import FakeContext
from taskloom_plugins.output import FileTarget, Output, OutputError, StdoutTarget, open_target


class ListTarget:
    """Records each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, records: bytes) -> None:
        self.writes.append(records)

    def close(self) -> None:
        self.is_closed = True


def test_without_a_delay_each_batch_is_written_at_once() -> None:
    target = ListTarget()

    with Output(target, 0.0) as output:
        output.write(b"a\n")
        output.write(b"b\n")
        assert target.writes == [b"a\n", b"b\n"]
        assert output.deadline == math.inf

    assert target.is_closed


def test_with_a_delay_batches_are_buffered_until_the_first_is_that_old() -> None:
    target, now = ListTarget(), [100.0]

    with Output(target, 5.0, clock=lambda: now[0]) as output:
        output.write(b"a\n")
        now[0] = 103.0
        output.write(b"b\n")
        assert (target.writes, output.deadline) == ([], 105.0)

        output.tick(105.0)
        assert (target.writes, output.deadline) == ([b"a\nb\n"], math.inf)


def test_the_buffer_is_limited_and_written_at_the_end() -> None:
    target = ListTarget()

    with Output(target, 3600.0) as output:
        for _ in range(3):
            output.write(b"x" * 100_000)
        assert [len(write) for write in target.writes] == [300_000]
        output.write(b"last\n")

    assert target.writes[1:] == [b"last\n"]


def test_the_buffer_is_written_when_the_run_fails_for_another_reason() -> None:
    target = ListTarget()

    with pytest.raises(RuntimeError), Output(target, 3600.0) as output:
        output.write(b"kept\n")
        raise RuntimeError

    assert target.writes == [b"kept\n"]
    assert target.is_closed


def test_records_are_appended_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.log"
    path.write_text("before\n")

    append(path, b"after\n")

    assert path.read_text() == "before\nafter\n"


def test_a_record_that_a_full_disk_cut_does_not_join_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "out.log"
    path.write_text("whole\ncut of")

    append(path, b"next\n")

    assert path.read_text() == "whole\ncut of\nnext\n"


def test_nothing_is_inserted_before_appending_to_a_raw_file(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"\xff")

    append(path, b"\xfe", is_lines=False)

    assert path.read_bytes() == b"\xff\xfe"


def test_two_writers_of_one_file_do_not_mix_their_records(tmp_path: Path) -> None:
    with FakeContext() as ctx:
        first, second = (FileTarget(ctx, str(tmp_path / "out.log")) for _ in range(2))
        for number in range(100):
            first.write(b"first %d\n" % number * 10)
            second.write(b"second %d\n" % number * 10)
        first.close()
        second.close()

    lines = (tmp_path / "out.log").read_text().splitlines()
    assert len(lines) == 2000
    assert {line.split()[0] for line in lines} == {"first", "second"}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/no/such/folder/out.log", "no such file or directory"),
        ("/", "is a directory"),
        ("a\0b", "it is not a path"),
        ("fifo", "no such device or address"),
    ],
)
def test_a_file_that_cannot_be_opened_is_a_clear_failure(
    path: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")

    with pytest.raises(OutputError) as caught:
        append(Path(path), b"", where=path)

    assert str(caught.value) == f"cannot append to {path!r}: {why}"


def test_a_full_disk_is_a_clear_failure_and_is_not_written_to_again() -> None:
    with (
        FakeContext() as ctx,
        pytest.raises(OutputError) as caught,
        Output(FileTarget(ctx, "/dev/full"), 60.0) as output,
    ):
        output.write(b"x\n")
        output.flush()

    assert str(caught.value) == "cannot append to '/dev/full': no space left on device"


def test_standard_output_gets_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []

    class Buffer(io.BytesIO):
        def write(self, data: object) -> int:
            writes.append(bytes(data))  # type: ignore[call-overload]
            return len(writes[-1])

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Buffer(), write_through=True))

    with Output(StdoutTarget(), 0.0) as output:
        output.write(b"a\nb\n")

    assert writes == [b"a\nb\n"]


def test_standard_output_may_be_replaced_by_a_stream_for_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)

    StdoutTarget().write("ß\n".encode())

    assert stdout.getvalue() == "ß\n"


def test_a_closed_standard_output_is_a_clear_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    with pytest.raises(OutputError, match="cannot write to standard output"):
        StdoutTarget().write(b"x\n")


def append(path: Path, records: bytes, *, is_lines: bool = True, where: str = "") -> None:
    with FakeContext() as ctx, Output(open_target(ctx, where or str(path), is_lines=is_lines), 0.0) as output:
        output.write(records)
