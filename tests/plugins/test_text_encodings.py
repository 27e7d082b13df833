"""Text encodings: which fit which framing, and how marks and ends of messages are treated in each."""

from __future__ import annotations

import encodings.aliases
import json
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom_plugins.decoding import JsonDecoder, TextDecoder
from taskloom_plugins.records import JsonRecords, TextRecords
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.text_encodings import find_encoding

TCP, UDP = "tcp://127.0.0.1:1", "udp://127.0.0.1:1"
BYTE_FRAMINGS: list[dict[str, Any]] = [
    {"framing": "line"},
    {"framing": "nul"},
    {"framing": "delimiter", "delimiter": ";"},
    {"framing": "syslog"},
]
EXACT_FRAMINGS: list[dict[str, Any]] = [
    {"listen": TCP, "framing": "octet-counted"},
    {"listen": TCP, "framing": "length-prefixed"},
    {"listen": TCP, "framing": "fixed", "frame_size": 8},
    {"listen": UDP},
]
WIDE = ["utf-16", "UTF16", "u16", "utf_16_le", "UTF-16BE", "utf-32", "U32", "utf-32-le", "utf_32_be"]
STATEFUL = ["utf-7", "U7", "hz", "iso2022_jp", "ISO-2022-JP-2", "csiso2022kr"]
EBCDIC = ["cp037", "IBM037", "cp273", "cp424", "cp500", "cp1026", "cp1140", "cp875"]
NO_TEXT = [
    "utf9", "", " ", "hex", "rot13", "base64", "bz2", "zlib", "quopri", "uu", "idna", "punycode", "unicode_escape",
    "raw_unicode_escape", "undefined", "mbcs", "utf-8\0", "\udcff",
]  # fmt: skip
SINGLE_BYTE = ["latin-1", "cp1252", "iso8859-15", "koi8-r", "mac-roman", "ascii", "cp437"]
MULTI_BYTE = [
    "utf-8",
    "utf-8-sig",
    "shift_jis",
    "cp932",
    "gbk",
    "gb18030",
    "big5",
    "euc_jp",
    "euc_kr",
    "cp949",
]


def refusal(**params: Any) -> str:
    with pytest.raises(ValueError, match="cannot") as caught:
        SocketReader(**params)
    return str(caught.value)


@every_case("encoding", NO_TEXT)
@every_case("decoder", ["text", "json"])
def test_what_is_not_an_encoding_of_text_is_refused(encoding: str, decoder: str) -> None:
    why = refusal(listen=TCP, encoding=encoding, decoder=decoder)

    assert why == f"cannot find text encoding {encoding!r}; write utf-8, latin-1, ..."


@every_case("framing", BYTE_FRAMINGS, ids=str)
@every_case("decoder", ["text", "json"])
@every_case("encoding", WIDE + STATEFUL)
def test_a_framing_that_searches_bytes_refuses_encodings_in_which_they_may_mean_something_else(
    framing: dict[str, Any], decoder: str, encoding: str
) -> None:
    for listen in (TCP, UDP):
        why = refusal(listen=listen, encoding=encoding, decoder=decoder, **framing)

        assert why.startswith(f"cannot use encoding {encoding!r} with framing {framing['framing']}: ")
        assert why.endswith("; use framing octet-counted, length-prefixed or, for datagrams, datagram")


@every_case("encoding", EBCDIC)
def test_an_encoding_whose_newline_is_another_byte_needs_a_delimiter(encoding: str) -> None:
    for framing in ("line", "syslog"):
        assert refusal(listen=TCP, encoding=encoding, framing=framing) == (
            f"cannot use encoding {encoding!r} with framing {framing}: in it the end of a frame is not the byte 0x0A; "
            "use framing delimiter"
        )
    for delimiter in ("\n", ";"):
        reader = SocketReader(listen=TCP, encoding=encoding, framing="delimiter", delimiter=delimiter)
        framer = reader._wiring.new_framer()

        [frame] = framer.feed(f"one{delimiter}".encode(encoding))

        assert reader._wiring.new_records().batch([frame], "").data == b"one\n"


