"""The routes for monitoring, with a real scheduler; and what clients get that nothing is known of."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.support.asked_api import AskedApi, awaited, hold, request_of, until_stopped
from tests.support.every_case import every_case
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control import probes
from taskloom.control.exchange import Deferred, Reply
from taskloom.control.liveness import LATE_SECONDS
from taskloom.core.events import EventName
from taskloom.scheduler.snapshots import Jobs, Snapshot, complete

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "")
PATHS = ("/metrics", "/livez", "/readyz")


class HeldScheduler(WatchedScheduler):
    """A scheduler whose thread waits, from `hold` until `release`."""

    def hold(self) -> None:
        """Return once the thread waits."""
        is_held, self._may_go = threading.Event(), threading.Event()

        def wait(_: object) -> None:
            is_held.set()
            self._may_go.wait(20.0)

        self.request_snapshot(wait, ())
        assert is_held.wait(20.0)

    def release(self) -> None:
        self._may_go.set()


@pytest.fixture
def scheduler() -> Iterator[HeldScheduler]:
    watched = HeldScheduler(log=False)
    yield watched
    watched.finish()


@pytest.fixture
def asked(scheduler: HeldScheduler) -> AskedApi:
    scheduler.add_function("db", until_stopped, announces_ready=True)
    scheduler.add_function("later", until_stopped, delay=3600.0)
    return AskedApi(scheduler)


def ask(asked: AskedApi, path: str, **query: str) -> tuple[int, str | None]:
    reply = awaited(asked.answer("GET", path, query))
    return reply.status, reply.text


def ask_in_public(asked: AskedApi, path: str, method: str = "GET", **query: str) -> Reply:
    return awaited(asked.api.answer_in_public(request_of(method, path, query)))


def test_a_program_lives_before_it_is_ready_and_while_it_stops(scheduler: HeldScheduler, asked: AskedApi) -> None:
    assert ask(asked, "/livez") == (200, "ok\n")
    scheduler.start()
    assert ask(asked, "/livez") == (200, "ok\n")
    scheduler.stop()
    assert ask(asked, "/livez") == (200, "ok\n")


def test_no_probe_and_no_scrape_reads_the_processes_of_runs(
    scheduler: HeldScheduler, asked: AskedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it reads /proc for each run")

    monkeypatch.setattr("taskloom.scheduler.snapshots.with_processes", refuse)
    for path in ("/livez", "/metrics"):
        assert ask(asked, path)[0] == 200
    assert ask(asked, "/readyz") == (503, "waiting\n")
    with pytest.raises(AssertionError, match="it reads"):
        scheduler.snapshot()


def test_a_program_is_ready_in_one_word(scheduler: HeldScheduler, asked: AskedApi) -> None:
    may_end = threading.Event()
    scheduler.add_function("slow", hold(may_end), daemon=True)
    assert ask(asked, "/readyz") == (503, "waiting\n")
    scheduler.job("db").stop()
    scheduler.start()
    scheduler.wait_for(EventName.READY, "slow")
    assert ask(asked, "/readyz") == (200, "ready\n")

    scheduler.request_stop(20.0)

    assert ask(asked, "/readyz") == (503, "stopping\n")
    may_end.set()


def test_a_probe_reads_the_status_of_one_job_at_most(
    asked: AskedApi, scheduler: HeldScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler's thread makes no stop wait until it has read ten thousand jobs."""
    for number in range(5):
        scheduler.add_function(f"web-{number}", until_stopped)
    read: list[list[str]] = []
    request = scheduler.request_snapshot

    def request_noted(done: Callable[[Snapshot], object], jobs: Jobs = None) -> None:
        def note(snapshot: Snapshot) -> None:
            read.append([status.report.job for status in complete(snapshot).jobs])
            done(snapshot)

        request(note, jobs)

    monkeypatch.setattr(scheduler, "request_snapshot", request_noted)
    waiting = ask(asked, "/readyz")
    scheduler.job("db").stop()
    for number in range(5):
        scheduler.job(f"web-{number}").stop()
    ready = ask(asked, "/readyz")

    assert (waiting, ready) == ((503, "waiting\n"), (200, "ready\n"))
    assert read == [["db"], []]


def test_a_verbose_probe_lists_the_jobs_that_count(asked: AskedApi) -> None:
    for verbose in ("", "true"):
        status, text = ask(asked, "/readyz", verbose=verbose)
        assert (status, text) == (503, "[-]job db not ready\nreadyz check failed\n")
    assert ask(asked, "/readyz", verbose="false") == (503, "waiting\n")
    assert asked.refused("GET", "/readyz", {"verbose": "yes"}) == (
        400,
        "invalid-query",
        "cannot use 'yes' as verbose in the query; expected one of true, false",
    )


def test_health_says_it_as_data(scheduler: HeldScheduler, asked: AskedApi) -> None:
    reply = awaited(asked.answer("GET", "/v1/health"))

    assert {**reply.body, "start": ""} == {
        "start": "",
        "live": True,
        "late": 0.0,
        "ready": False,
        "text": "waiting for db",
        "missing": ["db"],
    }


