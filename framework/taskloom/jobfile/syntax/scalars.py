"""Resolves the unquoted words of a job file by the YAML 1.2 core schema, without the rules of YAML 1.1.

So `no`, `on`, `22:22` and `2024-13-45` are texts, `0o17` and `0x1F` are integers and `1e3` is a float. If the result
of the schema would be a surprise (a leading zero, more digits than 64 bits hold), it is an error instead.
"""

from __future__ import annotations

import re
from typing import TypeAlias

__all__ = ["BadScalar", "Scalar", "hidden_character", "is_text", "resolve", "shortened"]

Scalar: TypeAlias = str | int | float | bool | None

# All schemas and JSON parsers accept 18 digits: they fit into a signed 64-bit integer.
MAX_INTEGER_DIGITS = 18
# People write far shorter numbers, and float() of a long text takes time.
MAX_NUMBER_LENGTH = 100
_SHOWN = 40

_WORDS: dict[str, float | bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
} | {
    sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")
}  # fmt: skip

_STARTS_A_NUMBER = frozenset("0123456789+-.")
_DECIMAL = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")

# Printable according to Unicode, but invisible: joiners, fillers and variation selectors.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


class BadScalar(ValueError):
    """An unquoted word looks like a number and cannot be one. `message` and `hint` are for the author of the file."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted `text`. Raises BadScalar, whose message quotes at most 40 characters."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS_A_NUMBER:
        return text
    if _DECIMAL.match(text):
        return _decimal(text)
    if _OCTAL.match(text):
        return _bounded(text, 8)
    if _HEXADECIMAL.match(text):
        return _bounded(text, 16)
    if _FLOAT.match(text):
        return _float(text)
    return text


def _decimal(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        bare = (digits.lstrip("0") or "0")[:MAX_INTEGER_DIGITS]
        octal = f", 0o{bare} for octal" if set(bare) <= set("01234567") else ""
        raise BadScalar(f"cannot read {shortened(text)!r} as an integer: it has a leading zero",
                        f"write {bare}{octal}, or quote it")  # fmt: skip
    if len(digits) > MAX_INTEGER_DIGITS:
        raise _too_large(text)
    return int(text)


def _bounded(text: str, base: int) -> int:
    digits = text[2:]
    if len(digits) > MAX_INTEGER_DIGITS or (number := int(digits, base)) >= 10**MAX_INTEGER_DIGITS:
        raise _too_large(text)
    return number


def _float(text: str) -> float:
    if len(text) > MAX_NUMBER_LENGTH:
        raise BadScalar(f"cannot read {shortened(text)!r} as a number: it is too long", "quote it")
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise BadScalar(f"cannot read {shortened(text)!r} as a number: it is too large", "quote it, if it is a text")
    return number


def _too_large(text: str) -> BadScalar:
    return BadScalar(f"cannot read {shortened(text)!r}: an integer has at most {MAX_INTEGER_DIGITS} digits", "quote it")


def is_text(text: str) -> bool:
    """Return whether an unquoted `text` is text: not a number, an invalid number, a boolean or null."""
    try:
        return isinstance(resolve(text), str)
    except BadScalar:
        return False


def shortened(text: str) -> str:
    """Return `text`, cut to the length that a message can quote."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def hidden_character(text: str) -> str | None:
    """Return the first character of `text` that is invisible or reverses the text direction, such as "U+202E", or None.

    These are all characters that `str.isprintable` rejects (U+0000, line breaks, joiners, spaces other than " "), and
    the fillers that it accepts.
    """
    if text.isprintable() and (text.isascii() or not _UNSEEN.search(text)):
        return None
    for character in text:
        if not character.isprintable() or _UNSEEN.match(character):
            return f"U+{ord(character):04X}"
    return None
