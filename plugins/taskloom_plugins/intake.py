"""The path from received bytes to written records, with its counters; shared by all connections of a run."""

from __future__ import annotations

from taskloom import Context
from taskloom_plugins.framing import Framer, WholeFramer
from taskloom_plugins.notices import Notices
from taskloom_plugins.output import Output
from taskloom_plugins.records import Batch, TextRecords
from taskloom_plugins.wiring import Wiring

__all__ = ["Intake"]


class Intake:
    """Feeds framers, writes the frames as records, and counts.

    The counters: `bytes` read, `frames` written, `drops` (frames not written, for any reason), `oversize` (frames over
    the limit), `truncated` (frames written in part, or lost at the end of their connection), `decode_errors`,
    `malformed` (streams that were closed because of invalid framing).
    """

    def __init__(self, ctx: Context, wiring: Wiring, output: Output) -> None:
        self.new_framer = wiring.new_framer
        self.notices = Notices(ctx.log)
        self._ctx, self._records, self._output = ctx, wiring.new_records(), output
        self._truncates = wiring.truncates
        self._line_records = self._records if wiring.passes_lines and isinstance(self._records, TextRecords) else None

    def feed(self, framer: Framer, data: bytes, source: str) -> bool:
        """Process the result of one read of a stream; return whether it completed a frame."""
        self._ctx.count("bytes", len(data))
        before = framer.oversize
        if self._line_records is not None:
            lines, count = framer.feed_joined(data)
            if count:
                self._write(self._line_records.from_lines(lines, count), source)
        else:
            frames = framer.feed(data)
            count = len(frames)
            if count:
                self._write(self._records.batch(frames, source), source)
        self._count_oversize(framer, before, source)
        return count > 0

    def end(self, framer: Framer, source: str, *, is_orderly: bool) -> None:
        """End a stream. Its unfinished frame is written only if the peer itself closed the connection."""
        # A frame that is being skipped was already counted when it exceeded the limit.
        is_unfinished, before = framer.has_partial_frame and not framer.is_skipping, framer.oversize
        tail = framer.end()
        if is_unfinished:
            self._ctx.count("truncated")
        if tail is not None and is_orderly:
            self._write(self._records.batch([tail], source), source)
        elif is_unfinished and framer.oversize == before:
            self._ctx.count("drops")
        self._count_oversize(framer, before, source)

    def datagrams(self, datagrams: list[bytes], source: str) -> None:
        """Process datagrams of one source. A frame never continues in the next datagram."""
        framer = self.new_framer()
        if isinstance(framer, WholeFramer):  # the common case, which has to keep up with bursts
            self._ctx.count("bytes", sum(map(len, datagrams)))
            self._write(self._records.batch(framer.apply_limit(datagrams), source), source)
            self._count_oversize(framer, 0, source)
            return
        for datagram in datagrams:
            self.feed(framer, datagram, source)
            if framer.broken:
                self.report_broken(framer, source)
                framer = self.new_framer()
            else:
                self._end_datagram(framer, source)

    def _end_datagram(self, framer: Framer, source: str) -> None:
        """End the last frame with its datagram: it is whole without a separator, as clients of statsd send it.

        A frame whose count or length asks for more than the datagram has was cut.
        """
        is_unfinished, before = framer.has_partial_frame and not framer.is_skipping, framer.oversize
        tail = framer.end()
        if tail is not None:
            self._write(self._records.batch([tail], source), source)
        elif is_unfinished and framer.oversize == before:
            self._ctx.count("truncated")
            self._ctx.count("drops")
        self._count_oversize(framer, before, source)

    def report_broken(self, framer: Framer, source: str) -> None:
        """Count and log that a stream cannot be read any further."""
        self._ctx.count("malformed")
        self.notices.warn("broken streams", "cannot read any further from %s: %s", source, framer.broken)

    def _write(self, batch: Batch, source: str) -> None:
        if batch.undecodable:
            self._ctx.count("decode_errors", batch.undecodable)
            self.notices.warn("undecodable frames", "cannot decode a frame from %s: %s", source, batch.problem)
        if batch.dropped:
            self._ctx.count("drops", batch.dropped)
        if batch.written:
            self._output.write(batch.data)
            self._ctx.count("frames", batch.written)

    def _count_oversize(self, framer: Framer, oversize_before: int, source: str) -> None:
        overlong = framer.oversize - oversize_before
        if not overlong:
            return
        self._ctx.count("oversize", overlong)
        self._ctx.count("truncated" if self._truncates else "drops", overlong)
        self.notices.warn("frames over the limit", "a frame from %s is over %d bytes", source, framer.max_frame)
