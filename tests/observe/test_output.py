"""The output thread: what it does when a descriptor cannot be written, and how it ends."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskloom.observe import descriptor as descriptors
from taskloom.observe.descriptor import Descriptor, Writing
from taskloom.observe.output import DATA_BYTES, LOG_BYTES, Output
from taskloom.sync.wakeup_fd import WakeupFd

PATIENCE_SECONDS = 20.0


class Disk:
    """Replaces the writes of descriptors: fails as often as it is told to, then writes."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.written: dict[int, bytes] = {}
        self.changed = threading.Condition()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Descriptor, "write", lambda descriptor, piece: self.write(descriptor.number, piece))

    def write(self, number: int, piece: bytes) -> int | OSError:
        with self.changed:
            if self.failures:
                return OSError(self.failures.pop(0), "no luck")
            self.written[number] = self.written.get(number, b"") + piece
            self.changed.notify_all()
            return len(piece)

    def wait_for(self, number: int, content: bytes) -> None:
        with self.changed:
            found = self.changed.wait_for(lambda: content in self.written.get(number, b""), PATIENCE_SECONDS)
        assert found, self.written


@contextmanager
def output_of(data: int, log: int) -> Iterator[Output]:
    output = Output(data, log)
    try:
        yield output
    finally:
        output.close(0.1)
        output._thread.join(PATIENCE_SECONDS)


@pytest.fixture
def null() -> Iterator[int]:
    """A descriptor that always polls writable."""
    number = os.open(os.devnull, os.O_WRONLY)
    yield number
    os.close(number)


@pytest.fixture
def full() -> Iterator[int]:
    """A descriptor without space."""
    number = os.open("/dev/full", os.O_WRONLY)
    yield number
    os.close(number)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.ENXIO, errno.EAGAIN])
def test_a_write_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch, null: int, number: int) -> None:
    disk = Disk(number, number)
    disk.install(monkeypatch)

    with output_of(null, null) as output:
        output.data(b"data\n")
        disk.wait_for(null, b"data\n")

        assert output.lost == (0, 0)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EBADF])
def test_a_reader_that_has_gone_ends_the_stream(number: int) -> None:
    one = Descriptor(1, "standard output")
    one.add(b"12345")

    one.take()
    one.wrote(OSError(number, "gone"), 0.0)
    one.add(b"67")

    assert one.state is Writing.ENDED
    assert (one.lost, one.size, one.is_waiting) == (7, 0, False)


def test_the_delay_between_two_attempts_grows_and_is_bounded() -> None:
    one, now, delays = Descriptor(1, "standard output"), 0.0, []
    one.add(b"x")

    for _ in range(12):
        one.take()
        one.wrote(OSError(errno.ENOSPC, "full"), now)
        delays.append(one.retry_at - now)
        now = one.retry_at

    assert delays[:3] == pytest.approx([0.01, 0.02, 0.04])
    assert delays[-1] == descriptors.LAST_RETRY_SECONDS


def test_a_piece_that_was_written_in_part_is_neither_lost_nor_repeated() -> None:
    one = Descriptor(1, "standard output")
    one.add(b"abcdef")

    one.take()
    one.wrote(2, 0.0)

    assert one.take() == b"cdef"
    assert one.size == 4


def test_data_for_a_full_disk_is_counted_and_blocks_no_run(full: int, tmp_path: Path) -> None:
    told = threading.Event()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    output = Output(full, log)

    def tell(sentence: str) -> None:
        output.line(f"{sentence}\n".encode())
        told.set()

    output.tell = tell
    output.data(b"x" * 10)
    assert told.wait(PATIENCE_SECONDS)
    for _ in range(3):
        output.data(b"x" * DATA_BYTES)  # a pipe that is full would block the second time
    output.close(0.05)
    os.close(log)

    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "cannot write to standard output: No space left on device; trying again"
    assert lines[-1] == f"{10 + 3 * DATA_BYTES:,} bytes of output were lost on standard output: No space left on device"


