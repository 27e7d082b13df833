"""Framers: how each framing splits a stream, and that the pieces of the stream never matter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.cpu_time import cpu_seconds
from tests.support.every_case import every_case

from taskloom_plugins.counted_framing import LengthPrefixedFramer, OctetCountedFramer, SyslogFramer
from taskloom_plugins.framing import FixedFramer, Framer, Oversize, SeparatorFramer, WholeFramer

BOM = b"\xef\xbb\xbf"
POLICIES: tuple[Oversize, ...] = ("drop", "truncate", "close")
MakeFramer = Callable[[int, Oversize], Framer]

STREAM_FRAMERS: dict[str, MakeFramer] = {
    "line": lambda limit, oversize: SeparatorFramer(b"\n", limit, oversize, strip_cr=True),
    "line with a mark": lambda limit, oversize: SeparatorFramer(b"\n", limit, oversize, strip_cr=True, mark=BOM),
    "nul": lambda limit, oversize: SeparatorFramer(b"\0", limit, oversize),
    "delimiter": lambda limit, oversize: SeparatorFramer(b"aab", limit, oversize),
    "self-overlapping delimiter": lambda limit, oversize: SeparatorFramer(b"aa", limit, oversize),
    "octet-counted": OctetCountedFramer,
    "syslog": SyslogFramer,
    "fixed": lambda limit, oversize: FixedFramer(limit),
    "length-prefixed": lambda limit, oversize: LengthPrefixedFramer(limit, oversize, size=1),
    "length-prefixed with all options": lambda limit, oversize: LengthPrefixedFramer(
        limit, oversize, offset=1, size=2, order="little", counts_header=True, keep_header=True
    ),
}

Seen = tuple[list[bytes], bytes | None, bool, int, bool]


def run_through(framer: Framer, pieces: Sequence[bytes]) -> Seen:
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    pending, broken = framer.has_partial_frame, bool(framer.broken)
    return frames, framer.end(), pending, framer.oversize, broken


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(edges) if stop > start]


# Few different bytes, so that separators, digits, counts and CR often come together.
MORSELS = [
    b"a", b"b", b"aab", b"\n", b"\r", b"\r\n", b"\0", b"3 abc", b"1 ", b"9", b"<13>", b" ", b"\2", b"\5\0", BOM,
]  # fmt: skip
streams = st.lists(st.sampled_from(MORSELS), max_size=40).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=12)


@pytest.mark.parametrize("name", STREAM_FRAMERS)
@given(stream=streams, places=cuts, limit=st.integers(1, 12), oversize=st.sampled_from(POLICIES))
def test_any_split_of_the_stream_gives_the_same_frames(
    name: str, stream: bytes, places: list[int], limit: int, oversize: Oversize
) -> None:
    make = STREAM_FRAMERS[name]

    whole = run_through(make(limit, oversize), [stream] if stream else [])
    in_pieces = run_through(make(limit, oversize), cut(stream, places))
    by_bytes = run_through(make(limit, oversize), [stream[i : i + 1] for i in range(len(stream))])

    assert in_pieces == whole
    assert by_bytes == whole
    assert all(len(frame) <= limit for frame in whole[0])


@pytest.mark.parametrize("name", STREAM_FRAMERS)
@example(stream=b"\n3 abc", places=[], limit=1, oversize="drop")
@example(stream=b"a\r\nb\n", places=[2], limit=4, oversize="drop")
@given(stream=streams, places=cuts, limit=st.integers(1, 12), oversize=st.sampled_from(POLICIES))
def test_the_joined_form_contains_the_same_frames(
    name: str, stream: bytes, places: list[int], limit: int, oversize: Oversize
) -> None:
    apart, joined = (STREAM_FRAMERS[name](limit, oversize) for _ in range(2))

    for piece in cut(stream, places):
        frames = apart.feed(piece)
        assert joined.feed_joined(piece) == (b"".join(frame + b"\n" for frame in frames), len(frames))

    assert (joined.has_partial_frame, joined.oversize, joined.end()) == (
        apart.has_partial_frame,
        apart.oversize,
        apart.end(),
    )


@given(frames=st.lists(st.binary(max_size=40).filter(lambda frame: b"\n" not in frame)), places=cuts)
def test_lines_are_returned_as_they_were_written(frames: list[bytes], places: list[int]) -> None:
    stream = b"".join(frame + b"\n" for frame in frames)

    seen = run_through(SeparatorFramer(b"\n"), cut(stream, places))

    assert seen == (frames, None, False, 0, False)


@given(frames=st.lists(st.binary(min_size=1, max_size=40)), places=cuts)
def test_octet_counted_frames_are_returned_as_they_were_written(frames: list[bytes], places: list[int]) -> None:
    stream = b"".join(b"%d %s" % (len(frame), frame) for frame in frames)

    assert run_through(OctetCountedFramer(40), cut(stream, places)) == (frames, None, False, 0, False)


@given(frames=st.lists(st.binary(max_size=40)), places=cuts, offset=st.integers(0, 3), keep=st.booleans())
def test_length_prefixed_frames_are_returned_as_they_were_written(
    frames: list[bytes], places: list[int], offset: int, keep: bool
) -> None:
    headers = [b"\xff" * offset + len(frame).to_bytes(4, "big") for frame in frames]
    stream = b"".join(header + frame for header, frame in zip(headers, frames, strict=True))
    expected = [header + frame for header, frame in zip(headers, frames, strict=True)] if keep else frames

    seen = run_through(LengthPrefixedFramer(64, offset=offset, keep_header=keep), cut(stream, places))

    assert seen == (expected, None, False, 0, False)


@every_case(
    ("framer", "stream", "frames", "tail"),
    [
        (SeparatorFramer(b"\n", strip_cr=True), b"a\r\nb\n\nc\rd\r\n", [b"a", b"b", b"", b"c\rd"], None),
        (SeparatorFramer(b"\n", strip_cr=True), b"a\nlast\r", [b"a"], b"last"),
        (SeparatorFramer(b"\n"), b"a\r\n", [b"a\r"], None),
        (SeparatorFramer(b"\0"), b"a\nb\0c\0", [b"a\nb", b"c"], None),
        (SeparatorFramer(b"--"), b"a--b-c--d-", [b"a", b"b-c"], b"d-"),
        (FixedFramer(3), b"abcdefgh", [b"abc", b"def"], None),
        (OctetCountedFramer(99), b"5 hello11 a\nb 12 three", [b"hello", b"a\nb 12 thre"], None),
        (
            SyslogFramer(99),
            b"7 <13>one<13>two\n8 <1>\nlf.\n\n<9>end",
            [b"<13>one", b"<13>two", b"<1>\nlf.\n"],
            b"<9>end",
        ),
        (SyslogFramer(99), b"5 hello\n5 world\n", [b"hello", b"world"], None),
        (LengthPrefixedFramer(9, size=2), b"\0\3abc\0\0\0\1d\0\5cut", [b"abc", b"", b"d"], None),
        (LengthPrefixedFramer(9, size=2, order="little"), b"\3\0abc", [b"abc"], None),
        (LengthPrefixedFramer(9, size=2, counts_header=True), b"\0\5abc\0\2", [b"abc", b""], None),
        (LengthPrefixedFramer(9, offset=1, size=1), b"T\2hi", [b"hi"], None),
        (WholeFramer(), b"any\nthing", [b"any\nthing"], None),
        (WholeFramer(), b"", [b""], None),
    ],
)
def test_each_framing_splits_as_its_protocol_defines(
    framer: Framer, stream: bytes, frames: list[bytes], tail: bytes | None
) -> None:
    assert framer.feed(stream) == frames
    assert framer.end() == tail


@every_case(
    ("framer", "garbage", "why"),
    [
        (OctetCountedFramer(99), b"hello", "b'hello' is not a length followed by a space"),
        (OctetCountedFramer(99), b"0 ", "b'0 ' is not a length followed by a space"),
        (OctetCountedFramer(99), b"-5 hello", "b'-5 hello' is not a length followed by a space"),
        (OctetCountedFramer(99), b"5\nhello", "b'5\\nhello' is not a length followed by a space"),
        (OctetCountedFramer(99), b"1" * 11, "b'11111111111' is not a length followed by a space"),
        (OctetCountedFramer(99), b"2147483647 x", "a frame of 2147483647 bytes was announced"),
        (LengthPrefixedFramer(99), b"\x7f\xff\xff\xff", "a frame of 2147483647 bytes was announced"),
        (LengthPrefixedFramer(99, size=8), b"\xff" * 8, "a frame of 18446744073709551615 bytes was announced"),
        (LengthPrefixedFramer(99, counts_header=True), b"\0\0\0\3", "a frame of -1 bytes was announced"),
    ],
)
def test_an_invalid_length_breaks_the_stream_and_nothing_is_stored(framer: Framer, garbage: bytes, why: str) -> None:
    assert framer.feed(garbage) == []

    assert framer.broken == why
    assert not framer.has_partial_frame
    assert framer.feed(b"5 hello\n") == []


@every_case(
    ("oversize", "frames", "is_broken"),
    [("drop", [b"ab", b"cd"], False), ("truncate", [b"ab", b"1234", b"cd"], False), ("close", [b"ab"], True)],
)
@every_case(
    ("name", "stream"),
    [
        ("line", b"ab\n1234567\ncd\n"),
        ("nul", b"ab\x001234567\0cd\0"),
        ("octet-counted", b"2 ab7 12345672 cd"),
        ("syslog", b"2 ab1234567\n2 cd"),
        ("length-prefixed", b"\2ab\x071234567\2cd"),
    ],
)
def test_a_frame_over_the_limit_is_handled_by_the_policy_and_counted_once(
    name: str, stream: bytes, oversize: Oversize, frames: list[bytes], is_broken: bool
) -> None:
    framer = STREAM_FRAMERS[name](4, oversize)

    assert framer.feed(stream) == frames
    assert bool(framer.broken) == is_broken
    assert framer.oversize == 1


def test_a_frame_of_exactly_the_limit_is_complete_with_crlf_or_without() -> None:
    framer = SeparatorFramer(b"\n", 4, strip_cr=True)

    frames = [frame for byte in b"1234\r\n1234\n12345\r\n" for frame in framer.feed(bytes([byte]))]

    assert frames == [b"1234", b"1234"]
    assert framer.oversize == 1


def test_an_endless_frame_is_skipped_without_being_stored() -> None:
    framer = SeparatorFramer(b"--", 1000)

    for _ in range(1000):
        assert framer.feed(b"x" * 4096) == []
        assert len(framer._held) <= 1002
    assert framer.feed(b"x--next--") == [b"next"]

    assert framer.oversize == 1


@pytest.mark.parametrize(
    ("framer", "stream", "last"),
    [
        (SeparatorFramer(b"\n"), b"x" * 100_000 + b"\n", b"\n"),
        (SeparatorFramer(b"<end>"), b"x" * 100_000 + b"<end>", b">"),
        (OctetCountedFramer(100_000), b"100000 " + b"x" * 100_000, b"x"),
        (SyslogFramer(100_000), b"<" + b"x" * 99_999 + b"\n", b"\n"),
        (LengthPrefixedFramer(100_000), (100_000).to_bytes(4, "big") + b"x" * 100_000, b"x"),
        (FixedFramer(100_000), b"x" * 100_000, b"x"),
    ],
)
def test_a_frame_that_arrives_byte_by_byte_takes_linear_time(framer: Framer, stream: bytes, last: bytes) -> None:
    """Quadratic time for 100,000 reads would be some ten seconds of CPU."""
    with cpu_seconds() as spent:
        frames = [frame for i in range(len(stream)) for frame in framer.feed(stream[i : i + 1])]
        took = spent()

    assert [len(frame) for frame in frames] == [100_000]
    assert stream.endswith(last)
    assert took < 1.0


def test_ten_thousand_frames_in_one_piece_are_all_returned() -> None:
    assert len(SeparatorFramer(b"\n").feed(b"x\n" * 10_000)) == 10_000
    assert len(OctetCountedFramer(9).feed(b"1 x" * 10_000)) == 10_000
    assert len(SyslogFramer(9).feed(b"1 x<x\n" * 5_000)) == 10_000
