"""Splits what comes through the socket of a worker into lines."""

from __future__ import annotations

from taskloom.text import plural

__all__ = ["LONGEST_LINE", "LineReader", "ProtocolError"]

LONGEST_LINE = 1024 * 1024
"""Bytes of a line, with its end."""


class ProtocolError(ValueError):
    """The other side broke the protocol. The text follows "the process broke the protocol: "."""


class LineReader:
    """Collects bytes into lines. Belongs to one thread."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        # The parts of the line that is not complete: joined once, so that a long line costs linear time.
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete with these bytes, without their ends, oldest first.

        Raises ProtocolError if a line is too long.
        """
        *ended, rest = data.split(b"\n")
        lines = []
        for part in ended:
            self._add(part, end=1)
            lines.append(b"".join(self._parts))
            self._parts, self._size = [], 0
        self._add(rest, end=0)
        return lines

    def end(self) -> None:
        """Called at the end of the stream. Raises ProtocolError if it ends within a line."""
        if self._size:
            raise ProtocolError(f"it ended within a line, after {plural(self._size, 'byte')} of it")

    def _add(self, part: bytes, end: int) -> None:
        if part:
            self._parts.append(part)
            self._size += len(part)
        if self._size + end > LONGEST_LINE:
            raise ProtocolError(f"it sent a line that is longer than {LONGEST_LINE:,} bytes")
