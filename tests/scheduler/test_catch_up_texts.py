"""The words for a schedule that catches up: log lines, debug lines about waits, and the answers of `why`."""

from __future__ import annotations

import pytest
from tests.support.fake_calendar import FakeCalendar
from tests.support.remembering_program import RememberingProgram, events_of
from tests.support.why_scenes import why

from taskloom.core.events import EventName
from taskloom.core.policies import Missed, Schedule
from taskloom.core.report import make_job_report
from taskloom.core.waits import Wait
from taskloom.core.why import gather
from taskloom.observe.event_text import describe
from taskloom.observe.wait_text import WaitDescriber
from taskloom.testing import make_job

pytestmark = pytest.mark.usefixtures("in_utc")

HOUR = 3600.0
HOURLY = Schedule(calendar=FakeCalendar(0.0, HOUR), text="hourly", missed=Missed.CATCH_UP)


def restarted_program(*, down: float = HOUR) -> RememberingProgram:
    """Return a program that was down for so long, from half past midnight on."""
    host = RememberingProgram(make_job("a", schedule=HOURLY), wall=HOUR / 2)
    host.restart_after(down)
    return host


def lines(host: RememberingProgram, name: EventName) -> list[tuple[str, str]]:
    found = [describe(event) for event in events_of(host.stage, name)]
    return [(line.level, line.message) for line in found if line is not None]


def test_the_log_says_what_is_made_up_for_and_what_is_missed() -> None:
    host = restarted_program(down=2 * HOUR)

    host.stage.recorded("a")

    assert lines(host, EventName.QUEUED) == [("INFO", "makes up for its firing at 02:00:00, when the program was down")]
    assert lines(host, EventName.MISSED) == [("WARNING", "missed the firing at 01:00:00: the program was down")]


def test_the_log_warns_of_a_run_that_is_not_recorded() -> None:
    host = restarted_program()

    host.stage.recorded("a", is_recorded=False)

    assert lines(host, EventName.QUEUED) == [
        (
            "WARNING",
            "starts, although the history could not record its firing at 01:00:00; after a crash it may run again",
        )
    ]


def test_the_log_does_not_mention_a_firing_in_time() -> None:
    host = RememberingProgram(make_job("a", schedule=HOURLY), wall=HOUR / 2)
    host.advance(HOUR)

    assert lines(host, EventName.QUEUED) == []


def test_why_says_that_the_firing_is_being_recorded() -> None:
    host = restarted_program()

    assert why(host.stage, "a").startswith("a waits until its firing is recorded, a second at most, and starts then.")


def test_why_says_what_a_run_makes_up_for_and_that_it_is_not_recorded() -> None:
    host = restarted_program()
    host.stage.recorded("a", is_recorded=False)
    host.stage.started("a#1")

    text = why(host.stage, "a")

    assert "It makes up for its firing at 01:00:00, when the program was down." in text
    assert "The history could not record its firing at 01:00:00, so after a crash it may run again." in text
    run = gather(host.stage.lifecycle, "a", host.stage.clock.now()).as_dict()["last_run"]
    assert [run["instant"][11:19], run["made_up"], run["unrecorded"]] == ["01:00:00", True, True]


def test_why_says_since_when_a_pause_of_an_earlier_start_holds() -> None:
    host = RememberingProgram(make_job("a", schedule=HOURLY), wall=HOUR / 2)
    host.stage.pause("a", "pause, by alice")

    host.restart_after(HOUR)

    assert "was paused 1h ago, at 00:30:00, by alice" in why(host.stage, "a")
    report = make_job_report(host.stage.lifecycle, host.stage.lifecycle.jobs["a"], host.stage.clock.now()).as_dict()
    assert report["paused_since"] == "1970-01-01T00:30:00.000000Z"


def test_the_debug_log_says_that_a_job_waits_for_its_record() -> None:
    host = RememberingProgram(make_job("a", schedule=HOURLY), wall=HOUR / 2)
    host.stage.lifecycle.enable_waits()
    found = [action for action in host.stage.advance(HOUR / 2) if isinstance(action, Wait)]
    told = WaitDescriber()

    assert [line.message for wait in found for line in told.describe(wait)][:1] == [
        "waiting until the history has recorded its firing"
    ]
