"""The form of a request: its path, its method and its body. All else than the table has is refused."""

from __future__ import annotations

import pytest
from tests.support.asked_api import (
    START,
    AskedApi,
    awaited,
)
from tests.support.every_case import every_case

from taskloom.control.exchange import Reply
from taskloom.control.routes import ROUTES

SOON = 20.0


def test_the_list_of_routes_is_the_table(asked: AskedApi) -> None:
    data = asked.get("/v1")

    assert data["api"] == 1
    assert data["start"] == START
    assert data["routes"] == [f"{route.method} {route.path}" for route in ROUTES]


@every_case(
    "path",
    [
        "", "/", "v1", "/v2", "/V1", "/v1/", "//v1", "/v1//jobs", "/v1/jobs/", "/v1/Jobs", "/v1/jobs/web/",
        "/v1/./jobs",
        "/v1/jobs/../program", "/v1/jobs/a/b/start", "/v1/jobs//start", "/v1/jobs/web/signals",
        "/v1/jobs/web/__class__", "/v1/jobs/web/start ", "/v1/jobs\n", "/v1/jobs/web/why\x00",
        "/v1/openapi", "/v1/jobs?job=web", "/v1/é",
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


@every_case("path", sorted({route.path for route in ROUTES}))
def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has(asked: AskedApi, path: str) -> None:
    legal = {route.method for route in ROUTES if route.path == path}
    legal |= {"HEAD"} if "GET" in legal else set()
    all_methods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "BREW", ""}

    for method in all_methods - legal:
        reply = asked.answer(method, path.replace("{job}", "web"))

        assert isinstance(reply, Reply)
        assert (reply.status, reply.body["error"]["code"]) == (405, "method-not-allowed")
        assert reply.headers["allow"].split(", ") == sorted(legal)


@every_case("path", sorted({route.path for route in ROUTES if route.method == "GET"}))
def test_head_gets_what_get_does(asked: AskedApi, path: str) -> None:
    """The server leaves out the body, and ends a stream at once. A report is not waited for."""
    query = {"wait": "true"} if "stop" in path else {}

    reply = awaited(asked.answer("HEAD", path.replace("{job}", "web"), query))

    assert reply.status == 200
    assert asked.answer("HEAD", "/v1/jobs/nope") == asked.answer("GET", "/v1/jobs/nope")


# -- the body


@every_case("path", sorted({route.path for route in ROUTES if route.method == "GET"}))
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


@every_case(
    "kind",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "",
        "application/json; charset=latin-1", "application/json; boundary=x", "application/json, text/plain", "json",
    ],
)  # fmt: skip
@every_case("body", [b"", b"{}"], ids=["empty", "object"])
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
