"""JSON bodies: what two readers could understand in two ways is refused, at once and with the place."""

from __future__ import annotations

import pytest
from tests.support.every_case import every_case

from taskloom.control.refusals import Refusal
from taskloom.control.strict_json import MOST_DEPTH, read_object


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"", {}),
        (b"{}", {}),
        (b' \t\r\n{"text": "a"}\n', {"text": "a"}),
        ('{"text": "grün 🦉"}'.encode(), {"text": "grün 🦉"}),
        (b'{"text": "\\ud83e\\udd89"}', {"text": "🦉"}),
        (b'{"a": [1, 2.5, -3e2, true, null]}', {"a": [1, 2.5, -300.0, True, None]}),
        (b'{"a": "[[[[[{{{{{", "b": "\\\\"}', {"a": "[[[[[{{{{{", "b": "\\"}),
    ],
    ids=["empty", "object", "blanks", "utf-8", "pair", "values", "brackets in a string"],
)
def test_a_body_is_an_object(body: bytes, data: dict[str, object]) -> None:
    assert read_object(body) == data


@every_case(
    ("body", "why"),
    [
        (b"[]", "expected an object, such as {}, not an array"),
        (b"null", "expected an object, such as {}, not null"),
        (b"true", "expected an object, such as {}, not a boolean"),
        (b"1", "expected an object, such as {}, not a number"),
        (b'"a"', "expected an object, such as {}, not a string"),
        (b"{", "expecting property name enclosed in double quotes, at line 1, column 2"),
        (b"\n{'a': 1}", "expecting property name enclosed in double quotes, at line 2, column 2"),
        (b'{"a": 1} {"a": 2}', "extra data, at line 1, column 10"),
        (b'{"a": 1,}', None),
        (b'{"a": 01}', None),
        (b'{"a": +1}', None),
        (b'{"a": "line\nbreak"}', None),
        (b'{"a": 1} // why', None),
        (b'{"a": NaN}', "JSON has no NaN"),
        (b'{"a": Infinity}', "JSON has no Infinity"),
        (b'{"a": -Infinity}', "JSON has no -Infinity"),
        (b'{"a": 1e999}', "'1e999' is too large for a number"),
        (b'{"a": -1e999}', "'-1e999' is too large for a number"),
        (b'{"a": %s}' % (b"9" * 5000), "a number has 5,000 digits; at most 30"),
        (b'{"a": 1, "a": 2}', "the key 'a' is repeated"),
        (b'{"a": {"b": 1, "b": 1}}', "the key 'b' is repeated"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' is repeated"),
        (b'{"a": "\\ud800"}', "a text has half of a surrogate pair, which is not a character"),
        (b'{"\\udc00": 1}', "a text has half of a surrogate pair, which is not a character"),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "byte 7 is not UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', None),
        ('{"a": 1}'.encode("utf-16"), "byte 0 is not UTF-8"),
        (b"\x00", None),
    ],
    ids=range(29),
)
def test_all_else_is_refused(body: bytes, why: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        read_object(body)

    assert (refused.value.status, refused.value.code) == (400, "invalid-json")
    assert refused.value.message.startswith("cannot read the body as JSON: ")
    assert why is None or refused.value.message == f"cannot read the body as JSON: {why}"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["arrays", "objects"])
@pytest.mark.parametrize("depth", [MOST_DEPTH + 1, 10_000, 180_000])
def test_depth_is_refused_before_the_text_is_parsed(opening: bytes, depth: int) -> None:
    with pytest.raises(Refusal, match=f"nested deeper than {MOST_DEPTH} levels"):
        read_object(opening * depth)


def test_the_deepest_legal_body_is_read() -> None:
    deepest = b'{"a":' + b"[" * (MOST_DEPTH - 1) + b"]" * (MOST_DEPTH - 1) + b"}"

    assert list(read_object(deepest)) == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 500_000,
        b"\\" * 1_000_000,
        b'"' * 1_000_000,
        b'{"a": "' + b"[" * 1_000_000,
        b"[]" * 500_000,
        b" " * 1_000_000,
    ],
    ids=["escaped quotes", "backslashes", "quotes", "open string", "many arrays", "blanks"],
)
def test_a_body_of_a_mebibyte_is_refused_in_linear_time(body: bytes) -> None:
    """Quadratic time would be hours here, and the time limit of a test is two minutes."""
    with pytest.raises(Refusal):
        read_object(body)
