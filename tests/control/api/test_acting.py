"""The routes that act on a job: what they do, what they tell, and who has requested it."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from tests.support.asked_api import (
    START,
    AskedApi,
    events_of,
    hold,
    with_jobs,
)
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.api import LOGGER
from taskloom.control.exchange import Caller
from taskloom.control.program_info import CallerNames
from taskloom.core.events import EventName

SOON = 20.0


def test_an_action_returns_the_last_event_before_it(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    before = scheduler.last_seq

    data = asked.post("/v1/jobs/web/start")

    assert (data["seq"], data["run"], data["job"]["state"]) == (before, "web#1", "running")
    stream = asked.open_stream("/v1/events", {"since": f"{START}.{before}"})
    scheduler.wait_for(EventName.READY, "web")
    asked.flush_events()
    assert [event.event for event in events_of(stream)] == ["queued", "started", "ready"]


def test_a_stop_says_in_all_views_who_requested_it(
    asked: AskedApi, scheduler: WatchedScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    asked.post("/v1/jobs/web/start")

    asked.post("/v1/jobs/web/stop", {"text": "disk\nfull"})

    scheduler.wait_for(EventName.ENDED, "web")
    asked.flush_events()
    assert asked.api.flush_log(SOON)
    reason = scheduler.wait_for(EventName.CANCEL_REQUESTED, "web").reason
    assert reason is not None
    who = CallerNames().describe(Caller(0, 4242))
    assert reason.text == f"stop, by {who}: disk\\nfull"
    assert who in asked.get("/v1/jobs/web")["job"]["held"]
    assert who in str(asked.get("/v1/events", {"event": "cancel_requested"})["events"])
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        (LOGGER, "INFO", f"start web: requested by {who}"),
        (LOGGER, "INFO", f"stop web: requested by {who}: disk\\nfull"),
    ]


def test_a_stop_does_not_wait_for_the_run(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    may_end = threading.Event()
    scheduler.add_function("slow", hold(may_end), within=60.0).start()

    data = asked.post("/v1/jobs/slow/stop")

    may_end.set()
    assert data["job"]["state"] == "stopping"


def test_pause_resume_restart_and_reset(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.start()

    assert asked.post("/v1/jobs/nightly/pause")["job"]["paused"]
    assert asked.get("/v1/next")["firings"][0]["paused"]
    assert not asked.post("/v1/jobs/nightly/resume")["job"]["paused"]
    assert asked.post("/v1/jobs/web/restart")["run"] == "web#1"
    assert asked.post("/v1/jobs/web/reset")["job"]["state"] == "running"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/jobs/web/start", "already-running"),
        ("/v1/jobs/web/pause", "not-scheduled"),
        ("/v1/jobs/off/start", "job-disabled"),
        ("/v1/jobs/after/start", "dependency-unmet"),
    ],
)
def test_a_refused_action_changes_nothing(
    asked: AskedApi, scheduler: WatchedScheduler, caplog: pytest.LogCaptureFixture, path: str, code: str
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    scheduler.job("web").start()
    scheduler.wait_for(EventName.READY, "web")
    scheduler.add_function("off", lambda ctx: None, enabled=False)
    scheduler.add_function("after", lambda ctx: None, after=["off"])
    before = scheduler.last_seq

    status, found, _ = asked.refused("POST", path)

    assert (status, found) == (409, code)
    assert scheduler.last_seq == before
    assert asked.api.flush_log(SOON)
    assert not caplog.records


def test_an_unmet_dependency_may_be_ignored(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.add_function("after", lambda ctx: None, after=["web"])

    assert asked.post("/v1/jobs/after/start", {"now": True})["run"] == "after#1"


def test_secrets_are_masked(scheduler: WatchedScheduler) -> None:
    asked = with_jobs(scheduler, mask=lambda text: text.replace("hunter2", "**********"))

    def fail(ctx: Any) -> None:
        ctx.count("tries of hunter2")
        raise ValueError("no such password: hunter2")

    assert scheduler.add_function("bad", fail).start().join(SOON)
    asked.post("/v1/jobs/web/start")
    scheduler.wait_for(EventName.READY, "web")
    asked.post("/v1/jobs/web/stop", {"text": "hunter2"})
    asked.flush_events()
    stream = asked.open_stream("/v1/events", {"count": "100"})

    seen = [asked.get(path) for path in ("/v1/jobs", "/v1/events", "/v1/jobs/bad/why", "/v1/program")]
    scheduler.stop()
    assert scheduler.stop_report is not None
    status = scheduler.job("bad").status().as_dict()
    asked.api.finish(scheduler.stop_report.as_dict() | {"jobs": [status]})
    seen.append(asked.get("/v1/stop"))
    text = str(seen) + str(events_of(stream))

    assert "hunter2" not in text
    assert text.count("no such password: **********") >= 3
