"""The file of `--events`: what cannot be written is told at once, tried again, and counted if it is lost."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskloom.core.events import Event, EventName
from taskloom.observe import event_file
from taskloom.observe.event_file import EventFile, EventStream, is_standard_output

SOON = 20.0


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "RETRY_SECONDS", 0.001)


@pytest.fixture
def said() -> list[str]:
    return []


def event(seq: int) -> Event:
    return Event(seq, 1_795_000_000.0, 50.0, EventName.QUEUED, "job", f"job#{seq}")


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def telling(said: list[str], repair: Callable[[], object]) -> Callable[[str], object]:
    """Return a function that notes each sentence, and repairs what is wrong at the first."""

    def tell(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 1:
            repair()

    return tell


def open_file(path: Path, said: list[str], repair: Callable[[], object] = lambda: None) -> EventFile:
    file = EventFile(str(path))
    file.tell = telling(said, repair)
    return file


@pytest.fixture
def broken_write(monkeypatch: pytest.MonkeyPatch) -> list[int | OSError]:
    """What the next writes do: write this number of bytes, or raise; afterwards they write everything."""
    results: list[int | OSError] = []
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if not results or len(data) == 8:  # 8 bytes wake a thread
            return real(descriptor, data)
        result = results.pop(0)
        if isinstance(result, OSError):
            raise result
        return real(descriptor, bytes(data)[:result])

    monkeypatch.setattr(os, "write", write)
    return results


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.ESTALE])
def test_a_write_that_fails_is_told_once_and_tried_until_it_succeeds(
    tmp_path: Path, said: list[str], broken_write: list[int | OSError], number: int
) -> None:
    file = open_file(tmp_path / "events", said)
    broken_write += [OSError(number, os.strerror(number))] * 3

    file(event(1))
    file(event(2))

    name = repr(str(tmp_path / "events"))
    assert said == [
        f"cannot write events to {name}: {os.strerror(number)}; trying again",
        f"writing events to {name} again",
    ]
    assert numbers(tmp_path / "events") == [1, 2]


def test_another_cause_is_told_too(tmp_path: Path, said: list[str], broken_write: list[int | OSError]) -> None:
    file = open_file(tmp_path / "events", said)
    broken_write += [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), OSError(errno.EIO, "broken")]

    file(event(1))

    assert [sentence.partition(": ")[2] for sentence in said[:-1]] == ["full; trying again", "broken; trying again"]


def test_a_line_of_which_a_part_was_written_is_completed(
    tmp_path: Path, said: list[str], broken_write: list[int | OSError]
) -> None:
    file = open_file(tmp_path / "events", said)
    broken_write += [10, OSError(errno.ENOSPC, "full"), 1]

    file(event(1))
    file(event(2))

    assert numbers(tmp_path / "events") == [1, 2]


def test_a_line_of_which_a_part_is_in_a_file_that_was_moved_is_whole_in_the_new_one(
    tmp_path: Path, said: list[str], broken_write: list[int | OSError]
) -> None:
    path = tmp_path / "events"
    file = open_file(path, said, lambda: path.rename(tmp_path / "events.1"))
    broken_write += [10, OSError(errno.ENOSPC, "full")]

    file(event(1))

    assert numbers(path) == [1]


def test_a_file_that_was_moved_or_removed_is_made_anew(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "events"
    file = open_file(path, said)
    file(event(1))

    path.rename(tmp_path / "events.1")
    file(event(2))
    path.unlink()
    file(event(3))

    assert (numbers(tmp_path / "events.1"), numbers(path), said) == ([1], [3], [])


def test_a_file_that_was_emptied_goes_on_at_its_beginning(tmp_path: Path, said: list[str]) -> None:
    file = open_file(tmp_path / "events", said)
    file(event(1))

    os.truncate(tmp_path / "events", 0)
    file(event(2))

    assert numbers(tmp_path / "events") == [2]


def test_a_folder_that_goes_and_comes_back(tmp_path: Path, said: list[str]) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    file = open_file(folder / "events", said, folder.mkdir)
    file(event(1))

    folder.rename(away)
    file(event(2))

    assert (numbers(away / "events"), numbers(folder / "events")) == ([1], [2])
    assert "No such file or directory; trying again" in said[0]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "events"
    file = open_file(path, said, path.rmdir)

    path.unlink()
    path.mkdir()
    file(event(1))

    assert "Is a directory; trying again" in said[0]
    assert numbers(path) == [1]


def test_a_pipe_without_a_reader_gets_the_event_once_it_has_one(tmp_path: Path, said: list[str]) -> None:
    readers: list[int] = []

    def read() -> None:
        readers.append(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK))

    os.mkfifo(tmp_path / "pipe")
    read()
    file = open_file(tmp_path / "pipe", said, read)
    os.close(readers.pop())

    file(event(1))

    assert "Broken pipe; trying again" in said[0]
    assert json.loads(os.read(readers[0], 65536))["seq"] == 1
    os.close(readers[0])


def test_a_relative_path_keeps_its_meaning_if_a_task_changes_the_folder(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    file = open_file(Path("events"), said)

    monkeypatch.chdir("elsewhere")
    file(event(1))

    assert numbers(tmp_path / "events") == [1]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_at_the_end_each_event_is_tried_once_more_and_then_lost(said: list[str]) -> None:
    file = open_file(Path("/dev/full"), said, lambda: file.finish(SOON))

    for seq in (1, 2):
        with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
            file(event(seq))

    assert said == ["cannot write events to '/dev/full': No space left on device; trying again"]


def test_at_the_end_a_pipe_that_is_not_read_is_not_waited_for(tmp_path: Path, said: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file = open_file(tmp_path / "pipe", said)
    file.finish(0)

    with pytest.raises(TimeoutError, match="it was not read in time"):
        for seq in range(10_000):
            file(event(seq))

    os.close(reader)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("no/such/folder", errno.ENOENT),
        (".", errno.EISDIR),
        ("new/", errno.EISDIR),
        ("pipe", errno.ENXIO),
        ("file/x", errno.ENOTDIR),
        ("x" * 300, errno.ENAMETOOLONG),
    ],
)
def test_a_file_that_cannot_be_opened_at_the_start_is_an_error(tmp_path: Path, path: str, number: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        EventFile(f"{tmp_path}/{path}")

    assert caught.value.errno == number


def test_a_file_whose_folder_cannot_be_read_any_more_is_still_written(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_file(tmp_path / "events", said)

    def refuse(path: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)
    file(event(1))
    monkeypatch.undo()

    assert (numbers(tmp_path / "events"), said) == ([1], [])


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_has_several_names(path: str) -> None:
    assert is_standard_output(path)


@pytest.mark.parametrize("path", [None, "", "events.jsonl", "./-", "/dev/stderr", "/dev/fd/3"])
def test_any_other_path_is_a_file(path: str | None) -> None:
    assert not is_standard_output(path)


def test_a_stream_takes_lines_until_it_has_ended(said: list[str]) -> None:
    put: list[Any] = []
    has_ended = False
    stream = EventStream(put.append, lambda: has_ended)
    stream.tell = said.append
    stream(event(1))

    has_ended = True
    stream.report_end()
    with pytest.raises(BrokenPipeError):
        stream(event(2))

    assert [json.loads(line)["seq"] for line in put] == [1]
    assert said == ["cannot write events to standard output: its reader has gone; further events are lost"]
