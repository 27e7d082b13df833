"""Open files are flushed before a hard exit, whatever the state of others."""

from __future__ import annotations

import io
import os
import threading
import weakref
from pathlib import Path

from taskloom.cli.program.exit_handlers import flush_files, place_of_main_thread


def test_texts_and_their_buffers_are_written(tmp_path: Path) -> None:
    with (tmp_path / "text").open("w") as text, (tmp_path / "binary").open("wb") as binary:
        text.write("text")
        binary.write(b"binary")

        flush_files()

        assert (tmp_path / "text").read_text() == "text"
        assert (tmp_path / "binary").read_bytes() == b"binary"


def test_files_that_cannot_be_written_keep_no_others_from_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    broken = os.fdopen(writing, "w")
    closed = (tmp_path / "closed").open("w")
    closed.close()
    raw = _Raising()
    unreadable = io.TextIOWrapper(io.BufferedWriter(raw))
    with (tmp_path / "text").open("w") as text:
        text.write("text")
        broken.write("nobody reads this")
        unreadable.write("nor this")
        os.close(reading)

        flush_files()

        assert (tmp_path / "text").read_text() == "text"
    raw.fails = False
    unreadable.close()
    try:
        broken.close()
    except BrokenPipeError:
        pass


class _Raising(io.RawIOBase):
    fails = True

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        if self.fails:
            raise RuntimeError("cannot be written")
        return len(bytes(data))  # type: ignore[call-overload]


def test_objects_that_refuse_to_be_asked_for_their_class_keep_no_files_from_it(tmp_path: Path) -> None:
    class Gone:
        """Collected while a proxy refers to it."""

    class Refusing:
        @property  # type: ignore[misc]  # as classes that pretend to be another one do
        def __class__(self) -> type:
            raise RuntimeError("not now")

    gone = Gone()
    odd = [weakref.proxy(gone), Refusing()]
    del gone
    with (tmp_path / "file").open("w") as file:
        file.write("kept")

        flush_files()

        assert (tmp_path / "file").read_text() == "kept"
    assert len(odd) == 2


def test_the_place_of_the_main_thread_is_its_innermost_frame() -> None:
    places: list[str] = []

    thread = threading.Thread(target=lambda: places.append(place_of_main_thread()))
    thread.start()
    thread.join()

    assert "threading.py:" in places[0]
    assert place_of_main_thread() == ""  # in the function itself, as while it calls a handler that is written in C
