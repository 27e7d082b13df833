"""Framings in which each frame begins with its length: octet-counted, syslog (RFC 6587) and length-prefixed.

After an invalid length it is unknown where the next frame begins, so the stream cannot be read any further. The framer
is then `broken`, and its caller closes the connection.
"""

from __future__ import annotations

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


class _FrameBounds(NamedTuple):
    """The position of a frame in the buffer; `end` may be beyond the end of the buffer."""

    start: int
    end: int
    next_start: int


class CountedFramer(Framer):
    """Splits a stream at the announced lengths."""

    def __init__(self, max_frame: int, oversize: Oversize = "drop") -> None:
        super().__init__(max_frame, oversize)
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

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
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
        while at < len(buffer) and not self.broken:
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
    """`5 hello`: the length in decimal digits, a space, the frame."""

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
    """Syslog over TCP: a message that begins with a digit is octet-counted, any other ends with LF.

    This is decided for each message. Empty lines are ignored, since some senders put an LF after a counted message.
    """

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        if self._only_extends_line(data):
            self._held += data
            return []
        if self._is_skipping:
            _, newline, data = data.partition(b"\n")
            self._is_skipping = not newline
        return [frame for frame in super().feed(data) if frame]

    def end(self) -> bytes | None:
        """See `Framer.end`; an unfinished line is returned, an unfinished counted message is not."""
        tail = bytes(self._held)
        is_frame = tail and not tail[:1].isdigit() and not (self.broken or self._bytes_to_skip)
        super().end()
        return tail if is_frame else None

    def _only_extends_line(self, data: bytes) -> bool:
        """Return whether the piece only extends an unfinished line, so that nothing has to be searched again."""
        return (
            bool(self._held)
            and not self._held[:1].isdigit()
            and b"\n" not in data
            and len(self._held) + len(data) <= self.max_frame
        )

    def _locate(self, buffer: bytes, at: int) -> _FrameBounds | None:
        if buffer[at : at + 1].isdigit():
            return super()._locate(buffer, at)
        newline = buffer.find(b"\n", at)
        if newline >= 0:
            return _FrameBounds(at, newline, newline + 1)
        if len(buffer) - at <= self.max_frame:
            return None
        self._is_skipping = True
        return _FrameBounds(at, len(buffer), len(buffer))


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