@every_case("encoding", WIDE + STATEFUL + EBCDIC)
def test_a_framing_that_does_not_look_at_the_text_takes_every_encoding(encoding: str) -> None:
    for params in EXACT_FRAMINGS:
        SocketReader(encoding=encoding, **params)


@every_case("encoding", SINGLE_BYTE + MULTI_BYTE)
def test_an_encoding_that_contains_ascii_fits_every_framing(encoding: str) -> None:
    for framing in BYTE_FRAMINGS:
        SocketReader(listen=TCP, encoding=encoding, **framing)


def test_every_encoding_of_python_is_either_refused_or_splits_lines_as_it_should() -> None:
    """The line has characters of several bytes where the encoding has such; none of them may contain the end of it."""
    text = "".join(map(chr, range(0x20, 0x3000)))
    accepted = []
    for encoding in sorted(set(encodings.aliases.aliases.values())):
        try:
            wiring = SocketReader(listen=TCP, encoding=encoding)._wiring
        except ValueError:
            continue
        accepted.append(encoding)
        lines = [text.encode(encoding, "ignore").decode(encoding).replace("\x85", ""), "second"]
        stream = "".join(f"{line}\n" for line in lines).encode(encoding)

        frames = wiring.new_framer().feed(stream)

        assert [wiring._decoder.value(frame) for frame in frames] == lines, encoding
    assert len(accepted) > 50


def test_the_bytes_of_raw_data_need_no_encoding() -> None:
    for framing in BYTE_FRAMINGS:
        SocketReader(listen=TCP, encoding="utf-16", decoder="bytes", **framing)
    SocketReader(listen=TCP, encoding="utf-16", framing="raw")


def test_a_delimiter_is_searched_in_the_encoding_of_the_text() -> None:
    for encoding in ("latin-1", "cp1252", "utf-8", "mac-roman"):
        framer = SocketReader(listen=TCP, encoding=encoding, framing="delimiter", delimiter="§")._wiring.new_framer()

        assert framer.feed("é§ü§".encode(encoding)) == ["é".encode(encoding), "ü".encode(encoding)]


def test_a_delimiter_that_the_encoding_does_not_have_is_refused() -> None:
    assert refusal(listen=TCP, encoding="latin-1", framing="delimiter", delimiter="€") == (
        "cannot use delimiter '€' with encoding 'latin-1', which does not have it"
    )


@every_case(
    ("encoding", "delimiter", "is_refused"),
    [
        ("shift_jis", "|", True),
        ("shift_jis", "||", True),
        ("cp932", "\\", True),
        ("gbk", "|", True),
        ("gb18030", "5", True),
        ("big5", "@", True),
        ("johab", ";", True),
        ("shift_jis", ";", False),
        ("gbk", ",", False),
        ("euc_jp", "|", False),
        ("utf-8", "|", False),
        ("utf-8", "é", False),
        ("latin-1", "|", False),
    ],
)
def test_a_delimiter_that_may_be_a_part_of_a_character_is_refused(
    encoding: str, delimiter: str, *, is_refused: bool
) -> None:
    params: dict[str, Any] = {"listen": TCP, "encoding": encoding, "framing": "delimiter", "delimiter": delimiter}
    if is_refused:
        assert f"{delimiter!r} may be the second byte of a character" in refusal(**params)
    else:
        SocketReader(**params)


@pytest.mark.parametrize(("encoding", "size"), [("utf-16", 3), ("utf-16-le", 1), ("UTF-32", 6), ("utf_32_be", 2)])
def test_a_fixed_size_that_divides_characters_is_refused(encoding: str, size: int) -> None:
    unit = 4 if "32" in encoding else 2

    assert refusal(listen=TCP, encoding=encoding, framing="fixed", frame_size=size) == (
        f"cannot use frame_size {size} with encoding {encoding!r}; write a multiple of {unit}"
    )


def test_utf8_with_signature_is_utf8() -> None:
    assert find_encoding("UTF-8-SIG") == find_encoding("utf8") == "utf-8"


# -- marks and ends of messages --------------------------------------------------------------------

