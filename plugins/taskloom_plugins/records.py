"""Turns frames into records that are ready to be written: text lines or JSON lines. Pure, except for the clock."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from taskloom_plugins.decoding import Decoder

__all__ = ["Batch", "Format", "JsonRecords", "Records", "TextRecords"]

Format = Literal["text", "json"]


class Batch(NamedTuple):
    """Some frames as records, and the problems with them."""

    data: bytes
    """Whole records, newlines included."""
    written: int
    """The number of these records."""
    undecodable: int = 0
    """How many frames could not be decoded: dropped, or written with replacements."""
    dropped: int = 0
    """How many of the undecodable frames are not among the records."""
    problem: str = ""
    """Why one of them could not be decoded."""


class Records(ABC):
    """An output format."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    @abstractmethod
    def batch(self, frames: Sequence[bytes], source: str) -> Batch:
        """Return the frames, which all came from `source`, as records."""

    def _decoded(self, frames: Sequence[bytes], write: Callable[[bytes], bytes]) -> Batch:
        records: list[bytes] = []
        problem, dropped, damaged_before = "", 0, self.decoder.damaged_frames
        for frame in frames:
            try:
                records.append(write(frame))
            except ValueError as error:
                problem = str(error)
                dropped += 1
        damaged = self.decoder.damaged_frames - damaged_before
        problem = problem or (self.decoder.last_damage if damaged else "")
        return Batch(b"".join(records), len(records), dropped + damaged, dropped, problem)


class TextRecords(Records):
    """Writes each frame and a newline."""

    def __init__(self, decoder: Decoder, ending: bytes = b"\n") -> None:
        """`ending` ends each record; empty for a raw stream, which has no frames."""
        super().__init__(decoder)
        self._ending = ending

    def batch(self, frames: Sequence[bytes], source: str) -> Batch:
        """See `Records.batch`; text records do not contain the source.

        A frame that already ends with a newline, as many datagrams do, gets no second one.
        """
        # In the common case no frame contains a newline, which two fast passes (join, memchr) can show.
        if self._ending and self.decoder.has_ascii_newlines and b"\n" in b"".join(frames):
            frames = [_without_newline(frame) for frame in frames]
        joined = self._ending.join([*frames, b""]) if self._ending else b"".join(frames)
        if self.decoder.leaves_unchanged(joined):
            return Batch(joined, len(frames))
        return self._decoded(frames, self._record)

    def _record(self, frame: bytes) -> bytes:
        line = self.decoder.line(frame)
        # Behind the newline there may have been a NUL, which the decoder has removed.
        if not self.decoder.has_ascii_newlines or frame.endswith(b"\0"):
            line = _without_newline(line)
        return line + self._ending

    def from_lines(self, lines: bytes, count: int) -> Batch:
        """Return a batch of frames that each end with their only newline, as `Framer.feed_joined` returns them."""
        if self.decoder.leaves_unchanged(lines):
            return Batch(lines, count)
        return self.batch(lines.split(b"\n")[:-1], "")


class JsonRecords(Records):
    """Writes one JSON object per line: when the frame was read, its source, its content."""

    def __init__(self, decoder: Decoder, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(decoder)
        self._now = now

    def batch(self, frames: Sequence[bytes], source: str) -> Batch:
        """See `Records.batch`."""
        at = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = f'{{"at":"{at}","from":{json.dumps(source, ensure_ascii=False)},"{self.decoder.json_key}":'
        return self._decoded(frames, lambda frame: self._record(head, frame))

    def _record(self, head: str, frame: bytes) -> bytes:
        value = self.decoder.value(frame)
        try:
            return f"{head}{json.dumps(value, ensure_ascii=False, separators=(',', ':'))}}}\n".encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape but UTF-8 cannot encode
            return f"{head}{json.dumps(value, separators=(',', ':'))}}}\n".encode()


def _without_newline(line: bytes) -> bytes:
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
