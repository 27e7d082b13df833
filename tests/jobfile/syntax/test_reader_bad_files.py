"""All kinds of mistakes and attacks in a job file, with the exact report; both YAML parsers read each file.

The cases are in `bad/`, a file for each topic. A case is a job file and what is told about it:

    [case a key twice]
    a: 1
    a: 2
    [out]
    2:1-2: cannot use key 'a' twice: it is first written in line 1
      1:1: first written here

The report says "line:first column-column after the last: message", followed by the hint and the related places
where there are any. `[bytes ...]` begins a case whose job file holds what an editor would not show or would change,
or is too long to show: `b"a: \\t" + b"9" * 5_000`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from tests.support.cpu_time import cpu_seconds
from tests.support.every_case import every_case

from taskloom.diagnostics import Problem
from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.reader import Parser, read_bytes

GOLDEN_FILES = sorted((Path(__file__).parent / "bad").glob("*.txt"))
HEADER = re.compile(r"^\[(case|bytes) (.+)\]\n", re.MULTILINE)


class BadFile(NamedTuple):
    name: str
    data: bytes
    report: str


def spelled(text: str) -> bytes:
    """Read bytes as Python spells them: literals, each perhaps multiplied by a number, joined by +."""
    pieces = [piece.partition(" * ") for piece in text.strip().split(" + ")]
    return b"".join(ast.literal_eval(literal) * int(times or 1) for literal, _, times in pieces)


def cases(golden: Path) -> Iterator[BadFile]:
    _, *parts = HEADER.split(golden.read_text("ascii"))
    for form, name, case in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        file, report = case.split("[out]\n")
        yield BadFile(f"{golden.stem}: {name}", spelled(file) if form == "bytes" else file.encode(), report.rstrip())


BAD_FILES = [bad for golden in GOLDEN_FILES for bad in cases(golden)]


def told(problem: Problem) -> list[str]:
    place = problem.place
    lines = [f"{place.line}:{place.column}-{place.column + place.length}: {problem.message}"]
    if problem.hint:
        lines.append(f"  hint: {problem.hint}")
    return lines + [f"  {where.line}:{where.column}: {note}" for where, note in problem.related]


@every_case("parser", get_args(Parser))
@every_case("bad", BAD_FILES, ids=[bad.name for bad in BAD_FILES])
def test_a_bad_file_is_refused_with(bad: BadFile, parser: Parser) -> None:
    with cpu_seconds() as spent, pytest.raises(JobFileError) as caught:
        read_bytes(bad.data, "f.yaml", parser=parser)

    assert spent() < 1
    assert "\n".join(line for problem in caught.value.problems for line in told(problem)) == bad.report
    assert all(str(problem).startswith("f.yaml:") for problem in caught.value.problems)


def test_there_are_at_least_136_bad_files_and_none_twice() -> None:
    assert len({bad.name for bad in BAD_FILES}) == len({bad.data for bad in BAD_FILES}) == len(BAD_FILES) >= 136


@every_case("golden", GOLDEN_FILES, ids=[golden.stem for golden in GOLDEN_FILES])
def test_a_golden_file_of_a_bad_file_is_complete(golden: Path) -> None:
    for line in golden.read_bytes().split(b"\n"):
        assert re.fullmatch(rb"([ -~]*[!-~])?", line)
