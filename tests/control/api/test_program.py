"""The routes that reload and stop the program, and the time limit of each request."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.asked_api import (
    AskedApi,
    hold,
    outcome_of,
    request_of,
)
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.api import LOGGER
from taskloom.control.exchange import Caller, Deferred
from taskloom.control.program_info import CallerNames, ReloadOutcome
from taskloom.core.changes import Change, ReloadAction
from taskloom.core.model import Reason
from taskloom.diagnostics import Place, Problem

SOON = 20.0


class Reloads:
    """Keeps the requests for a reload; the test ends them."""

    def __init__(self) -> None:
        self.previews: list[bool] = []
        self.done: list[Any] = []

    def __call__(self, *, is_preview: bool, done: Any) -> None:
        self.previews.append(is_preview)
        self.done.append(done)


def test_the_reply_to_a_reload_comes_with_its_outcome(scheduler: WatchedScheduler) -> None:
    reloads = Reloads()
    asked = AskedApi(scheduler, reload=reloads)
    request = request_of("POST", "/v1/reload", body={"preview": True})
    deferred = asked.api.answer(request)
    assert isinstance(deferred, Deferred)
    assert deferred.reply is None
    warning = Problem(Place("jobs.yaml", 3, 5), "never fires again", "", "warning", "web", "  web:")

    reloads.done[0](ReloadOutcome([Change("web", ReloadAction.APPLY, ("join",))], "1 changed", [warning], text="w"))

    reply = outcome_of(deferred, request)
    assert reloads.previews == [True]
    assert reply.status == 200
    assert reply.body["changes"] == [{"job": "web", "action": "apply now", "fields": ["join"]}]
    assert reply.body["warnings"][0]["place"] == "jobs.yaml:3:5"


def test_job_files_with_errors_are_an_outcome_with_their_problems(scheduler: WatchedScheduler) -> None:
    reloads = Reloads()
    asked = AskedApi(scheduler, reload=reloads)
    request = request_of("POST", "/v1/reload")
    deferred = asked.api.answer(request)
    problem = Problem(Place("jobs.yaml", 3, 5), "cannot use 'soon' as join", "write 10s")

    reloads.done[0](ReloadOutcome(error="cannot use the job files", code="invalid-files", problems=[problem], text="t"))

    reply = outcome_of(deferred, request)
    assert (reply.status, reply.body["error"]["code"]) == (422, "invalid-files")
    assert (reply.body["problems"][0]["hint"], reply.body["text"]) == ("write 10s", "t")


def test_another_failure_of_a_reload_is_a_refusal(scheduler: WatchedScheduler) -> None:
    reloads = Reloads()
    asked = AskedApi(scheduler, reload=reloads)
    request = request_of("POST", "/v1/reload")
    deferred = asked.api.answer(request)

    reloads.done[0](ReloadOutcome(error="the program is stopping", code="scheduler-stopped"))

    assert outcome_of(deferred, request).status == 409


def test_a_reload_is_refused_while_stopping_and_without_job_files(scheduler: WatchedScheduler) -> None:
    reloads = Reloads()
    assert AskedApi(scheduler).refused("POST", "/v1/reload")[:2] == (409, "no-job-files")

    scheduler.request_stop()

    assert AskedApi(scheduler, reload=reloads).refused("POST", "/v1/reload")[:2] == (409, "scheduler-stopped")
    assert reloads.previews == []


# -- the stop


def test_a_shutdown_stops_the_scheduler_and_may_be_requested_again(
    asked: AskedApi, scheduler: WatchedScheduler
) -> None:
    may_end = threading.Event()
    scheduler.add_function("slow", hold(may_end), within=60.0).start()
    first = asked.post("/v1/shutdown", {"text": "maintenance"}, status=202)

    again = asked.post("/v1/shutdown", {"within": 5}, status=202)

    left = asked.get("/v1/program")["stop"]["seconds_left"]
    may_end.set()
    who = CallerNames().describe(Caller(0, 4242))
    assert first["reason"] == again["reason"] == f"shutdown: requested by {who}: maintenance"
    assert left <= 5
    assert scheduler.wait_stopped(SOON)
    report = scheduler.stop()
    assert report.reason.text == f"requested by {who}: maintenance"
    assert asked.post("/v1/shutdown", status=202)["reason"] == first["reason"]


def test_a_client_that_has_gone_is_not_remembered(asked: AskedApi) -> None:
    for _ in range(3):
        gone = asked.answer("GET", "/v1/stop", {"wait": "true"})
        is_gone = weakref.ref(gone)
        del gone

        assert is_gone() is None
    assert len(asked.api._state.waiting_for_report) == 1


def test_a_program_stops_in_its_own_way(scheduler: WatchedScheduler) -> None:
    requests: list[tuple[float | None, Reason]] = []
    asked = AskedApi(scheduler, shutdown=lambda within, reason: requests.append((within, reason)))

    asked.post("/v1/shutdown", {"within": 2.5}, status=202)
    asked.post("/v1/shutdown", status=202)

    assert [within for within, _ in requests] == [2.5, None]
    assert str(requests[0][1]).startswith("shutdown: requested by ")
    assert scheduler.stop_reason is None


def test_the_report_of_a_program_comes_to_all_who_wait_and_to_those_who_come_later(scheduler: WatchedScheduler) -> None:
    asked = AskedApi(scheduler, shutdown=lambda within, reason: scheduler.request_stop(reason=reason))
    assert asked.refused("GET", "/v1/stop")[:2] == (409, "not-stopping")
    early = asked.answer("GET", "/v1/stop", {"wait": "true"})
    asked.post("/v1/shutdown", status=202)
    late = asked.answer("GET", "/v1/stop")
    report = {**scheduler.finish().as_dict(), "threads_left": [], "processes_left": []}
    asked.flush_events()
    assert isinstance(early, Deferred)
    assert early.reply is None

    asked.api.finish(report)
    asked.api.finish({})

    request = request_of("GET", "/v1/stop")
    assert outcome_of(early, request).body == outcome_of(late, request).body == report
    assert asked.get("/v1/stop") == report


# -- time limits and errors of our own


@contextmanager
def occupied(scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Occupy the scheduler's thread within the block; requests wait only for a moment."""
    monkeypatch.setattr("taskloom.control.api.ANSWER_SECONDS", 0.05)
    is_held, may_go_on = threading.Event(), threading.Event()

    def occupy(_: object) -> None:
        is_held.set()
        may_go_on.wait(SOON)

    holder = threading.Thread(target=lambda: scheduler._engine.query(None, occupy))
    holder.start()
    assert is_held.wait(SOON)
    try:
        yield
    finally:
        may_go_on.set()
        holder.join()


