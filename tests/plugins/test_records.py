"""Decoders and records: the text that is written for a frame."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom_plugins.decoding import BytesDecoder, Decoder, Errors, JsonDecoder, TextDecoder
from taskloom_plugins.framing import SeparatorFramer
from taskloom_plugins.records import JsonRecords, TextRecords

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("decoder", "frames", "written"),
    [
        (TextDecoder(), [b"a", b"", "ß☃".encode()], "a\n\nß☃\n".encode()),
        (TextDecoder("latin-1"), [b"\xdf", b"a"], "ß\na\n".encode()),
        (TextDecoder("utf-16-le"), ["a☃".encode("utf-16-le")], "a☃\n".encode()),
        (TextDecoder("ascii"), [b"plain"], b"plain\n"),
        (BytesDecoder(), [b"\xff\0", b"b"], b"\xff\0\nb\n"),
        (JsonDecoder(), [b'{"a": 1.10}', b" [2]\r"], b'{"a": 1.10}\n[2]\n'),
        (JsonDecoder(), [b'{\n "a":\r\n "\\u2603"}'], b'{"a":"\\u2603"}\n'),
    ],
)
def test_text_records_are_the_frame_and_a_newline(decoder: Decoder, frames: list[bytes], written: bytes) -> None:
    batch = TextRecords(decoder).batch(frames, "tcp://peer:1")

    assert batch.data == written
    assert (batch.written, batch.undecodable, batch.dropped) == (len(frames), 0, 0)


@pytest.mark.parametrize(
    ("decoder", "frame", "member"),
    [
        (TextDecoder(), 'a "quoted"\nß'.encode(), {"data": 'a "quoted"\nß'}),
        (BytesDecoder(), b"\xff\0", {"base64": "/wA="}),
        (JsonDecoder(), b'{"a": [1, null, "\xc3\x9f"]}', {"data": {"a": [1, None, "ß"]}}),
        (JsonDecoder(), b'"\\ud83d"', {"data": "\ud83d"}),
    ],
)
def test_json_records_have_time_source_and_value_on_one_line(
    decoder: Decoder, frame: bytes, member: dict[str, Any]
) -> None:
    batch = JsonRecords(decoder, now=lambda: NOON).batch([frame], "tcp://[::1]:9")

    assert batch.data.count(b"\n") == 1
    assert json.loads(batch.data) == {"at": "2026-11-22T12:00:00.123Z", "from": "tcp://[::1]:9", **member}


@pytest.mark.parametrize(
    ("errors", "written", "dropped"),
    [
        ("replace", "ok\n\ufffd!\nok\n", 0),
        ("ignore", "ok\n!\nok\n", 0),
        ("backslashreplace", "ok\n\\xff!\nok\n", 0),
        ("strict", "ok\nok\n", 1),
    ],
)
def test_bytes_that_are_not_text_are_handled_by_the_policy(errors: Errors, written: str, dropped: int) -> None:
    batch = TextRecords(TextDecoder("utf-8", errors)).batch([b"ok", b"\xff!", b"ok"], "")

    assert batch.data.decode() == written
    assert (batch.written, batch.undecodable, batch.dropped) == (3 - dropped, 1, dropped)
    assert batch.problem == "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"1e999", "1e999 is too large a number"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'"\xff"', "'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"),
    ],
)
def test_a_frame_that_is_not_json_is_dropped_with_a_reason(frame: bytes, problem: str) -> None:
    for records in (TextRecords(JsonDecoder()), JsonRecords(JsonDecoder())):
        batch = records.batch([frame, b"1"], "")

        assert (batch.written, batch.undecodable, batch.dropped) == (1, 1, 1)
        assert batch.problem == problem


def test_a_raw_stream_is_written_without_newlines() -> None:
    assert TextRecords(BytesDecoder(), b"").batch([b"a\n", b"b"], "").data == b"a\nb"


def test_a_frame_with_a_newline_at_its_end_gets_no_second_one() -> None:
    batch = TextRecords(TextDecoder()).batch([b"a\n", b"b\r\n", b"c", b"", b"d\n\n"], "")

    assert batch.data == b"a\nb\nc\n\nd\n\n"
    assert batch.written == 5


@every_case("end", ["\0", "\n\0", "\r\n\0"])
@every_case("encoding", ["utf-8", "ascii", "latin-1", "utf-16", "utf-16-le", "utf-32-be", "cp037"])
def test_a_nul_after_a_message_is_removed_and_then_its_newline(encoding: str, end: str) -> None:
    decoder = TextDecoder(encoding, are_messages=True)

    assert TextRecords(decoder).batch([f"one{end}".encode(encoding)], "").data == b"one\n"


def test_utf8_with_signature_may_have_a_mark_in_each_frame() -> None:
    frames = ["ß".encode("utf-8-sig"), b"two"]

    assert TextRecords(TextDecoder("utf-8-sig")).batch(frames, "").data == "ß\ntwo\n".encode()
    assert TextRecords(TextDecoder("utf-8-sig")).from_lines(b"\n".join([*frames, b""]), 2).data == "ß\ntwo\n".encode()
    assert TextRecords(TextDecoder("utf-8")).batch(frames, "").data == "\ufeffß\ntwo\n".encode()


@every_case("end", ["\0", "\n\0", "\0\n", "\0\r\n", "\0\0"])
@every_case("records", [TextRecords, JsonRecords])
def test_a_nul_after_a_json_value_is_passed_over(records: type[TextRecords | JsonRecords], end: str) -> None:
    batch = records(JsonDecoder()).batch([f'{{"a":1}}{end}'.encode()], "")

    assert (batch.written, batch.dropped) == (1, 0)
    assert b"u0000" not in batch.data
    assert b"\0" not in batch.data


def test_an_encoding_that_python_does_not_know_is_refused() -> None:
    for unknown in ("utf9", "base64"):
        with pytest.raises(ValueError, match=f"cannot find text encoding '{unknown}'"):
            TextDecoder(unknown)


@given(stream=st.lists(st.sampled_from([b"a", b"\n", b"\r", "ß".encode(), b"\xff"])).map(b"".join))
def test_lines_in_one_piece_are_written_like_single_lines(stream: bytes) -> None:
    one_by_one = TextRecords(TextDecoder()).batch(SeparatorFramer(b"\n").feed(stream), "")

    lines, count = SeparatorFramer(b"\n").feed_joined(stream)
    in_one_piece = TextRecords(TextDecoder()).from_lines(lines, count)

    assert in_one_piece == one_by_one
