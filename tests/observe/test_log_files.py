"""Log files: whole lines, rotation, the total, and disks that fail."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskloom.observe import log_files
from taskloom.observe.log_file import FileLimits, append, file_name, locked, trim
from taskloom.observe.log_files import FileLine, LogFiles
from taskloom.observe.log_format import LogFormat
from taskloom.sync.latch import Latch

Make = Callable[..., LogFiles]


def line(text: str | bytes, job: str = "web", at: float = 0.0) -> FileLine:
    return FileLine(at, "INFO", job, f"{job}#1", text)


class Told:
    """The sentences that were told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.failing, self.again = Latch(), Latch()

    def __call__(self, sentence: str) -> None:
        self.sentences.append(sentence)
        (self.again if sentence.startswith("writing log files again") else self.failing).open()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def make(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(log_files, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(log_files, "GATHER_SECONDS", 0.0)
    made: list[LogFiles] = []

    def make(folder: Path | None = tmp_path, **options: object) -> LogFiles:
        files = LogFiles(None if folder is None else str(folder), told, **options)  # type: ignore[arg-type]
        files.start()
        made.append(files)
        return files

    yield make
    for files in made:
        files.finish(5.0)
        assert files._thread is not None
        files._thread.join(5.0)


def test_lines_are_written_by_their_times_and_prints_without_a_second_line_break(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "GATHER_SECONDS", 30.0)
    files, path = make(), tmp_path / "web.log"
    files.put(str(path), line("second", at=2.0))
    files.put(str(path), line(b"first \xff\n", at=1.0))

    assert files.finish(5.0) == 0
    first, second = path.read_text().splitlines()
    assert first.endswith("INFO    web          first \\xff")
    assert second.endswith("INFO    web          second")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_json_lines(make: Make, tmp_path: Path) -> None:
    files = make(log_format=LogFormat.JSON)
    files.put(str(tmp_path / "web.log"), line("a\nb"))
    files.finish(5.0)

    assert json.loads((tmp_path / "web.log").read_text()) == {
        "at": "1970-01-01T00:00:00.000000Z", "level": "INFO", "job": "web", "run": "web#1", "message": "a\nb",
    }  # fmt: skip


def test_a_folder_that_is_removed_is_made_anew(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "web.log"
    files = make()
    files.put(str(path), line("one"))

    assert files.finish(5.0) == 0
    assert path.read_text().count("\n") == 1
    assert stat.S_IMODE((tmp_path / "new" / "deep").stat().st_mode) == 0o700


def test_a_full_disk_is_told_once_and_heals_with_a_line_about_what_is_missing(
    make: Make, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "BACKLOG_BYTES", 1000)
    write, is_full = os.write, [True]

    def full(descriptor: int, content: bytes) -> int:
        if is_full[0] and os.fstat(descriptor).st_size >= 0 and stat.S_ISREG(os.fstat(descriptor).st_mode):
            write(descriptor, bytes(content[:5]))
            is_full.append(True)
            if len(is_full) % 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return 5
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", full)
    files, paths = make(), [str(tmp_path / f"{name}.log") for name in ("web", "db")]
    for path in paths:
        files.put(path, line("first"))
    assert told.failing.wait(10)
    for number in range(50):
        files.put(paths[0], line(f"{number} and more"))
    while files.dropped == 0:
        assert files.problem.endswith("No space left on device")
    is_full[0] = False
    assert told.again.wait(10)
    files.put(paths[0], line("last"))
    dropped = files.dropped

    files.finish(5.0)
    web = Path(paths[0]).read_text().splitlines()
    assert len([each for each in told.sentences if each.startswith("cannot write log file")]) == 1
    assert files.problem == ""
    assert web[0].endswith("first")
    assert web[-1].endswith("last")
    [gap] = [each for each in web if "left out here" in each]
    assert len(web) == 53 - dropped
    assert f"{dropped} line" in gap
    assert Path(paths[1]).read_text().count("\n") == 1


def test_a_disk_that_hangs_blocks_no_writer_and_the_end_only_for_its_time(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = Latch(), Latch()
    monkeypatch.setattr(log_files, "QUEUE_BYTES", 10_000)

    def hang(*_: object) -> bool:
        entered.open()
        leave.wait(30)
        return False

    monkeypatch.setattr(log_files, "append", hang)
    files = make()
    files.put(str(tmp_path / "web.log"), line("first"))
    assert entered.wait(10)
    for _ in range(1000):
        files.put(str(tmp_path / "web.log"), line("x" * 100))

    assert files.dropped > 900
    assert files.finish(0.01) == 1001
    leave.open()


def test_a_flood_drops_its_own_lines_alone(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = Latch(), Latch()
    monkeypatch.setattr(log_files, "QUEUE_BYTES", 100_000)

    def slow(path: str, content: bytes, *limits: int) -> bool:
        entered.open()
        return leave.wait(30) and append(path, content, *limits)

    monkeypatch.setattr(log_files, "append", slow)
    files, flood, quiet = make(), str(tmp_path / "flood.log"), str(tmp_path / "quiet.log")
    files.put(flood, line("first"))
    assert entered.wait(10)
    for number in range(2000):
        files.put(flood, line("x" * 100))
        if number % 100 == 0:
            files.put(quiet, line("beat"))
    leave.open()

    assert files.finish(5.0) == files.dropped > 1000
    assert Path(quiet).read_text().count("beat") == 20
    assert not files._sizes


def test_one_file_that_cannot_be_written_does_not_hinder_the_others(make: Make, told: Told, tmp_path: Path) -> None:
    (tmp_path / "dir.log").mkdir()
    (tmp_path / "link.log").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe.log")
    files = make()
    for name in ("dir", "link", "pipe", "web"):
        files.put(str(tmp_path / f"{name}.log"), line("x"))
    assert told.failing.wait(10)

    assert files.finish(0.2) == 3
    assert (tmp_path / "web.log").exists()
    assert not (tmp_path / "target").exists()


def test_a_folder_that_another_program_has_locked_is_awaited(make: Make, told: Told, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    files = make()
    files.put(str(tmp_path / "web.log"), line("x"))
    assert files.finish(0.05) == 1
    os.close(descriptor)

    with locked(str(tmp_path)), pytest.raises(BlockingIOError), locked(str(tmp_path)):
        pass
    assert told.sentences == []


def test_a_file_is_rotated_before_it_becomes_too_large_and_the_oldest_goes(tmp_path: Path) -> None:
    path = str(tmp_path / "web.log")
    rotated = [append(path, b"%d........\n" % number, 25, 3) for number in range(9)]

    assert rotated == [False, False, True, False, True, False, True, False, True]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["web.log", "web.log.1", "web.log.2"]
    assert [(tmp_path / name).read_text()[0] for name in ("web.log", "web.log.1", "web.log.2")] == ["8", "6", "4"]


def test_a_single_file_is_emptied_and_a_large_piece_is_written_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "web.log")
    append(path, b"x" * 100 + b"\n", 25, 1)
    append(path, b"y\n", 25, 1)

    assert Path(path).read_text() == "y\n"
    assert [each.name for each in tmp_path.iterdir()] == ["web.log"]


def test_a_torn_line_of_a_killed_program_gets_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_text("torn")
    append(str(tmp_path / "web.log"), b"next\n", 1000, 5)

    assert (tmp_path / "web.log").read_text() == "torn\nnext\n"


def test_the_total_is_kept_by_removing_the_oldest_rotated_files_alone(tmp_path: Path) -> None:
    for age, name in enumerate(["a.log.1", "b.log.2", "a.log", "b.log.1", "notes.txt", "c.log.x"]):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (age, age))
    (tmp_path / "d.log.1").symlink_to("/etc/passwd")

    trim(str(tmp_path), 200)

    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.log", "b.log.1", "c.log.x", "d.log.1", "notes.txt"]


@pytest.mark.parametrize(("jobs", "limit"), [(1, 10 << 20), (51, 10 << 20), (1000, 536870), (100_000, 64 << 10)])
def test_many_jobs_have_smaller_files(jobs: int, limit: int) -> None:
    assert FileLimits().file_bytes_for(jobs) == limit


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("web.1", "web.1.log"), ("../../etc/passwd", "%2e.%2f..%2fetc%2fpasswd.log"), (".hidden", "%2ehidden.log"),
        ("a b\0\n", "a%20b%00%0a.log"), ("ä" * 300, "%c3%a4" * 33 + "%c.log"),
    ],
    ids=range(5),
)  # fmt: skip
def test_the_name_of_a_file_is_safe_for_any_job(job: str, name: str) -> None:
    assert file_name(job)[:-4] == name[:-4][:200]
    assert "/" not in file_name(job)
    assert len(file_name(job)) <= 204
