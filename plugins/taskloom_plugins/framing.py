"""Cuts a stream of bytes into frames. Pure: no socket, no clock, no log.

A framer is fed whatever came, in pieces of any size, and returns the frames that are complete. How the
stream was cut into pieces never changes the frames. What a framer holds back is bounded by `max_frame`
and the last piece; a length that a peer announces is judged before a byte of it is kept.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Literal

__all__ = ["FixedFramer", "Framer", "Oversize", "SeparatorFramer", "WholeFramer"]

Oversize = Literal["drop", "truncate", "close"]
"""What becomes of a frame over the limit: skip it, keep its head, or give up the stream."""


class Framer(ABC):
    """The contract of every framing; `tests/plugins` runs one suite over all of them."""

    def __init__(self, max_frame: int = sys.maxsize, oversize: Oversize = "drop") -> None:
        self.broken = ""
        """Why the stream cannot be read on; empty while it can. A broken framer returns no more frames."""
        self.oversize = 0
        """How many frames were over the limit so far, whatever became of them."""
        self.max_frame = max_frame
        """The longest frame, in bytes, without what separates or announces it."""
        self._policy = oversize

    @property
    @abstractmethod
    def pending(self) -> bool:
        """True while an unfinished frame is held or skipped; a broken stream has none."""

    @property
    def skipping(self) -> bool:
        """True while what comes belongs to a frame over the limit, which was counted and is not kept."""
        return False

    @abstractmethod
    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the frames that they complete, in order."""

    def feed_joined(self, data: bytes) -> tuple[bytes, int]:
        """Do as `feed` does; return the frames as one piece, each followed by LF, and their number."""
        frames = self.feed(data)
        return b"".join([frame + b"\n" for frame in frames]), len(frames)

    @abstractmethod
    def end(self) -> bytes | None:
        """Take the end of the stream; return the unfinished frame where the framing lets it stand.

        The framer is as new afterwards, but for `broken` and `oversize`.
        """

    def fitting(self, frames: list[bytes]) -> list[bytes]:
        """Return the frames with the policy applied to those over the limit."""
        if len(max(frames, key=len, default=b"")) <= self.max_frame:
            return frames
        kept: list[bytes] = []
        for frame in frames:
            if len(frame) <= self.max_frame:
                kept.append(frame)
            else:
                kept += self.overlong(frame)
                if self.broken:
                    break
        return kept

    def overlong(self, head: bytes | bytearray) -> list[bytes]:
        """Count a frame over the limit; return what is kept of it, given its first bytes."""
        self.oversize += 1
        if self._policy == "close":
            self.broken = f"a frame is over {self.max_frame} bytes"
        return [bytes(head[: self.max_frame])] if self._policy == "truncate" else []


