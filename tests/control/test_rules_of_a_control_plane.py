"""The rules that others have learnt from holes in theirs: each test is about one of them, and about all routes."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.asked_api import AskedApi, ListedLines, events_of, until_stopped
from tests.support.control_server import wanted
from tests.support.every_case import every_case
from tests.support.watched_scheduler import WatchedScheduler

import taskloom.control
from taskloom.control.connection import Connection
from taskloom.control.endpoint import Endpoint
from taskloom.control.exchange import Caller, Reply, Request
from taskloom.control.routes import ROUTES, Route

SECRET, SHOWN = "hunter2", "**********"
SOON = 60.0
SOURCES = sorted(Path(taskloom.control.__file__).parent.glob("*.py"))
# The package imports `serve` at its first use, and `preload` a fixed list of modules before the first request.
BEFORE_REQUESTS = {"__init__.py": {"getattr"}, "preload.py": {"import_module"}}
DYNAMIC = {"getattr", "setattr", "delattr", "eval", "exec", "compile", "globals", "vars", "__import__", "import_module"}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "yaml", "xmlrpc", "socketserver"}


@every_case("source", SOURCES, ids=[each.name for each in SOURCES])
def test_no_text_of_a_request_becomes_a_name_or_code(source: Path) -> None:
    """Others walked the attributes of live objects by the path of a request, or imported the class of an error."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in DYNAMIC:
            found.add(node.func.id)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found |= {name.partition(".")[0] for name in names} & UNSAFE_MODULES

    assert found <= BEFORE_REQUESTS.get(source.name, set())


@every_case("source", SOURCES, ids=[each.name for each in SOURCES])
def test_there_is_no_socket_but_a_unix_socket(source: Path) -> None:
    assert "AF_INET" not in source.read_text()


def test_only_the_address_for_metrics_is_in_reach_of_a_network() -> None:
    """A client that comes by it gets the answers of `answer_in_public` alone."""
    sources = Path(taskloom.control.__file__).parent.rglob("*.py")

    assert [each.name for each in sources if "getaddrinfo" in each.read_text()] == ["listener.py"]


@pytest.mark.parametrize("path", ["\0abstract", "x\0.sock"])
def test_there_is_no_abstract_socket(own_runtime_folder: str, path: str) -> None:
    """It has no owner and no mode."""
    with pytest.raises(OSError, match=r"cannot use the path '.*' for a socket: it has a NUL character"):
        Endpoint(wanted(socket=path), {"XDG_RUNTIME_DIR": own_runtime_folder})


def test_an_at_sign_is_a_part_of_the_name_of_a_file(own_runtime_folder: str) -> None:
    path = Path(own_runtime_folder) / "@abstract"
    endpoint = Endpoint(wanted(socket=str(path)), {"XDG_RUNTIME_DIR": own_runtime_folder})

    assert path.is_socket()

    endpoint.close()


@pytest.mark.parametrize("status", [200, 404])
def test_no_reply_has_a_header_by_which_a_browser_shares_it(status: int) -> None:
    one = Connection(Caller(0, 1), 0.0)
    one.receive(b"GET /v1 HTTP/1.1\r\nhost: x\r\norigin: http://evil.example\r\n\r\n")
    assert one.next_request(0.0) is not None
    one.reply(Reply(status, {}), 0.0)
    head = b"".join(one._output).partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}

    assert names == {b"content-type", b"cache-control", b"content-length"}


@pytest.fixture
def asked() -> Iterator[AskedApi]:
    """Jobs that have failed, run, are paused and stopped, each with the secret in all its texts."""
    scheduler = WatchedScheduler(log=False)
    asked = AskedApi(scheduler, logs=ListedLines(), mask=lambda text: text.replace(SECRET, SHOWN))

    def fail(ctx: Any) -> None:
        raise ValueError(f"no such password: {SECRET}")

    scheduler.add_function("web", until_stopped, manual=True, daemon=True)
    assert scheduler.add_function("bad", fail).start().join(SOON)
    yield asked
    scheduler.finish()


def _answers(asked: AskedApi, route: Route) -> Iterator[str]:
    for job in ("web", "bad"):
        path = route.path.replace("{job}", job)
        if route.method == "POST":
            body = f'{{"text": "because of {SECRET}"}}' if any(each.name == "text" for each in route.body) else ""
            request = Request("POST", path, {}, {"content-type": "application/json"}, body.encode(), Caller(0, 1))
        else:
            request = Request("GET", path, {}, {}, b"", Caller(0, 1))
        yield str(asked.api.answer(request))


def test_no_route_and_no_line_shows_a_secret(asked: AskedApi, caplog: pytest.LogCaptureFixture) -> None:
    """Each route is asked, and asked again after all that changes something."""
    caplog.set_level(logging.DEBUG)
    # The last one is the shutdown: whatever it does not answer any more was asked before.
    routes = sorted(ROUTES, key=lambda route: (route.path == "/v1/shutdown", route.method == "GET"))

    told = [text for route in (*routes[:-1], *routes[:-1], routes[-1]) for text in _answers(asked, route)]
    asked.flush_events()
    told += map(str, events_of(asked.open_stream("/v1/events", {"count": "1000"})))
    asked.api.flush_log()

    text = "\n".join([*told, *(record.getMessage() for record in caplog.records if record.name == "taskloom.control")])
    assert SECRET not in text
    assert text.count(f"because of {SHOWN}") > 5
    assert text.count(f"no such password: {SHOWN}") > 2
