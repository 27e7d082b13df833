"""Requests with long replies: one is answered at a time, and whatever else has come goes first."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from threading import Thread
from typing import Any

import pytest
from tests.support.asked_api import AskedApi, ListedLines, request_of, until_stopped
from tests.support.control_server import PATIENCE_SECONDS, echo, get, serving
from tests.support.every_case import every_case
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.clock import mono
from taskloom.control.api import Api
from taskloom.control.exchange import Deferred, Reply, Request
from taskloom.control.program_info import ProgramInfo
from taskloom.control.routes import ROUTES
from taskloom.core.events import EventName
from taskloom.scheduler.snapshots import Snapshot
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch

POST = b"POST /stop HTTP/1.1\r\nhost: x\r\n\r\n"
SLOW = "/slow"


def is_slow(request: Request) -> bool:
    return request.path == SLOW


class Served:
    """Notes the order of the requests. The slow ones are held until `goes_on` is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.has_begun, self.goes_on = Latch(), Latch()

    def answer(self, request: Request) -> Reply:
        self.asked.append(request.path)
        if is_slow(request):
            self.has_begun.open()
            assert self.goes_on.wait(PATIENCE_SECONDS)
        return echo(request)


def test_a_stop_is_carried_out_while_a_slow_request_is_answered_and_before_those_that_wait(
    own_runtime_folder: str,
) -> None:
    """Eight clients that list ten thousand jobs in a loop delayed a stop by eight replies."""
    served = Served()
    with serving(served.answer, own_runtime_folder, is_slow=is_slow) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(8)]
        for client in clients:
            client.send(get(SLOW))
        assert served.has_begun.wait(PATIENCE_SECONDS)
        stack.enter_context(server.client()).send(POST).read_until(b'"/stop"')
        assert served.asked == [SLOW, "/stop"]
        served.goes_on.open()
        for client in clients:
            client.read_until(b'"/slow"')

    assert served.asked == [SLOW, "/stop", *[SLOW] * 7]


class HeldScheduler(WatchedScheduler):
    """A scheduler that can be held in the middle of a list of all its jobs."""

    held: Held | None = None

    def snapshot(self, jobs: Iterable[str] | None = None) -> Snapshot:
        if self.held is not None and jobs is None:
            self.held.wait()
        return super().snapshot(jobs)


class Held:
    """Something that does not return until `goes_on` is open; as a log source and a list of receivers, too."""

    def __init__(self) -> None:
        self.has_begun, self.goes_on = Latch(), Latch()
        self.lines = ListedLines()

    def wait(self) -> tuple[()]:
        self.has_begun.open()
        assert self.goes_on.wait(PATIENCE_SECONDS)
        return ()

    def __getattr__(self, name: str) -> Any:
        if name == "newest":
            self.wait()
        return getattr(self.lines, name)


@pytest.mark.parametrize("path", ["/metrics", "/v1/logs?grep=x", "/v1/jobs"])
def test_a_stop_passes_a_long_reply_that_is_held_in_its_middle(own_runtime_folder: str, path: str) -> None:
    held, scheduler = Held(), HeldScheduler(log=False)
    scheduler.held = held
    scheduler.add_function("web", until_stopped)
    info = ProgramInfo("jobs")
    api = Api(scheduler, program=info, logs=held, log=lambda *_: None, notifications=held.wait)
    scheduler.start()
    scheduler.wait_for(EventName.STARTED, "web")

    with serving(api.answer, own_runtime_folder, is_slow=api.is_slow) as server, server.client() as scraper:
        scraper.send(get(path))
        assert held.has_begun.wait(PATIENCE_SECONDS)
        json = b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        with server.client() as client:
            status, reply = client.request(b"POST /v1/jobs/web/stop HTTP/1.1\r\nhost: x\r\n" + json)
        scheduler.wait_for(EventName.ENDED, "web")
        held.goes_on.open()
        head = scraper.read_until(b"\r\n\r\n")

    assert (status, reply["run"]) == (200, "web#1")
    assert head.startswith(b"HTTP/1.1 200")
    scheduler.finish()


