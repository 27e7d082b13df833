"""Framings whose frames say their own length: octet-counted, syslog (RFC 6587) and length-prefixed.

A stream that announces nonsense cannot be read on, for nobody knows where the next frame begins: the
framer is broken then, and whoever feeds it closes the connection.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Literal, NamedTuple

from taskloom_plugins.framing import Framer, Oversize

__all__ = ["LONGEST_BELIEVED", "ByteOrder", "LengthPrefixedFramer", "OctetCountedFramer", "SyslogFramer"]

ByteOrder = Literal["big", "little"]

LONGEST_BELIEVED = 1 << 30
"""A longer announced frame is garbage, not a frame to skip: skipping it would swallow all that follows."""

_COUNT = re.compile(rb"([1-9][0-9]{0,9}) ")
_COUNT_BEGUN = re.compile(rb"[1-9][0-9]{0,9}")


class _Found(NamedTuple):
    """Where a frame stands in the buffer; `stop` may lie beyond its end."""

    start: int
    stop: int
    following: int


class CountedFramer(Framer):
    """Walks from one announced frame to the next."""

    def __init__(self, max_frame: int, oversize: Oversize = "drop") -> None:
        super().__init__(max_frame, oversize)
        self._held = bytearray()
        # What `_held` must reach before looking again is worth it: a frame may come a byte at a time.
        self._wanted = 0
        self._to_skip = 0

    @property
    def pending(self) -> bool:
        """See `Framer.pending`."""
        return not self.broken and (self.skipping or bool(self._held))

    @property
    def skipping(self) -> bool:
        """See `Framer.skipping`."""
        return self._to_skip > 0

    @abstractmethod
    def _locate(self, buffer: bytes, at: int) -> _Found | None:
        """Find the frame that begins at `at`; None when more must come first, or the stream is broken."""

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        data = self._after_skipping(data)
        if self.broken or not data:
            return []
        self._held += data
        if len(self._held) < self._wanted:
            return []
        buffer = bytes(self._held)
        frames, at = self._walk(buffer)
        self._held[:] = buffer[at:]
        return frames

    def end(self) -> bytes | None:
        """See `Framer.end`; a frame shorter than it said does not stand."""
        self._held.clear()
        self._wanted = self._to_skip = 0
        return None

    def _walk(self, buffer: bytes) -> tuple[list[bytes], int]:
        """Return the complete frames of the buffer and where the next one begins."""
        frames: list[bytes] = []
        at = self._wanted = 0
        while at < len(buffer) and not self.broken:
            found = self._locate(buffer, at)
            if found is None:
                break
            size = found.stop - found.start
            wanted = found.start + min(size, self.max_frame)
            if len(buffer) < wanted and not self._drops(size):
                self._wanted = wanted - at
                break
            frame = buffer[found.start : wanted]
            frames += [frame] if size <= self.max_frame else self.overlong(frame)
            self._to_skip = max(0, found.following - len(buffer))
            at = min(found.following, len(buffer))
        return frames, len(buffer) if self.broken else at

    def _drops(self, size: int) -> bool:
        """Tell whether no byte of a frame of this size is wanted, so that none is awaited."""
        return size > self.max_frame and self._policy != "truncate"

    def _after_skipping(self, data: bytes) -> bytes:
        """Return the piece without what belongs to a frame over the limit."""
        if not self._to_skip:
            return data
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        return data[skipped:]

    def _believed(self, length: int) -> bool:
        """Break the stream, before anything is kept, when the announced length is nonsense."""
        if not 0 <= length <= LONGEST_BELIEVED:
            self.broken = f"a frame of {length} bytes was announced"
        return not self.broken


class OctetCountedFramer(CountedFramer):
    """`5 hello`: the length in decimal digits, a space, the frame."""

    def _locate(self, buffer: bytes, at: int) -> _Found | None:
        match = _COUNT.match(buffer, at)
        if match is None:
            if not _COUNT_BEGUN.fullmatch(buffer, at):
                self.broken = f"{buffer[at : at + 12]!r} is no length followed by a space"
            return None
        length = int(match[1])
        stop = match.end() + length
        return _Found(match.end(), stop, stop) if self._believed(length) else None


class SyslogFramer(OctetCountedFramer):
    """What syslog senders write: octet-counted where a message begins with a digit, else ended by LF.

    Each message is judged for itself. Empty lines are no messages; some senders put an LF after a counted one.
    """

    def __init__(self, max_frame: int, oversize: Oversize = "drop") -> None:
        super().__init__(max_frame, oversize)
        self._skips_line = False

    @property
    def skipping(self) -> bool:
        """See `Framer.skipping`."""
        return self._skips_line or super().skipping

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        if self._goes_on_in_line(data):
            self._held += data
            return []
        if self._skips_line:
            _, newline, data = data.partition(b"\n")
            self._skips_line = not newline
        return [frame for frame in super().feed(data) if frame]

    def end(self) -> bytes | None:
        """See `Framer.end`; an unfinished line stands, an unfinished counted message does not."""
        tail = bytes(self._held)
        stands = tail and not tail[:1].isdigit() and not (self.broken or self._to_skip)
        super().end()
        self._skips_line = False
        return tail if stands else None

    def _goes_on_in_line(self, data: bytes) -> bool:
        """Tell whether the piece only makes an unfinished line longer: nothing to search again then."""
        return (
            bool(self._held)
            and not self._held[:1].isdigit()
            and b"\n" not in data
            and len(self._held) + len(data) <= self.max_frame
        )

    def _locate(self, buffer: bytes, at: int) -> _Found | None:
        if buffer[at : at + 1].isdigit():
            return super()._locate(buffer, at)
        newline = buffer.find(b"\n", at)
        if newline >= 0:
            return _Found(at, newline, newline + 1)
        if len(buffer) - at <= self.max_frame:
            return None
        self._skips_line = True
        return _Found(at, len(buffer), len(buffer))


class LengthPrefixedFramer(CountedFramer):
    """A binary header that holds the frame's length, then the frame."""

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

    def _locate(self, buffer: bytes, at: int) -> _Found | None:
        body = at + self._header
        if len(buffer) < body:
            return None
        length = int.from_bytes(buffer[at + self._offset : body], self._order)
        if self._counts_header:
            length -= self._header
        if not self._believed(length):
            return None
        return _Found(at if self._keep_header else body, body + length, body + length)
