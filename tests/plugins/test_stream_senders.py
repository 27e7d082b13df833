"""What senders put on a stream around and between their messages: both framings of syslog, ends of lines, marks.

Each row is fed as a whole, byte by byte and cut at every single place; the frames never depend on that.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.cpu_time import cpu_seconds
from tests.support.every_case import every_case

from taskloom_plugins.counted_framing import LengthPrefixedFramer, OctetCountedFramer, SyslogFramer
from taskloom_plugins.framing import Framer, SeparatorFramer

BOM = b"\xef\xbb\xbf"
LIMIT = 99
Make = Callable[[], Framer]

MAKERS: dict[str, Make] = {
    "line": lambda: SeparatorFramer(b"\n", LIMIT, strip_cr=True, mark=BOM),
    "nul": lambda: SeparatorFramer(b"\0", LIMIT, mark=BOM),
    "delimiter CR": lambda: SeparatorFramer(b"\r", LIMIT, mark=BOM),
    "delimiter CR LF": lambda: SeparatorFramer(b"\r\n", LIMIT, mark=BOM),
    "octet-counted": lambda: OctetCountedFramer(LIMIT),
    "syslog": lambda: SyslogFramer(LIMIT),
    "length-prefixed": lambda: LengthPrefixedFramer(LIMIT, size=1),
}


def frames_of(name: str, pieces: list[bytes]) -> tuple[list[bytes], bytes | None, str]:
    framer = MAKERS[name]()
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    return frames, framer.end(), framer.broken


def check(name: str, stream: bytes, frames: list[bytes], tail: bytes | None = None) -> None:
    expected = (frames, tail, "")
    assert frames_of(name, [stream]) == expected
    assert frames_of(name, [stream[i : i + 1] for i in range(len(stream))]) == expected
    for place in range(1, len(stream)):
        assert frames_of(name, [stream[:place], stream[place:]]) == expected, place


SYSLOG: list[tuple[bytes, list[bytes], bytes | None]] = [
    # Ends of lines, and empty lines.
    (b"<1>a\n<2>b\n", [b"<1>a", b"<2>b"], None),
    (b"<1>a\r\n<2>b\r\n", [b"<1>a", b"<2>b"], None),
    (b"<1>a\0<2>b\0", [b"<1>a", b"<2>b"], None),
    (b"<1>a\n\0<2>b\0\n", [b"<1>a", b"<2>b"], None),
    (b"<1>a\r\0<2>b\r\0", [b"<1>a", b"<2>b"], None),
    (b"\n\r\n\0\n<1>a\n\n\r\n\n", [b"<1>a"], None),
    (b"<1>a\rb\n", [b"<1>a\rb"], None),
    (b"<1>a\n<2>last", [b"<1>a"], b"<2>last"),
    (b"<1>a\n<2>last\r", [b"<1>a"], b"<2>last"),
    (b"<1>a\n\r", [b"<1>a"], None),
    # Counted messages, and what follows them.
    (b"4 <1>a4 <2>b", [b"<1>a", b"<2>b"], None),
    (b"4 <1>a\n4 <2>b\n", [b"<1>a", b"<2>b"], None),
    (b"4 <1>a\r\n4 <2>b\r\n", [b"<1>a", b"<2>b"], None),
    (b"4 <1>a\x004 <2>b\0", [b"<1>a", b"<2>b"], None),
    (b"5 <1>a\n5 <2>b\n", [b"<1>a\n", b"<2>b\n"], None),
    (b"7 <1>a\n<24 <2>b", [b"<1>a\n<2", b"<2>b"], None),
    # Both framings on one connection.
    (b"4 <1>a<2>b\n4 <3>c<4>d\n", [b"<1>a", b"<2>b", b"<3>c", b"<4>d"], None),
    # No count: a number without a space, with a zero in front, over the limit of a frame, too long.
    (b"12:30 it rains\n", [b"12:30 it rains"], None),
    (b"2026-11-29T00:00:00Z up\n", [b"2026-11-29T00:00:00Z up"], None),
    (b"0 nothing\n", [b"0 nothing"], None),
    (b"04 <1>a\n", [b"04 <1>a"], None),
    (b"100 over the limit\n4 <1>a", [b"100 over the limit", b"<1>a"], None),
    (b"99999999999999999999 big\n", [b"99999999999999999999 big"], None),
    (b"4\t<1>a\n", [b"4\t<1>a"], None),
    (b"4\n<1>a\n", [b"4", b"<1>a"], None),
    (b"4\r\n<1>a\n", [b"4", b"<1>a"], None),
    (b"-4 <1>a\n", [b"-4 <1>a"], None),
    (b"+4 <1>a\n", [b"+4 <1>a"], None),
    (b" 4 <1>a\n", [b" 4 <1>a"], None),
    # At the end of the stream.
    (b"12", [], b"12"),
    (b"123", [], b"123"),
    (b"4 ", [], None),
    (b"4 <1>", [], None),
    (b"", [], None),
    # A mark is only passed over at the beginning.
    (BOM + b"<1>a\n" + BOM + b"<2>b\n", [b"<1>a", BOM + b"<2>b"], None),
    (BOM + b"4 <1>a4 <2>b", [b"<1>a", b"<2>b"], None),
    (BOM, [], None),
    (BOM[:2], [], BOM[:2]),
    (BOM[:2] + b"x\n", [BOM[:2] + b"x"], None),
]


@every_case(("stream", "frames", "tail"), SYSLOG)
def test_syslog_is_split_as_its_senders_write_it(stream: bytes, frames: list[bytes], tail: bytes | None) -> None:
    check("syslog", stream, frames, tail)


@pytest.mark.parametrize("policy", ["drop", "truncate", "close"])
def test_a_line_over_the_limit_is_skipped_to_its_end_and_counted_once(policy: str) -> None:
    kept = {"drop": [], "truncate": [b"x" * 4], "close": []}[policy]
    after = [] if policy == "close" else [b"<1>a"]

    for end in (b"\n", b"\r\n", b"\0"):
        for size in (5, 6, 7, 50):
            stream = b"x" * size + end + b"<1>a" + end
            for place in range(len(stream)):
                framer = SyslogFramer(4, policy)  # type: ignore[arg-type]
                frames = framer.feed(stream[:place]) + framer.feed(stream[place:])

                assert (frames, framer.oversize, bool(framer.broken)) == (kept + after, 1, policy == "close"), stream


def test_a_line_of_exactly_the_limit_is_complete_with_any_end() -> None:
    for end in (b"\n", b"\r\n", b"\0"):
        framer = SyslogFramer(4)
        stream = b"<1>a" + end

        assert [frame for i in range(len(stream)) for frame in framer.feed(stream[i : i + 1])] == [b"<1>a"]
        assert framer.oversize == 0


@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n", b"\0", b"\n\0", b"\r\n\r\n"])
def test_octet_counted_passes_over_what_is_put_between_messages(between: bytes) -> None:
    check("octet-counted", between + b"5 hello" + between + b"5 world" + between, [b"hello", b"world"])


@every_case(
    ("name", "stream", "frames"),
    [
        ("line", b"a\nb\r\nc\n", [b"a", b"b", b"c"]),
        ("line", b"a\rb\n", [b"a\rb"]),
        ("line", b"a\0\n", [b"a\0"]),
        ("line", b"a\n\n\r\nb\n", [b"a", b"", b"", b"b"]),
        ("nul", b"a\0b\n\0c\r\n\0", [b"a", b"b\n", b"c\r\n"]),
        ("nul", b"\0a\0", [b"", b"a"]),
        ("delimiter CR", b"a\rb\rc\nd\r", [b"a", b"b", b"c\nd"]),
        ("delimiter CR LF", b"a\r\nb\nc\r\r\n", [b"a", b"b\nc\r"]),
        ("octet-counted", b"2 a\n3 b\r\n2 c\0", [b"a\n", b"b\r\n", b"c\0"]),
        ("length-prefixed", b"\2a\n\3b\r\n\2c\0", [b"a\n", b"b\r\n", b"c\0"]),
    ],
)
def test_each_framing_with_each_end_of_a_line(name: str, stream: bytes, frames: list[bytes]) -> None:
    check(name, stream, frames)


ONE_FRAME = {
    "line": b"x\n",
    "nul": b"x\0",
    "delimiter CR": b"x\r",
    "delimiter CR LF": b"x\r\n",
    "octet-counted": b"1 x",
    "syslog": b"x\n",
}


@pytest.mark.parametrize(("name", "frame"), ONE_FRAME.items())
def test_a_mark_at_the_beginning_of_a_stream_is_passed_over_and_no_other_one(name: str, frame: bytes) -> None:
    check(name, BOM + frame + frame, [b"x", b"x"])
    if name != "octet-counted":
        check(name, frame + BOM + frame, [b"x", BOM + b"x"])
        check(name, BOM + BOM + frame, [BOM + b"x"])
        check(name, BOM[:1] + frame, [BOM[:1] + b"x"])
    check(name, BOM, [])


def test_the_next_stream_of_a_framer_may_begin_with_a_mark_again() -> None:
    framer = MAKERS["line"]()

    for _ in range(2):
        assert framer.feed(BOM + b"a\nb") == [b"a"]
        assert framer.end() == b"b"


def test_a_stream_that_begins_with_a_mark_is_joined_without_it() -> None:
    framer = MAKERS["line"]()

    assert framer.feed_joined(BOM[:1]) == (b"", 0)
    assert framer.feed_joined(BOM[1:] + b"a\nb\n") == (b"a\nb\n", 2)
    assert framer.feed_joined(BOM + b"c\n") == (BOM + b"c\n", 1)


@pytest.mark.long
def test_a_stream_with_only_one_kind_of_end_takes_linear_time() -> None:
    """Searching the whole rest for the other kind would be more than a second of CPU."""
    for end in (b"\n", b"\0"):
        stream = (b"<1>a" + end) * 100_000
        with cpu_seconds() as spent:
            assert len(SyslogFramer(LIMIT).feed(stream)) == 100_000
            assert spent() < 1.0
