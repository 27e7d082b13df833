"""Every verb on a real terminal: no escape where there must be none, and any COLUMNS."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.distribution import write_distribution
from tests.support.terminals import Shown, on_a_terminal

ESCAPE = "\x1b"

JOBS = """
jobs:
  count: {task: countdown, params: {start: 1, interval: 1ms}}
  off: {task: countdown, enabled: false}
"""
WARNED = """
jobs:
  count: {task: countdown, params: {start: 1, interval: 1ms}, join: wait}
"""
FAILING = """
jobs:
  bad: {task: bad}
"""


class Verb(NamedTuple):
    """A command line and its exit code."""

    words: str
    code: int = 0


VERBS = (
    Verb("run jobs.yaml"),
    Verb("run warned.yaml -v"),
    Verb("run failing.yaml", 1),
    Verb("run bad.yaml", 2),
    Verb("run jobs.yaml -o json --log-format json"),
    Verb("validate jobs.yaml"),
    Verb("validate --plan jobs.yaml"),
    Verb("validate warned.yaml"),
    Verb("validate bad.yaml", 2),
    Verb("validate missing.yaml", 2),
    Verb("simulate jobs.yaml --for 1m"),
    Verb("drill jobs.yaml --warm-up 1ms"),
    Verb("drill failing.yaml --warm-up 1ms", 1),
    Verb("tasks"),
    Verb("tasks countdown"),
    Verb("tasks exits-at-import", 2),
    Verb("tasks missing", 2),
    Verb("schema"),
    Verb("--help"),
    Verb("run --help"),
    Verb("--version"),
    Verb("nonsense", 2),
    Verb("run --nonsense", 2),
    Verb("", 2),
)
PLAIN = (
    {"TERM": "dumb"},
    {"TERM": "dumb", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "CLICOLOR_FORCE": "1"},
    {"NO_COLOR": "0", "FORCE_COLOR": "1", "COLORTERM": "truecolor"},
    {"TERM": ""},
)
SIZES = ("0", "-1", "1", "²", "9" * 5000)
LAID_OUT = tuple(
    verb for verb in VERBS if verb.words in ("run jobs.yaml", "validate --plan jobs.yaml", "tasks", "run --help")
)
SHORT = {("validate --plan jobs.yaml", 2), ("tasks", 0), ("run failing.yaml", 2)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("jobs", JOBS), ("warned", WARNED), ("failing", FAILING), ("bad", "jobs: {a: {task: x}}")):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def env(child_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    packages = write_distribution(
        tmp_path / "packages", "toys", "def bad(ctx):\n    raise ValueError('boom')\n", ["bad"]
    )
    write_distribution(packages, "broken", "import sys\nsys.exit(7)\n", ["exits-at-import"])
    return child_env | {"PYTHONPATH": str(packages), "TERM": "xterm-256color"}


def call(words: str, folder: Path, env: dict[str, str]) -> Shown:
    return on_a_terminal([sys.executable, "-P", "-m", "taskloom", *words.split()], env, folder)


def plain_cases() -> Iterator[Any]:
    for verb, number in itertools.product(VERBS, range(len(PLAIN))):
        marks = [] if (verb.words, number) in SHORT else [pytest.mark.long]
        yield pytest.param(verb, PLAIN[number], id=f"{verb.words or 'no verb'}, {PLAIN[number]}", marks=marks)


@pytest.mark.parametrize(("verb", "variables"), list(plain_cases()))
def test_no_escape_is_written_where_none_may_be(
    verb: Verb, variables: dict[str, str], folder: Path, env: dict[str, str]
) -> None:
    shown = call(verb.words, folder, env | variables)

    assert ESCAPE not in shown.text
    assert shown.code == verb.code, shown.text
    assert shown.text


@pytest.mark.parametrize("words", ["validate warned.yaml", "tasks", "run failing.yaml"])
def test_a_terminal_gets_colours(words: str, folder: Path, env: dict[str, str]) -> None:
    assert ESCAPE in call(words, folder, env).text


@pytest.mark.long
@pytest.mark.parametrize("columns", SIZES, ids=lambda columns: columns[:8])
@pytest.mark.parametrize("verb", LAID_OUT, ids=lambda verb: verb.words or "no verb")
def test_any_number_of_columns_will_do(verb: Verb, columns: str, folder: Path, env: dict[str, str]) -> None:
    shown = call(verb.words, folder, env | {"COLUMNS": columns, "LINES": columns})

    assert shown.code == verb.code, shown.text
    assert "Traceback" not in shown.text


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_a_pipe_gets_colours_only_if_they_are_forced(
    variables: dict[str, str], expected: bool, folder: Path, env: dict[str, str]
) -> None:
    command = [sys.executable, "-P", "-m", "taskloom", "validate", "warned.yaml"]

    done = subprocess.run(command, cwd=folder, env=env | variables, capture_output=True, text=True, check=False)

    assert (ESCAPE in done.stderr) is expected
    assert ESCAPE not in done.stdout
    assert done.returncode == os.EX_OK
