"""What tasks print: masked across writes, kept line by line, and otherwise unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskloom.diagnostics import MASK
from taskloom.observe.job_logs import MOST_LINE, JobLogs
from taskloom.observe.masking import Masker
from taskloom.observe.prints import Prints

SECRET = "hunter2-hunter3"


class Out:
    """Collects what comes out."""

    def __init__(self, *secrets: str) -> None:
        self.content: list[bytes] = []
        self.logs = JobLogs()
        self.prints = Prints(self.put, Masker(secrets), self.logs)

    def put(self, content: bytes, *, run: str = "", is_rest: bool = False) -> None:
        self.content.append(content)

    def lines(self) -> list[tuple[str, str]]:
        return [(line.job, line.text) for line in self.logs.ring.after(0, None, 1000)]

    @property
    def all(self) -> bytes:
        return b"".join(self.content)


def test_prints_are_passed_on_at_once_and_kept_by_lines() -> None:
    out = Out()
    for piece in (b"one\n", b"two ", b"three\nfour\n\n", b"five"):
        out.prints(piece, run="web#1")
    out.prints(b"other\n", run="db#1")

    assert out.content == [b"one\n", b"two ", b"three\nfour\n\n", b"five", b"other\n"]
    assert out.lines() == [("web", "one"), ("web", "two three"), ("web", "four"), ("web", ""), ("db", "other")]
    out.prints.end("web#1")
    out.prints.end("web#1")
    assert out.lines()[-1] == ("web", "five")


def test_a_line_that_is_too_long_is_kept_without_its_middle_and_passed_on_whole() -> None:
    out = Out()
    out.prints(b"x" * (2 * MOST_LINE) + b"\n", run="web#1")
    out.prints(b"y" * (2 * MOST_LINE), run="web#1")

    assert len(out.all) == 4 * MOST_LINE + 1
    assert all(len(text) <= MOST_LINE + 1 and "characters left out" in text for _, text in out.lines())
    assert len(out.lines()) == 2


@pytest.mark.parametrize("pieces", [
    [SECRET + "\n"], [SECRET[:5], SECRET[5:] + "\n"], [*SECRET, "\n"], ["a " + SECRET[:-1], SECRET[-1] + " b\n"],
    [SECRET[:4], SECRET[4:8], SECRET[8:]],
], ids=range(5))  # fmt: skip
def test_a_secret_is_masked_in_however_many_writes_it_comes(pieces: list[str]) -> None:
    out = Out(SECRET)
    for piece in pieces:
        out.prints(piece.encode(), run="web#1")
    out.prints.end("web#1")

    assert MASK.encode() in out.all
    assert b"hunt" not in out.all
    assert not any("hunt" in text for _, text in out.lines())


def test_the_beginning_of_a_secret_that_is_none_comes_out_with_the_end_of_the_run_or_what_follows() -> None:
    out = Out(SECRET)
    out.prints(b"progress: h", run="web#1")
    assert out.all == b"progress: h"
    out.prints(b"unter2", run="web#1")
    assert out.all == b"progress: hun"
    out.prints(b"!\n", run="web#1")
    assert out.all == b"progress: hunter2!\n"
    out.prints(b"hunter", run="web#1")
    out.prints(b"x\n", run="db#1")
    out.prints.end("web#1")
    out.prints.end("web#1")

    assert out.all == b"progress: hunter2!\nhunx\nter"
    assert out.lines() == [("web", "progress: hunter2!"), ("db", "x"), ("web", "hunter")]


def test_at_the_end_of_the_program_everything_comes_out() -> None:
    out = Out(SECRET)
    out.prints(b"hunter", run="web#1")
    out.prints(b"hunter", run="")
    out.prints.end_all()

    assert out.all == b"hunhunterter"
    assert out.lines() == [("web", "hunter"), ("unknown", "hunter")]


def test_a_forked_child_has_nothing_of_its_parent() -> None:
    out = Out(SECRET)
    out.prints(b"hunter", run="web#1")
    out.logs.detach()
    out.prints.forget()
    out.prints.end_all()
    out.prints(b"child\n", run="web#1")

    assert out.all == b"hunchild\n"
    assert out.lines() == []


@settings(max_examples=60)
@given(
    st.lists(st.binary(max_size=12).filter(lambda piece: b"a" not in piece), max_size=8),
    st.sampled_from([(), ("hunter2",), ("aaaa", "\\x00\\x00")]),
)
def test_bytes_without_a_secret_come_out_as_they_went_in(pieces: list[bytes], secrets: Any) -> None:
    out = Out(*secrets)
    for piece in pieces:
        out.prints(piece, run="web#1")
    out.prints.end("web#1")

    assert out.all == b"".join(pieces)
