"""Checks of all jobs of all files together: their dependencies, their stop, and the origins of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.given_catalog import GivenCatalog

from taskloom.catalog.entry_points import Catalog
from taskloom.errors import JobFileError
from taskloom.jobfile import check, load
from taskloom.task import Context, Task

Write = Callable[[str, str], Path]


def tick(ctx: Context) -> None:
    """Do nothing."""


class Login(Task):
    password: SecretStr

    def run(self, ctx: Context) -> None:
        """Do nothing."""


@pytest.fixture
def catalog() -> Catalog:
    return GivenCatalog({"tick": tick})


def test_replicas_are_one_declared_job(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "jobs:\n  a: {task: tick, replicas: 3, join: 4s}\n")

    result = check("a.yaml", catalog=catalog)

    assert [(job.name, job.replicas) for job in result.jobs] == [("a", 3)]
    assert [job.name for job in result.jobs[0].replicated()] == ["a.1", "a.2", "a.3"]
    assert result.worst_stop_seconds == 4


def test_jobs_may_wait_for_jobs_of_other_files(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "jobs:\n  web: {task: tick, after: [db, cache], join: 2s}\n")
    write("b.yaml", "jobs:\n  db: {task: tick, join: 3s}\n  cache: {task: tick, join: 4s}\n")

    result = check("a.yaml", "b.yaml", catalog=catalog)

    assert result.problems == ()
    assert result.worst_stop_seconds == 6
    assert [(slow.job, slow.seconds) for slow in result.stop_chain] == [("web", 2.0), ("cache", 4.0)]


def test_a_cycle_over_two_files_is_reported_with_both_places(write: Write, catalog: Catalog) -> None:
    write("b.yaml", "jobs:\n  b: {task: tick, after: {a: finished}}\n")
    write("a.yaml", "jobs:\n  a: {task: tick, after: [b]}\n")

    [problem] = check("b.yaml", "a.yaml", catalog=catalog).problems

    assert str(problem) == ("b.yaml:2:27: error: job 'b': cannot start jobs that wait for each other: b -> a -> b")
    assert [str(related.place) for related in problem.related] == ["a.yaml:2:27"]


def test_a_job_of_a_file_that_was_not_given_is_unknown(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "jobs:\n  web: {task: tick, after: db}\n")
    write("b.yaml", "jobs:\n  db: {task: tick}\n")

    with pytest.raises(JobFileError, match="cannot find job 'db' to start after; jobs: web"):
        load("a.yaml", catalog=catalog)


def test_an_unknown_job_among_many_is_reported_with_their_number_only(write: Write, catalog: Catalog) -> None:
    jobs = "".join(f"  job-{number}: {{task: tick}}\n" for number in range(2000))
    write("a.yaml", f"jobs:\n{jobs}  web: {{task: tick, after: jbo-7}}\n")

    [problem] = check("a.yaml", catalog=catalog).problems

    assert problem.message == "cannot find job 'jbo-7' to start after; none of the 2,001 jobs has that name"
    assert problem.hint == "did you mean 'job-7'?"


def test_the_search_for_near_matches_has_a_limit(write: Write, catalog: Catalog) -> None:
    jobs = "".join(f"  job-{number}: {{task: tick, after: jbo-{number}}}\n" for number in range(500))
    write("a.yaml", f"jobs:\n{jobs}")

    problems = check("a.yaml", catalog=catalog).problems

    assert len(problems) == 500
    assert [bool(problem.hint) for problem in problems] == [True] * 100 + [False] * 400


def test_a_dependency_on_an_unset_variable_is_reported_once(write: Write, catalog: Catalog) -> None:
    write("a.yaml", 'jobs:\n  a: {task: tick, after: "${DB}"}\n')

    [problem] = check("a.yaml", catalog=catalog, environ={}).problems

    assert problem.message.startswith("cannot find the environment variable 'DB'")


def test_a_dependency_from_the_environment_is_not_quoted(write: Write, catalog: Catalog) -> None:
    write("a.yaml", 'jobs:\n  a: {task: tick, after: ["${DB}"]}\n')

    [problem] = check("a.yaml", catalog=catalog, environ={"DB": "hunter2"}).problems

    assert problem.message == "cannot find job '${DB}' to start after; jobs: a"


def test_a_value_from_the_environment_is_hidden_in_warnings(write: Write, catalog: Catalog) -> None:
    write("a.yaml", 'jobs:\n  manual-db: {task: tick, start: manual}\n  a: {task: tick, after: "${DB}"}\n')

    [problem] = check("a.yaml", catalog=catalog, environ={"DB": "manual-db"}).problems

    assert problem.severity == "warning"
    assert problem.message == "does not start by itself: it waits for job '${DB}', which has start: manual"


def test_origins_are_returned_on_request(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "defaults: {join: 3s, daemon: true}\njobs:\n  a:\n    task: tick\n    daemon: false\n")

    origins = check("a.yaml", catalog=catalog, with_origins=True).origins["a"]

    assert {name: str(origins[name]) for name in ("task", "join", "daemon", "restart")} == {
        "task": "job a.yaml:4",
        "join": "defaults: a.yaml:1",
        "daemon": "job a.yaml:5",
        "restart": "default",
    }
    assert (origins["daemon"].written, origins["restart"].written) == ("false", "never")
    assert check("a.yaml", catalog=catalog).origins == {}


@pytest.mark.parametrize("written", ["hunter2", '"hunter\\x32"', '"hunter2\\nhunter2"', "${NO_SUCH:-hunter2}"])
def test_a_secret_is_masked_in_origins(write: Write, written: str) -> None:
    quoted = f'"{written}"' if "$" in written else written
    write("a.yaml", f"jobs:\n  a:\n    task: login\n    params: {{password: {quoted}}}\n")

    [job] = check("a.yaml", catalog=GivenCatalog({"login": Login}), with_origins=True).origins.values()

    assert job["params"].written == "{password: **********}"
