"""`task:countdown` is a text in YAML. The error says that the blank after the ":" is missing, wherever it is."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest
import yaml
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom.diagnostics import missing_blank
from taskloom.jobfile import check
from taskloom.jobfile.render import render_all
from taskloom.task import Context, Task


class Peer(pydantic.BaseModel):
    host: str = ""


class Count(Task):
    start: int
    peer: Peer | None = None
    table: dict[str, int] | None = None

    def run(self, ctx: Context) -> None:
        """Do nothing."""


CATALOG = GivenCatalog({"count": Count})
JOB = "jobs:\n  a:\n    task: count\n    params: {start: 1}\n"

# A file in which one blank is missing, and what is named.
ROWS = [
    ("jobs:\n  a:\n    task:count\n", "task:count"),
    ("jobs:\n  a:\n    task:count\n    params: {start: 1}\n", "task:count"),
    ("jobs:\n  a:\n    task:count\n    join:5s\n", "task:count"),
    ("jobs:\n  a:\n    task:count\n\n    # a remark\n    daemon: true\n", None),
    ("jobs:\n  a: task:count\n", "task:count"),
    ("jobs:\n  a:\n    task :count\n", "task :count"),
    ('jobs:\n  a:\n    task:"count"\n', 'task:"count"'),
    ("jobs:\n  a: {task:count}\n", "task:count"),
    ("jobs:\n  a: {task:count, params: {start: 1}}\n", "task:count"),
    ("jobs:\n  a:{task: count}\n", "a:{task"),
    ("jobs:\n  a:count\n", "a:count"),
    ("defaults:\n  join:5s\n" + JOB, "join:5s"),
    ("defaults: {join:5s}\n" + JOB, "join:5s"),
    (JOB + "    join:5s\n", "join:5s"),
    (JOB + "    join:5s\n    daemon: true\n", "join:5s"),
    (JOB + "    join:\n      within:5s\n", "within:5s"),
    (JOB + "    join: {within:5s}\n", "within:5s"),
    (JOB + "    start:\n      delay:5s\n", "delay:5s"),
    (JOB + "    start: {delay:5s}\n", "delay:5s"),
    (JOB + "    schedule:\n      every:1s\n", "every:1s"),
    (JOB + "    schedule: {every:1s}\n", "every:1s"),
    (JOB + "    schedule:\n      at:2030-01-01T00:00\n", "at:2030-01-01T00:00"),
    (JOB + "    schedule: {at:2030-01-01T00:00}\n", "at:2030-01-01T00:00"),
    (JOB + "    schedule:\n      every: 1s\n      jitter:1ms\n", "jitter:1ms"),
    (JOB + "    restart:\n      when:always\n", "when:always"),
    (JOB + "    restart: {limit: {times:5, within: 5s}}\n", "times:5"),
    (JOB + "    restart:\n      limit:\n        times:5\n", "times:5"),
    (JOB + "    watchdog:\n      after:5s\n", "after:5s"),
    (JOB + "    watchdog: {after:5s}\n", "after:5s"),
    (JOB + "    runner:\n      thread:x\n", "thread:x"),
    (JOB + "    runner:\n      thread:\n        reuse:true\n", "reuse:true"),
    (JOB + "    after:\n      a:started\n", "a:started"),
    (JOB + "    after: [a:ready]\n", "a:ready"),
    ("jobs:\n  a:\n    task: count\n    params:\n      start:5\n", "start:5"),
    ("jobs:\n  a:\n    task: count\n    params:\n      start:5\n      peer: {host: x}\n", "start:5"),
    ("jobs:\n  a:\n    task: count\n    params:\n    - start:5\n", None),
    ("jobs:\n  a:\n    task: count\n    params: {start:5}\n", "start:5"),
    ("jobs:\n  a:\n    task: count\n    params:\n      start: 1\n      peer:\n        host:x\n", "host:x"),
    ("jobs:\n  a:\n    task: count\n    params: {start: 1, peer: {host:x}}\n", "host:x"),
    ("jobs:\n  a:\n    task: count\n    params:\n      start: 1\n      table:\n        b:5\n", "b:5"),
    ("jobs:\n  a:\n    task: count\n    params: {start: 1, table: {b:5}}\n", "b:5"),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@every_case("with_libyaml", [True, False], ids=["libyaml", "python"])
@every_case("text, named", [row for row in ROWS if row[1]])
def test_a_missing_blank_is_told_as_that(
    text: str, named: str, with_libyaml: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", with_libyaml)
    Path("a.yaml").write_text(text)

    [problem] = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert problem.message == f"cannot read '{named}' as a key and its value: the blank after ':' is missing"
    key, _, value = named.partition(":")
    assert problem.hint == f"write '{key.strip()}: {value}'"
    assert problem.source_line[problem.place.column - 1 :].startswith(named)


@pytest.mark.parametrize("with_libyaml", [True, False], ids=["libyaml", "python"])
@pytest.mark.parametrize("key", ['"task"', "'task'"])
def test_a_missing_blank_after_a_quoted_key_is_told_as_that(
    key: str, with_libyaml: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", with_libyaml)
    Path("a.yaml").write_text(f"jobs:\n  a:\n    {key}:count\n    daemon: true\n")

    [problem] = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert problem.message == "cannot read 'task:count' as a key and its value: the blank after ':' is missing"
    assert str(problem.place) == "a.yaml:3:5"


@pytest.mark.parametrize("text", [row[0] for row in ROWS if not row[1]])
def test_what_is_not_a_missing_blank_has_another_message(text: str) -> None:
    Path("a.yaml").write_text(text)

    problems = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert problems


@every_case(
    "written", ["http://host/", "22:22", "C:\\temp", "a::b", "a: b", "plain", "a:", ":b", 5, None, "1a:b", "-x:y"]
)
def test_a_text_that_has_a_colon_is_not_a_key(written: object) -> None:
    assert missing_blank(written) is None


def test_only_a_known_key_counts_where_the_keys_are_known() -> None:
    assert missing_blank("every:5m", ["every"]) is not None
    assert missing_blank("never:5m", ["every"]) is None
    Path("a.yaml").write_text(JOB + "    schedule: image:latest\n")

    [problem] = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert problem.message.startswith("cannot use 'image:latest' as schedule; expected ")


def test_an_address_is_not_a_secret() -> None:
    Path("a.yaml").write_text("jobs:\n  a: {task: count, url: 'tcp://secret-host:5514'}\n")

    assert "tcp://secret-host:5514" in render_all(check("a.yaml", catalog=CATALOG, environ={}).problems)


@pytest.mark.parametrize("params", ["{password:hunter2}", "\n      password:hunter2\n"])
def test_a_secret_without_its_blank_is_masked(params: str) -> None:
    Path("a.yaml").write_text(f"jobs:\n  a:\n    task: count\n    params: {params}\n")

    shown = render_all(check("a.yaml", catalog=CATALOG, environ={}).problems)

    assert "cannot read 'password:**********' as a key" in shown
    assert "hunter2" not in shown