def test_no_route_waits_for_the_thread_of_the_scheduler(scheduler: HeldScheduler, asked: AskedApi) -> None:
    scheduler.hold()
    answers = {path: asked.answer("GET", path) for path in (*PATHS, "/v1/health")}

    for answer in answers.values():
        assert isinstance(answer, Deferred)
        assert answer.reply is None
        answer.expire(answer.deadline)

    replies = {path: awaited(answer) for path, answer in answers.items()}
    scheduler.release()
    assert (replies["/livez"].status, replies["/readyz"].status, replies["/metrics"].status) == (200, 503, 503)
    assert replies["/metrics"].text == "the scheduler's thread has not answered for 5s\n"
    assert replies["/v1/health"].body["live"] is True
    assert replies["/v1/health"].body["ready"] is False


def test_a_thread_that_is_late_by_more_than_ten_seconds_is_dead() -> None:
    assert probes._live_although_late(LATE_SECONDS).status == 200
    assert probes._live_although_late(LATE_SECONDS + 0.1) == probes._text(503, "late")


def test_without_the_package_metrics_are_refused_with_the_line_that_installs_it(
    asked: AskedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "taskloom.control.metrics.exposition", None)
    halted = "import of taskloom.control.metrics.exposition halted; None in sys.modules"

    assert asked.refused("GET", "/metrics")[2] == f"cannot give metrics: cannot import prometheus_client: {halted}"
    monkeypatch.setattr(probes, "has_metrics", lambda: False)
    assert asked.refused("GET", "/metrics") == (
        501,
        "no-metrics",
        "cannot give metrics: the package prometheus-client is not installed; pip install 'taskloom[metrics]'",
    )


# -- in public


@every_case("method", METHODS)
@every_case("path", PATHS)
def test_in_public_only_get_and_head_are_allowed(asked: AskedApi, method: str, path: str) -> None:
    before = asked.scheduler.last_seq
    reply = ask_in_public(asked, path, method)

    if method in ("GET", "HEAD"):
        assert reply.status == (503 if path == "/readyz" else 200)
    else:
        assert reply.status == 405
        assert reply.headers["allow"] == "GET, HEAD"
        assert reply.text == f"cannot use method {method!r} for {path}; allowed: GET, HEAD\n"
    assert asked.scheduler.last_seq == before


@every_case("method", METHODS)
@every_case(
    "path", ["/", "", "/v1", "/v1/jobs", "/v1/jobs/db/stop", "/v1/shutdown", "/v1/health", "/metrics/", "/Livez", "*"]
)
def test_in_public_there_is_nothing_else(asked: AskedApi, method: str, path: str) -> None:
    reply = ask_in_public(asked, path, method)

    assert reply.status == 404
    assert reply.text == f"cannot find {path!r}; expected one of /metrics, /livez, /readyz\n"
    assert asked.scheduler.stop_reason is None


def test_in_public_no_probe_names_a_job(asked: AskedApi) -> None:
    for query in ({}, {"verbose": ""}, {"verbose": "true"}, {"nonsense": "x"}):
        assert ask_in_public(asked, "/readyz", **query).text == "waiting\n"
        assert ask_in_public(asked, "/livez", **query).text == "ok\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/openmetrics-text"),
        ("*/*", "application/openmetrics-text"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text",
        ),
        ("text/plain;version=0.0.4", "text/plain"),
        ("application/openmetrics-text;q=0, text/plain", "text/plain"),
        ("TEXT/PLAIN", "text/plain"),
    ],
)
def test_a_scraper_gets_the_format_that_it_takes(asked: AskedApi, accept: str | None, kind: str) -> None:
    headers = {} if accept is None else {"accept": accept}
    for answer in (asked.api.answer, asked.api.answer_in_public):
        reply = awaited(answer(request_of("GET", "/metrics", headers=headers)))

        assert reply.headers["content-type"].partition(";")[0] == kind
        assert reply.text is not None
        assert reply.text.endswith("# EOF\n") is (kind != "text/plain")


@pytest.mark.parametrize(
    ("accept", "is_zipped"), [("gzip", True), ("br, gzip;q=0.8", True), ("gzip;q=0", False), ("identity", False)]
)
def test_a_scraper_that_takes_gzip_gets_it_at_the_address_of_the_metrics(
    asked: AskedApi, accept: str, is_zipped: bool
) -> None:
    request = request_of("GET", "/metrics", headers={"accept-encoding": accept})

    reply = awaited(asked.api.answer_in_public(request))

    assert ("content-encoding" in reply.headers) is is_zipped
    assert (reply.content is not None) is is_zipped
    assert awaited(asked.api.answer(request)).content is None
    if reply.content is not None:
        assert gzip.decompress(reply.content).endswith(b"# EOF\n")
