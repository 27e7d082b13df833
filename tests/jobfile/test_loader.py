"""Loading jobs from files and directories."""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.given_catalog import GivenCatalog

from taskloom.catalog.entry_points import Catalog
from taskloom.core.model import JoinPolicy, Otherwise
from taskloom.diagnostics import Place
from taskloom.errors import JobFileError
from taskloom.jobfile import check, load
from taskloom.task import Context, Duration, Task, param

JOB = "jobs:\n  {}:\n    task: tick\n"


class Tick(Task):
    n: int = param(default=1, ge=0)
    every: Duration = param(default="1s")

    def run(self, ctx: Context) -> None:
        """Do nothing."""


@pytest.fixture
def catalog() -> Catalog:
    return GivenCatalog({"tick": Tick})


Write = Callable[[str, str], Path]


def test_a_file_becomes_jobs_in_the_order_of_the_file(write: Write, catalog: Catalog) -> None:
    write(
        "a.yaml",
        "x-about: notes\n"
        "defaults: {join: 3s}\n"
        "jobs:\n"
        "  second: {task: tick, params: {n: 2}, x-why: because}\n"
        "  first:\n"
        "    task: tick\n"
        "    daemon: true\n",
    )

    second, first = load("a.yaml", catalog=catalog)

    assert (second.name, second.params, second.join) == (
        "second", {"n": 2, "every": 1.0}, JoinPolicy(3.0, Otherwise.EXIT),
    )  # fmt: skip
    assert (first.name, first.join) == ("first", JoinPolicy(3.0, Otherwise.ABANDON))
    assert second.place == Place("a.yaml", 4, 3, 6)
    assert second.binding.make().run.__self__.n == 2


def test_a_directory_is_its_sorted_yaml_files(write: Write, catalog: Catalog) -> None:
    for name in ["jobs/b.yml", "jobs/a.yaml", "jobs/.hidden.yaml", "jobs/c.yaml~", "jobs/d.json", "jobs/sub/e.yaml"]:
        write(name, JOB.format(Path(name).stem.strip(".")))
    Path("jobs/folder.yaml").mkdir()

    result = check("jobs", catalog=catalog)

    assert [job.name for job in result.jobs] == ["a", "b"]
    assert result.files == ("jobs/a.yaml", "jobs/b.yml")


def test_a_file_that_is_given_twice_is_read_once(write: Write, catalog: Catalog) -> None:
    write("jobs/a.yaml", JOB.format("a"))

    assert len(load("jobs", "jobs/a.yaml", "./jobs/../jobs/a.yaml", catalog=catalog)) == 1


def test_variables_are_replaced_before_types_are_checked(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "jobs:\n  a:\n    task: ${TASK}\n    params:\n      n: ${N:-4}\n      every: ${EVERY}\n")

    [job] = load("a.yaml", catalog=catalog, environ={"TASK": "tick", "EVERY": "2s"})
    assert job.params == {"n": 4, "every": 2.0}


