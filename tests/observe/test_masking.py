"""Secrets are masked by value, in every form in which they may come out."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.diagnostics import MASK
from taskloom.observe import masking
from taskloom.observe.masking import Masker
from taskloom.observe.secret_forms import forms_of

CANARY = "can'ary/\"pä+\\ss\tword"


@every_case(
    "shown",
    [
        CANARY, repr(CANARY), repr([CANARY, "x"]), repr({"a": CANARY + "'"}), ascii(CANARY), repr(CANARY.encode()),
        json.dumps(CANARY), json.dumps({"a": [CANARY]}, ensure_ascii=False), html.escape(CANARY),
        f"https://me:{quote(CANARY, safe='')}@host/", quote(CANARY), quote_plus(CANARY), quote(CANARY).lower(),
        CANARY.encode("latin-1").decode("utf-8", "surrogateescape"),
    ],
    ids=range(14),
)  # fmt: skip
def test_a_secret_is_masked_in_each_form(shown: str) -> None:
    masker = Masker([CANARY])

    masked = masker.mask(f"before {shown} after")

    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "word" not in masked


@every_case("user", ["", "a", "ab", "abc", "abcd:"])
@every_case("after", ["", "\n", "xy"])
@every_case("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_masked_in_base64_whatever_is_around_it(user: str, after: str, encode: object) -> None:
    secret = "hunter2-hunter3>>>???"
    encoded = (base64.b64encode if encode is base64.b64encode else base64.urlsafe_b64encode)(
        f"{user}{secret}{after}".encode()
    ).decode()

    masked = Masker([secret]).mask(f"Basic {encoded}")

    left = masked.replace(MASK, "").removeprefix("Basic ")
    assert MASK in masked
    assert len(left) <= len(encoded) - len(secret)  # only what the text around it has encoded, and some bits


def test_values_of_fewer_than_four_characters_and_blanks_are_not_masked() -> None:
    masker = Masker(["", "a", "abc", "   ", "\n\n\n\n\n", "ab \n"])

    assert masker.mask("abc a\n\n\n\n\n   b") == "abc a\n\n\n\n\n   b"
    assert not masker.has_secrets


def test_a_value_from_a_file_is_masked_without_its_line_break_and_each_line_of_a_key() -> None:
    masker = Masker(["hunter2\n", "-----BEGIN-----\nMIIEvQIBADANBg\nab\n"])

    assert masker.mask("hunter2.") == f"{MASK}."
    assert masker.mask("x MIIEvQIBADANBg") == f"x {MASK}"
    assert masker.mask("ab") == "ab"


def test_each_line_of_a_very_long_secret_is_masked_and_costs_no_dozen_of_forms() -> None:
    lines = [f"{number:x}'%{number:x}" for number in range(0x10000, 0x10000 + 8_000)]
    forms = forms_of("\n".join(lines))

    assert set(lines) <= forms
    assert repr(lines[0] + '"')[1:-2] in forms
    assert len(forms) < 2.1 * len(lines)  # a megabyte with seven for each line takes ten seconds


def test_more_secrets_than_a_pattern_should_have_are_found_alike() -> None:
    words = [f"{number:04}" for number in range(3000)]
    masker = Masker(words)

    assert masker.mask("9000000 2999 3000") == f"9{MASK} {MASK} 3000"
    assert masker.spans("x2999") == [(1, 5)]
    assert masker.unfinished("9 299") == 2
    assert masker.mask("none") == "none"


def test_the_longest_of_several_secrets_is_masked_and_those_that_overlap_together() -> None:
    masker = Masker(["hunter", "hunter2hunter", "ter2xyz"])

    assert masker.mask("hunter2hunter") == MASK
    assert masker.mask("hunter2xyz!") == f"{MASK}!"
    assert masker.mask("hunterhunter") == MASK + MASK


def test_what_was_learned_before_stays_masked() -> None:
    masker = Masker(["first-secret"])
    masker.learn(["second-secret"])

    assert masker.mask("first-secret second-secret") == f"{MASK} {MASK}"


def test_json_data_is_masked_but_for_identifiers() -> None:
    masker = Masker(["running", "hunter2"])
    data = {"state": "running", "text": "is running", "list": ["hunter2", 5, None, {"job": "running"}], "n": 1.5}

    assert masker.mask_data(data) == {
        "state": "running",
        "text": f"is {MASK}",
        "list": [MASK, 5, None, {"job": "running"}],
        "n": 1.5,
    }


def test_keys_are_masked_only_where_tasks_write_them() -> None:
    data = {"run": {"counts": {"hunter2 things": 3}}, "error": "error in hunter2", "labels": ["error"]}

    masked = Masker(["hunter2", "error"]).mask_data(data)

    assert masked == {"run": {"counts": {f"{MASK} things": 3}}, "error": f"{MASK} in {MASK}", "labels": ["error"]}


def test_without_secrets_the_very_same_objects_come_back() -> None:
    text, data = "a text", {"a": ["b"]}

    assert Masker().mask(text) is text
    assert Masker().mask_data(data) is data


@pytest.mark.parametrize(
    ("text", "at"), [("x hunt", 2), ("hunter2", 7), ("hunte", 0), ("x h", 2), ("hunter2 hu", 8), ("huh", 2), ("x", 1)]
)
def test_the_beginning_of_a_secret_at_the_end_of_a_text_is_found(text: str, at: int) -> None:
    assert Masker(["hunter2"]).unfinished(text) == at


@pytest.mark.parametrize("most_of_pattern", [0, 1000], ids=["set", "pattern"])
@settings(max_examples=60)
@given(secrets=st.lists(st.text("ab", min_size=4, max_size=8), max_size=6), text=st.text("abc", max_size=40))
def test_all_places_of_all_secrets_are_covered_and_nothing_else(
    secrets: list[str], text: str, most_of_pattern: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_MOST_OF_PATTERN", most_of_pattern)
        masker = Masker(secrets)
    covered = {
        place
        for secret in secrets
        for found in re.finditer(f"(?={secret})", text)
        for place in range(found.start(), found.start() + len(secret))
    }

    spans = masker.spans(text)

    # Other forms, such as base64, have letters that do not occur here.
    assert {place for start, end in spans for place in range(start, end)} == covered
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_secrets_with_a_long_common_beginning_cost_no_recursion() -> None:
    masker = Masker("a" * length for length in range(4, 2 * sys.getrecursionlimit(), 97))

    assert masker.mask("a" * 500 + "b") == f"{MASK}b"
