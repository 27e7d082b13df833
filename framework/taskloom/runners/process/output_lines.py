"""Cuts what a process writes to its standard output or error into lines of text."""

from __future__ import annotations

__all__ = ["LONGEST_OUTPUT_LINE", "OutputLines"]

LONGEST_OUTPUT_LINE = 64 * 1024
"""Bytes. A longer line is cut into several: a program that never writes a newline must not fill our memory."""


class OutputLines:
    """The unfinished line of one stream. Belongs to one thread."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete with these bytes, without their ends."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        found = [_text(piece) for line in lines for piece in _pieces(line.removesuffix(b"\r"))]
        *full, self._pending = _pieces(self._pending)
        return found + [_text(piece) for piece in full]

    def end(self) -> list[str]:
        """Return the last line, which has no newline; [] if there is none."""
        pending, self._pending = self._pending, b""
        return [_text(pending.removesuffix(b"\r"))] if pending else []


def _pieces(line: bytes) -> list[bytes]:
    """Cut a line that is too long, between two characters; the last piece may be empty."""
    if len(line) <= LONGEST_OUTPUT_LINE:
        return [line]
    pieces = []
    start = 0
    while len(line) - start > LONGEST_OUTPUT_LINE:
        cut = _before_character(line, start + LONGEST_OUTPUT_LINE)
        pieces.append(line[start:cut])
        start = cut
    return [*pieces, line[start:]]


def _before_character(line: bytes, cut: int) -> int:
    """Return `cut`, or up to three bytes before it: the beginning of the character that it is in."""
    for back in range(4):
        if line[cut - back] & 0xC0 != 0x80:
            return cut - back
    return cut  # it is not UTF-8


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
