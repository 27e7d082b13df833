"""Hostile files at the size limit: explaining what is wrong with them must be cheap."""

from __future__ import annotations

import pytest
from tests.support.cpu_time import cpu_seconds

from taskloom.errors import JobFileError
from taskloom.jobfile.render import render_all
from taskloom.jobfile.syntax.interpolation import interpolate
from taskloom.jobfile.syntax.reader import read_bytes

SIZE = 8 * 1024 * 1024 - 200
CPU_LIMIT_SECONDS = 5.0

HOSTILE_FILES: tuple[tuple[str, bytes, int, str], ...] = (
    ("line breaks", b"\n" * SIZE + b"a: [", 1, "cannot find the rest: the file ends inside [ ] or { }"),
    ("returns", b"\r" * SIZE + b"a: [", 1, "cannot find the rest: the file ends inside [ ] or { }"),
    ("one line of tags", b"a: [" + b"!x y, " * (SIZE // 6), 1001, "cannot use tag '!x': tags are not allowed here"),
    ("control characters", b"a: \x01" * (SIZE // 4), 1000,
     "cannot read U+0001 here: a control character that editors do not show"),
    ("directives", b"%x\n" * (SIZE // 3), 1000,
     "cannot use a '%' line: YAML directives such as '%x' are not allowed here"),
    ("braces in one line", b"a: " + b"{{" * (SIZE // 2), 32, "cannot read '{{': '{' starts a mapping"),
    ("bad references", b"a: '" + b"${ " * (SIZE // 3) + b"'", 1000, "cannot read this '${'"),
    ("references to a long value", b"a: '" + b"${LONG} " * (SIZE // 8) + b"'", 1,
     "cannot replace variables by more than 8,388,608 characters"),
)  # fmt: skip


@pytest.mark.parametrize(("summary", "data", "count", "message"), HOSTILE_FILES, ids=[row[0] for row in HOSTILE_FILES])
def test_a_hostile_file_is_explained_within_its_cpu_time(summary: str, data: bytes, count: int, message: str) -> None:
    with cpu_seconds() as spent:
        try:
            problems = list(interpolate(read_bytes(data, "f.yaml"), {"LONG": "x" * 1000}))
        except JobFileError as error:
            problems = list(error.problems)
        shown = render_all(problems)

        assert spent() < CPU_LIMIT_SECONDS
    assert (len(problems), problems[0].message) == (count, message)
    assert len(shown) < 500 * count


def test_a_large_text_behind_many_aliases_is_replaced_once() -> None:
    data = b"a: &s '" + b"x" * 100_000 + b"${END}'\nb: [" + b"*s," * 100_000 + b"]"
    document = read_bytes(data, "f.yaml")

    with cpu_seconds() as spent:
        problems = interpolate(document, {"END": "!"})

        assert spent() < CPU_LIMIT_SECONDS
    assert problems == []
    assert isinstance(document.root, dict)
    assert document.root["b"] == [document.root["a"]] * 100_000
