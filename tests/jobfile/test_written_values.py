"""A message about a file quotes a value as it is written there; the same value of a program as Python shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest
import yaml
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom.diagnostics import Problem
from taskloom.jobfile import check
from taskloom.task import Context, Duration, Task, param

Write = Callable[[str, str], Path]


class Peer(pydantic.BaseModel):
    host: str = ""
    port: int = 1


class Count(Task):
    n: int = param(default=100, ge=100)
    text: str = ""
    every: Duration = param(default="1s")
    peer: Peer | None = None
    table: dict[str, list[int]] | None = None
    key: pydantic.SecretStr = pydantic.SecretStr("")

    def run(self, ctx: Context) -> None:
        """Do nothing."""


CATALOG = GivenCatalog({"count": Count})
LONG = "[" + ", ".join(f"item-{n}: 1.{n}0" for n in range(30)) + "]"

# What is written as a value, and how the message quotes it.
NUMBERS = [
    (each, each)
    for each in (
        "1.10", "-1.50", "1.0", "+5", "0x1F", "0o17", "1e3", "1E+3", ".5", "5.", "-0", "+.5e-3", ".inf", "-.Inf",
        ".NaN", "0.0", "00.5", "true", "True", "FALSE", "~", "null", "Null", "123456789012345678",
    )
]  # fmt: skip
TEXTS = [
    ("Yes", "'Yes'"),
    ("1_000", "'1_000'"),
    ("2024-01-01", "'2024-01-01'"),
    ("'2024-01-01'", "'2024-01-01'"),
    ("22:22", "'22:22'"),
    ("it's", '"it\'s"'),
    ('"1.10"', '"1.10"'),
    ("'1.10'", "'1.10'"),
    ("'it''s'", "'it''s'"),
    (r'"a\tb\u00e9"', r'"a\tb\u00e9"'),
    ("two\n      lines", "'two lines'"),
    ('"two\n      lines"', '"two lines"'),
    ("|\n      one\n      two", "| one two"),
    (">-\n      one", ">- one"),
    ("x" * 100, "'" + "x" * 59 + "..."),
    ('"' + "x" * 100 + '"', '"' + "x" * 59 + "..."),
    ("grüße", "'grüße'"),
]
CONTAINERS = [
    ("[1.10, 0x1F]", "[1.10, 0x1F]"),
    ("{a: 1.10, b: [~, 'x']}", "{a: 1.10, b: [~, 'x']}"),
    ("\n      - 1.10\n      - a: 1e3", "[1.10, {a: 1e3}]"),
    ("\n      a: 1.10\n      b:\n", "{a: 1.10, b: }"),
    (LONG, "[" + "{item-0: 1.00}, {item-1: 1.10}, {item-2: 1.20}, {item-3: 1.30}"[:59] + "..."),
]


def problems_of(text: str, environ: dict[str, str] | None = None) -> tuple[Problem, ...]:
    Path("a.yaml").write_text(text, encoding="utf-8")
    return check("a.yaml", catalog=CATALOG, environ=environ or {}).problems


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@every_case("written, quoted", [*NUMBERS, *TEXTS, *CONTAINERS])
def test_a_wrong_value_of_a_field_is_quoted_as_written(written: str, quoted: str) -> None:
    field = "enabled" if written[0] in "[{\n" else "labels"
    [problem] = problems_of(f"jobs:\n  a:\n    task: count\n    {field}: {written}\n")

    assert problem.message.startswith(f"cannot use {quoted} as ")


@every_case("written, quoted", [*NUMBERS, *CONTAINERS])
def test_a_wrong_value_of_a_param_is_quoted_as_written(written: str, quoted: str) -> None:
    [problem] = problems_of(f"jobs:\n  a:\n    task: count\n    params:\n     text: {written}\n")

    assert problem.message.startswith(f"cannot use {quoted} as text; expected text")


@every_case("written, quoted", TEXTS)
def test_a_wrong_text_of_a_param_is_quoted_as_written(written: str, quoted: str) -> None:
    [problem] = problems_of(f"jobs:\n  a:\n    task: count\n    params:\n     n: {written}\n")

    assert problem.message.startswith(f"cannot use {quoted} as n; expected an integer")


@every_case(
    "field, quoted",
    [
        ("timeout: -1.50", "-1.50 as a duration"),
        ("join: {within: -1.50}", "-1.50 as a duration"),
        ("poll_interval: 0.00", "0.00 as poll_interval"),
        ("replicas: 1.0", "1.0 as replicas"),
        ("restart: {factor: 0.10}", "0.10 as restart.factor"),
        ("restart: {jitter: 150.0}", "150.0 as restart.jitter"),
        ("restart: {delay: 2.50, max_delay: 1.50}", "1.50 as restart.max_delay"),
        ("restart: {limit: {times: 1.0, within: 5s}}", "1.0 as restart.limit.times"),
        ("schedule: {every: 1.0, jitter: 2.50}", "2.50 as schedule.jitter"),
        ("schedule: {cron: 1.50}", "1.50 as schedule.cron"),
        ("schedule: {at: \"2024-13-01T00:00\"}", '"2024-13-01T00:00" as at'),
        ("watchdog: {after: 0x0}", "0x0 as watchdog.after"),
        ("after: [1.10]", "1.10 as a dependency"),
        ("labels: [a, 1.10]", "1.10 as a label"),
        ("task: 1.10", "1.10 as task"),
        ("runner: 0x1F", "0x1F as runner"),
        ("params: 1.10", "1.10 as params"),
        ("params: {n: 0x1F}", "0x1F as n; expected at least 100"),
        ("params: {every: -1.50}", "-1.50 as a duration"),
        ("params: {peer: {port: 1.10}}", "1.10 as peer.port"),
        ("params: {table: {x: [1, 2.50]}}", "2.50 as table.x[1]"),
    ],
)  # fmt: skip
def test_the_value_of_any_field_is_quoted_as_written(field: str, quoted: str) -> None:
    task = "" if field.startswith("task") else "    task: count\n"

    problems = problems_of(f"jobs:\n  a:\n{task}    {field}\n")

    assert f"cannot use {quoted}" in problems[0].message


def test_a_condition_is_quoted_as_written() -> None:
    [problem] = problems_of("jobs:\n  a: {task: count, after: {b: 1.10}}\n  b: {task: count}\n")

    assert problem.message.startswith("cannot wait for 'b' to be 1.10; expected ")


def test_a_value_of_defaults_an_alias_and_a_merge_are_quoted_as_written() -> None:
    text = (
        "x-slow: &slow -1.50\nx-all: &all {replicas: 0x0}\n"
        "defaults: {join: 0x1F_}\njobs:\n  a: {task: count, timeout: *slow}\n  b: {<<: *all, task: count}\n"
    )

    messages = [problem.message for problem in problems_of(text)]

    assert [message.partition(";")[0] for message in messages] == [
        "cannot use -1.50 as a duration",
        "cannot use 0x0 as replicas",
        "cannot use '0x1F_' as join",
    ]


def test_a_job_that_is_null_is_quoted_as_written() -> None:
    messages = [problem.message for problem in problems_of("jobs:\n  a: ~\n  b:\n  c: NULL\n")]

    assert [message.split()[2] for message in messages] == ["~", "null", "NULL"]


@every_case(
    "text, quoted",
    [
        ("jobs:\n  a: 1.10\n", "1.10"),
        ("jobs:\n  a: words\n", "'words'"),
        ("jobs:\n  a: '${N}'\n", "'${N}'"),
        ("jobs:\n  a: [1.10]\n", "this"),
        ("jobs:\n  password: hunter2\n", "this"),
        ("jobs: 0x1F\n", "0x1F"),
        ("jobs: [1.10]\n", "this"),
        ("defaults: 1.10\njobs:\n  a: {task: count}\n", "1.10"),
    ],
)
def test_a_value_where_a_mapping_belongs_is_quoted_as_written(text: str, quoted: str) -> None:
    [problem] = problems_of(text, {"N": "content"})

    assert problem.message.startswith(f"cannot use {quoted} as ")


def test_a_secret_stays_masked() -> None:
    [problem] = problems_of("jobs:\n  a:\n    task: count\n    params: {key: 1.10}\n")

    assert problem.message == "cannot use ********** as key; expected text"
    assert "1.10" not in problem.source_line


@pytest.mark.parametrize("written", ["${N}", '"${N}"', "'${N}'"])
def test_a_value_from_the_environment_is_shown_by_its_name(written: str) -> None:
    [problem] = problems_of(f"jobs:\n  a:\n    task: count\n    replicas: {written}\n", {"N": "1.10"})

    assert problem.message == "cannot use '${N}' as replicas; expected an integer from 1 to 1000"
    assert "1.1" not in problem.hint


def test_both_parsers_quote_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "jobs:\n  a:\n    task: count\n    timeout: -1.50\n    labels: 0x1F\n    enabled: |\n      no\n"
    with monkeypatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        by_python = problems_of(text)

    assert [each.message for each in by_python] == [
        each.message for each in check("a.yaml", catalog=CATALOG, environ={}).problems
    ]


@pytest.mark.long
def test_a_value_of_half_a_million_parts_is_quoted_quickly() -> None:
    """Only what a message shows of it is collected; each of the 200 errors would take a tenth of a second otherwise."""
    items = "x-all: &all [" + ", ".join(["1.10"] * 2000) + "]\n"

    problems = problems_of(items + "jobs:\n" + "".join(f"  j{n}: {{task: count, enabled: *all}}\n" for n in range(200)))

    assert len(problems) == 200
    assert {len(problem.message) for problem in problems} == {len(problems[0].message)}
