"""The last runs: those in memory, and on request those of the history."""

from __future__ import annotations

from time import time
from typing import Any

import pytest
from tests.support.action_records import HeldRecord
from tests.support.asked_api import START, AskedApi, until_stopped, with_jobs
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control import run_routes
from taskloom.control.action_record import HistoryStatus, RecordedRuns
from taskloom.control.run_ring import PastRun
from taskloom.core.events import EventName
from taskloom.core.run_reports import Whereabouts

SINCE = "2020-01-01T00:00:00Z"
OLD = PastRun("web", "web#1", 1, 1_600_000_000.0, None, 1_600_000_001.0, 1_600_000_002.0, "lost", 1.0, start="eeee")


@pytest.fixture
def record() -> HeldRecord:
    return HeldRecord()


@pytest.fixture
def asked(scheduler: WatchedScheduler, record: HeldRecord) -> AskedApi:
    """Return an API whose job has one run that has ended."""
    found = with_jobs(scheduler, history=record)
    scheduler.job("nightly").start()
    scheduler.wait_for(EventName.ENDED, "nightly")
    found.flush_events()
    return found


def runs_of(reply: Any) -> list[tuple[str, str, str]]:
    return [(run["start"], run["run"], run["outcome"]) for run in reply["runs"]]


def test_only_those_in_memory_are_given_unless_the_history_is_asked_for(asked: AskedApi, record: HeldRecord) -> None:
    record.recorded = RecordedRuns([OLD], True)

    reply = asked.get("/v1/runs")

    assert (runs_of(reply), reply["history"], record.asked) == ([(START, "nightly#1", "succeeded")], None, [])


def test_runs_of_earlier_starts_come_first_and_none_comes_twice(asked: AskedApi, record: HeldRecord) -> None:
    [own] = asked.get("/v1/runs")["runs"]
    again = OLD._replace(job="nightly", run="nightly#1", queued=1_600_000_500.0, start=START)
    alive = OLD._replace(run="web#2", ended=None, outcome=None)
    forgotten = OLD._replace(run="web#9", queued=1_600_000_700.0, start=START)
    record.recorded = RecordedRuns([OLD, alive, again, forgotten], True)

    reply = asked.get("/v1/runs", {"history": "true", "since": SINCE})

    assert runs_of(reply) == [("eeee", "web#1", "lost"), (START, "web#9", "lost"), (START, "nightly#1", "succeeded")]
    assert reply["runs"][-1] == own
    assert (reply["history"], reply["from"]) == ("read", "2020-01-01T00:00:00.000000Z")


def test_a_run_elsewhere_has_its_place(asked: AskedApi, record: HeldRecord) -> None:
    record.recorded = RecordedRuns([OLD._replace(whereabouts=Whereabouts("node3", "w1", 7))], True)

    there, here = asked.get("/v1/runs", {"history": "true"})["runs"]

    assert there["whereabouts"] == {"host": "node3", "worker": "w1", "pid": 7}
    assert here["whereabouts"] is None


def test_a_part_of_the_history_is_complete_from_its_oldest_run_on(asked: AskedApi, record: HeldRecord) -> None:
    record.recorded = RecordedRuns([OLD], False)

    reply = asked.get("/v1/runs", {"history": "true", "since": SINCE})

    assert reply["from"] == "2020-09-13T12:26:40.000000Z"


def test_a_count_keeps_the_latest_runs_and_says_from_when_on(asked: AskedApi, record: HeldRecord) -> None:
    record.recorded = RecordedRuns([OLD, OLD._replace(run="web#2", queued=1_600_000_100.0)], True)

    reply = asked.get("/v1/runs", {"history": "true", "since": SINCE, "count": "2"})

    assert [run["run"] for run in reply["runs"]] == ["web#2", "nightly#1"]
    assert reply["from"] == reply["runs"][0]["queued"]


def test_a_count_that_the_memory_exceeds_says_from_when_on_its_runs_are_whole(
    asked: AskedApi, scheduler: WatchedScheduler
) -> None:
    scheduler.job("nightly").start()
    scheduler.wait_for(EventName.ENDED, "nightly")
    asked.flush_events()

    reply = asked.get("/v1/runs", {"count": "1"})

    assert [run["run"] for run in reply["runs"]] == ["nightly#2"]
    assert reply["from"] == reply["runs"][0]["ended"]


def test_a_count_keeps_the_runs_that_execute(asked: AskedApi, scheduler: WatchedScheduler, record: HeldRecord) -> None:
    scheduler.add_function("service", until_stopped)
    scheduler.job("service").start()
    scheduler.wait_for(EventName.STARTED, "service")
    asked.flush_events()
    later = OLD._replace(run="web#2", queued=time() + 3600.0, ended=time() + 3601.0)
    record.recorded = RecordedRuns([OLD, later], True)

    reply = asked.get("/v1/runs", {"history": "true", "count": "2"})
    scheduler.finish()

    assert [run["run"] for run in reply["runs"]] == ["service#1", "web#2"]


def test_a_part_of_the_history_does_not_hide_how_far_the_memory_reaches(asked: AskedApi, record: HeldRecord) -> None:
    record.recorded = RecordedRuns([OLD._replace(queued=time() + 3600.0)], False)
    own = asked.get("/v1/runs")["from"]

    assert asked.get("/v1/runs", {"history": "true"})["from"] == own


def test_only_runs_of_the_jobs_that_are_asked_for(asked: AskedApi, record: HeldRecord) -> None:
    record.recorded = RecordedRuns([OLD], True)

    reply = asked.get("/v1/runs", {"history": "true", "job": "nightly"})

    assert runs_of(reply) == [(START, "nightly#1", "succeeded")]


@pytest.mark.parametrize(("state", "expected"), [("off", "off"), ("on", "unread"), ("degraded", "unread")])
def test_without_a_history_those_in_memory_are_given_and_it_is_said_why(
    asked: AskedApi, record: HeldRecord, state: Any, expected: str
) -> None:
    record.found, record.recorded = HistoryStatus(state), None

    reply = asked.get("/v1/runs", {"history": "true"})

    assert (runs_of(reply), reply["history"]) == ([(START, "nightly#1", "succeeded")], expected)


def test_a_history_that_does_not_answer_is_not_awaited(
    scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_routes, "HISTORY_SECONDS", 0.0)
    asked = with_jobs(scheduler, history=HeldRecord(is_held=True))

    assert asked.get("/v1/runs", {"history": "true"})["history"] == "unread"
