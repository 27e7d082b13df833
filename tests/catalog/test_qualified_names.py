"""Two packages may offer one name: `task: acme-beats/countdown` chooses, wherever a task is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from tests.support.plugin_folder import PluginFolder

from taskloom.catalog.entry_points import Catalog
from taskloom.cli.tasks import tasks
from taskloom.errors import AmbiguousTask, TaskImportFailed, TaskNotFound
from taskloom.jobfile import check
from taskloom.jobfile.fields.json_schema import job_file_schema

SOURCE = "def countdown(ctx, beats: int = 3):\n    '''Count beats.'''\n"


@pytest.fixture
def catalog(packages: PluginFolder) -> Catalog:
    """The built-in tasks, and one of a stranger with the name of a built-in one."""
    packages.add("Acme_Beats", SOURCE, countdown="countdown", beat="countdown")
    return Catalog()


def problems(path: Path, task: str, params: str, catalog: Catalog) -> Iterable[str]:
    file = path / "jobs.yaml"
    file.write_text(f"jobs:\n  a:\n    task: {task}\n    params: {params}\n")
    return [problem.message for problem in check(file, catalog=catalog).problems]


def test_the_name_alone_is_refused_with_both_spellings(catalog: Catalog) -> None:
    with pytest.raises(AmbiguousTask) as caught:
        catalog.load("countdown")

    assert caught.value.choices == ("acme-beats/countdown", "taskloom/countdown")
    assert str(caught.value).startswith("cannot choose task 'countdown': offered by Acme_Beats 1.0 and by taskloom ")
    assert str(caught.value).endswith("; write acme-beats/countdown or taskloom/countdown")


@pytest.mark.parametrize("spelling", ["acme-beats", "Acme_Beats", "acme.beats", "ACME--beats", "acme_-.beats"])
def test_a_distribution_is_compared_as_pep_503_says(catalog: Catalog, spelling: str) -> None:
    loaded = catalog.load(f"{spelling}/countdown")

    assert (loaded.name, loaded.distribution) == ("countdown", "Acme_Beats")
    assert catalog.load("taskloom/countdown").distribution == "taskloom"
    assert catalog.load("taskloom/socket-reader").shape is catalog.load("socket-reader").shape


def test_a_task_with_two_names_is_imported_once(packages: PluginFolder) -> None:
    packages.add("odd", "import sys\nsys.path.append('imported')\nraise OSError('no disk')\n", odd="odd")
    catalog = Catalog()

    try:
        for name in ("odd", "odd/odd", "ODD/odd"):
            with pytest.raises(TaskImportFailed, match=r"cannot import task 'odd' of odd 1\.0: OSError: no disk"):
                catalog.load(name)
    finally:
        assert sys.path.count("imported") == 1
        sys.path.remove("imported")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("acme-beat/countdown", "acme-beats/countdown"),
        ("acme-beats/countdwn", "acme-beats/countdown"),
        ("Acme_Beats/Countdown", "acme-beats/countdown"),
        ("other/beat", "acme-beats/beat"),
        ("socket-reader/taskloom", None),
        ("acme-beats/", "acme-beats/beat"),
        ("Beat", "beat"),
        ("BEAT", "beat"),
        ("socket_reader", "socket-reader"),
        ("SocketReader", "socket-reader"),
        ("Socket Reader", "socket-reader"),
        ("/", None),
    ],
)
def test_an_unknown_name_gets_a_near_match(catalog: Catalog, name: str, near: str | None) -> None:
    with pytest.raises(TaskNotFound) as caught:
        catalog.load(name)

    assert caught.value.near == near
    if "/" in name:
        assert "acme-beats/beat, acme-beats/countdown, taskloom/command, taskloom/countdown" in str(caught.value)


def test_a_job_file_chooses(catalog: Catalog, tmp_path: Path) -> None:
    assert problems(tmp_path, "acme-beats/countdown", "{beats: 5}", catalog) == []
    assert problems(tmp_path, "Taskloom/countdown", "{start: 5}", catalog) == []
    assert problems(tmp_path, "acme-beats/countdown", "{start: 5}", catalog) == [
        "cannot find parameter 'start'; known: beats"
    ]
    [ambiguous] = problems(tmp_path, "countdown", "{}", catalog)
    assert ambiguous.endswith("write acme-beats/countdown or taskloom/countdown")


@pytest.mark.usefixtures("catalog")
def test_the_list_shows_what_a_job_has_to_write() -> None:
    listed = CliRunner().invoke(tasks, catch_exceptions=False).stdout
    rows = json.loads(CliRunner().invoke(tasks, ["-o", "json"], catch_exceptions=False).stdout)

    names = [line.split("\t")[0] for line in listed.splitlines()]
    assert names == ["acme-beats/countdown", "beat", "command", "socket-reader", "socket-sender", "taskloom/countdown"]
    assert "broken" not in listed
    assert [row["distribution"] for row in rows if row["name"] == "countdown"] == ["Acme_Beats", "taskloom"]


@pytest.mark.usefixtures("catalog")
def test_one_task_is_shown_with_an_example_that_chooses_it(tmp_path: Path) -> None:
    shown = CliRunner().invoke(tasks, ["acme-beats/countdown"], catch_exceptions=False).stdout
    data = json.loads(CliRunner().invoke(tasks, ["taskloom/countdown", "-o", "json"]).stdout)

    _, _, example = shown.partition("An example job file:\n")
    (tmp_path / "example.yaml").write_text(example)
    assert "task: acme-beats/countdown\n" in example
    assert check(tmp_path / "example.yaml").errors == ()
    assert (data["name"], data["distribution"]) == ("countdown", "taskloom")


JOBS: list[tuple[str, dict[str, Any], bool]] = [
    ("acme-beats/countdown", {"beats": 1}, True),
    ("Acme.Beats/countdown", {"beats": 1}, True),
    ("acme-beats/countdown", {"start": 1}, False),
    ("ACME_beats/countdown", {"start": 1}, False),
    ("taskloom/countdown", {"start": 1}, True),
    ("taskloom/countdown", {"beats": 1}, False),
    ("beat", {"beats": 1}, True),
    ("acme-beats/beat", {"beats": 1}, True),
    ("acme-beats/beat", {"start": 1}, False),
    ("countdown", {}, False),
    ("acme-beats/nothing", {}, False),
    ("xacme-beats/beat", {}, False),
    ("acme-beats/beats", {}, False),
    ("${TASK}", {"anything": 1}, True),
]


def test_the_schema_for_editors_knows_the_same_names(catalog: Catalog) -> None:
    schema = job_file_schema(catalog)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    found = [
        (task, params, validator.is_valid({"jobs": {"a": {"task": task, "params": params}}}))
        for task, params, _ in JOBS
    ]

    assert found == JOBS


def test_a_name_with_a_slash_is_found_as_it_is(packages: PluginFolder) -> None:
    packages.add("odd", SOURCE)
    info = packages.path / "odd-1.0.dist-info"
    (info / "entry_points.txt").write_text("[taskloom.tasks]\nteam/beat = odd:countdown\n")
    catalog = Catalog()

    assert catalog.load("team/beat").name == catalog.load("odd/team/beat").name == "team/beat"