MARKED = ["utf-8", "utf-8-sig", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "gb18030"]


def marked(text: str, encoding: str) -> bytes:
    """Return the text with one byte order mark."""
    if encoding in ("utf-16", "utf-32", "utf-8-sig"):
        return text.encode(encoding)  # these codecs write it
    return f"\ufeff{text}".encode("utf-8" if encoding == "ascii" else encoding)


@every_case("encoding", MARKED)
@every_case("end", ["", "\n", "\r\n"])
def test_each_datagram_may_begin_with_a_mark_and_end_a_line(encoding: str, end: str) -> None:
    records = SocketReader(listen=UDP, encoding=encoding)._wiring.new_records()
    datagrams = [marked(f"{word}{end}", encoding) for word in ("one", "two")]

    assert records.batch(datagrams, "").data == b"one\ntwo\n"


@every_case("encoding", MARKED)
def test_each_json_value_may_begin_with_a_mark(encoding: str) -> None:
    reader = SocketReader(listen=UDP, encoding=encoding, decoder="json", format="json")
    frames = [marked('{"n": 1}', encoding), marked(' "zwei"\r\n', encoding)]

    records = reader._wiring.new_records().batch(frames, "").data.splitlines()

    assert [json.loads(record)["data"] for record in records] == [{"n": 1}, "zwei"]
    assert TextRecords(JsonDecoder(encoding)).batch(frames, "").data == b'{"n": 1}\n"zwei"\n'


@pytest.mark.parametrize("framing", ["line", "nul", "syslog"])
@pytest.mark.parametrize("decoder", ["text", "json"])
def test_a_stream_may_begin_with_a_mark(framing: str, decoder: str) -> None:
    reader = SocketReader(listen=TCP, framing=framing, decoder=decoder)  # type: ignore[arg-type]
    end = "\0" if framing == "nul" else "\n"

    frames = reader._wiring.new_framer().feed(f"\ufeff1{end}2{end}".encode())

    assert reader._wiring.new_records().batch(frames, "").data == b"1\n2\n"


def test_a_mark_in_a_stream_of_bytes_is_passed_on() -> None:
    reader = SocketReader(listen=TCP, decoder="bytes")

    assert reader._wiring.new_framer().feed(b"\xef\xbb\xbfa\n") == [b"\xef\xbb\xbfa"]


def test_a_mark_in_an_encoding_without_one_is_text() -> None:
    framer = SocketReader(listen=TCP, encoding="latin-1")._wiring.new_framer()

    assert framer.feed(b"\xef\xbb\xbfa\n") == [b"\xef\xbb\xbfa"]


def test_the_nul_after_a_datagram_is_removed_and_no_other_one() -> None:
    """Python's SysLogHandler puts it there."""
    text = SocketReader(listen=UDP)._wiring.new_records()
    as_json = JsonRecords(TextDecoder(are_messages=True))
    raw = SocketReader(listen=UDP, decoder="bytes")._wiring.new_records()

    assert text.batch([b"<14>one\0", b"<14>t\0wo\0\0"], "").data == b"<14>one\n<14>t\0wo\0\n"
    assert json.loads(as_json.batch([b"<14>one\0"], "").data)["data"] == "<14>one"
    assert TextRecords(JsonDecoder()).batch([b'{"n":1}\0'], "").data == b'{"n":1}\n'
    assert raw.batch([b"one\0"], "").data == b"one\0\n"


def test_a_line_may_end_with_nul() -> None:
    wiring = SocketReader(listen=TCP)._wiring

    assert wiring.new_records().batch(wiring.new_framer().feed(b"a\0\n"), "").data == b"a\0\n"


def test_text_with_a_wrong_byte_is_replaced_or_refused_in_every_encoding() -> None:
    for encoding, damaged in (("utf-16", b"\xff\xfea\0\0\xd8"), ("shift_jis", b"a\x81"), ("ascii", b"a\xff")):
        assert TextDecoder(encoding).value(damaged).startswith("a")
        with pytest.raises(UnicodeError):
            TextDecoder(encoding, "strict").value(damaged)