def test_what_is_not_read_in_time_is_said(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    output = Output(writing, log)
    output.tell = lambda sentence: output.line(f"{sentence}\n".encode())

    output.final_data(b"x" * 1_000_000)
    output.close(0.05)

    lost = output.lost[0]
    assert 0 < lost < 1_000_000
    sentence = f"{lost:,} bytes of output were lost on standard output: it was not read in time\n"
    assert (tmp_path / "log").read_text() == sentence
    for number in (reading, writing, log):
        os.close(number)


def test_log_lines_for_a_full_disk_are_counted(full: int, null: int) -> None:
    output, has_failed = Output(null, full), threading.Event()
    output.tell = lambda _: has_failed.set()

    output.line(b"x" * (LOG_BYTES + 1))
    assert has_failed.wait(PATIENCE_SECONDS)
    output.line(b"12345")
    output.close(0.05)

    assert (output.lost[1], output.dropped_lines) == (5, 0)


def test_a_log_line_never_continues_what_a_task_has_left_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, null: int
) -> None:
    disk = Disk()
    disk.install(monkeypatch)

    with output_of(null, null) as output:
        output.text(b"10 %")
        output.text(b"\r20 %", is_rest=True)
        output.line(b"a log line\n")
        disk.wait_for(null, b"a log line\n")

    assert disk.written[null] == b"10 %\r20 %\na log line\n"


def test_a_finalizer_may_print_while_the_lock_is_held(monkeypatch: pytest.MonkeyPatch, null: int) -> None:
    disk = Disk()
    disk.install(monkeypatch)

    with output_of(null, null) as output:
        with output._lock:  # as if a collection began inside of one of its methods
            output.data(b"finalizer\n")
            output.line(b"finalizer\n")
        disk.wait_for(null, b"finalizer\n")


def test_an_exception_in_the_thread_ends_no_output(monkeypatch: pytest.MonkeyPatch, null: int) -> None:
    disk, failures = Disk(), [MemoryError, MemoryError]
    disk.install(monkeypatch)
    release = Output._release_lines

    def release_or_fail(self: Output) -> None:
        if failures:
            raise failures.pop()
        release(self)

    monkeypatch.setattr(Output, "_release_lines", release_or_fail)

    with output_of(null, null) as output:
        output.line(b"a line\n")
        disk.wait_for(null, b"a line\n")

    assert failures == []


@pytest.mark.parametrize("until", [0.0, 2.0, 100.0])
def test_at_the_end_the_output_waits_as_long_as_something_is_written_but_not_beyond_the_latest_time(
    monkeypatch: pytest.MonkeyPatch, null: int, until: float
) -> None:
    """A busy machine, or a slow reader: each write takes 0.2 s of a clock that the test advances."""
    disk, now = Disk(), [0.0]

    def write(descriptor: Descriptor, piece: bytes) -> int | OSError:
        now[0] += 0.2
        return disk.write(descriptor.number, piece)

    monkeypatch.setattr(Descriptor, "write", write)
    monkeypatch.setattr("taskloom.observe.output.mono", lambda: now[0])
    with output_of(null, null) as output:
        with output._lock:
            output._data.add(b"x" * 80_000)
        output.close(0.3, until)
        assert output._ended.wait(PATIENCE_SECONDS)

    written = len(disk.written[null])
    assert output.lost[0] + written == 80_000
    assert (written == 80_000) is (until == 100.0)
    if not until:
        assert written <= 4 * 4096


def test_a_wake_up_that_is_interrupted_is_made_good_by_the_next_print(
    monkeypatch: pytest.MonkeyPatch, null: int
) -> None:
    disk = Disk()
    disk.install(monkeypatch)
    set_wakeup, strikes = WakeupFd.set, [True]

    def struck(self: WakeupFd) -> None:
        if strikes:
            strikes.pop()
            raise KeyboardInterrupt
        set_wakeup(self)

    with output_of(null, null) as output:
        monkeypatch.setattr(WakeupFd, "set", struck)
        with pytest.raises(KeyboardInterrupt):
            output.data(b"first ")
        output.data(b"second")

        disk.wait_for(null, b"first second")


def test_each_of_many_prints_wakes_the_thread_that_has_gone_to_sleep(
    monkeypatch: pytest.MonkeyPatch, null: int
) -> None:
    disk = Disk()
    disk.install(monkeypatch)

    with output_of(null, null) as output:
        for number in range(300):
            output.data(b"%d," % number)
            disk.wait_for(null, b"%d," % number)


def test_the_thread_waits_at_the_end_for_what_is_still_to_be_queued(monkeypatch: pytest.MonkeyPatch, null: int) -> None:
    disk, ended = Disk(), []
    disk.install(monkeypatch)
    with output_of(null, null) as output:

        def queue_the_rest() -> None:
            output.data(b"held back", is_rest=True)
            disk.wait_for(null, b"held back")
            ended.append(output._ended.wait(0.05))  # as long as log files may take
            output.line(b"12 lines could not be written\n")

        output.before_end = queue_the_rest
        output.close(PATIENCE_SECONDS)

    assert ended[0] is False
    assert disk.written[null].endswith(b"12 lines could not be written\n")
