"""Durations, plurals, tables and suggestions are written in one place, `taskloom.text`.

Read from the source with `ast`, so that a docstring that shows a form is not taken for a copy of it. The built-in tasks
are not searched: they may import public names only, so they write such things themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.every_case import every_case

FRAMEWORK = Path(__file__).resolve().parents[2] / "framework"
HOME = FRAMEWORK / "taskloom" / "text.py"

PLURAL = "a plural by hand; use text.plural"
SUGGESTION = "a suggestion by hand; use text.did_you_mean or text.suggest"
COLUMNS = "columns aligned by hand; use text.table"
SECONDS = "seconds written by hand; use text.duration or text.measured"

_UNIT_FOLLOWS = re.compile(r" s\b| ?ms\b")
_LETTER_FOLLOWS = re.compile(r"s\b")
_IS_NUMBER = re.compile(r"[.,\d]*[fg]")


def copies(source: str) -> list[tuple[int, str]]:
    """Return the lines that write for themselves what `taskloom.text` is for, and what each of them writes."""
    return sorted({(node.lineno, found) for node, found in _copies(ast.parse(source))})


def _copies(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    nodes = list(ast.walk(tree))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in docstrings and "did you mean" in str(node.value):
            yield node, SUGGESTION
        elif isinstance(node, ast.Attribute) and node.attr in {"ljust", "rjust"}:
            yield node, COLUMNS
        elif isinstance(node, ast.IfExp | ast.BinOp) and _is_plural(node):
            yield node, PLURAL
        elif isinstance(node, ast.JoinedStr):
            yield from ((part, found) for part, found in _in_f_string(node))


def _is_plural(node: ast.IfExp | ast.BinOp) -> bool:
    """Return whether the expression is `"" if n == 1 else "s"` or `"s" * (n != 1)`, or says the same otherwise."""
    if isinstance(node, ast.IfExp):
        return {_text(node.body), _text(node.orelse)} == {"", "s"}
    return isinstance(node.op, ast.Mult) and "s" in (_text(node.left), _text(node.right))


def _in_f_string(node: ast.JoinedStr) -> Iterator[tuple[ast.expr, str]]:
    """Yield the values that are followed by a unit of seconds, and those that are padded to a width from elsewhere."""
    for value, after in zip(node.values, [*node.values[1:], None], strict=True):
        if not isinstance(value, ast.FormattedValue):
            continue
        spec = "" if value.format_spec is None else ast.unparse(value.format_spec)[2:-1]
        following = _text(after) or ""
        if _UNIT_FOLLOWS.match(following) or (_IS_NUMBER.fullmatch(spec) and _LETTER_FOLLOWS.match(following)):
            yield value, SECONDS
        if re.match(r"[<>]\{", spec):
            yield value, COLUMNS


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_nothing_outside_text_writes_a_duration_a_plural_a_table_or_a_suggestion() -> None:
    found = [
        f"{file.relative_to(FRAMEWORK)}:{line}: {copy}"
        for file in sorted(FRAMEWORK.rglob("*.py"))
        if file != HOME
        for line, copy in copies(file.read_text(encoding="utf-8"))
    ]

    assert not found, "\n".join(found)


def test_the_place_itself_has_each_of_them() -> None:
    assert {found for _, found in copies(HOME.read_text(encoding="utf-8"))} == {PLURAL, SUGGESTION, COLUMNS, SECONDS}


@every_case(
    ("source", "copy"),
    [
        ("f\"{n} job{'' if n == 1 else 's'}\"", PLURAL),
        ("f\"{n} job{'s' if n != 1 else ''}\"", PLURAL),
        ("f\"{n} job{'s' * (n != 1)}\"", PLURAL),
        ("'job' + (n != 1) * 's'", PLURAL),
        ("f'did you mean {near!r}?'", SUGGESTION),
        ("'; did you mean %r?' % near", SUGGESTION),
        ("'  '.join(map(str.ljust, row, widths))", COLUMNS),
        ("cell.rjust(width)", COLUMNS),
        ("f'{cell:<{width}}  '", COLUMNS),
        ("f'stopped in {seconds:.1f} s'", SECONDS),
        ("f'{seconds:g}s'", SECONDS),
        ("f'{seconds * 1000:.0f} ms, at most'", SECONDS),
        ("f'within {limit} s'", SECONDS),
    ],
)
def test_a_copy_is_found_and_named(source: str, copy: str) -> None:
    assert copies(f"x = 1\ny = {source}\n") == [(2, copy)]


@pytest.mark.parametrize(
    "source",
    [
        '"""Return `did you mean {near!r}?`."""',
        "hint = did_you_mean(name, known)",
        "text = f'{duration(seconds)}, {measured(age)} since then'",
        "text = f'{level:<7} {job:<12}'",
        "text = f'{names}s and more'",
        "words = 'run' if n == 1 else 'runs'",
    ],
)
def test_other_text_is_left_in_peace(source: str) -> None:
    assert copies(source) == []
