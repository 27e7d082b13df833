"""`JobHandle.why` on real threads: what only the engine knows of a run, and what a job says about another."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.errors import UnknownJob


def test_a_live_run_tells_what_it_reports(scheduler: WatchedScheduler) -> None:
    reported = threading.Event()

    def run(ctx: Any) -> None:
        ctx.count("frames", 1200)
        ctx.progress(3, 4, unit="files")
        reported.set()
        ctx.wait()

    job = scheduler.add_function("web", run)
    scheduler.start()
    reported.wait()

    why = job.why()

    assert why.text.startswith("web is running and ready: run web#1 began ")
    assert "It reports 3 of 4 files, frames 1,200." in why.text
    assert "A stop would ask it to end, and would wait up to 10s for it (join: 10s)" in why.text
    assert str(why) == why.text


def test_a_run_that_is_awaited_by_its_stop_tells_where_it_is(scheduler: WatchedScheduler) -> None:
    release = threading.Event()

    def run(ctx: Any) -> None:
        release.wait()

    job = scheduler.add_function("web", run)
    scheduler.start()
    scheduler.wait_for(EventName.STARTED, "web")
    job.stop("enough", timeout=0.0)

    text = job.why().text
    release.set()

    assert "run web#1 was asked to stop" in text
    assert "(enough), and has " in text
    assert "It is currently at " in text


def test_a_job_that_waits_names_the_failure_of_another(scheduler: WatchedScheduler) -> None:
    def fail(ctx: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    scheduler.add_function("db", fail, announces_ready=True)
    job = scheduler.add_function("web", lambda ctx: None, after=["db"])
    scheduler.start()
    scheduler.wait_for(EventName.SKIPPED, "web")

    text = job.why().text

    assert text.startswith("web was skipped: job 'db' ended failed, and was to be ready. db is not running: ")
    assert "ConnectionRefusedError: [Errno 111] Connection refused." in text


def test_the_answer_is_written_as_json(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("web", lambda ctx: None, manual=True)

    data = json.loads(json.dumps(job.why().as_dict(), allow_nan=False))

    assert data["job"] == "web"
    assert data["text"].endswith("`taskloom start web` starts it.")
    assert data["facts"]["state"] == "waiting"
    assert data["facts"]["last_run"] is None


def test_a_job_that_a_reload_has_removed_has_no_answer(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("web", lambda ctx: None, manual=True)
    scheduler.reload([])

    with pytest.raises(UnknownJob, match="web"):
        job.why()


def test_the_answer_survives_the_end_of_the_scheduler(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("web", lambda ctx: ctx.wait())
    scheduler.start()
    scheduler.wait_for(EventName.STARTED, "web")
    scheduler.stop()

    assert "The program has stopped all jobs (shutdown), and starts none any more." in job.why().text


def test_terminal_escapes_of_an_error_are_shown_as_text(scheduler: WatchedScheduler) -> None:
    def fail(ctx: Any) -> None:
        raise ValueError("\x1b[31mred\nsecond line")

    job = scheduler.add_function("web", fail)
    scheduler.start()
    scheduler.wait_for(EventName.ENDED, "web")

    text = job.why().text

    assert "\x1b" not in text
    assert "ValueError: \\x1b[31mred." in text
    assert "second line" not in text
