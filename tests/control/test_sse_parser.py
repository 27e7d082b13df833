"""Server-sent events from bytes: any way to cut the stream gives the same events."""

from __future__ import annotations

import pytest
from tests.support.fake_control import event_text

from taskloom.control.exchange import ServerSentEvent
from taskloom.control.sse_parser import EventParser

STREAM = (
    b": a comment\n\n"
    + event_text("started", {"job": "wéb", "text": "a\nb"}, "0a1b2c3d.7")
    + b"data: {\r\ndata: }\r\nretry: 5\r\n\r\n"
    + b"event: without data\n\n"
    + event_text("end", {})
)
EVENTS = [
    ServerSentEvent("started", {"job": "wéb", "text": "a\nb"}, "0a1b2c3d.7"),
    ServerSentEvent("message", {}, ""),
    ServerSentEvent("end", {}, ""),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_pieces_of_a_stream_may_be_cut_anywhere(size: int) -> None:
    parser = EventParser()

    found = [each for start in range(0, len(STREAM), size) for each in parser.feed(STREAM[start : start + size])]

    assert found == EVENTS


def test_an_event_that_is_cut_off_is_left_out() -> None:
    assert EventParser().feed(event_text("started", {})[:-1]) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"data: [1]\n\n", "it is not a JSON object"),
        (b"data: {\n\n", "it is not JSON: Expecting property name enclosed in double quotes at character 1"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "it is nested too deeply"),
        (b"data: \xff\n\n", "it is not UTF-8"),
    ],
    ids=["list", "cut", "deep", "bytes"],
)
def test_data_that_is_not_an_object_is_an_error(text: bytes, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        EventParser().feed(text)


@pytest.mark.parametrize("text", [b"x" * 65_536, b"data: " + b"x" * 65_000 + b"\n"], ids=["line", "lines"])
def test_an_event_without_an_end_is_an_error(text: bytes) -> None:
    parser = EventParser()

    with pytest.raises(ValueError, match="an event has more than 16,777,216 bytes"):
        for _ in range(300):
            parser.feed(text)


@pytest.mark.parametrize("written", [b"a\x00b", "é".encode(), b"x" * 201], ids=["control", "letter", "long"])
def test_an_id_that_no_header_can_carry_is_none(written: bytes) -> None:
    [event] = EventParser().feed(b"id: " + written + b"\ndata: {}\n\n")

    assert event.id == ""
