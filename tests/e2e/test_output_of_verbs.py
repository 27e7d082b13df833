"""Every verb with closed, full and broken standard streams, in a poor locale, and in a directory that is gone."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.hostile_tasks import RAW_CONTROL, install_packages

TIMEOUT_SECONDS = 60

JOBS = """
jobs:
  count: {task: countdown, params: {start: 1, interval: 1ms}}
"""


class Verb(NamedTuple):
    """A command line and its exit code; {jobs} is a good job file, {bad} one with an error."""

    words: str
    code: int = 0


VERBS = (
    Verb("run {jobs}"),
    Verb("run {jobs} -o json"),
    Verb("validate {jobs}"),
    Verb("validate {jobs} -o json --plan"),
    Verb("validate {bad}", 2),
    Verb("run {bad}", 2),
    Verb("simulate {jobs}"),
    Verb("simulate {jobs} -o json"),
    Verb("drill {jobs} --warm-up 1ms"),
    Verb("tasks"),
    Verb("tasks countdown"),
    Verb("tasks missing", 2),
    Verb("schema"),
    Verb("--help"),
    Verb("run --help"),
    Verb("--version"),
    Verb("nonsense", 2),
    Verb("", 2),
)


class Streams(NamedTuple):
    """How the shell starts the verb, and whether a write fails in a way that makes the exit code 1."""

    before: str
    after: str
    loses: str = ""
    """Which streams lose what is written: "1", "2" or both."""


STREAMS = {
    "closed stdout": Streams("", ">&- 2>err"),
    "closed stderr": Streams("", ">out 2>&-"),
    "all closed": Streams("", "<&- >&- 2>&-"),
    "full stdout": Streams("", ">/dev/full 2>err", "1"),
    "full stderr": Streams("", ">out 2>/dev/full", "2"),
    "both full": Streams("", ">/dev/full 2>/dev/full", "12"),
    "no reader of stdout": Streams("", "2>err >&3"),
    "no reader of stderr": Streams("", ">out 2>&3"),
    "ascii": Streams("env LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING=ascii", ">out 2>err"),
    "latin-1": Streams("env PYTHONIOENCODING=latin-1", ">out 2>err"),
    "no directory": Streams("cd gone && rmdir ../gone &&", ">../out 2>../err"),
}
# One for each kind of ending; all others are in the long share.
SHORT = {
    ("validate {jobs}", "full stdout"),
    ("validate {bad}", "no reader of stderr"),
    ("tasks", "all closed"),
    ("run {jobs}", "both full"),
    ("nonsense", "no directory"),
}


def _cases() -> Iterator[Any]:
    for verb, name in itertools.product(VERBS, STREAMS):
        marks = [] if (verb.words, name) in SHORT else [pytest.mark.long]
        yield pytest.param(verb, STREAMS[name], id=f"{verb.words or 'no verb'}, {name}", marks=marks)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("verbs")
    (place / "jobs.yaml").write_text(JOBS)
    (place / "bad.yaml").write_text("jobs: {a: {task: countdwon}}")
    return place


def _command(words: str, folder: Path) -> str:
    filled = words.format(jobs=folder / "jobs.yaml", bad=folder / "bad.yaml")
    return f"{shlex.quote(sys.executable)} -P -m taskloom {filled}"


@pytest.mark.parametrize(("verb", "streams"), list(_cases()))
def test_a_verb_survives_its_streams(
    verb: Verb, streams: Streams, folder: Path, tmp_path: Path, child_env: dict[str, str]
) -> None:
    (tmp_path / "gone").mkdir()
    reading, writing = os.pipe()
    os.close(reading)
    before = streams.before if streams.before.endswith("&&") else f"{streams.before} "
    script = f"{before} {_command(verb.words, folder)} {streams.after} 3>&-"
    script = script.replace(">&3", f">&{writing}")

    answer = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=child_env, timeout=TIMEOUT_SECONDS, check=False,
        capture_output=True, pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)

    shown = "".join(file.read_text() for name in ("out", "err") if (file := tmp_path / name).exists())
    shown += answer.stdout.decode() + answer.stderr.decode()
    assert "Traceback" not in shown
    assert "Exception ignored" not in shown
    codes = {verb.code, 1} if streams.loses and not verb.words.startswith("run {") else {verb.code}
    assert answer.returncode in codes
    if streams.loses == "1" and answer.returncode == 1:
        assert (tmp_path / "err").read_text().endswith(
            "taskloom: cannot write to standard output: No space left on device\n"
        )  # fmt: skip


@pytest.mark.parametrize("words", ["validate {jobs}", "tasks", "schema", "--help", "--version"])
@pytest.mark.long
def test_a_verb_that_has_written_nothing_to_a_full_disk_fails(
    words: str, folder: Path, child_env: dict[str, str]
) -> None:
    script = f"{_command(words, folder)} >/dev/full"

    answer = subprocess.run(
        ["bash", "-c", script], env=child_env, timeout=TIMEOUT_SECONDS, capture_output=True, text=True, check=False
    )

    sentence = "taskloom: cannot write to standard output: No space left on device\n"
    assert (answer.returncode, answer.stderr) == (1, sentence)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installed packages, and job files, with text that tries to drive a terminal."""
    place = install_packages(tmp_path_factory.mktemp("hostile"))
    text = r"\e[31m\a\N\u202E\u2066\u007F\u2028"
    (place / "jobs.yaml").write_text(
        f'jobs:\n  a: {{task: hostile, description: "{text}", labels: ["{text}"], params: {{word: "{text}"}}}}\n'
        "  b: {task: hostile, params: {how: permanent}, after: {a: finished}}\n"
    )
    (place / "wait.yaml").write_text(
        "jobs:\n  a: {task: hostile, params: {how: deaf}, join: {within: 100ms, otherwise: abandon}, daemon: true}\n"
        "  b: {task: hostile, params: {how: wait}}\n"
    )
    (place / "bad.yaml").write_text(
        f'jobs:\n  a: {{task: "x{text}", "field{text}": "{text}"}}\n  b: {{task: broken}}\n'
        f'  c: {{task: hostile, params: {{"word{text}": "{text}", word: 5}}}}\n  "d{text}": {{}}\n'
    )
    return place


