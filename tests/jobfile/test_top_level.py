"""A file of another program gets one line; every job file still reports all its problems."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom.jobfile import check
from taskloom.task import Context


def idle(ctx: Context) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})
NO_JOBS = "cannot find 'jobs'; a job file contains its jobs under that key"
NO_TASK = "cannot find a job with a task under 'jobs'; a job file names the task of each of its jobs"
MANY = "".join(f"key-{n}: ${{UNSET_{n}}}\n" for n in range(168))

FOREIGN = [
    (MANY, NO_JOBS),
    ("services:\n  web: {image: x, ports: ['80:80']}\nvolumes: {}\n", NO_JOBS),
    ("defaults: {timeout: soon}\nservices: {}\n", NO_JOBS),
    ("a: 1\na: 2\nb: !Ref x\nc: 0644\n8080: y\n? [z]\n: 1\n", NO_JOBS),
    ("apiVersion: v1\nkind: Pod\n---\napiVersion: v1\n---\nkind: x\n", NO_JOBS),
    ("name: ci\non: [push]\njobs:\n  build:\n    runs-on: x\n    steps: [{run: ls}]\n    timeout: 5\n", NO_TASK),
    ("version: 2.1\njobs:\n  build: {docker: [], steps: []}\nworkflows: {}\n", NO_TASK),
    ("trigger: [main]\njobs:\n- job: a\n  steps: [{task: UsePython@0}]\n", NO_TASK),
    ("language: c\njobs:\n  include:\n  - os: linux\n", NO_TASK),
    ("- hosts: all\n  tasks: []\n  mode: 0644\n- !x y\n",
     "cannot use a list as a job file: a mapping is expected, such as 'jobs:'"),
    ("just words\n", "cannot use a single value as a job file: a mapping is expected, such as 'jobs:'"),
    ("# nothing\n", "cannot find any job: there is nothing to run"),
    ("", "cannot find any job: there is nothing to run"),
    ("jbs:\n  a: {cmd: x}\n  b: {cmd: y}\nother: 1\n",
     "cannot find key 'jbs'; known: taskloom, defaults, jobs, and x-... for notes"),
]  # fmt: skip

# Each with the number of its problems.
JOB_FILES = [
    ("a: 1\nb: 2\njobs:\n  a: {tsak: idle}\n", 4),
    ("jobs:\n  a: {cmd: x}\n  b: {cmd: y}\n", 4),
    ("other: 1\njobs:\n  a: {join: 5s}\n  b: {daemon: true, cmd: x}\n", 4),
    ("other: 1\njobs:\n  a: {task: idle}\n  b: {cmd: x}\n", 3),
    ("jbs:\n  a: {task: idle}\nother: 1\n", 2),
    ("tick: {task: idle}\nother: 1\n", 2),
    ("Jobs:\n  a:\n    task:idle\nother: 1\n", 2),
    ("- task: idle\n- !x y\n", 2),
    ("jobs:\n  a: {task: idle, mode: 0644, mode: 1}\n---\njobs: {}\n", 3),
    ("other: 1\nmore: 2\njobs:\n", 3),
    ("other: 1\njobs:\n  a: {}\n  b:\n", 3),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@every_case("text, message", FOREIGN)
def test_a_file_of_another_program_gets_one_line(text: str, message: str) -> None:
    Path("a.yaml").write_text(text)

    [problem] = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert problem.message == message
    assert problem.severity == "error"


@every_case("text, count", JOB_FILES)
def test_a_job_file_reports_all_its_problems(text: str, count: int) -> None:
    Path("a.yaml").write_text(text)

    assert len(check("a.yaml", catalog=CATALOG, environ={}).problems) == count


def test_each_foreign_file_of_a_directory_gets_its_line() -> None:
    Path("d").mkdir()
    for name in ("a", "b"):
        Path(f"d/{name}.yaml").write_text(MANY)
    Path("d/c.yaml").write_text("jobs:\n  a: {task: idle, n: 1, m: 2}\n")

    problems = check("d", catalog=CATALOG, environ={}).problems

    assert [problem.place.path for problem in problems] == ["d/a.yaml", "d/b.yaml", "d/c.yaml", "d/c.yaml"]


@pytest.mark.parametrize("text", ["password: hunter2\n", "token: hunter2\nx: !y z\n"])
def test_a_secret_in_the_line_of_a_foreign_file_is_masked(text: str) -> None:
    Path("a.yaml").write_text(text)

    [problem] = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert "hunter2" not in problem.source_line


def test_a_foreign_file_that_cannot_be_read_to_its_end_gets_the_error_that_ended_it() -> None:
    Path("a.yaml").write_text("a: !x 1\nb: !y 2\nc: @x\n")

    [problem] = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert problem.place.line == 3


@pytest.mark.parametrize("text", ["jobs:\n  a: {cmd: !x idle}\n  b: [\n", "{jobs: {\n  a: {cmd: !x idle},\n  b: [\n"])
def test_a_job_file_that_cannot_be_read_to_its_end_keeps_the_problems_before(text: str) -> None:
    Path("a.yaml").write_text(text)

    problems = check("a.yaml", catalog=CATALOG, environ={}).problems

    assert [problem.place.line for problem in problems] == [2, 4]
