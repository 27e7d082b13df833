"""The replacements of `sys.stdout` and `sys.stderr`: what comes out when, and what scripts may do with them."""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import sys
import threading
from typing import Any

import click
import pytest
from rich.console import Console

from taskloom.observe.streams import MOST_PENDING_BYTES, TextStream
from taskloom.runners.context import current_run


class Out:
    """Collects what a stream passes on."""

    def __init__(self) -> None:
        self.pieces: list[tuple[bytes, str]] = []
        self.rests: list[bytes] = []
        self.stream = TextStream(self.put, 1)

    def put(self, content: bytes, *, run: str = "", is_rest: bool = False) -> None:
        self.pieces.append((content, run))
        if is_rest:
            self.rests.append(content)

    @property
    def text(self) -> bytes:
        return b"".join(content for content, _ in self.pieces)


@pytest.fixture
def out() -> Out:
    return Out()


def in_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


class Context:
    """The context of a run, as far as the streams know it."""

    def __init__(self, run: str) -> None:
        self.run_id = run


def test_a_line_is_passed_on_whole_and_its_beginning_is_kept(out: Out) -> None:
    out.stream.write("a")
    assert out.text == b""

    out.stream.write("b\nc")

    assert out.pieces == [(b"ab\n", "")]


def test_what_a_thread_has_left_comes_out_when_it_ends(out: Out) -> None:
    in_thread(lambda: out.stream.write("rest"))

    assert out.text == b"rest"
    assert out.rests == [b"rest"]


def test_what_all_threads_have_left_comes_out_when_the_program_ends(out: Out) -> None:
    has_written, may_end = threading.Event(), threading.Event()

    def write() -> None:
        out.stream.write("stuck")
        has_written.set()
        may_end.wait()

    thread = threading.Thread(target=write)
    thread.start()
    has_written.wait()
    out.stream.flush_all()
    assert out.text == b"stuck"
    may_end.set()
    thread.join()

    assert out.text == b"stuck"


def test_a_long_text_without_a_newline_comes_out(out: Out) -> None:
    out.stream.write("x" * (MOST_PENDING_BYTES - 1))
    assert out.text == b""

    out.stream.write("y")

    assert out.text == b"x" * (MOST_PENDING_BYTES - 1) + b"y"


def test_what_a_run_has_left_never_mixes_with_the_next_run_of_its_thread(out: Out) -> None:
    contexts = [Context("a#1"), Context("a#2")]
    token = current_run.set(contexts[0])  # type: ignore[arg-type]
    out.stream.write("one")
    current_run.set(contexts[1])  # type: ignore[arg-type]
    out.stream.write("two\n")
    current_run.reset(token)

    assert out.pieces == [(b"one", "a#1"), (b"two\n", "a#2")]


def test_what_a_run_has_left_comes_out_when_it_ends(out: Out) -> None:
    token = current_run.set(Context("a#1"))  # type: ignore[arg-type]
    out.stream.write("rest")
    current_run.reset(token)

    in_thread(lambda: out.stream.flush_run("b#1"))
    assert out.text == b""
    in_thread(lambda: out.stream.flush_run("a#1"))

    assert out.pieces == [(b"rest", "a#1")]


def test_closing_and_leaving_close_nothing(out: Out) -> None:
    out.stream.close()
    with out.stream:
        out.stream.write("a\n")
    out.stream.buffer.close()
    out.stream.buffer.raw.close()
    out.stream.write("b\n")

    assert out.text == b"a\nb\n"
    assert not out.stream.closed
    assert not out.stream.buffer.closed


def test_a_wrapper_that_is_collected_closes_nothing(out: Out) -> None:
    wrapper = io.TextIOWrapper(out.stream.buffer, encoding="utf-8", line_buffering=True)
    wrapper.write("wrapped\n")
    del wrapper
    io.BufferedWriter(out.stream.buffer.raw).write(b"raw\n")
    codecs.getwriter("utf-8")(out.stream.detach()).write("writer\n")
    out.stream.write("still open\n")

    assert out.text == b"wrapped\nraw\nwriter\nstill open\n"


def test_it_has_what_scripts_ask_of_a_text_stream(out: Out) -> None:
    stream = out.stream

    assert (stream.encoding, stream.errors, stream.newlines) == ("utf-8", "backslashreplace", None)
    assert (stream.line_buffering, stream.write_through) == (True, False)
    assert (stream.name, stream.mode, stream.buffer.name, stream.buffer.mode) == ("<stdout>", "w", "<stdout>", "wb")
    assert (stream.fileno(), stream.buffer.fileno(), stream.buffer.raw.fileno()) == (1, 1, 1)
    assert (stream.writable(), stream.readable(), stream.seekable()) == (True, False, False)
    assert isinstance(stream.isatty(), bool)
    stream.writelines(["a", "b\n"])
    stream.buffer.writelines([b"c", b"\n"])
    stream.buffer.flush()
    print("d", end="", file=stream, flush=True)
    assert out.text == b"ab\nc\nd"
    with pytest.raises(TypeError, match="must be str"):
        stream.write(b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        stream.buffer.write("x")


def test_reconfigure_changes_encoding_errors_and_newlines(out: Out) -> None:
    out.stream.reconfigure(line_buffering=False, write_through=True)
    assert (out.stream.line_buffering, out.stream.write_through) == (False, True)
    out.stream.write("at once")
    assert out.text == b"at once"

    out.stream.reconfigure(encoding="latin-1", errors="strict", newline="\r\n")
    out.stream.write("é\n")
    assert out.text == b"at once\xe9\r\n"
    with pytest.raises(UnicodeEncodeError):
        out.stream.write("€")
    with pytest.raises(LookupError):
        out.stream.reconfigure(encoding="no such encoding")
    with pytest.raises(ValueError, match="newline"):
        out.stream.reconfigure(newline="x")
    out.stream.reconfigure(encoding="ascii", errors="backslashreplace", newline="\n")
    out.stream.write("€\n")
    assert out.text.endswith(b"\\u20ac\n")


def test_the_usual_libraries_print_to_it(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out.stream)

    click.echo("click")
    click.secho("colour", fg="red")
    click.echo(b"bytes")
    Console().print("[bold]rich[/bold]")
    with contextlib.redirect_stdout(out.stream):
        print("redirected")
    logging.StreamHandler(sys.stdout).emit(logging.makeLogRecord({"msg": "logged"}))

    assert out.text == b"click\ncolour\nbytes\nrich\nredirected\nlogged\n"


def test_what_other_threads_have_left_is_not_written_by_a_forked_child() -> None:
    """The interpreter drops it there before any hook runs, while the lock of the output may be held for ever."""
    taken: list[bytes] = []

    def put(content: bytes, *, run: str = "", is_rest: bool = False) -> None:
        taken.append(content)

    stream = TextStream(put, 1)
    stream.write("unfinished")
    owner = stream._of_thread.owner

    owner.__del__(lambda: owner._pid + 1)

    assert taken == []
    owner.__del__(lambda: owner._pid)
    assert taken == [b"unfinished"]
