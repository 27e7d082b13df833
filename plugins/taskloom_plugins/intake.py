"""What all connections of a run share: the way from bytes to written records, and the counts along it."""

from __future__ import annotations

from collections.abc import Callable

from taskloom import Context
from taskloom_plugins.framing import Framer, Oversize, WholeFramer
from taskloom_plugins.notices import Notices
from taskloom_plugins.output import Output
from taskloom_plugins.records import Batch, Records, TextRecords

__all__ = ["Intake"]


class Intake:
    """Feeds framers, writes what comes out of them, counts.

    The counters: `bytes` read, `frames` written, `drops` (frames not written, for whatever cause), `oversize`
    (over the limit), `truncated` (written cut, or lost with the end of their connection), `decode_errors`,
    `malformed` (streams given up because their framing made no sense).
    """

    def __init__(
        self,
        ctx: Context,
        new_framer: Callable[[], Framer],
        records: Records,
        output: Output,
        *,
        oversize: Oversize,
        is_lines: bool,
    ) -> None:
        """Take `is_lines` where frames end with LF and can hold none, so that they may pass in one piece."""
        self.new_framer = new_framer
        self.notices = Notices(ctx.log)
        self._ctx, self._records, self._output = ctx, records, output
        self._cuts = oversize == "truncate"
        self._lines = records if is_lines and isinstance(records, TextRecords) else None

    def feed(self, framer: Framer, data: bytes, source: str) -> bool:
        """Take what one read of a stream returned; return whether it completed a frame."""
        self._ctx.count("bytes", len(data))
        before = framer.oversize
        if self._lines is not None:
            lines, count = framer.feed_joined(data)
            if count:
                self._write(self._lines.joined(lines, count), source)
        else:
            frames = framer.feed(data)
            count = len(frames)
            if count:
                self._write(self._records.batch(frames, source), source)
        self._judge(framer, before, source)
        return count > 0

    def end(self, framer: Framer, source: str, *, is_orderly: bool) -> None:
        """Take the end of a stream. Its unfinished frame stands only when the peer itself ended it."""
        # What is being skipped was counted when it went over the limit.
        is_unfinished, before = framer.pending and not framer.skipping, framer.oversize
        tail = framer.end()
        if is_unfinished:
            self._ctx.count("truncated")
        if tail is not None and is_orderly:
            self._write(self._records.batch([tail], source), source)
        elif is_unfinished and framer.oversize == before:
            self._ctx.count("drops")
        self._judge(framer, before, source)

    def datagrams(self, datagrams: list[bytes], source: str) -> None:
        """Take datagrams of one source; none of them goes on in the next."""
        framer = self.new_framer()
        if isinstance(framer, WholeFramer):  # the common case, and the one that has to keep up with bursts
            self._ctx.count("bytes", sum(map(len, datagrams)))
            self._write(self._records.batch(framer.fitting(datagrams), source), source)
            self._judge(framer, 0, source)
            return
        for datagram in datagrams:
            self.feed(framer, datagram, source)
            if framer.broken:
                self.give_up(framer, source)
                framer = self.new_framer()
            else:
                self.end(framer, source, is_orderly=True)

    def give_up(self, framer: Framer, source: str) -> None:
        """Say that a stream cannot be read on."""
        self._ctx.count("malformed")
        self.notices.warn("broken streams", "cannot read on from %s: %s", source, framer.broken)

    def _write(self, batch: Batch, source: str) -> None:
        if batch.undecodable:
            self._ctx.count("decode_errors", batch.undecodable)
            self.notices.warn("undecodable frames", "cannot decode a frame from %s: %s", source, batch.trouble)
        if batch.left_out:
            self._ctx.count("drops", batch.left_out)
        if batch.written:
            self._output.write(batch.data)
            self._ctx.count("frames", batch.written)

    def _judge(self, framer: Framer, oversize_before: int, source: str) -> None:
        """Count the frames that went over the limit since."""
        overlong = framer.oversize - oversize_before
        if not overlong:
            return
        self._ctx.count("oversize", overlong)
        self._ctx.count("truncated" if self._cuts else "drops", overlong)
        self.notices.warn("frames over the limit", "a frame from %s is over %d bytes", source, framer.max_frame)
