"""A path that does not exist is answered with the one that is probably meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.every_case import every_case

from taskloom.cli.drill.command import drill
from taskloom.cli.simulate.command import simulate
from taskloom.cli.validate import validate
from taskloom.errors import JobFileError
from taskloom.jobfile import load
from taskloom.jobfile.syntax.near_file import near_file, near_in_directory

FILES = (
    "jobs/quickstart.yaml", "jobs/backup.yml", "jobs/deep/nightly.yaml", "jobs/grüße.yaml", "top.yaml",
    "My Jobs/a b.yaml", "empty/readme.txt", "upper/A.YAML", "kept/b.yaml.bak", "outer/inner/c.yaml", "readme.md",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("jobs:\n  a: {task: countdown}\n")


@every_case(
    "path, near",
    [
        ("jobs/quickstrat.yaml", "jobs/quickstart.yaml"),
        ("./jobs/quickstrat.yaml", "./jobs/quickstart.yaml"),
        ("jobs//quickstrat.yaml", "jobs/quickstart.yaml"),
        ("jobs/quickstart.yml", "jobs/quickstart.yaml"),
        ("jobs/backup.yaml", "jobs/backup.yml"),
        ("jobs/quickstart", "jobs/quickstart.yaml"),
        ("jobs/quickstart.yaml.yaml", "jobs/quickstart.yaml"),
        ("jobs/quickstart.json", "jobs/quickstart.yaml"),
        ("jobs/Quickstart.yaml", "jobs/quickstart.yaml"),
        ("JOBS/QUICKSTART.YAML", "jobs/quickstart.yaml"),
        ("my jobs/A B.yaml", "My Jobs/a b.yaml"),
        ("jbos/quickstart.yaml", "jobs/quickstart.yaml"),
        ("jbos/quickstrat.yml", "jobs/quickstart.yaml"),
        ("jobs/dep/nightyl.yaml", "jobs/deep/nightly.yaml"),
        ("quickstart.yaml", "jobs/quickstart.yaml"),
        ("quickstart", "jobs/quickstart.yaml"),
        ("quickstrat.yaml", "jobs/quickstart.yaml"),
        ("jobs/top.yaml", "top.yaml"),
        ("top", "top.yaml"),
        ("job", "jobs"),
        ("jobs.yaml", "jobs"),
        ("jobs/quickstart.yaml ", "jobs/quickstart.yaml"),
        (" top.yaml", "top.yaml"),
        ("top.yaml\n", "top.yaml"),
        ("top.yaml/", "top.yaml"),
        ("'top.yaml'", "top.yaml"),
        ("top.yaml,", "top.yaml"),
        ("top.yaml:3:1", "top.yaml"),
        ("jobs\\quickstart.yaml", "jobs/quickstart.yaml"),
        ("file://jobs/quickstart.yaml", "jobs/quickstart.yaml"),
        ("jobs/*.yaml", "jobs"),
        ("jobs/gru\u0308ße.yaml", "jobs/grüße.yaml"),
    ],
)
def test_a_misspelt_path_has_a_near_match(path: str, near: str) -> None:
    assert near_file(path) == near


@pytest.mark.parametrize("path", ["zzz", "jobs/zzzzzz.yaml", "../nowhere/x.yaml", "~/x", "", "x" * 5000, "/"])
def test_a_path_that_resembles_nothing_has_none(path: str) -> None:
    assert near_file(path) is None


@pytest.mark.parametrize("path", ["gone.yaml", "./gone.yaml", "jobs//../gone.yaml"])
def test_a_link_to_nothing_is_not_proposed(path: str) -> None:
    Path("gone.yaml").symlink_to("nothing-of-this-name")

    assert near_file(path) is None


def test_an_absolute_path_is_repaired_too() -> None:
    assert near_file(os.path.abspath("jbos/quickstrat.yaml")) == os.path.abspath("jobs/quickstart.yaml")  # noqa: PTH100


def test_home_is_a_hint_where_the_shell_has_not_replaced_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))

    assert near_file("~/top.yaml") == f"{Path.cwd()}/top.yaml"


@pytest.mark.parametrize(
    "directory, near",
    [("upper", "upper/A.YAML"), ("kept", "kept/b.yaml.bak"), ("outer", "outer/inner"), ("empty", None), ("none", None)],
)
def test_a_directory_without_job_files_has_a_near_match(directory: str, near: str | None) -> None:
    assert near_in_directory(directory) == near


@pytest.mark.parametrize("verb", [validate, simulate, drill])
def test_every_verb_shows_the_near_match(verb: object) -> None:
    answer = CliRunner().invoke(verb, ["jobs/quickstrat.yaml"])  # type: ignore[arg-type]

    text = answer.output + (str(answer.exception) if answer.exception else "")
    assert "no such file or directory" in text
    assert "did you mean 'jobs/quickstart.yaml'?" in text


def test_load_shows_the_near_match() -> None:
    with pytest.raises(JobFileError) as caught:
        load("jobs/quickstrat.yaml", "upper")

    assert str(caught.value) == (
        "jobs/quickstrat.yaml:1:1: error: cannot read the file: no such file or directory; "
        "did you mean 'jobs/quickstart.yaml'?\n"
        "upper:1:1: error: cannot find a job file in 'upper'; expected *.yaml or *.yml; did you mean 'upper/A.YAML'?"
    )


def test_a_file_that_may_not_be_read_has_no_near_match(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("taskloom.jobfile.syntax.inputs.os.open", refuse)

    with pytest.raises(JobFileError) as caught:
        load("top.yaml")

    assert str(caught.value) == "top.yaml:1:1: error: cannot read the file: permission denied"


def test_a_directory_that_may_not_be_listed_gives_no_hint_and_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("taskloom.jobfile.syntax.near_file.os.scandir", refuse)

    assert near_file("jobs/quickstrat.yaml") is None
    assert near_in_directory("jobs") is None
