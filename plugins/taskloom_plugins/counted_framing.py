"""Framings in which each frame begins with its length: octet-counted, syslog (RFC 6587) and length-prefixed.

After an invalid length it is unknown where the next frame begins, so the stream cannot be read any further. The framer
is then `broken`, and its caller closes the connection.
"""

from __future__ import annotations

import codecs
import re
from abc import abstractmethod
from typing import Literal, NamedTuple

from taskloom_plugins.framing import Framer, Oversize

__all__ = ["MAX_ANNOUNCED_BYTES", "ByteOrder", "LengthPrefixedFramer", "OctetCountedFramer", "SyslogFramer"]

ByteOrder = Literal["big", "little"]

MAX_ANNOUNCED_BYTES = 1 << 30
"""A longer announced length is treated as invalid: skipping such a frame would discard everything that follows."""

_COUNT = re.compile(rb"([1-9][0-9]{0,9}) ")
_COUNT_BEGUN = re.compile(rb"[1-9][0-9]{0,9}")
_NO_PADDING = re.compile(rb"[^\r\n\0]")
_END_OF_LINE = re.compile(rb"[\n\0]")


class _FrameBounds(NamedTuple):
    """The position of a frame in the buffer; `end` may be beyond the end of the buffer."""

    start: int
    end: int
    next_start: int


class CountedFramer(Framer):
    """Splits a stream at the announced lengths."""

    def __init__(self, max_frame: int, oversize: Oversize = "drop", mark: bytes = b"") -> None:
        super().__init__(max_frame, oversize, mark)
        # The size of `_held` below which searching it again is useless: a frame may arrive one byte at a time.
        self._needed = 0
        self._bytes_to_skip = 0

    @property
    def is_skipping(self) -> bool:
        """See `Framer.is_skipping`."""
        return self._is_skipping or self._bytes_to_skip > 0

    @abstractmethod
    def _locate(self, buffer: bytes, at: int) -> _FrameBounds | None:
        """Return the bounds of the frame that begins at `at`; None if it is incomplete or the stream is broken."""

    def _next_start(self, buffer: bytes, at: int) -> int:
        """Return where the next frame begins, after anything that may be between two frames."""
        return at

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        if self._awaited_mark and not self.broken:
            data = self._without_mark(data)
            if self._awaited_mark:
                return []
        data = self._without_skipped(data)
        if self.broken or not data:
            return []
        self._held += data
        if len(self._held) < self._needed:
            return []
        buffer = bytes(self._held)
        frames, at = self._split(buffer)
        self._held[:] = buffer[at:]
        return frames

    def end(self) -> bytes | None:
        """See `Framer.end`; a frame shorter than its announced length is dropped."""
        self._needed = self._bytes_to_skip = 0
        return super().end()

    def _split(self, buffer: bytes) -> tuple[list[bytes], int]:
        """Return the complete frames of the buffer and the position at which the next one begins."""
        frames: list[bytes] = []
        at = self._needed = 0
        while not self.broken:
            at = self._next_start(buffer, at)
            if at == len(buffer):
                break
            found = self._locate(buffer, at)
            if found is None:
                break
            size = found.end - found.start
            wanted = found.start + min(size, self.max_frame)
            is_dropped = size > self.max_frame and self._policy != "truncate"
            if len(buffer) < wanted and not is_dropped:  # the bytes of a dropped frame are not awaited
                self._needed = wanted - at
                break
            frame = buffer[found.start : wanted]
            frames += [frame] if size <= self.max_frame else self.count_oversize(frame)
            self._bytes_to_skip = max(0, found.next_start - len(buffer))
            at = min(found.next_start, len(buffer))
        return frames, len(buffer) if self.broken else at

    def _without_skipped(self, data: bytes) -> bytes:
        """Return the piece without the bytes of a frame over the limit that is being skipped."""
        if not self._bytes_to_skip:
            return data
        skipped = min(self._bytes_to_skip, len(data))
        self._bytes_to_skip -= skipped
        return data[skipped:]

    def _accept_length(self, length: int) -> bool:
        """Return whether the announced length is valid; otherwise mark the stream as broken."""
        if not 0 <= length <= MAX_ANNOUNCED_BYTES:
            self.broken = f"a frame of {length} bytes was announced"
        return not self.broken


class OctetCountedFramer(CountedFramer):
    """`5 hello`: the length in decimal digits, a space, the frame.

    Ends of lines and NULs between two frames are passed over: many senders put one after a message.
    """

    def __init__(self, max_frame: int, oversize: Oversize = "drop", mark: bytes = codecs.BOM_UTF8) -> None:
        super().__init__(max_frame, oversize, mark)

    def _next_start(self, buffer: bytes, at: int) -> int:
        found = _NO_PADDING.search(buffer, at)
        return found.start() if found else len(buffer)

    def _locate(self, buffer: bytes, at: int) -> _FrameBounds | None:
        match = _COUNT.match(buffer, at)
        if match is None:
            if not _COUNT_BEGUN.fullmatch(buffer, at):
                self.broken = f"{buffer[at : at + 12]!r} is not a length followed by a space"
            return None
        length = int(match[1])
        stop = match.end() + length
        return _FrameBounds(match.end(), stop, stop) if self._accept_length(length) else None