class SeparatorFramer(Framer):
    """Frames that end with a separator. At the end of the stream the unfinished one stands."""

    def __init__(
        self,
        separator: bytes,
        max_frame: int = sys.maxsize,
        oversize: Oversize = "drop",
        *,
        strip_cr: bool = False,
    ) -> None:
        super().__init__(max_frame, oversize)
        self._separator = separator
        self._strip_cr = strip_cr
        # A separator may be cut by the end of a piece, so that many bytes of it may be held.
        self._overlap = len(separator) - 1
        # More than this without a separator can no longer become a frame within the limit.
        self._held_at_most = max_frame + self._overlap + strip_cr
        self._held = bytearray()
        self._skipping = False

    @property
    def pending(self) -> bool:
        """See `Framer.pending`."""
        return not self.broken and (self._skipping or bool(self._held))

    @property
    def skipping(self) -> bool:
        """See `Framer.skipping`."""
        return self._skipping

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`; costs one `split` for each piece, not a step for each byte."""
        if self.broken:
            return []
        pieces = self._reunited(data).split(self._separator)
        rest = pieces.pop()
        frames = self._completed(pieces) if pieces else []
        if self.broken:
            self._held.clear()
            return frames
        self._held += rest
        if self._skipping or len(self._held) > self._held_at_most:
            frames += self._skip()
        return frames

    def feed_joined(self, data: bytes) -> tuple[bytes, int]:
        """See `Framer.feed_joined`; plain lines pass in one piece, without an object for each."""
        end = data.rfind(b"\n") + 1
        if not end or not self._passes_whole(data, end):
            return super().feed_joined(data)
        joined = b"".join((self._held, memoryview(data)[:end]))
        self._held[:] = data[end:]
        return joined, data.count(b"\n", 0, end)

    def end(self) -> bytes | None:
        """See `Framer.end`."""
        tail = bytes(self._held)
        is_frame = bool(tail) and not self._skipping and not self.broken
        self._held.clear()
        self._skipping = False
        if not is_frame:
            return None
        frames = self.fitting(self._stripped([tail]))
        return frames[0] if frames else None

    def _passes_whole(self, data: bytes, end: int) -> bool:
        """Tell whether every line before `end` is a frame as it stands, newline included."""
        return (
            self._separator == b"\n"
            and not (self.broken or self._skipping or (self._strip_cr and b"\r" in data))
            and not (self._strip_cr and self._held.endswith(b"\r"))
            and len(self._held) + data.find(b"\n") <= self.max_frame
            and len(data) - end <= self.max_frame
            and self._has_no_overlong_line(data, end)
        )

    def _has_no_overlong_line(self, data: bytes, end: int) -> bool:
        """Tell whether a newline is always near enough; looks from limit to limit, not at each line."""
        newline = data.find(b"\n")
        while newline + 1 + self.max_frame < end:
            following = data.rfind(b"\n", newline + 1, newline + 2 + self.max_frame)
            if following < 0:
                return False
            newline = following
        return True

    def _reunited(self, data: bytes) -> bytes:
        """Put the end of what is held before the piece, so that no separator stays cut in two."""
        if not (self._overlap and self._held):
            return data
        data = bytes(self._held[-self._overlap :]) + data
        del self._held[-self._overlap :]
        return data

    def _completed(self, pieces: list[bytes]) -> list[bytes]:
        """Return the frames that these pieces end, the first of which began with what was held."""
        if self._skipping:
            del pieces[0]
            self._skipping = False
        elif self._held:
            pieces[0] = bytes(self._held) + pieces[0]
        self._held.clear()
        return self.fitting(self._stripped(pieces))

    def _stripped(self, frames: list[bytes]) -> list[bytes]:
        return [frame.removesuffix(b"\r") for frame in frames] if self._strip_cr else frames

    def _skip(self) -> list[bytes]:
        """Throw away what is held of a frame over the limit, but for a separator that may have begun."""
        frames = [] if self._skipping else self.overlong(self._held)
        self._skipping = True
        del self._held[: max(0, len(self._held) - self._overlap)]
        return frames


class FixedFramer(Framer):
    """Frames of one size. An unfinished one at the end of the stream does not stand."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._held = bytearray()

    @property
    def pending(self) -> bool:
        """See `Framer.pending`."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        self._held += data
        size, whole = self._size, len(self._held) // self._size * self._size
        if not whole:
            return []
        ready = bytes(self._held[:whole])
        del self._held[:whole]
        return [ready[start : start + size] for start in range(0, whole, size)]

    def end(self) -> bytes | None:
        """See `Framer.end`."""
        self._held.clear()
        return None


class WholeFramer(Framer):
    """Each piece is a frame: a datagram, or for `raw` whatever one read returned."""

    @property
    def pending(self) -> bool:
        """See `Framer.pending`; nothing is ever held."""
        return False

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`; here the pieces are the frames."""
        return [] if self.broken else self.fitting([data])

    def end(self) -> bytes | None:
        """See `Framer.end`."""
        return None
