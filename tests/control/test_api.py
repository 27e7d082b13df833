"""The routes of the API: what they return, what they do, and what they refuse. Each reply fits its schema."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.asked_api import START, AskedApi, ListedLines, events_of, outcome_of, request_of
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.api import LOGGER
from taskloom.control.exchange import Caller, Deferred, Reply
from taskloom.control.program_info import CallerNames, ReloadOutcome
from taskloom.control.routes import ROUTES
from taskloom.core.changes import Change, ReloadAction
from taskloom.core.events import EventName
from taskloom.core.model import Reason
from taskloom.core.policies import Schedule
from taskloom.diagnostics import Place, Problem

SOON = 20.0


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    watched = WatchedScheduler(log=False)
    yield watched
    watched.finish()


def with_jobs(scheduler: WatchedScheduler, **options: Any) -> AskedApi:
    """Return the API of the scheduler, which gets three jobs."""
    asked = AskedApi(scheduler, **options)
    scheduler.add_function("web", until_stopped, manual=True, labels=("public",))
    scheduler.add_function("worker.1", until_stopped, manual=True)
    scheduler.add_function(
        "nightly", lambda ctx: None, schedule=Schedule(every=300.0, text="every 5m"), labels=("batch",)
    )
    return asked


def until_stopped(ctx: Any) -> None:
    """Wait until a stop is requested."""
    ctx.wait()


def hold(may_end: threading.Event) -> Callable[[Any], None]:
    """Return the body of a run that ends only when the test says so."""

    def run(_: Any) -> None:
        may_end.wait(SOON)

    return run


@pytest.fixture
def lines() -> ListedLines:
    return ListedLines()


@pytest.fixture
def asked(scheduler: WatchedScheduler, lines: ListedLines) -> AskedApi:
    return with_jobs(scheduler, logs=lines)


# -- finding a route


def test_the_list_of_routes_is_the_table(asked: AskedApi) -> None:
    data = asked.get("/v1")

    assert data["api"] == 1
    assert data["start"] == START
    assert data["routes"] == [f"{route.method} {route.path}" for route in ROUTES]


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "v1", "/v2", "/V1", "/v1/", "//v1", "/v1//jobs", "/v1/jobs/", "/v1/Jobs", "/v1/jobs/web/",
        "/v1/./jobs",
        "/v1/jobs/../program", "/v1/jobs/a/b/start", "/v1/jobs//start", "/v1/jobs/web/signal", "/v1/jobs/web/__class__",
        "/v1/jobs/web/start ", "/v1/jobs\n", "/v1/jobs/web/why\x00", "/v1/openapi", "/v1/jobs?job=web", "/v1/é",
        "/v1/" + "x" * 5000, "*",
    ],
    ids=range(25),
)  # fmt: skip
def test_a_path_that_is_not_in_the_table_is_unknown(asked: AskedApi, path: str) -> None:
    for method in ("GET", "POST", "HEAD", "get", "OPTIONS", "CONNECT", "__init__"):
        assert asked.refused(method, path)[:2] == (404, "unknown-route")


def test_an_unknown_path_gets_the_nearest_one(asked: AskedApi) -> None:
    assert asked.refused("GET", "/v1/job") == (
        404,
        "unknown-route",
        "cannot find route '/v1/job'; GET /v1 lists all; did you mean '/v1/jobs'?",
    )


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has(asked: AskedApi, path: str) -> None:
    legal = {route.method for route in ROUTES if route.path == path}
    legal |= {"HEAD"} if "GET" in legal else set()
    all_methods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "BREW", ""}

    for method in all_methods - legal:
        reply = asked.answer(method, path.replace("{job}", "web"))

        assert isinstance(reply, Reply)
        assert (reply.status, reply.body["error"]["code"]) == (405, "method-not-allowed")
        assert reply.headers["allow"].split(", ") == sorted(legal)


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES if route.method == "GET"}))
def test_head_gets_the_status_of_get_and_holds_nothing_open(asked: AskedApi, path: str) -> None:
    query = {"follow": "true"} if path in ("/v1/events", "/v1/logs") else {"wait": "true"} if "stop" in path else {}

    reply = asked.answer("HEAD", path.replace("{job}", "web"), query)

    assert isinstance(reply, Reply)
    assert reply.status == 200
    assert asked.answer("HEAD", "/v1/jobs/nope") == asked.answer("GET", "/v1/jobs/nope")


# -- the form of a request


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES if route.method == "GET"}))
def test_a_body_on_get_is_refused(asked: AskedApi, path: str) -> None:
    assert asked.refused("GET", path.replace("{job}", "web"), body={})[:2] == (400, "unexpected-body")


@pytest.mark.parametrize(
    "kind",
    ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_a_body_is_json_in_utf_8(asked: AskedApi, kind: str) -> None:
    reply = asked.answer("POST", "/v1/jobs/web/start", body={}, headers={"content-type": kind})

    assert isinstance(reply, Reply)
    assert reply.status == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "",
        "application/json; charset=latin-1", "application/json; boundary=x", "application/json, text/plain", "json",
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"{}"], ids=["empty", "object"])
def test_another_content_type_is_refused(asked: AskedApi, kind: str, body: bytes) -> None:
    refused = asked.refused("POST", "/v1/jobs/web/start", body=body, headers={"content-type": kind})

    assert refused[:2] == (415, "unsupported-media-type")
    assert asked.get("/v1/jobs/web")["job"]["runs"] == 0


def test_a_body_without_a_content_type_is_refused_and_no_body_needs_none(asked: AskedApi) -> None:
    assert asked.refused("POST", "/v1/jobs/web/start", body=b"{}") == (
        415,
        "unsupported-media-type",
        "cannot use content-type none; expected application/json",
    )
    reply = asked.answer("POST", "/v1/jobs/web/start")
    assert isinstance(reply, Reply)
    assert reply.status == 200


# -- watching


def test_the_program_is_described(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    data = asked.get("/v1/program")

    assert data["name"] == "jobs-3f2a"
    assert (data["label"], data["pid"], data["uid"]) == ("jobs", os.getpid(), os.getuid())
    assert (data["state"], data["stop"]) == ("running", None)
    assert data["jobs"] == {"total": 3, "by_state": {"waiting": 3}, "wrong": 0}
    assert data["seq"] == scheduler.last_seq
    assert data["log"] == {"from": None, "dir": "/var/log/jobs"}


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
    assert names({"job": ["nightly", "web"]}) == ["web", "nightly"]
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


def test_stacks_have_the_place_and_the_text(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.job("web").start()
    scheduler.wait_for(EventName.READY, "web")

    [stack] = asked.get("/v1/stacks")["stacks"]

    assert (stack["job"], stack["run"]) == ("web", "web#1")
    assert "test_api.py" in stack["where"]
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
    may_read.set()

    assert is_reading.acquire(timeout=SOON)
    assert [(stack["run"], stack["text"]) for stack in first + second] == [("web#1", "")] * 2
    assert all("test_api.py" in stack["where"] for stack in first)


def test_events_are_read_in_pages(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    scheduler.start()
    scheduler.job("web").start()
    scheduler.wait_for(EventName.READY, "web")
    asked.settle()
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
    asked.settle()

    page = asked.get("/v1/events", {"since": "ffffffff.3"})

    assert page["gap"]
    assert [event["seq"] for event in page["events"]] == [1, 2, 3]


@pytest.mark.parametrize(
    "since",
    ["", "yesterday", "7", f"{START}.", f"{START}.-1", ".1", f"{START}.1.2", f"{START}.\u0661", f"{START}.4000", "x.y",
     "2026-13-01T00:00:00Z", f"{START}." + "9" * 400],
    ids=range(12),
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/events", "/v1/logs"])
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
    assert asked.get("/v1/program")["log"] == {"from": None, "dir": None}


# -- acting


def test_an_action_returns_the_last_event_before_it(asked: AskedApi, scheduler: WatchedScheduler) -> None:
    before = scheduler.last_seq

    data = asked.post("/v1/jobs/web/start")

    assert (data["seq"], data["run"], data["job"]["state"]) == (before, "web#1", "running")
    stream = asked.follow("/v1/events", {"since": f"{START}.{before}"})
    scheduler.wait_for(EventName.READY, "web")
    asked.settle()
    assert [event.event for event in events_of(stream)] == ["queued", "started", "ready"]


def test_a_stop_says_in_all_views_who_requested_it(
    asked: AskedApi, scheduler: WatchedScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    asked.post("/v1/jobs/web/start")

    asked.post("/v1/jobs/web/stop", {"text": "disk\nfull"})

    scheduler.wait_for(EventName.ENDED, "web")
    asked.settle()
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
        raise ValueError("no such password: hunter2")

    assert scheduler.add_function("bad", fail).start().join(SOON)
    asked.post("/v1/jobs/web/start")
    scheduler.wait_for(EventName.READY, "web")
    asked.post("/v1/jobs/web/stop", {"text": "hunter2"})
    asked.settle()
    stream = asked.follow("/v1/events", {"count": "100"})

    seen = [asked.get(path) for path in ("/v1/jobs", "/v1/events", "/v1/jobs/bad/why", "/v1/program")]
    text = str(seen) + str(events_of(stream))

    assert "hunter2" not in text
    assert text.count("no such password: **********") >= 3


# -- the reload


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


def test_a_program_stops_in_its_own_way(scheduler: WatchedScheduler) -> None:
    requests: list[tuple[float | None, Reason]] = []
    asked = AskedApi(scheduler, shutdown=lambda within, reason: requests.append((within, reason)))

    asked.post("/v1/shutdown", {"within": 2.5}, status=202)
    asked.post("/v1/shutdown", status=202)

    assert [within for within, _ in requests] == [2.5, None]
    assert str(requests[0][1]).startswith("shutdown: requested by ")
    assert scheduler.stop_reason is None


def test_the_report_comes_to_all_who_wait_and_to_those_who_come_later(
    asked: AskedApi, scheduler: WatchedScheduler
) -> None:
    assert asked.refused("GET", "/v1/stop")[:2] == (409, "not-stopping")
    early = asked.answer("GET", "/v1/stop", {"wait": "true"})
    asked.post("/v1/shutdown", status=202)
    late = asked.answer("GET", "/v1/stop")
    assert isinstance(early, Deferred)
    assert early.reply is None
    report = scheduler.finish().as_dict()

    asked.api.finish(report)
    asked.api.finish({})

    request = request_of("GET", "/v1/stop")
    assert outcome_of(early, request).body == outcome_of(late, request).body == report
    assert asked.get("/v1/stop") == report


# -- time limits and errors of our own


def test_a_scheduler_that_does_not_answer_in_time_is_busy(
    asked: AskedApi, scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.control.api.ANSWER_SECONDS", 0.05)
    is_held, may_go_on = threading.Event(), threading.Event()

    def occupy(_: object) -> None:
        is_held.set()
        may_go_on.wait(SOON)

    holder = threading.Thread(target=lambda: scheduler._engine.query(None, occupy))
    holder.start()
    assert is_held.wait(SOON)

    refused = asked.refused("POST", "/v1/jobs/web/start")

    may_go_on.set()
    holder.join()
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
