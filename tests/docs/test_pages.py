"""Every block of the README and of the documentation works as shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted(page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md"))
PAGES = ["README.md", *(str(page) for page in DOCS if "_build" not in page.parts)]
# Generated pages have no blocks to play.
PLAYED = [page for page in PAGES if "reference" not in Path(page).parts]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([\w-]*))?\)")
HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
LANGUAGES = {"console", "yaml", "python", "toml", "text", "json", "mermaid", "ini", "sh"}

each_page = pytest.mark.parametrize("page", PAGES)


@pytest.mark.parametrize(
    "page", [page if page == "README.md" else pytest.param(page, marks=pytest.mark.long) for page in PLAYED]
)
def test_the_blocks_of_a_page_work_as_shown(page: str, read_blocks: Callable[[str], list[Any]], player: Any) -> None:
    for block in read_blocks(page):
        player.play(block)


@each_page
def test_each_block_of_a_page_names_its_language(page: str, read_blocks: Callable[[str], list[Any]]) -> None:
    languages = {block.language for block in read_blocks(page)}

    assert {each for each in languages if not each.startswith("{")} <= LANGUAGES


@pytest.mark.parametrize("page", sorted(set(PAGES) - set(PLAYED)))
def test_a_generated_page_has_no_blocks_to_play(page: str, read_blocks: Callable[[str], list[Any]]) -> None:
    assert {block.language for block in read_blocks(page)} <= {"text", "mermaid"}


@each_page
def test_each_link_of_a_page_leads_to_a_file_and_a_heading_that_exist(page: str) -> None:
    links = set(LINK.findall((ROOT / page).read_text(encoding="utf-8")))

    missing = [link for link in sorted(links) if "://" not in link[0] and not leads_somewhere(page, *link)]

    assert missing == []


def leads_somewhere(page: str, target: str, anchor: str) -> bool:
    path = (ROOT / page).parent / target if target else ROOT / page
    return path.exists() and (not anchor or anchor in anchors_of(path.read_text(encoding="utf-8")))


def anchors_of(text: str) -> set[str]:
    """Return the anchors that GitHub and Sphinx make of the headings of a page."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize(
    "line",
    [
        "TIME INFO taskloom waiting for reader",
        "TIME INFO taskloom stopping all jobs: all non-daemon jobs have ended; waiting for reader",
    ],
)
def test_a_page_may_leave_out_an_optional_line_but_not_invent_one(without: Callable[..., Any], line: str) -> None:

    assert without(["a", line], ["a"]) == ["a"]
    assert without(["a", line], ["a", line]) == ["a", line]
    assert without(["a"], ["a", line]) != ["a", line]


@pytest.mark.parametrize(
    ("page", "quoted"),
    [
        ("docs/testing.md", "did not end within"),
        ("docs/troubleshooting.md", "is still running"),
        ("docs/troubleshooting.md", "no poll for"),
    ],
)
def test_a_message_that_a_sentence_quotes_exists(page: str, quoted: str) -> None:
    assert re.search(f"`[^`]*{quoted}", (ROOT / page).read_text(encoding="utf-8"))
    assert any(quoted in path.read_text(encoding="utf-8") for path in (ROOT / "framework").rglob("*.py"))


@pytest.mark.parametrize(
    ("expected", "got", "is_unordered", "is_same"),
    [
        (["a", "b"], ["a", "b"], False, True),
        (["a", "b"], ["b", "a"], False, False),
        (["a", "b"], ["b", "a"], True, True),
        (["a", "b"], ["a", "b", "b"], True, False),
        (["a", "...", "d"], ["a", "b", "c", "d"], False, True),
        (["a", "...", "d"], ["a", "b", "c"], False, False),
        (["a", "...", "d"], ["d", "x", "a"], True, True),
        (["[a-z] *?"], ["[a-z] *?"], False, True),
        (["[a-z]"], ["b"], False, False),
    ],
)
def test_outputs_are_compared_line_by_line(
    expected: list[str], got: list[str], is_unordered: bool, is_same: bool, same: Callable[..., bool]
) -> None:
    assert same(expected, got, is_unordered=is_unordered) is is_same
