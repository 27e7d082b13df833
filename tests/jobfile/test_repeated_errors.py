"""Errors of this machine: however many jobs have one, it is one problem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.given_catalog import GivenCatalog

from taskloom.jobfile.loader import check
from taskloom.task import Context

Write = Callable[[str, str], Path]
LOCAL = "runner: {dask: {local: 2}}"


def idle(ctx: Context) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})


@pytest.fixture
def without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra dask is not installed."""
    monkeypatch.setattr("taskloom.jobfile.checks.dask_runner.why_unusable", lambda: "dask is not installed")


def job(name: str, more: str = LOCAL) -> str:
    return f"  {name}:\n    task: idle\n    {more}\n"


@pytest.mark.usefixtures("without_dask")
def test_a_missing_extra_is_one_problem_at_the_first_job_with_the_number_of_others(write: Write) -> None:
    write("a.yaml", "jobs:\n" + job("one") + job("here", "daemon: true") + job("two"))
    write("b.yaml", "jobs:\n" + job("three"))

    [problem] = check("a.yaml", "b.yaml", catalog=CATALOG).problems

    assert str(problem) == (
        "a.yaml:4:13: error: job 'one': cannot use runner dask: dask is not installed (the same for 2 other jobs)"
    )
    assert problem.hint == "pip install 'taskloom[dask]'"


@pytest.mark.usefixtures("without_dask")
def test_one_job_has_the_problem_without_a_number(write: Write) -> None:
    write("a.yaml", "jobs:\n" + job("one"))

    [problem] = check("a.yaml", catalog=CATALOG).problems

    assert problem.message == "cannot use runner dask: dask is not installed"


@pytest.mark.usefixtures("without_dask")
def test_a_runner_of_defaults_is_named_at_its_place_and_other_errors_of_each_job_stay(write: Write) -> None:
    write("a.yaml", f"defaults:\n  {LOCAL}\njobs:\n{job('one', 'timeout: 0')}{job('two', 'timeout: 0')}")

    problems = check("a.yaml", catalog=CATALOG).problems

    [missing] = [each for each in problems if "dask" in each.message]
    assert missing.message.endswith("dask is not installed (the same for 1 other job)")
    assert [str(each.place) for each in missing.related] == ["a.yaml:2:11"]
    assert [each.job for each in problems if "timeout" in each.message] == ["one", "two"]


def test_each_cause_is_a_problem_of_its_own(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    write("a.yaml", "jobs:\n" + job("one") + job("two", "runner: process") + job("three") + job("four"))

    assert [str(each) for each in check("a.yaml", catalog=CATALOG).problems] == [
        "a.yaml:4:13: error: job 'one': cannot use runner dask on darwin: it needs Linux (the same for 2 other jobs)",
        "a.yaml:7:13: error: job 'two': cannot use runner process on darwin: it needs Linux",
    ]
