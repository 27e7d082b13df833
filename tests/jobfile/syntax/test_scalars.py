from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.jobfile.syntax.scalars import BadScalar, Scalar, hidden_character, is_text, resolve, shortened


@every_case(
    ("text", "expected"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nULL", "nULL"),
        ("true", True), ("TRUE", True), ("false", False), ("no", "no"), ("on", "on"), ("y", "y"),
        ("0", 0), ("-0", 0), ("+7", 7), ("999999999999999999", 999999999999999999), ("0o17", 15), ("0x1F", 31),
        ("0O17", "0O17"), ("0X1F", "0X1F"), ("-0x1", "-0x1"), ("0b1", "0b1"), ("0x", "0x"),
        ("0o8", "0o8"), ("1_000", "1_000"),
        ("1.0", 1.0), ("1e3", 1000.0), ("1E-3", 0.001), (".5", 0.5), ("5.", 5.0), ("-.5e+1", -5.0), (".", "."),
        ("e3", "e3"),
        ("1e", "1e"), ("0.1", 0.1), ("007.5", 7.5), (".inf", math.inf), ("-.inf", -math.inf), ("inf", "inf"),
        ("nan", "nan"),
        ("1:30", "1:30"), ("10m", "10m"), ("-", "-"), ("1 2", "1 2"), ("1\n", "1\n"), ("٣", "٣"), ("1٣", "1٣"),
    ],
)  # fmt: skip
def test_an_unquoted_word_means(text: str, expected: Scalar) -> None:
    assert repr(resolve(text)) == repr(expected)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_a_float(text: str) -> None:
    value = resolve(text)

    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("010", "cannot read '010' as an integer: it has a leading zero", "write 10, 0o10 for octal, or quote it"),
        ("+08", "cannot read '+08' as an integer: it has a leading zero", "write 8, or quote it"),
        ("00", "cannot read '00' as an integer: it has a leading zero", "write 0, 0o0 for octal, or quote it"),
        ("1" * 19, f"cannot read '{'1' * 19}': an integer has at most 18 digits", "quote it"),
        ("0xDE0B6B3A7640000", "cannot read '0xDE0B6B3A7640000': an integer has at most 18 digits", "quote it"),
        ("-1e999", "cannot read '-1e999' as a number: it is too large", "quote it, if it is a text"),
    ],
)
def test_an_ambiguous_number_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadScalar) as caught:
        resolve(text)

    assert (caught.value.message, caught.value.hint, str(caught.value)) == (message, hint, message)


def test_a_number_of_a_million_digits_is_refused_in_a_short_message() -> None:
    with pytest.raises(BadScalar) as integer:
        resolve("1" * 1_000_000)
    with pytest.raises(BadScalar) as fraction:
        resolve("." + "1" * 1_000_000)

    assert len(integer.value.message) < 120
    assert fraction.value.message == f"cannot read '.{'1' * 36}...' as a number: it is too long"


@given(st.text(max_size=30) | st.text("0123456789+-._eExXoOabinfNAF", max_size=12))
def test_every_text_resolves_to_itself_or_a_scalar_or_is_refused(text: str) -> None:
    try:
        value = resolve(text)
    except BadScalar:
        assert not is_text(text)
    else:
        assert value == text or not isinstance(value, str)
        assert is_text(text) is isinstance(value, str)


@every_case(
    ("text", "expected"),
    [
        ("tick", None), ("grüße-日本", None), ("a b", None), ("🧵", None),
        ("a\0", "U+0000"), ("\ta", "U+0009"), ("a\u200bb", "U+200B"), ("\u202etick", "U+202E"), ("a\u2066", "U+2066"),
        ("\u00a0", "U+00A0"), ("\ufeffa", "U+FEFF"), ("a\u115f", "U+115F"), ("\u3164", "U+3164"), ("a\ufe0f", "U+FE0F"),
        ("\U000e0041", "U+E0041"), ("\ud800", "U+D800"), ("\u2028", "U+2028"), ("a\u00ad", "U+00AD"),
    ],
)  # fmt: skip
def test_the_first_hidden_character_is_named(text: str, expected: str | None) -> None:
    assert hidden_character(text) == expected


def test_a_long_text_is_shortened_to_forty_characters() -> None:
    assert shortened("x" * 40) == "x" * 40
    assert shortened("x" * 41) == "x" * 37 + "..."
