"""Splits a stream of bytes into frames. Pure: no socket, no clock, no log.

A framer receives the bytes in pieces of any size, and returns the complete frames. The frames do not depend on how the
stream was split into pieces. The memory of a framer is limited by `max_frame` and the size of the last piece. A length
that a peer announces is checked before any byte of the frame is stored.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Literal

__all__ = ["FixedFramer", "Framer", "Oversize", "SeparatorFramer", "WholeFramer"]

Oversize = Literal["drop", "truncate", "close"]
"""How to handle a frame over the limit: skip it, keep its first bytes, or close the stream."""


class Framer(ABC):
    """The contract of all framings; `tests/plugins` has one suite for all of them."""

    def __init__(self, max_frame: int = sys.maxsize, oversize: Oversize = "drop", mark: bytes = b"") -> None:
        """`mark`: the byte order mark to pass over at the beginning of a stream; empty for none."""
        self.broken = ""
        """Why the stream cannot be read any further; empty while it can. A broken framer returns no more frames."""
        self.oversize = 0
        """How many frames were over the limit so far, however they were handled."""
        self.max_frame = max_frame
        """The longest frame, in bytes, without its separator or length."""
        self._mark = self._awaited_mark = mark
        self._policy = oversize
        self._held = bytearray()
        self._is_skipping = False

    @property
    def has_partial_frame(self) -> bool:
        """Whether an unfinished frame is stored or being skipped; False for a broken stream."""
        return not self.broken and (self.is_skipping or bool(self._held))

    @property
    def is_skipping(self) -> bool:
        """Whether the next bytes belong to a frame over the limit, which was already counted and is not stored."""
        return self._is_skipping

    @abstractmethod
    def feed(self, data: bytes) -> list[bytes]:
        """Process the next bytes of the stream; return the frames that they complete, in order."""

    def feed_joined(self, data: bytes) -> tuple[bytes, int]:
        """Process bytes like `feed`; return the frames as one piece, each followed by LF, and their number."""
        frames = self.feed(data)
        return b"".join([frame + b"\n" for frame in frames]), len(frames)

    def end(self) -> bytes | None:
        """End the stream; return the unfinished frame, if the framing allows one at the end. By default it is dropped.

        Afterwards the framer is as new, except for `broken` and `oversize`.
        """
        self._held.clear()
        self._is_skipping = False
        self._awaited_mark = self._mark
        return None

    def _without_mark(self, data: bytes) -> bytes:
        """Return the first bytes of a stream without a byte order mark; as long as they may be one, hold them."""
        begun = bytes(self._held) + data
        self._held.clear()
        if len(begun) < len(self._mark) and self._mark.startswith(begun):
            self._held += begun
            return b""
        self._awaited_mark = b""
        return begun.removeprefix(self._mark)

    def apply_limit(self, frames: list[bytes]) -> list[bytes]:
        """Return the frames, with the oversize policy applied to those over the limit."""
        if len(max(frames, key=len, default=b"")) <= self.max_frame:
            return frames
        kept: list[bytes] = []
        for frame in frames:
            if len(frame) <= self.max_frame:
                kept.append(frame)
            else:
                kept += self.count_oversize(frame)
                if self.broken:
                    break
        return kept

    def count_oversize(self, head: bytes | bytearray) -> list[bytes]:
        """Count a frame over the limit. Given its first bytes, return the part that the policy keeps."""
        self.oversize += 1
        if self._policy == "close":
            self.broken = f"a frame is over {self.max_frame} bytes"
        return [bytes(head[: self.max_frame])] if self._policy == "truncate" else []


class SeparatorFramer(Framer):
    """Frames that end with a separator. An unfinished frame at the end of the stream is returned."""

    def __init__(
        self,
        separator: bytes,
        max_frame: int = sys.maxsize,
        oversize: Oversize = "drop",
        *,
        strip_cr: bool = False,
        mark: bytes = b"",
    ) -> None:
        super().__init__(max_frame, oversize, mark)
        self._separator = separator
        self._strip_cr = strip_cr
        # A separator may be split between two pieces; up to this many bytes of it may be at the end of `_held`.
        self._overlap = len(separator) - 1
        # With more bytes than this and no separator, the frame is certainly over the limit.
        self._max_held = max_frame + self._overlap + strip_cr

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`; one `split` for each piece, instead of a step for each byte."""
        if self.broken:
            return []
        if self._awaited_mark:
            data = self._without_mark(data)
            if self._awaited_mark:
                return []
        pieces = self._with_held_end(data).split(self._separator)
        rest = pieces.pop()
        frames = self._completed(pieces) if pieces else []
        if self.broken:
            self._held.clear()
            return frames
        self._held += rest
        if self._is_skipping or len(self._held) > self._max_held:
            frames += self._skip()
        return frames

    def feed_joined(self, data: bytes) -> tuple[bytes, int]:
        """See `Framer.feed_joined`; plain lines are returned as one piece, without an object for each line."""
        end = data.rfind(b"\n") + 1
        if not end or not self._is_all_frames(data, end):
            return super().feed_joined(data)
        joined = b"".join((self._held, memoryview(data)[:end]))
        self._held[:] = data[end:]
        return joined, data.count(b"\n", 0, end)

    def end(self) -> bytes | None:
        """See `Framer.end`."""
        tail = bytes(self._held)
        is_frame = bool(tail) and not self._is_skipping and not self.broken
        super().end()
        if not is_frame:
            return None
        frames = self.apply_limit(self._stripped([tail]))
        return frames[0] if frames else None

    def _is_all_frames(self, data: bytes, end: int) -> bool:
        """Return whether every line before `end` is a frame without any change, newline included."""
        return (
            self._separator == b"\n"
            and not (self.broken or self._awaited_mark or self._is_skipping or (self._strip_cr and b"\r" in data))
            and not (self._strip_cr and self._held.endswith(b"\r"))
            and len(self._held) + data.find(b"\n") <= self.max_frame
            and len(data) - end <= self.max_frame
            and self._has_no_oversize_line(data, end)
        )

    def _has_no_oversize_line(self, data: bytes, end: int) -> bool:
        """Return whether no line is over the limit. Searches in steps of the limit, not line by line."""
        newline = data.find(b"\n")
        while newline + 1 + self.max_frame < end:
            following = data.rfind(b"\n", newline + 1, newline + 2 + self.max_frame)
            if following < 0:
                return False
            newline = following
        return True

    def _with_held_end(self, data: bytes) -> bytes:
        """Prepend the end of the held bytes to the piece, so that no separator remains split."""
        if not (self._overlap and self._held):
            return data
        data = bytes(self._held[-self._overlap :]) + data
        del self._held[-self._overlap :]
        return data

    def _completed(self, pieces: list[bytes]) -> list[bytes]:
        """Return the frames that these pieces complete; the first of them begins with the held bytes."""
        if self._is_skipping:
            del pieces[0]
            self._is_skipping = False
        elif self._held:
            pieces[0] = bytes(self._held) + pieces[0]
        self._held.clear()
        return self.apply_limit(self._stripped(pieces))

    def _stripped(self, frames: list[bytes]) -> list[bytes]:
        return [frame.removesuffix(b"\r") for frame in frames] if self._strip_cr else frames

    def _skip(self) -> list[bytes]:
        """Discard the held bytes of a frame over the limit, except for the possible beginning of a separator."""
        frames = [] if self._is_skipping else self.count_oversize(self._held)
        self._is_skipping = True
        del self._held[: max(0, len(self._held) - self._overlap)]
        return frames


class FixedFramer(Framer):
    """Frames of one size. An unfinished frame at the end of the stream is dropped."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        self._held += data
        size, whole = self._size, len(self._held) // self._size * self._size
        if not whole:
            return []
        ready = bytes(self._held[:whole])
        del self._held[:whole]
        return [ready[start : start + size] for start in range(0, whole, size)]


class WholeFramer(Framer):
    """Each piece is a frame: a datagram or, for `raw`, the result of one read."""

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`; the piece is the frame."""
        return [] if self.broken else self.apply_limit([data])
