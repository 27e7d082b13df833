"""The routes that watch: the program, jobs, why, coming firings, stacks, events and log lines."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from tests.support.asked_api import (
    START,
    AskedApi,
    ListedLines,
    hold,
)
from tests.support.every_case import every_case
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.policies import Schedule

SOON = 20.0


def test_the_program_is_described(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    data = asked.get("/v1/program")

    assert data["name"] == "jobs-3f2a"
    assert (data["label"], data["pid"], data["uid"]) == ("jobs", os.getpid(), os.getuid())
    assert (data["state"], data["stop"]) == ("running", None)
    assert data["jobs"] == {"total": 3, "by_state": {"waiting": 3}, "wrong": 0}
    assert data["seq"] == scheduler.last_seq
    assert data["log"] == {"from": None, "dir": "/var/log/jobs", "problem": None}


def test_the_program_tells_how_its_stop_goes(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    may_end = threading.Event()
    scheduler.add_function("slow", hold(may_end), within=60.0).start()
    scheduler.request_stop(50.0)

    data = asked.get("/v1/program")

    may_end.set()
    assert data["state"] == "stopping"
    assert data["stop"]["reason"] == "shutdown"
    assert data["stop"]["awaited"] == ["slow"]
    assert 0 < data["stop"]["seconds_left"] <= 50.0
    scheduler.finish()
    assert asked.get("/v1/program")["state"] == "stopped"


def test_jobs_are_chosen_by_name_glob_and_label(asked: AskedApi) -> None:
    def names(query: Any = None) -> list[str]:
        return [job["job"] for job in asked.get("/v1/jobs", query)["jobs"]]

    assert names() == ["web", "worker.1", "nightly"]
    assert names({"job": "w*"}) == ["web", "worker.1"]
    assert names({"job": ["nightly", "web"]}) == ["nightly", "web"]
    assert names({"job": ["nightly", "we*"]}) == ["web", "nightly"]
    assert names({"job": "*", "label": "batch"}) == ["nightly"]
    assert names({"label": ["batch", "public"]}) == ["web", "nightly"]
    assert names({"job": "web", "label": "batch"}) == []


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ({"job": "wbe"}, (404, "unknown-job", "cannot find job 'wbe'; did you mean 'web'?")),
        ({"job": "x*"}, (404, "unknown-job", "cannot find job 'x*'")),
        ({"job": ["web", "nope"]}, (404, "unknown-job", "cannot find job 'nope'")),
        ({"job": ""}, (404, "unknown-job", "cannot find job ''")),
        ({"label": "publik"}, (404, "unknown-label", "cannot find label 'publik'; did you mean 'public'?")),
        ({"label": "pub*"}, (404, "unknown-label", "cannot find label 'pub*'; did you mean 'public'?")),
    ],
    ids=range(6),
)
def test_a_choice_that_matches_nothing_is_refused(asked: AskedApi, query: Any, refused: tuple[int, str, str]) -> None:
    assert asked.refused("GET", "/v1/jobs", query) == refused


def test_a_job_that_failed_is_wrong(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    def fail(ctx: Any) -> None:
        raise ValueError("on purpose")

    run = scheduler.add_function("bad", fail).start()
    assert run.join(SOON)

    bad = asked.get("/v1/jobs/bad")["job"]
    assert (bad["wrong"], bad["error"]) == (True, "ValueError: on purpose")
    assert asked.get("/v1/program")["jobs"]["wrong"] == 1
    assert not asked.get("/v1/jobs/web")["job"]["wrong"]


def test_why_is_a_paragraph_with_its_facts(asked: AskedApi) -> None:
    data = asked.get("/v1/jobs/web/why")

    assert data["job"] == "web"
    assert data["text"].startswith("web ")
    assert asked.refused("GET", "/v1/jobs/wbe/why")[:2] == (404, "unknown-job")


def test_coming_firings_are_listed_soonest_first(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.start()

    firings = asked.get("/v1/next", {"count": "3"})["firings"]

    assert [(each["job"], each["schedule"], each["paused"]) for each in firings] == [("nightly", "every 5m", False)] * 3
    assert [each["in"] for each in firings] == sorted(each["in"] for each in firings)
    assert asked.get("/v1/next", {"job": "web"})["firings"] == []
    assert asked.refused("GET", "/v1/next", {"job": "nope"})[:2] == (404, "unknown-job")


def test_firings_after_the_year_9999_are_left_out(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.add_function("rare", lambda ctx: None, schedule=Schedule(every=3e8, text="every 3472d"))
    scheduler.start()

    firings = asked.get("/v1/next", {"count": "1000", "job": "rare"})["firings"]

    assert 700 < len(firings) < 1000
    assert firings[-1]["at"].startswith("99")


def test_stacks_have_the_place_and_the_text(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.job("web").start()
    scheduler.wait_for(EventName.READY, "web")

    [stack] = asked.get("/v1/stacks")["stacks"]

    assert (stack["job"], stack["run"]) == ("web", "web#1")
    assert "asked_api.py" in stack["where"]
    assert "ctx.wait()" in stack["text"]
    assert asked.get("/v1/stacks", {"job": "nightly"})["stacks"] == []


def test_a_stack_whose_source_cannot_be_read_has_its_place(
    asked: AskedApi, scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source is on a disk that does not answer. The second request does not occupy another helper."""
    is_reading, may_read = threading.Semaphore(0), threading.Event()
    scheduler.job("web").start()
    scheduler.wait_for(EventName.READY, "web")

    def checkcache(filename: str | None = None) -> None:
        is_reading.release()
        may_read.wait(SOON)

    monkeypatch.setattr("linecache.checkcache", checkcache)
    first = asked.get("/v1/stacks")["stacks"]
    second = asked.get("/v1/stacks")["stacks"]
    is_first, is_second = is_reading.acquire(timeout=SOON), is_reading.acquire(blocking=False)
    may_read.set()

    assert (is_first, is_second) == (True, False)
    assert [(stack["run"], stack["text"]) for stack in first + second] == [("web#1", "")] * 2
    assert all("asked_api.py" in stack["where"] for stack in first)


