"""The control API over HTTP: all routes of its table, and nothing without the token."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import pytest
import uvicorn
from tests.support.running_job import running_web
from tests.support.web_client import ACT, PATIENCE_SECONDS, READ, WebClient, serving_page

from taskloom import Scheduler
from taskloom.control.routes import ROUTES, Route
from taskloom.web.app import OWN_PATHS, WebApp
from taskloom.web.guard import SECURITY_HEADERS, Rules
from taskloom.web.listener import HttpListener

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FOREIGN = {"Origin": "https://evil.example"}


@pytest.fixture(scope="module")
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("run")
        folder.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        yield


@pytest.fixture(scope="module")
def scheduler(runtime_folder: None) -> Iterator[Scheduler]:
    with running_web() as one:
        yield one


@pytest.fixture(scope="module")
def client(scheduler: Scheduler) -> Iterator[WebClient]:
    with serving_page(scheduler) as (found, _):
        yield found


def path_of(route: Route) -> str:
    return route.path.replace("{job}", "web")


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


PATHS = sorted({path_of(route) for route in ROUTES} | {*OWN_PATHS, "/v1/tasks/countdown", "/v1/nothing"})


@pytest.mark.parametrize("path", PATHS)
def test_no_route_answers_without_the_token(client: WebClient, scheduler: Scheduler, path: str) -> None:
    before = scheduler.last_seq
    refusals = {
        "without a token": ({}, 401),
        "with a wrong token": ({"Authorization": "Bearer wrong"}, 401),
        "to a foreign host": ({"Host": "evil.example", "Authorization": f"Bearer {ACT}"}, 421),
        "of a foreign page": ({**FOREIGN, "Authorization": f"Bearer {ACT}"}, 403),
        "of another site": ({"Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {ACT}"}, 403),
    }

    for method in METHODS:
        for name, (headers, status) in refusals.items():
            assert client.request(method, path, headers).status == status, (method, name)
        in_query = client.request(method, f"{path}?token={ACT}", {"Authorization": f"Bearer {ACT}"})
        assert in_query.status == 400, method

    assert scheduler.last_seq == before
    assert scheduler.job("web").status().report.state == "running"


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method != "GET"], ids=named)
def test_the_read_only_token_acts_on_nothing(client: WebClient, scheduler: Scheduler, route: Route) -> None:
    before = scheduler.last_seq

    answered = client.request(route.method, path_of(route), token=READ, body=b"{}")

    assert (answered.status, answered.code) == (403, "read-only")
    assert scheduler.last_seq == before


@pytest.mark.parametrize("route", [r for r in ROUTES if r.method == "GET" and r.path != "/v1/stop"], ids=named)
@pytest.mark.parametrize("token", [ACT, READ])
def test_each_reading_route_answers_as_on_the_socket(client: WebClient, route: Route, token: str) -> None:
    answered = client.request("GET", path_of(route), token=token)

    # This program keeps no log lines, and is not a whole `taskloom run`.
    assert answered.status == (409 if route.path == "/v1/logs" else 200)
    for name, value in SECURITY_HEADERS.items():
        assert answered.headers[name] == value


@pytest.mark.parametrize("path", ["/", "/static/index.html", "/static/nothing.js", "/v1/program", "/nowhere"])
def test_every_reply_has_the_headers_that_bind_a_browser(client: WebClient, path: str) -> None:
    answered = client.request("GET", path, token=ACT)

    assert {name: answered.headers[name] for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, FOREIGN])
@pytest.mark.parametrize("path", ["/", "/static/index.html"])
def test_the_page_is_not_for_foreign_hosts_and_pages(client: WebClient, path: str, headers: dict[str, str]) -> None:
    assert client.request("GET", path, headers).status in (403, 421)


def test_the_page_says_what_a_token_may_do(client: WebClient) -> None:
    assert client.request("GET", "/v1/access", token=ACT).data["may_act"] is True
    assert client.request("GET", "/v1/access", token=READ).data["may_act"] is False


def test_the_installed_tasks_are_described(client: WebClient) -> None:
    assert "countdown" in [task["name"] for task in client.request("GET", "/v1/tasks", token=READ).data]
    assert client.request("GET", "/v1/tasks/countdown", token=READ).data["params"][0]["name"] == "start"


@pytest.mark.parametrize("name", ["countdwon", "--help", "a b"])
def test_a_task_that_is_not_there_is_refused_in_words(client: WebClient, name: str) -> None:
    answered = client.request("GET", f"/v1/tasks/{quote(name)}", token=READ)

    assert (answered.status, answered.code) == (400, "invalid-query")
    assert name in answered.data["error"]["message"]


def test_without_a_history_none_is_shown(client: WebClient) -> None:
    answered = client.request("GET", "/v1/history", token=READ)

    assert (answered.status, answered.code) == (404, "no-history")


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/", "/static/vendor"]
)
def test_only_the_files_of_the_page_are_served(client: WebClient, path: str) -> None:
    assert client.request("GET", path).status == 404


@pytest.mark.parametrize("path", ["/", "/static/index.html"])
def test_the_page_is_only_read(client: WebClient, path: str) -> None:
    assert client.request("POST", path).status == 405


def test_a_form_of_another_page_changes_nothing(client: WebClient, scheduler: Scheduler) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answered = client.request("POST", "/v1/jobs/web/stop", headers, token=ACT, body=b"text=a")

    assert answered.status == 415
    assert scheduler.job("web").status().report.state == "running"


def test_a_long_body_is_refused(client: WebClient) -> None:
    answered = client.request("POST", "/v1/jobs/web/stop", token=ACT, body=b" " * (3 << 20))

    assert answered.status == 413


def test_errors_are_those_of_the_api(client: WebClient) -> None:
    answered = client.request("GET", "/v1/jobs/wep", token=ACT)

    assert (answered.status, answered.code) == (404, "unknown-job")
    assert "did you mean 'web'" in answered.data["error"]["message"]


def test_a_stream_goes_on_over_http_and_resumes(runtime_folder: None) -> None:
    with running_web() as one, serving_page(one) as (client, _):
        stream, response = client.open("GET", "/v1/events?follow=true", token=READ)

        client.request("POST", "/v1/jobs/web/restart", token=ACT, body=b'{"text": "over http"}')

        found = b""
        while b"event: ended" not in found:
            found += response.readline()
        stream.close()
        mark = found.partition(b"id: ")[2].split()[0].decode()
        stream, response = client.open("GET", "/v1/events?follow=true", {"Last-Event-ID": mark}, token=READ)
        resumed = b""
        while b"event: ended" not in resumed:
            resumed += response.readline()
        stream.close()
    assert b"the web page, from 127.0.0.1: over http" in found
    assert mark.encode() not in resumed


def test_actions_name_the_page_and_its_address(runtime_folder: None) -> None:
    with running_web() as one, serving_page(one) as (client, _):
        answered = client.request("POST", "/v1/jobs/web/stop", token=ACT, body=b"{}")

        assert answered.status == 200
        assert one.job("web").status().report.held == "stopped by the web page, from 127.0.0.1"


def test_the_last_runs_are_listed_with_their_ends(runtime_folder: None) -> None:
    with running_web() as one, serving_page(one) as (client, _):
        client.request("POST", "/v1/jobs/web/restart", token=ACT, body=b"{}")
        assert one.job("web").stop(timeout=PATIENCE_SECONDS)
        assert one.wait(PATIENCE_SECONDS)

        runs = client.request("GET", "/v1/runs?job=web", token=READ).data["runs"]

    assert [(run["run"], run["outcome"]) for run in runs][-1] == ("web#2", "cancelled")


def test_streams_do_not_hold_up_the_end(runtime_folder: None) -> None:
    with Scheduler(log=False) as one, serving_page(one) as (client, listener):
        streams = [client.open("GET", "/v1/events?follow=true", token=ACT) for _ in range(20)]
        before = threading.active_count()

        assert listener.close(PATIENCE_SECONDS)

        for stream, response in streams:
            with suppress(http.client.IncompleteRead):
                response.read()
            stream.close()
        assert threading.active_count() < before


def test_without_clients_the_thread_sleeps(runtime_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library looks around ten times a second, unless its loop is replaced."""
    ticks: list[object] = []
    monkeypatch.setattr(uvicorn.Server, "on_tick", lambda *arguments: ticks.append(arguments))

    with Scheduler(log=False) as one, serving_page(one) as (client, _):
        assert client.request("GET", "/").status == 200

    assert ticks == []


