"""Reads the JSON body of a request, and refuses what two readers could understand in two ways.

That is: a repeated key, `NaN` and `Infinity`, a number that no float holds, half a surrogate pair, bytes that
are not UTF-8. The depth is measured before the text is parsed, without recursion.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from taskloom.control.refusals import Refusal
from taskloom.diagnostics import quoted

__all__ = ["MOST_DEPTH", "read_object"]

MOST_DEPTH = 32
# Python refuses to convert more than 4300 digits, and takes long for fewer. No field needs more than these.
_MOST_DIGITS = 30
# A string with all its escapes, closed or not; or one bracket. Each part is possessive: the time is linear.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_object(body: bytes) -> dict[str, Any]:
    """Return the object that a body has; an empty body is an empty object. Raises Refusal for anything else."""
    if not body:
        return {}
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start} is not UTF-8") from None
    _refuse_depth(text)
    try:
        data = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(
            f"{error.msg[:1].lower()}{error.msg[1:]}, at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:  # the stack of this thread is smaller than our limit needs
        raise _invalid(f"it is nested deeper than {MOST_DEPTH} levels") from None
    if not isinstance(data, dict):
        raise _invalid(f"expected an object, such as {{}}, not {kind_of_json(data)}")
    return data


def kind_of_json(value: object) -> str:
    """Return what a value is called in JSON, for a sentence: `a string`."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _refuse_depth(text: str) -> None:
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        mark = found[0][0]
        if mark in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise _invalid(f"it is nested deeper than {MOST_DEPTH} levels")
        elif mark in "]}":
            depth -= 1


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        for text in (key, value):
            if isinstance(text, str) and _SURROGATE.search(text):
                raise _invalid("a text has half of a surrogate pair, which is not a character")
        if key in data:
            raise _invalid(f"the key {quoted(key)} is repeated")
        data[key] = value
    return data


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise _invalid(f"a number has {len(digits):,} digits; at most {_MOST_DIGITS}")
    return int(digits)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _invalid(f"{quoted(text)} is too large for a number")
    return number


def _constant(name: str) -> NoReturn:
    raise _invalid(f"JSON has no {name}")


def _invalid(why: str) -> Refusal:
    return Refusal(400, "invalid-json", f"cannot read the body as JSON: {why}")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_float=_number, parse_constant=_constant)