def test_a_stop_may_be_requested_of_a_busy_scheduler(
    asked: AskedApi, scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with occupied(scheduler, monkeypatch):
        assert asked.post("/v1/shutdown", status=202)["reason"].startswith("shutdown: requested by ")

    assert scheduler.wait_stopped(SOON)


def test_a_stop_does_not_wait_until_a_busy_scheduler_answers(
    asked: AskedApi, scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with occupied(scheduler, monkeypatch):
        monkeypatch.setattr("taskloom.control.api.ANSWER_SECONDS", 1e6)  # it would hang
        monkeypatch.setattr("taskloom.control.program_routes._REASON_SECONDS", 0.01)
        asked.post("/v1/shutdown", {"within": 5}, status=202)

    assert scheduler.wait_stopped(SOON)


def test_a_scheduler_that_does_not_answer_in_time_is_busy(
    asked: AskedApi, scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with occupied(scheduler, monkeypatch):
        refused = asked.refused("POST", "/v1/jobs/web/start")

    assert refused[:2] == (503, "busy")
    assert refused[2].endswith("nothing was changed")
    assert asked.get("/v1/jobs/web")["job"]["runs"] == 0


def test_an_error_of_ours_is_logged_and_the_next_request_is_answered(
    asked: AskedApi, scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "snapshot", fail)
        assert asked.refused("GET", "/v1/jobs")[:2] == (500, "internal-error")

    assert asked.api.flush_log(SOON)
    [record] = caplog.records
    assert record.name == LOGGER
    assert "a bug" in caplog.text
    assert asked.get("/v1/jobs")


def test_a_caller_is_named_only_by_the_file_of_accounts(tmp_path: Any) -> None:
    accounts = tmp_path / "passwd"
    accounts.write_bytes(
        b"\xff:x:1\nbad line\nroot:x:0:0::/:\nevil\x1b[2J:x:%d:0::/:\nalice:x:%d:0::/:\nbob:x:4000000:0::/:\n"
        % (os.getuid(), os.getuid())
    )
    names = CallerNames(str(accounts))

    assert names.describe(Caller(os.getuid(), 4)) == (
        "root (uid 0, pid 4)" if os.getuid() == 0 else f"alice (uid {os.getuid()}, pid 4)"
    )
    assert names.describe(Caller(4000000, 4)) == "uid 4000000, pid 4"
    assert CallerNames(str(tmp_path / "missing")).describe(Caller(0, 4)) == "uid 0, pid 4"
