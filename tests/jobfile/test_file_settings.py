"""`taskloom:` of job files: which file may have it, where its values come from, and what they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskloom.jobfile import check

KNOWN = "known: taskloom, defaults, jobs, and x-... for notes"
KNOWN_SETTINGS = "known: name, stop_within, log_dir, log_format, log_level, control, history, http, notify, metrics"
A_NAME = "expected at most 64 letters, digits, '-', '_' and '.', the first a letter or a digit"
JOBS = "jobs: {tick: {task: countdown, params: {start: 1}}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_one_of_several_files_has_settings() -> None:
    Path("jobs").mkdir()
    Path("jobs/a.yaml").write_text(f"taskloom: {{name: one}}\n{JOBS}")
    Path("jobs/b.yaml").write_text("taskloom:\n  name: a/b\n  nmae: x\n")

    result = check("jobs")

    assert [str(problem) for problem in result.problems] == [
        "jobs/b.yaml:1:1: error: cannot use 'taskloom' in two files: it is first written at jobs/a.yaml:1:1",
        f"jobs/b.yaml:2:9: error: cannot use 'a/b' as name; {A_NAME}",
        f"jobs/b.yaml:3:3: error: cannot find setting 'nmae'; {KNOWN_SETTINGS}",
    ]
    [related] = result.problems[0].related
    assert (str(related.place), related.message) == ("jobs/a.yaml:1:1", "first written here")


def test_a_file_of_settings_alone_belongs_to_the_files_of_its_folder() -> None:
    Path("jobs").mkdir()
    Path("jobs/a.yaml").write_text(JOBS)
    Path("jobs/settings.yml").write_text("taskloom: {name: line, x-why: because}\nx-note: 1\n")

    result = check("jobs")

    assert result.problems == ()
    assert [(name, each.value, str(each.place)) for name, each in result.settings.items()] == [
        ("name", "line", "jobs/settings.yml:1:12")
    ]


def test_the_same_file_given_twice_is_one_file() -> None:
    Path("a.yaml").write_text(f"taskloom: {{name: one}}\n{JOBS}")
    assert check("a.yaml", "./a.yaml").problems == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "taskloom: {name: x}\njosb: {}\n",
            f"cannot find key 'josb'; {KNOWN}",
        ),
        ("task_loom: {name: x}\n", f"cannot find key 'task_loom'; {KNOWN}"),
        ("tasks: {name: x}\n", "cannot find 'jobs'; a job file contains its jobs under that key"),
        ("services: {taskloom: {image: x}}\n", "cannot find 'jobs'; a job file contains its jobs under that key"),
    ],
)
def test_a_file_without_jobs_is_one_of_settings_or_of_another_program(text: str, message: str) -> None:
    Path("a.yaml").write_text(text)
    assert [problem.message for problem in check("a.yaml").problems] == [message]


@pytest.mark.parametrize(
    ("written", "hint"),
    [("'true'", "write it without quotes"), ("'off'", "write false"), ("flase", "did you mean 'false'?"), ("x", "")],
)
def test_a_control_that_is_neither_true_false_nor_a_path_has_a_hint(written: str, hint: str) -> None:
    Path("a.yaml").write_text(f"taskloom: {{control: {written}}}\n{JOBS}")
    assert [problem.hint for problem in check("a.yaml").problems] == [hint]


def test_settings_are_secret_where_they_come_from_a_file() -> None:
    Path("dir").write_text("secret-folder\n")
    Path("a.yaml").write_text(f"taskloom: {{log_dir: '${{file:dir}}', name: '${{file:none:-x}}'}}\n{JOBS}")

    result = check("a.yaml")

    assert result.settings["log_dir"].value == "secret-folder"
    assert result.settings["log_dir"].written == "'${file:dir}'"
    assert result.secrets == {"secret-folder"}


@pytest.mark.parametrize(
    ("given_seconds", "file", "expected"),
    [(None, "", 0), (None, "taskloom: {stop_within: 5s}\n", 1), (30.0, "taskloom: {stop_within: 5s}\n", 0),
     (5.0, "taskloom: {stop_within: 1m}\n", 1), (None, "taskloom: {stop_within: x}\n", 1)],
)  # fmt: skip
def test_the_time_of_a_stop_is_the_given_one_or_that_of_the_files(
    given_seconds: float | None, file: str, expected: int
) -> None:
    Path("a.yaml").write_text(f"{JOBS}{file}")
    assert len(check("a.yaml", stop_within=given_seconds).problems) == expected
