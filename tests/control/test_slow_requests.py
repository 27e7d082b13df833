"""Requests with long replies: one is answered at a time, and whatever else has come goes first."""

from __future__ import annotations

import contextlib

import pytest
from tests.support.asked_api import AskedApi, request_of
from tests.support.control_server import PATIENCE_SECONDS, echo, get, serving
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.exchange import Reply, Request
from taskloom.control.routes import ROUTES
from taskloom.sync.latch import Latch

POST = b"POST /stop HTTP/1.1\r\nhost: x\r\n\r\n"
SLOW = "/slow"


def is_slow(request: Request) -> bool:
    return request.path == SLOW


class Served:
    """Notes the order of the requests. The first one blocks the server until `goes_on` is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.has_begun, self.goes_on = Latch(), Latch()

    def answer(self, request: Request) -> Reply:
        self.asked.append(request.path)
        self.has_begun.open()
        assert self.goes_on.wait(PATIENCE_SECONDS)
        return echo(request)


def test_a_stop_goes_before_all_slow_requests_that_are_not_begun(own_runtime_folder: str) -> None:
    """Eight clients that list ten thousand jobs in a loop delayed a stop by eight replies."""
    served = Served()
    with serving(served.answer, own_runtime_folder, is_slow=is_slow) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(8)]
        for client in clients:
            client.send(get(SLOW))
        assert served.has_begun.wait(PATIENCE_SECONDS)
        stopping = stack.enter_context(server.client()).send(POST)
        served.goes_on.open()
        stopping.read_until(b'"/stop"')
        for client in clients:
            client.read_until(b'"/slow"')

    assert served.asked == [SLOW, "/stop", *[SLOW] * 7]


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


@pytest.mark.parametrize(
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
