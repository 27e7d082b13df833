"""The three formats of a log message."""

from __future__ import annotations

import json
import time

import pytest

from taskloom.core.model import Moment
from taskloom.observe.log_format import LogFormat, LogMessage, render, time_of

MESSAGE = LogMessage("first\nsecond", "INFO", "tick", "tick#1")
AT = Moment(5.0000001, 1_774_740_600.25)  # shortly before the clocks of Berlin are set forward in 2026


@pytest.mark.usefixtures("in_berlin")
def test_each_line_of_a_message_gets_the_head() -> None:
    assert render(LogFormat.SHORT, MESSAGE, AT) == (
        "00:30:00.250 INFO    tick         first\n00:30:00.250 INFO    tick         second\n"
    )


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("later", "zone"), [(0, "2026-03-29T00:30:00.250+01:00"), (7200, "2026-03-29T03:30:00.250+02:00")]
)
def test_the_full_format_has_the_date_and_the_offset_of_that_moment(later: int, zone: str) -> None:
    line = render(LogFormat.FULL, MESSAGE._replace(text="x"), AT._replace(wall=AT.wall + later))

    assert line == f"{zone} INFO    tick         x\n"


def test_json_is_one_object_a_line() -> None:
    line = render(LogFormat.JSON, MESSAGE, AT)

    assert line.count("\n") == 1
    assert json.loads(line) == {
        "at": "2026-03-28T23:30:00.250000Z",
        "mono": 5.0,
        "level": "INFO",
        "job": "tick",
        "run": "tick#1",
        "message": "first\nsecond",
    }


def test_no_field_can_break_the_line_or_drive_the_terminal() -> None:
    hostile = LogMessage("\x1b[2J\ta\x85b\u2028c\u202ed", "LEVEL\n", "job\x9b\n", "")

    line = render(LogFormat.SHORT, hostile, AT)

    assert line[13:] == "LEVEL\\n job\\x9b\\n    \\x1b[2J\\ta\\x85b\\u2028c\\u202ed\n"
    assert "\x1b" not in render(LogFormat.JSON, hostile, AT)


def test_a_terminal_gets_colours() -> None:
    line = render(LogFormat.SHORT, MESSAGE._replace(level="ERROR", text="x\x1b"), AT, is_colored=True)

    assert line.startswith("\033[31m")
    assert line.endswith("x\\x1b\033[0m\n")


@pytest.mark.usefixtures("in_berlin")
def test_the_offset_of_a_line_is_that_of_its_time_and_of_the_present_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    summer, winter = 1_750_000_000.0, 1_735_000_000.0
    shown = [time_of(LogFormat.FULL, at) for at in (summer, winter, summer)]
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    shown.append(time_of(LogFormat.FULL, summer))

    assert [each[-6:] for each in shown] == ["+02:00", "+01:00", "+02:00", "+05:30"]
