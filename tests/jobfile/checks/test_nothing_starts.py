"""Warnings about schedules that are over, and about sets of jobs of which none starts by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.given_catalog import GivenCatalog

from taskloom.cli.program.selection import JobFiles
from taskloom.jobfile import check
from taskloom.task import Context

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def idle(ctx: Context) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})
NOTHING = "nothing starts by itself, so taskloom run ends at once: every job "


def warnings_of(*jobs: str) -> list[str]:
    names = "abcdefgh"
    lines = [f"  {name}: {{task: idle, {fields}}}\n" for name, fields in zip(names, jobs, strict=False)]
    Path("a.yaml").write_text("jobs:\n" + "".join(lines))
    result = check("a.yaml", catalog=CATALOG, now=NOW)
    assert result.errors == ()
    return [problem.message for problem in result.problems]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("extra", ["", ", missed: once, grace: 10d", ", missed: skip"])
def test_an_instant_that_has_passed_is_a_warning(extra: str) -> None:
    """Also within `grace`, which is for a program that was busy or asleep: nothing is started late at its start."""
    messages = warnings_of(f'schedule: {{at: "2027-01-15T07:59:59Z"{extra}}}', "start: auto")

    assert messages == ["does not start by itself: 2027-01-15T07:59:59Z has passed"]


@pytest.mark.parametrize(
    "fields",
    [
        'schedule: {at: "2027-01-15T08:00:01Z"}',
        'schedule: {cron: "0 0 29 2 *"}',
        "schedule: {every: 1h}",
        "start: {delay: 1h}",
        "daemon: false",
    ],
)
def test_a_job_that_will_start_is_not_a_warning(fields: str) -> None:
    assert warnings_of(fields, "start: manual", "enabled: false") == []


def test_an_instant_of_a_disabled_job_is_not_a_warning() -> None:
    assert warnings_of('enabled: false, schedule: {at: "2001-01-01T00:00Z"}', "start: auto") == []


def test_the_place_is_that_of_the_instant() -> None:
    Path("a.yaml").write_text(
        "jobs:\n  a: {task: idle}\n  b:\n    task: idle\n    schedule:\n      at: 2001-01-01T00:00Z\n"
    )

    [problem] = check("a.yaml", catalog=CATALOG, now=NOW).problems

    assert (problem.place.line, problem.place.column, problem.severity, problem.job) == (6, 11, "warning", "b")


@pytest.mark.parametrize(
    "jobs, why",
    [
        (["start: manual"], "has start: manual"),
        (["start: manual", "start: manual, daemon: true"], "has start: manual"),
        (["start: manual, schedule: {every: 5s}"], "has start: manual"),
        (["enabled: false"], "is disabled"),
        (["enabled: false", "enabled: false, start: manual"], "is disabled"),
        (["enabled: false", "start: manual"], "is disabled or has start: manual"),
    ],
)
def test_jobs_that_do_not_start_by_themselves_are_one_warning(jobs: list[str], why: str) -> None:
    assert warnings_of(*jobs) == [NOTHING + why]


def test_a_schedule_that_is_over_counts_too() -> None:
    messages = warnings_of("start: manual", 'schedule: {at: "2001-01-01T00:00Z"}')

    assert messages == [
        NOTHING + "has start: manual or has a schedule without a further instant",
        "does not start by itself: 2001-01-01T00:00Z has passed",
    ]


def test_jobs_with_warnings_of_their_own_need_no_further_one() -> None:
    assert warnings_of('schedule: {at: "2001-01-01T00:00Z"}') == [
        "does not start by itself: 2001-01-01T00:00Z has passed"
    ]
    assert warnings_of("start: manual", "after: a") == [
        "does not start by itself: it waits for job 'a', which has start: manual"
    ]


def test_daemons_that_do_not_start_do_not_run_for_ever() -> None:
    assert warnings_of("daemon: true, start: manual") == [NOTHING + "has start: manual"]
    assert warnings_of("daemon: true")[0].startswith("program never ends by itself")


def test_jobs_that_labels_leave_are_looked_at_on_their_own() -> None:
    Path("a.yaml").write_text(
        "jobs:\n  a: {task: countdown, labels: [x], start: manual}\n  b: {task: countdown, labels: [y]}\n"
    )

    messages = {
        label: [each.message for each in JobFiles(["a.yaml"], labels=[label], stop_within=30).read().warnings]
        for label in ("x", "y")
    }

    assert messages == {"x": [NOTHING + "has start: manual"], "y": []}


def test_the_time_at_which_the_jobs_begin_counts() -> None:
    Path("a.yaml").write_text('jobs:\n  a: {task: countdown, schedule: {at: "2001-01-01T00:00Z"}}\n')

    assert JobFiles(["a.yaml"], stop_within=30, now=0.0).read().warnings == ()
    assert len(JobFiles(["a.yaml"], stop_within=30).read().warnings) == 1