SWEPT = [
    "run jobs.yaml",
    "run jobs.yaml -o json --log-format json",
    "run bad.yaml",
    "validate jobs.yaml --plan",
    "validate jobs.yaml -o json --plan",
    "validate bad.yaml",
    "validate bad.yaml -o json",
    "simulate jobs.yaml",
    "drill wait.yaml jobs.yaml --warm-up 1ms",
    "drill wait.yaml -o json --warm-up 1ms",
    "tasks",
    "tasks -o json",
    "tasks hostile",
    "tasks hostile -o json",
    "tasks broken",
    "tasks $'x\\e[31m'",
    "schema",
    "$'x\\e[31m'",
    "run $'x\\e[31m'",
    "run --stop-within $'x\\e[31m' jobs.yaml",
    "run jobs.yaml -l $'x\\e[31m'",
]
SWEPT_BY_DEFAULT = {"run jobs.yaml", "validate bad.yaml", "tasks hostile"}


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, marks=[] if words in SWEPT_BY_DEFAULT else [pytest.mark.long]) for words in SWEPT],
)
def test_no_verb_shows_a_control_character_of_others(words: str, hostile: Path, child_env: dict[str, str]) -> None:
    script = f"{shlex.quote(sys.executable)} -m taskloom {words}"

    answer = subprocess.run(
        ["bash", "-c", script],
        cwd=hostile,
        env=child_env | {"PYTHONPATH": str(hostile)},
        timeout=TIMEOUT_SECONDS,
        capture_output=True,
        check=False,
    )

    assert answer.returncode in {0, 1, 2}
    for shown in (answer.stdout.decode(), answer.stderr.decode()):
        # Between the columns of a list that goes into a pipe there is a tab.
        found = RAW_CONTROL.search(shown.replace("\t", "") if words == "tasks" else shown)
        assert found is None, shown[max(0, found.start() - 200) : found.end()]
    assert "Traceback" not in answer.stderr.decode() or "run" in words or words == "tasks broken"
    if "-o json" in words and "run" not in words:
        json.loads(answer.stdout)
