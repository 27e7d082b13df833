"""The page about client libraries consists of recipes that are all tested, and each marks what to add."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.recipe_program import PAGE, recipes

TESTS = Path(__file__).with_name("test_recipes.py").read_text(encoding="utf-8")
# They need nothing: the task is a coroutine function.
NATURAL = {"with_asyncio", "with_async_httpx"}


def test_every_block_of_the_page_is_a_recipe() -> None:
    assert PAGE.read_text(encoding="utf-8").count("```python") == len(recipes())


@pytest.mark.parametrize("name", recipes())
def test_each_recipe_is_tested(name: str) -> None:
    assert f'"{name}"' in TESTS


@pytest.mark.parametrize("name", recipes())
def test_each_recipe_marks_the_lines_that_it_adds(name: str) -> None:
    marked = re.findall(r"# <-", recipes()[name])

    assert len(marked) in ((0,) if name in NATURAL else (1, 2))