def test_a_forked_child_holds_no_connection(runtime_folder: None) -> None:
    before = len(own_sockets())
    with running_web() as one, serving_page(one) as (client, listener):
        stream, response = client.open("GET", "/v1/events?follow=true", token=ACT)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            listener.forget()
            os.close(reader)
            os.write(writer, str(len(own_sockets())).encode())
            os._exit(0)
        os.close(writer)
        left = os.read(reader, 100)
        os.close(reader)
        os.waitpid(child, 0)
        stream.close()
        response.close()

    assert int(left) - before == 1  # the client's own end, which is in this process, too


def own_sockets() -> list[str]:
    """Return the TCP sockets of this process, by their inodes."""
    tcp = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            links.append(str(entry.readlink()))
    return [link for link in links if link.startswith("socket:[") and link[8:-1] in tcp]


def refuse(_: str) -> NoReturn:
    """Connect to a control server that is gone."""
    raise OSError(errno.ESHUTDOWN, "the control server has ended")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/history"])
def test_once_the_control_server_is_gone_each_answer_says_so(path: str) -> None:
    listener = HttpListener("127.0.0.1", 0, WebApp(refuse, Rules(ACT, READ), {}))
    listener.start(lambda _: None)
    try:
        answered = WebClient(int(listener.url.rstrip("/").rpartition(":")[2])).request("GET", path, token=ACT)
    finally:
        assert listener.close(PATIENCE_SECONDS)

    assert (answered.status, answered.code) == (503, "ended")


@pytest.mark.parametrize("has_client", [False, True])
def test_the_tenth_of_a_second_that_uvicorn_sleeps_at_its_end_is_for_clients_alone(
    has_client: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[uvicorn.Server] = []
    shutdown = uvicorn.Server.shutdown

    async def noted(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        ends.append(server)
        await shutdown(server, sockets)

    monkeypatch.setattr(uvicorn.Server, "shutdown", noted)
    failures: list[BaseException] = []
    listener = HttpListener("127.0.0.1", 0, WebApp(refuse, Rules(ACT, READ), {}))
    address = ("127.0.0.1", int(listener.url.rstrip("/").rpartition(":")[2]))
    listener.start(failures.append)
    client = http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)
    try:
        if has_client:
            client.request("GET", "/nothing")
            client.getresponse().read()
    finally:
        assert listener.close(PATIENCE_SECONDS)
        client.close()

    assert len(ends) == has_client
    assert failures == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_SECONDS)
