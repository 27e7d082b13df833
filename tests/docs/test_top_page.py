"""docs/top.md shows the screen and lists the keys as they are."""

from __future__ import annotations

from pathlib import Path

from taskloom.top.keyboard import KEYS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "top.md"
SCREEN = ROOT / "tests" / "top" / "screens" / "main-80x24.txt"


def test_the_screen_on_the_page_is_one_that_a_test_has_drawn() -> None:
    assert f"```text\n{SCREEN.read_text('utf-8')}```" in PAGE.read_text("utf-8")


def test_the_page_lists_all_keys() -> None:
    rows = [f"| `{key.shown}` | {key.meaning} |" for key in KEYS]

    assert "|---|---|\n{}\n\n".format("\n".join(rows)) in PAGE.read_text("utf-8")
