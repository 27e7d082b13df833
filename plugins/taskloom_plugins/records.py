"""Turns frames into whole records, ready to be written: text lines or JSON lines. Pure but for the clock."""

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
    """Some frames as records, and what had to be said of them."""

    data: bytes
    """Whole records, newlines included."""
    written: int
    """How many records that is."""
    undecodable: int = 0
    """How many frames made no sense: left out, or written with a replacement."""
    left_out: int = 0
    """How many of the undecodable ones are not among the records."""
    trouble: str = ""
    """Why one of them made no sense."""


class Records(ABC):
    """One format of output."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    @abstractmethod
    def batch(self, frames: Sequence[bytes], source: str) -> Batch:
        """Return the frames, which came from one source, as records."""

    def _decoded(self, frames: Sequence[bytes], write: Callable[[bytes], bytes]) -> Batch:
        """Write the frames one by one."""
        records: list[bytes] = []
        trouble, left_out, damaged_before = "", 0, self.decoder.damaged
        for frame in frames:
            try:
                records.append(write(frame))
            except ValueError as error:
                trouble = str(error)
                left_out += 1
        damaged = self.decoder.damaged - damaged_before
        trouble = trouble or (self.decoder.damage if damaged else "")
        return Batch(b"".join(records), len(records), left_out + damaged, left_out, trouble)


class TextRecords(Records):
    """Each frame and a newline. `ending` is empty for what is no frames but a raw stream."""

    def __init__(self, decoder: Decoder, ending: bytes = b"\n") -> None:
        """Take what ends each record."""
        super().__init__(decoder)
        self._ending = ending

    def batch(self, frames: Sequence[bytes], source: str) -> Batch:
        """See `Records.batch`; text has no place for the source.

        A frame that ends with a newline of its own, as many datagrams do, gets no second one.
        """
        # Two passes at the speed of memchr tell that no frame holds a newline, which is the common case.
        if self._ending and b"\n" in b"".join(frames):
            frames = [f[:-2] if f.endswith(b"\r\n") else f.removesuffix(b"\n") for f in frames]
        joined = self._ending.join([*frames, b""]) if self._ending else b"".join(frames)
        if self.decoder.passes(joined):
            return Batch(joined, len(frames))
        return self._decoded(frames, lambda frame: self.decoder.line(frame) + self._ending)

    def joined(self, lines: bytes, count: int) -> Batch:
        """Return frames that hold no newline and come with one each, as `Framer.feed_joined` gives them."""
        if self.decoder.passes(lines):
            return Batch(lines, count)
        return self.batch(lines.split(b"\n")[:-1], "")


class JsonRecords(Records):
    """A JSON object to a line: when the frame was read, where it came from, what it holds."""

    def __init__(self, decoder: Decoder, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(decoder)
        self._now = now

    def batch(self, frames: Sequence[bytes], source: str) -> Batch:
        """See `Records.batch`."""
        at = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = f'{{"at":"{at}","from":{json.dumps(source, ensure_ascii=False)},"{self.decoder.member}":'
        return self._decoded(frames, lambda frame: self._record(head, frame))

    def _record(self, head: str, frame: bytes) -> bytes:
        value = self.decoder.value(frame)
        try:
            return f"{head}{json.dumps(value, ensure_ascii=False, separators=(',', ':'))}}}\n".encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell, has no UTF-8
            return f"{head}{json.dumps(value, separators=(',', ':'))}}}\n".encode()
