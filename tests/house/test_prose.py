"""The prose is plain technical English, as far as a program can measure that."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.house.prose import ALLOWED, INDEFINITE, OPENING, PHRASE, PLACES, ROOT, TELL_WHETHER, measure, rates


def test_the_prose_keeps_every_limit() -> None:
    words, found = measure(ROOT / place for place in PLACES)

    assert words > 40_000  # it covers the whole tree
    too_many = {rule for rule, rate in rates(words, found).items() if rate > ALLOWED[rule]}
    lines = [f"{one.path.relative_to(ROOT)}:{one.line}: {one.words}" for one in found if one.rule in too_many]
    assert not too_many, "\n".join(lines)


BROKEN = [
    ("a.py", '"""Somebody has to look."""', INDEFINITE),
    ("a.py", 'def f():\n    """Tell whether it ended."""', TELL_WHETHER),
    ("a.py", "x = 1  # What was asked for first.", OPENING),
    ("a.py", '"""It is no task."""', PHRASE),
    ("a.py", "class A:\n    b = 1\n    '''Twice is once.'''", PHRASE),
    ("a.md", "Text.\n\n- Who waits here is named.\n", OPENING),
    ("a.yaml", "# Nobody waits.\n", INDEFINITE),
]


@pytest.mark.parametrize(("name", "text", "rule"), BROKEN)
def test_a_broken_rule_is_found(tmp_path: Path, name: str, text: str, rule: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    _, found = measure([tmp_path])

    assert [finding.rule for finding in found] == [rule]


KEPT = [
    ("a.py", '"""Return whether it ended."""\nname = "nobody"  # a user of the system'),
    ("a.py", '"""What happens now?"""'),
    ("a.md", "Text.\n\n```text\nWhat is in a code block is no prose.\n```\n\nUse `nobody` as the user.\n"),
]


@pytest.mark.parametrize(("name", "text"), KEPT)
def test_plain_prose_and_code_are_accepted(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    assert measure([tmp_path])[1] == []