def test_events_are_read_in_pages(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.start()
    scheduler.job("web").start()
    scheduler.wait_for(EventName.READY, "web")
    asked.flush_events()
    everything = asked.get("/v1/events")
    found, since = [], f"{START}.0"
    while True:
        page = asked.get("/v1/events", {"since": since, "count": "2"})
        if not page["events"]:
            break
        found += page["events"]
        since = f"{START}.{page['seq']}"

    assert found == everything["events"]
    assert [event["seq"] for event in found] == list(range(1, everything["seq"] + 1))
    assert not everything["gap"]
    assert [event["event"] for event in asked.get("/v1/events", {"event": ["ready", "queued"]})["events"]] == [
        "queued",
        "ready",
    ]
    assert {event["job"] for event in asked.get("/v1/events", {"job": "night*"})["events"]} == {"nightly"}
    assert [event["seq"] for event in asked.get("/v1/events", {"count": "1"})["events"]] == [everything["seq"]]
    assert asked.get("/v1/events", {"count": "0"})["events"] == []


def test_a_page_after_a_restart_has_a_gap(asked: AskedApi) -> None:
    asked.flush_events()

    page = asked.get("/v1/events", {"since": "ffffffff.3"})

    assert page["gap"]
    assert [event["seq"] for event in page["events"]] == [1, 2, 3]


@every_case(
    "since",
    ["", "yesterday", "7", f"{START}.", f"{START}.-1", ".1", f"{START}.1.2", f"{START}.\u0661", f"{START}.4000", "x.y",
     "2026-13-01T00:00:00Z", f"{START}." + "9" * 400],
    ids=range(12),
)  # fmt: skip
@every_case("path", ["/v1/events", "/v1/logs"])
def test_a_place_that_does_not_exist_is_refused(asked: AskedApi, path: str, since: str) -> None:
    assert asked.refused("GET", path, {"since": since})[:2] == (400, "invalid-query")


def test_an_unknown_event_or_job_of_events_is_refused(asked: AskedApi) -> None:
    assert asked.refused("GET", "/v1/events", {"event": "strted"})[2].endswith("did you mean 'started'?")
    assert asked.refused("GET", "/v1/events", {"job": "wbe"})[:2] == (404, "unknown-job")
    assert asked.get("/v1/events", {"job": "later*"})["events"] == []


def test_log_lines_are_chosen(asked: AskedApi, lines: ListedLines) -> None:
    for at, (text, job, level) in enumerate(
        [
            ("Begin", "web", "info"),
            ("a disk is full", "worker.1", "error"),
            ("END", "web", "warning"),
            ("x", "web", "debug"),
        ]
    ):
        lines.add(text, job, level, at=1000.0 + at)

    def texts(**query: Any) -> list[str]:
        return [line["text"] for line in asked.get("/v1/logs", query)["lines"]]

    assert texts() == ["Begin", "a disk is full", "END", "x"]
    assert texts(lines="2") == ["END", "x"]
    assert texts(lines="0") == []
    assert texts(job="web") == ["Begin", "END", "x"]
    assert texts(level="warning") == ["a disk is full", "END"]
    assert texts(grep="begin") == ["Begin"]
    assert texts(grep="BEGIN") == []
    assert texts(grep="(") == []
    assert texts(since=f"{START}.2") == ["END", "x"]
    assert texts(since="1970-01-01T00:16:41Z") == ["a disk is full", "END", "x"]
    assert asked.get("/v1/logs")["from"] == "1970-01-01T00:16:40.000000Z"


def test_a_program_without_log_lines_says_so(scheduler: WatchedScheduler) -> None:
    asked = AskedApi(scheduler)

    assert asked.refused("GET", "/v1/logs") == (
        409, "no-logs", "cannot show log lines: this program keeps none"
    )  # fmt: skip
    assert asked.get("/v1/program")["log"] == {"from": None, "dir": None, "problem": None}
