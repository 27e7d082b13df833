"""No test waits by the clock: it waits for what it wants to see.

Code that stands for a task may sleep, since that is what it is there to do; its line says so with the comment
`# the task under test`. The sleep of a context or a token is Taskloom's own, wakes when cancelled, and is always fine.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
EXCUSE = "the task under test"
CANCEL_AWARE = {"context", "ctx", "ctx.blocking", "token"}


def sleeps(source: str) -> list[int]:
    """Return the lines that call a sleep without the excuse."""
    if "sleep" not in source:
        return []
    excused = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and EXCUSE in token.string
    }
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if is_sleep(call.func) and call.lineno not in excused]


def is_sleep(called: ast.expr) -> bool:
    if isinstance(called, ast.Attribute):
        return called.attr in {"sleep", "sleep_ms"} and ast.unparse(called.value) not in CANCEL_AWARE
    return isinstance(called, ast.Name) and called.id == "sleep"


def test_no_test_sleeps() -> None:
    found = [
        f"{file.relative_to(TESTS)}:{line}"
        for file in sorted(TESTS.rglob("*.py"))
        for line in sleeps(file.read_text(encoding="utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import time\ntime.sleep(1)\n", [2]),
        ("from time import sleep\nsleep(1)\n", [2]),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n", [3]),
        ("import time\ntime.sleep(1)  # the task under test\n", []),
        ("def run(ctx):\n    ctx.sleep(1)\n", []),
    ],
)
def test_a_sleep_is_found_unless_it_is_the_task_under_test(source: str, lines: list[int]) -> None:
    assert sleeps(source) == lines