class SyslogFramer(OctetCountedFramer):
    """Syslog over TCP (RFC 6587): a message that begins with its count and a space ends there, any other is a line.

    This is decided for each message. A count is a number without a zero in front that is not over the limit of a frame.
    A line ends with LF or NUL; a CR at its end is removed. Empty lines are ignored.
    """

    def __init__(self, max_frame: int, oversize: Oversize = "drop", mark: bytes = codecs.BOM_UTF8) -> None:
        super().__init__(max_frame, oversize, mark)
        self._longest_count = len(str(max_frame))
        self._holds_line = False
        # The next LF and NUL in the buffer that is being split. Without them each message of a stream that has only
        # one of the two would search the whole rest for the other.
        self._ends = {b"\n": -1, b"\0": -1}

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        if self._only_extends_line(data):
            self._held += data
            return []
        if self._is_skipping:
            found = _END_OF_LINE.search(data)
            data = data[found.end() :] if found else b""
            self._is_skipping = not found
        return super().feed(data)

    def end(self) -> bytes | None:
        """See `Framer.end`; an unfinished line is returned, an unfinished counted message is not."""
        tail = bytes(self._held)
        is_counted = self._count_at(tail, 0) is not None
        is_frame = tail and not (is_counted or self.broken or self._bytes_to_skip or self._is_skipping)
        super().end()
        self._holds_line = False
        frames = self.apply_limit([tail.removesuffix(b"\r")]) if is_frame else []
        return (frames[0] or None) if frames else None

    def _only_extends_line(self, data: bytes) -> bool:
        """Return whether the piece only extends an unfinished line, so that nothing has to be searched again."""
        return (
            self._holds_line
            and len(self._held) + len(data) <= self.max_frame
            and b"\n" not in data
            and b"\0" not in data
        )

    def _split(self, buffer: bytes) -> tuple[list[bytes], int]:
        self._holds_line = False
        self._ends = dict.fromkeys(self._ends, -1)
        return super()._split(buffer)

    def _count_at(self, buffer: bytes, at: int) -> re.Match[bytes] | None:
        """Return the match of a whole count."""
        match = _COUNT.match(buffer, at)
        return match if match and len(match[1]) <= self._longest_count and int(match[1]) <= self.max_frame else None

    def _locate(self, buffer: bytes, at: int) -> _FrameBounds | None:
        count = self._count_at(buffer, at)
        if count is not None:
            stop = count.end() + int(count[1])
            return _FrameBounds(count.end(), stop, stop)
        if self._may_become_count(buffer, at):
            return None
        return self._locate_line(buffer, at)

    def _may_become_count(self, buffer: bytes, at: int) -> bool:
        begun = _COUNT_BEGUN.fullmatch(buffer, at)
        return begun is not None and len(begun[0]) <= self._longest_count and int(begun[0]) <= self.max_frame

    def _locate_line(self, buffer: bytes, at: int) -> _FrameBounds | None:
        end = min(self._find_end(b"\n", buffer, at), self._find_end(b"\0", buffer, at))
        stop = end - 1 if buffer[end - 1 : end] == b"\r" and end > at else end
        if end < len(buffer):
            return _FrameBounds(at, stop, end + 1)
        if stop - at <= self.max_frame:
            self._holds_line = True
            return None
        self._is_skipping = True
        return _FrameBounds(at, end, end)

    def _find_end(self, byte: bytes, buffer: bytes, at: int) -> int:
        """Return the place of the next such byte, or the end of the buffer."""
        if self._ends[byte] < at:
            found = buffer.find(byte, at)
            self._ends[byte] = found if found >= 0 else len(buffer)
        return self._ends[byte]


class LengthPrefixedFramer(CountedFramer):
    """Frames that follow a binary header with their length."""

    def __init__(
        self,
        max_frame: int,
        oversize: Oversize = "drop",
        *,
        offset: int = 0,
        size: int = 4,
        order: ByteOrder = "big",
        counts_header: bool = False,
        keep_header: bool = False,
    ) -> None:
        super().__init__(max_frame, oversize)
        self._offset, self._order = offset, order
        self._header = offset + size
        self._counts_header, self._keep_header = counts_header, keep_header

    def _locate(self, buffer: bytes, at: int) -> _FrameBounds | None:
        body = at + self._header
        if len(buffer) < body:
            return None
        length = int.from_bytes(buffer[at + self._offset : body], self._order)
        if self._counts_header:
            length -= self._header
        if not self._accept_length(length):
            return None
        return _FrameBounds(at if self._keep_header else body, body + length, body + length)
