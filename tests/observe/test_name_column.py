"""The column of job names: aligned, whole in a file, and of limited width on a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.every_case import every_case

from taskloom.core.model import Moment
from taskloom.observe.console import Console
from taskloom.observe.log_format import LogFormat, LogMessage, render
from taskloom.observe.name_column import NameColumn, elided, longest_name
from taskloom.testing import make_job

LONGEST = "x" * 63
AT = Moment(5.0, 1_774_740_600.25)


@pytest.mark.parametrize(
    ("name", "most", "shown"),
    [
        ("short", 20, "short"),
        ("x" * 20, 20, "x" * 20),
        ("collector-of-the-north.12", 20, "collector-…-north.12"),
        (f"{LONGEST}.1000", 26, "xxxxxxxxxxxxx…xxxxxxx.1000"),
    ],
)
def test_a_long_name_loses_its_middle_and_keeps_the_number_of_the_replica(name: str, most: int, shown: str) -> None:
    assert elided(name, most) == shown
    assert len(shown) <= most


def test_the_longest_name_counts_replicas() -> None:
    jobs = [make_job("a"), replace(make_job("abc"), replicas=1000)]

    assert longest_name(jobs) == longest_name([each for job in jobs for each in job.replicated()]) == len("abc.1000")
    assert longest_name([]) == 0


@every_case("log_format", [LogFormat.SHORT, LogFormat.FULL])
@every_case("line_width", [None, 40, 80, 120, 1000])
def test_the_messages_of_all_jobs_begin_in_the_same_column(log_format: LogFormat, line_width: int | None) -> None:
    names = ["a", "taskloom", "thirteen-long", "collector-of-the-north-west.12", f"{LONGEST}.1000"]
    column = NameColumn(line_width)
    column.fit(max(map(len, names)))

    lines = [render(log_format, LogMessage("|", "INFO", name, ""), AT, names=column) for name in names]

    assert len({line.index("|") for line in lines}) == 1
    if line_width is None:
        assert all(name in line for name, line in zip(names, lines, strict=True))


def test_short_names_are_written_as_ever() -> None:
    column = NameColumn(80)
    column.fit(5)

    assert column.cell("launch") == "launch      "


def test_the_column_never_shrinks() -> None:
    column = NameColumn()
    column.fit(30)
    column.fit(5)

    assert len(column.cell("a")) == 30


@pytest.mark.parametrize(("line_width", "most"), [(40, 20), (80, 26), (120, 40)])
def test_a_terminal_gives_a_name_a_third_of_its_line(line_width: int, most: int) -> None:
    column = NameColumn(line_width)
    column.fit(68)

    assert len(column.cell(LONGEST)) == most


def test_a_name_that_was_not_announced_is_shortened_on_a_terminal_and_whole_in_a_file() -> None:
    assert NameColumn(80).cell("urllib3.connectionpool") == "urllib…npool"
    assert NameColumn().cell("urllib3.connectionpool") == "urllib3.connectionpool"
    assert NameColumn(80, "~").cell("urllib3.connectionpool") == "urllib~npool"


def test_json_has_every_name_whole() -> None:
    lines: list[str] = []
    console = Console(
        lambda text, *_, **__: lines.append(text.decode()),
        is_colored=False,
        log_format=LogFormat.JSON,
        names=NameColumn(80),
    )

    console.log("x", job=LONGEST)

    assert f'"job": "{LONGEST}"' in lines[0]
