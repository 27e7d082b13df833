"""What a process writes is cut into lines, however it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.runners.process.output_lines import LONGEST_OUTPUT_LINE, OutputLines


def lines_of(*pieces: bytes) -> list[str]:
    lines = OutputLines()
    return [line for piece in pieces for line in lines.feed(piece)] + lines.end()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"one\ntwo\n",), ["one", "two"]),
        ((b"o", b"ne\nt", b"wo"), ["one", "two"]),
        ((b"one\r\ntwo\r",), ["one", "two"]),
        ((b"\n\n",), ["", ""]),
        ((b"",), []),
        ((b"gr\xc3", b"\xbcn\n"), ["grün"]),
        ((b"\xff\n",), ["\\xff"]),
    ],
    ids=["lines", "pieces", "carriage returns", "empty lines", "nothing", "a cut character", "no UTF-8"],
)
def test_bytes_are_cut_into_lines_wherever_a_read_has_ended(pieces: tuple[bytes, ...], expected: list[str]) -> None:
    assert lines_of(*pieces) == expected


@every_case("end", [b"\n", b""], ids=["newline", "no newline"])
@every_case("letter", ["x", "ü", "€", "🦎"], ids=["1 byte", "2 bytes", "3 bytes", "4 bytes"])
def test_a_line_without_end_is_cut_between_characters(letter: str, end: bytes) -> None:
    text = "ab" + letter * (2 * LONGEST_OUTPUT_LINE // len(letter.encode()))

    pieces = lines_of(text.encode() + end)

    assert "".join(pieces) == text
    assert len(pieces) == 3
    assert all(len(piece.encode()) <= LONGEST_OUTPUT_LINE for piece in pieces)


def test_bytes_that_are_not_text_are_cut_as_well() -> None:
    pieces = lines_of(b"\x80" * (LONGEST_OUTPUT_LINE + 10))

    assert [len(piece) for piece in pieces] == [4 * LONGEST_OUTPUT_LINE, 40]


@given(st.lists(st.binary(max_size=20)))
def test_the_pieces_in_which_it_comes_do_not_matter(pieces: list[bytes]) -> None:
    assert lines_of(*pieces) == lines_of(b"".join(pieces))
