"""The generated pages are up to date."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

import pytest

from taskloom import EventName, JobState
from taskloom.core.transitions import TRANSITIONS, mermaid
from taskloom.jobfile.fields.registry import FIELDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(generate: ModuleType) -> Mapping[str, str]:
    """The text of each generated page, by its file name; made once, since it takes half a second of CPU time."""
    made: dict[str, str] = generate.pages()
    return MappingProxyType(made)


def test_each_generated_page_is_up_to_date(pages: Mapping[str, str]) -> None:
    # The layout of help texts depends on the version of click.
    compared = {name: text for name, text in pages.items() if name != "command-line.md"}

    outdated = [name for name, text in compared.items() if (DOCS / "reference" / name).read_text("utf-8") != text]

    assert outdated == [], "run: python docs/generate.py"


def test_the_page_on_the_command_line_has_all_verbs_and_options(pages: Mapping[str, str]) -> None:
    page = (DOCS / "reference" / "command-line.md").read_text("utf-8")
    help_now = pages["command-line.md"]

    headings = re.findall(r"^## .*$", help_now, re.MULTILINE)
    options = set(re.findall(r"--[a-z-]+", help_now))

    assert headings == re.findall(r"^## .*$", page, re.MULTILINE)
    assert options == set(re.findall(r"--[a-z-]+", page))
    assert {"--events", "--stop-within"} <= options


def test_every_page_of_the_reference_is_generated(pages: Mapping[str, str]) -> None:
    assert {page.name for page in (DOCS / "reference").iterdir()} == set(pages)


def test_the_diagram_of_the_states_is_made_from_the_table() -> None:
    page = (DOCS / "reference" / "states.md").read_text("utf-8")

    assert f"```mermaid\n{mermaid()}\n```" in page
    assert all(f"`{state.value}`" in page for state in TRANSITIONS)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("job-file.md", list(FIELDS)),
        ("events.md", [name.value for name in EventName]),
        ("states.md", [state.value for state in JobState]),
    ],
)
def test_a_page_of_the_reference_has_a_row_for_each_value(page: str, words: list[str]) -> None:
    text = (DOCS / "reference" / page).read_text("utf-8")

    assert [word for word in words if f"| `{word}` | " not in text] == []


def test_each_row_of_the_reference_has_a_meaning(pages: Mapping[str, str]) -> None:
    """The pages show the docstrings of enum members, so each member needs one."""
    rows = [line for name in ("words.md", "states.md", "events.md") for line in pages[name].splitlines()]

    assert [row for row in rows if row.startswith("| `") and row.rstrip(" |").count(" | ") == 0] == []


def test_member_docs_are_read_from_the_source(generate: ModuleType) -> None:
    assert generate.member_docs(JobState)["DISABLED"] == "Declared with `enabled: false`: cannot be started."