def test_without_another_thread_the_reply_is_made_by_the_server(
    own_runtime_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(echo, own_runtime_folder, is_slow=is_slow) as server:
        server.request(get("/first"))

        def refuse(_: KeptThread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(KeptThread, "start", refuse)
            assert server.request(get(SLOW))[0] == 200
        assert server.request(get(SLOW))[0] == 200


def test_the_end_does_not_wait_for_a_thread_that_the_system_has_refused(
    own_runtime_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(echo, own_runtime_folder, is_slow=is_slow) as server:
        server.request(get("/first"))

        def refuse(_: Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(Thread, "start", refuse)
            assert server.request(get(SLOW))[0] == 200


@pytest.mark.parametrize(("path", "status"), [("/in-time", 200), ("/late", 503)])
def test_a_slow_request_may_have_an_answer_that_comes_later(own_runtime_folder: str, path: str, status: int) -> None:
    late = Reply(503, {"path": "late"})

    def answer(request: Request) -> Deferred:
        deferred = Deferred()
        deferred.complete_by(mono() + (PATIENCE_SECONDS if request.path == "/in-time" else 0.0), late)
        if request.path == "/in-time":
            thread = threading.Thread(target=deferred.complete, args=[echo(request)])
            thread.start()
            thread.join()
        return deferred

    with serving(answer, own_runtime_folder, is_slow=lambda _: True) as server:
        assert server.request(get(path))[0] == status


def test_a_reply_that_is_never_made_does_not_hold_up_the_end(own_runtime_folder: str) -> None:
    served = Served()
    with serving(served.answer, own_runtime_folder, is_slow=is_slow) as server, server.client() as client:
        client.send(get(SLOW))
        assert served.has_begun.wait(PATIENCE_SECONDS)
        ended = server.server.close(PATIENCE_SECONDS, replies_within=0.0)
        assert client.read_all() == b""
        served.goes_on.open()

    assert ended
    assert not server.log


def test_a_client_may_send_one_slow_request_after_another(own_runtime_folder: str) -> None:
    with serving(echo, own_runtime_folder, is_slow=is_slow) as server, server.client() as client:
        assert [client.request(get(SLOW))[0] for _ in range(3)] == [200] * 3
        client.send(get(SLOW) * 3 + get("/last"))
        replies = client.read_until(b'"/last"')

    assert replies.count(b'"/slow"') == 3


def test_a_slow_request_whose_client_has_gone_is_not_answered(own_runtime_folder: str) -> None:
    served = Served()
    with serving(served.answer, own_runtime_folder, is_slow=is_slow) as server:
        with server.client() as first:
            first.send(get(SLOW))
            assert served.has_begun.wait(PATIENCE_SECONDS)
            with server.client() as gone:
                gone.send(get(SLOW))
            served.goes_on.open()
            first.read_until(b'"/slow"')
        assert server.request(get("/next"))[0] == 200

    assert served.asked.count("/next") == 1
    assert served.asked.count(SLOW) <= 2


def test_a_body_of_very_many_chunks_arrives_whole(own_runtime_folder: str) -> None:
    head = b"POST /v1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with serving(echo, own_runtime_folder) as server:
        status, body = server.request(head + b"1\r\na\r\n" * 2000 + b"0\r\n\r\n")

    assert (status, body["body"]) == (200, "a" * 2000)


def test_what_fails_is_a_500_here_too(own_runtime_folder: str) -> None:
    def fail(_: Request) -> Reply:
        raise KeyError("a bug")

    with serving(fail, own_runtime_folder, is_slow=is_slow) as server:
        assert server.request(get(SLOW))[0] == 500


def test_a_slow_request_is_answered_before_the_end(own_runtime_folder: str) -> None:
    served = Served()
    with contextlib.ExitStack() as stack:
        with serving(served.answer, own_runtime_folder, is_slow=is_slow) as server:
            clients = [stack.enter_context(server.client()).send(get(SLOW)) for _ in range(2)]
            assert served.has_begun.wait(PATIENCE_SECONDS)
            served.goes_on.open()
        for client in clients:
            assert b'"/slow"' in client.read_all()


@every_case(
    ("path", "query", "slow"),
    [
        ("/v1/jobs", {}, True),
        ("/v1/jobs", {"job": ("w*",)}, True),
        ("/v1/jobs", {"label": ("web",)}, True),
        ("/v1/jobs", {"job": ("web",)}, False),
        ("/v1/jobs/web", {}, False),
        ("/v1/program", {}, False),
        ("/v1/events", {}, True),
        ("/v1/events", {"follow": ("true",)}, False),
        ("/v1/logs", {"job": ("web",)}, True),
        ("/metrics", {}, True),
        ("/livez", {}, False),
        ("/readyz", {}, False),
        ("/readyz", {"verbose": ("false",)}, False),
        ("/readyz", {"verbose": ("",)}, True),
        ("/nope", {}, False),
    ],
)
def test_what_has_thousands_of_parts_is_slow(path: str, query: dict[str, tuple[str, ...]], slow: bool) -> None:
    scheduler = WatchedScheduler(log=False)
    api = AskedApi(scheduler).api

    assert api.is_slow(request_of("GET", path, query)) is slow
    assert not api.is_slow(request_of("POST", path, query))
    scheduler.finish()


def test_no_request_that_changes_something_is_slow() -> None:
    assert all(route.method == "GET" for route in ROUTES if route.is_slow)