def test_the_environment_is_the_default(write: Write, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKLOOM_TEST_N", "7")
    write("a.yaml", "jobs:\n  a:\n    task: tick\n    params:\n      n: ${TASKLOOM_TEST_N}\n")

    [job] = load("a.yaml", catalog=catalog)

    assert job.params["n"] == 7


def test_the_default_catalog_holds_the_installed_tasks(write: Write) -> None:
    write("a.yaml", "jobs:\n  a:\n    task: countdown\n")

    [job] = load("a.yaml")

    assert job.binding.label == "taskloom_plugins.countdown:Countdown"


def test_problems_are_ordered_by_file_and_then_by_line(write: Write, catalog: Catalog) -> None:
    write("b.yaml", "jobs:\n  b:\n    daemon: no\n    task: tok\n  c:\n    task: tick\n    params: {n: -1}\nextra: 1\n")
    write("a.yaml", "jobs:\n  a:\n    task: tick\n    restart: sometimes\n")
    write("c.yaml", "jobs:\n  a: [\n")

    with pytest.raises(JobFileError) as caught:
        load("b.yaml", "a.yaml", "c.yaml", catalog=catalog)

    assert [(each.place.path, each.place.line) for each in caught.value.problems] == [
        ("b.yaml", 3), ("b.yaml", 4), ("b.yaml", 7), ("b.yaml", 8), ("a.yaml", 4), ("c.yaml", 3),
    ]  # fmt: skip


def test_a_job_name_used_in_two_files_is_an_error_with_both_places(write: Write, catalog: Catalog) -> None:
    write("a.yaml", JOB.format("tick"))
    write("b.yaml", "\n" + JOB.format("tick"))

    result = check("a.yaml", "b.yaml", catalog=catalog)

    [problem] = result.problems
    assert str(problem) == (
        "b.yaml:3:3: error: job 'tick': cannot use the name 'tick' twice: it is first used at a.yaml:2:3"
    )
    assert [str(related.place) for related in problem.related] == ["a.yaml:2:3"]
    assert len(result.jobs) == 1


def test_an_empty_file_is_a_warning_if_another_file_has_jobs(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "# nothing yet\n")
    write("b.yaml", JOB.format("b"))

    result = check("a.yaml", "b.yaml", catalog=catalog)

    assert [(problem.severity, problem.place.path) for problem in result.problems] == [("warning", "a.yaml")]
    assert [job.name for job in load("a.yaml", "b.yaml", catalog=catalog)] == ["b"]


def test_no_job_in_any_file_is_an_error(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "")

    with pytest.raises(JobFileError, match="cannot find any job: there is nothing to run"):
        load("a.yaml", catalog=catalog)


def test_a_missing_path_is_an_error_like_any_other(write: Write, catalog: Catalog) -> None:
    write("b.yaml", JOB.format("b"))
    Path("empty").mkdir()

    result = check("nowhere.yaml", "empty", "b.yaml", catalog=catalog)

    assert [str(problem) for problem in result.problems] == [
        "nowhere.yaml:1:1: error: cannot read the file: no such file or directory",
        "empty:1:1: error: cannot find a job file in 'empty'; expected *.yaml or *.yml",
    ]


def test_a_directory_without_read_permission_is_an_error(
    write: Write, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    write("jobs/a.yaml", JOB.format("a"))
    monkeypatch.setattr(Path, "iterdir", refused)

    result = check("jobs", catalog=catalog)

    assert [str(problem) for problem in result.problems] == [
        "jobs:1:1: error: cannot read directory 'jobs': permission denied"
    ]


def test_a_stop_that_may_take_too_long_is_a_warning(write: Write, catalog: Catalog) -> None:
    write(
        "a.yaml",
        "defaults: {join: 40s}\n"
        "jobs:\n"
        "  a: {task: tick}\n"
        "  b: {task: tick}\n"
        "  c: {task: tick, join: wait}\n"
        "  d: {task: tick, join: 5s}\n"
        "  e: {task: tick, join: 2h, enabled: false}\n",
    )

    result = check("a.yaml", catalog=catalog)

    assert [str(problem) for problem in result.problems] == [
        "a.yaml:1:18: warning: job 'a': stop may take longer than 30s: this job alone may take 40s",
        (
            "a.yaml:5:25: warning: job 'c': stop has no time limit of its own: join: wait waits for ever, "
            "up to the end of the whole shutdown"
        ),
    ]
    assert result.worst_stop_seconds == 40
    assert not result.errors


def test_the_worst_stop_is_that_of_the_slowest_enabled_job(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "jobs:\n  a: {task: tick, join: 3s}\n  b: {task: tick, join: 4s}\n  c: {task: tick, join: wait}\n")

    assert check("a.yaml", catalog=catalog, stop_within=20).worst_stop_seconds == 20
    assert check("a.yaml", catalog=catalog, stop_within=float("inf")).worst_stop_seconds == float("inf")


def test_a_program_of_daemons_only_is_a_warning(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "jobs:\n  a: {task: tick, daemon: true}\n  b: {task: tick, enabled: false}\n")

    [problem] = check("a.yaml", catalog=catalog).problems

    assert str(problem) == (
        "a.yaml:2:3: warning: program never ends by itself: every job is a daemon, so it runs until a signal stops it"
    )


def test_a_value_from_the_environment_is_never_quoted(write: Write, catalog: Catalog) -> None:
    write(
        "a.yaml",
        "jobs:\n"
        "  a:\n"
        "    task: tick\n"
        "    params:\n"
        "      n: ${PASSWORD}\n"
        "      every: ${PASSWORD}\n"
        "    join: ${PASSWORD}\n",
    )

    with pytest.raises(JobFileError) as caught:
        load("a.yaml", catalog=catalog, environ={"PASSWORD": "hunter2"})

    text = str(caught.value)
    assert "hunter2" not in text
    assert "cannot use '${PASSWORD}' as n; expected an integer" in text
    assert "cannot read '${PASSWORD}' as a duration" in text


def test_a_value_from_the_environment_is_hidden_in_errors_of_constructors(write: Write) -> None:
    class Picky(Task):
        host: str

        def __post_init__(self) -> None:
            raise ValueError(f"no such host: {self.host}")

        def run(self, ctx: Context) -> None:
            """Do nothing."""

    write("a.yaml", "jobs:\n  a:\n    task: picky\n    params:\n      host: ${HOST}\n")

    with pytest.raises(JobFileError) as caught:
        load("a.yaml", catalog=GivenCatalog({"picky": Picky}), environ={"HOST": "hunter2"})

    assert str(caught.value) == ("a.yaml:4:5: error: job 'a': cannot make Picky of these params: no such host: ${HOST}")


def test_an_unset_variable_is_reported_once(write: Write, catalog: Catalog) -> None:
    write("a.yaml", "jobs:\n  a:\n    task: tick\n    params:\n      n: ${UNSET}\n      every: x\n")

    with pytest.raises(JobFileError) as caught:
        load("a.yaml", catalog=catalog, environ={})

    assert [(each.place.line, each.message.split(";")[0]) for each in caught.value.problems] == [
        (5, "cannot find the environment variable 'UNSET'"),
        (6, "cannot read 'x' as a duration"),
    ]


def test_a_broken_task_of_many_jobs_is_imported_once(write: Write) -> None:
    asked: list[str] = []

    class Counting(GivenCatalog):
        def _load_task(self, name: str) -> object:  # type: ignore[override]
            asked.append(name)
            return super()._load_task(name)

    write("a.yaml", "jobs:\n" + "".join(f"  j{i}: {{task: gone}}\n" for i in range(50)))

    result = check("a.yaml", catalog=Counting({}))

    assert len(result.errors) == 50
    assert asked == ["gone"]


@pytest.mark.parametrize("is_collecting", [True, False])
def test_loading_restores_the_state_of_garbage_collection(write: Write, catalog: Catalog, is_collecting: bool) -> None:
    write("a.yaml", JOB.format("a"))
    write("b.yaml", "jobs: [\n")
    was_collecting = gc.isenabled()
    try:
        if not is_collecting:
            gc.disable()

        check("a.yaml", "b.yaml", catalog=catalog)

        assert gc.isenabled() is is_collecting
    finally:
        if was_collecting:
            gc.enable()
