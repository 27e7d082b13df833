"""Near matches: found among few names, and searched with a limit among many."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.diagnostics import near_match


@every_case(
    ("wanted", "known", "found"),
    [
        ("tik", ["tock", "tick"], "tick"),
        ("web", ["db"], None),
        ("", ["", "a"], None),
        ("a", [], None),
        ("Countdown", ["countdown"], "countdown"),
        ("COUNTDOWN", ["Countdown"], "Countdown"),
        ("socket_reader", ["socket-sender", "socket-reader"], "socket-reader"),
        ("Socket Reader", ["socket-reader"], "socket-reader"),
        ("STRASSE", ["straße"], "straße"),
        ("ÉTÉ", ["été"], "été"),
        ("TIK", ["tock", "tick"], "tick"),
        ("collectr", (name for name in ("x", "collector", "collect")), "collector"),
    ],
)
def test_the_nearest_name_is_found(wanted: str, known: list[str], found: str | None) -> None:
    assert near_match(wanted, known) == found


@pytest.mark.parametrize("size", [8, 63, 100])
def test_a_search_among_many_names_makes_a_limited_number_of_comparisons(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    close_matches = difflib.get_close_matches

    def count(word: str, names: Iterable[str], **options: Any) -> list[str]:
        compared.extend(names)
        return close_matches(word, compared, **options)

    monkeypatch.setattr(difflib, "get_close_matches", count)

    found = near_match("a" * size, (f"{number:x}".rjust(size, "a") for number in range(100_000)))

    assert found is not None
    assert len(compared) <= 4000
    assert len(compared) * size**2 <= 1_000_000


def test_names_of_another_length_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def record(_: str, names: Iterable[str], **__: Any) -> list[str]:
        compared.extend(names)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", record)

    near_match("tick", ["t" * 1_000_000, "tock", ""])

    assert compared == ["tock"]


def test_a_name_of_a_megabyte_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(difflib, "get_close_matches")

    assert near_match("x" * 1_000_000, ["x"]) is None
