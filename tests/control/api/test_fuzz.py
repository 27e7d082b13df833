"""Requests that are wrong in every way that the route table allows: refused with 4xx, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.asked_api import START, AskedApi, ListedLines, awaited, check_reply, request_of, until_stopped
from tests.support.every_case import every_case
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.exchange import Caller, Deferred, Reply, Request
from taskloom.control.fields import Field, Kind
from taskloom.control.routes import ROUTES, Route
from taskloom.core.policies import Schedule

JSON_TYPE = {"content-type": "application/json"}
TOO_LONG = "x" * 100_000
# Values that no text of a query may have, by the type of its field; each with a name for the test.
WRONG_TEXTS = {
    Kind.TEXT: {"too long": TOO_LONG},
    Kind.BOOLEAN: {"yes": "yes", "capital": "True", "number": "1", "empty": "", "blank": "true ", "too long": TOO_LONG},
    Kind.INTEGER: {
        "empty": "", "word": "ten", "float": "1.0", "sign": "+1", "negative": "-1", "huge": "9" * 5000, "hex": "0x1",
        "exponent": "1e3", "digits of another script": "\u0661", "blank": " 1", "nul": "1\x00", "nan": "nan",
    },
}  # fmt: skip
WRONG_VALUES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"number": 1, "flag": True, "null": None, "array": ["a"], "object": {"a": "b"}, "too long": TOO_LONG},
    Kind.BOOLEAN: {"number": 1, "zero": 0, "null": None, "text": "true", "array": [True], "object": {}},
    Kind.SECONDS: {"flag": True, "null": None, "text": "1s", "array": [1], "negative": -1, "huge": 1e300, "object": {}},
}
WRONG_BODIES = {
    "array": b"[]",
    "null": b"null",
    "text": b'"stop"',
    "half": b'{"text": "a',
    "twice": b'{"text": "a", "text": "b"}',
    "nan": b'{"text": NaN}',
    "infinity": b'{"within": Infinity}',
    "utf-16": '{"text": "a"}'.encode("utf-16"),
    "not utf-8": b'{"text": "\xff"}',
    "surrogate": b'{"text": "\\ud800"}',
    "huge number": b'{"within": ' + b"9" * 100_000 + b"}",
    "deep arrays": b"[" * 10_000,
    "deep objects": b'{"text":' * 10_000,
    "deep and closed": b'{"text":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a mebibyte": b'{"text": "' + b"a" * (1 << 20) + b'"}',
    "form": b"text=a",
    "nothing but blanks": b"   ",
}


class Case(NamedTuple):
    """One wrong request to one route."""

    name: str
    route: Route
    query: dict[str, tuple[str, ...]] = {}
    body: bytes = b""

    def request(self) -> Request:
        headers = JSON_TYPE if self.body else {}
        return Request(
            self.route.method, self.route.path.replace("{job}", "web"), self.query, headers, self.body, Caller(0, 1)
        )


def _wrong_fields(route: Route, field: Field) -> Iterator[Case]:
    """Yield requests in which this field alone is wrong."""
    if field in route.query:
        for name, text in WRONG_TEXTS[field.kind].items():
            yield Case(name, route, {field.name: (text,)})
        if field.choices:
            yield Case("no choice", route, {field.name: ("nope",)})
        legal = {Kind.TEXT: field.choices[0] if field.choices else "web", Kind.BOOLEAN: "false"}.get(field.kind, "1")
        if field.is_list:
            yield Case("too many", route, {field.name: (legal,) * 2000})
        else:
            yield Case("twice", route, {field.name: (legal, legal)})
        if field.kind is Kind.INTEGER:
            yield Case("more", route, {field.name: (str(int(field.most) + 1),)})
    else:
        for name, value in WRONG_VALUES[field.kind].items():
            yield Case(name, route, body=json.dumps({field.name: value}).encode())


def _wrong_requests() -> Iterator[Case]:
    for route in ROUTES:
        yield Case("unknown field of the query", route, {"nope": ("1",)})
        yield Case("nameless field", route, {"": ("",)})
        yield Case("dunder", route, {"__class__": ("x",)})
        for field in (*route.query, *route.body):
            for case in _wrong_fields(route, field):
                yield case._replace(name=f"{field.name} {case.name}")
        if route.method == "POST":
            yield Case("unknown field of the body", route, body=b'{"nope": 1}')
            for name, body in WRONG_BODIES.items():
                yield Case(name, route, body=body)
        else:
            yield Case("a body", route, body=b"{}")


CASES = list(_wrong_requests())


@pytest.fixture(scope="module")
def asked() -> Iterator[AskedApi]:
    scheduler = WatchedScheduler(log=False)
    asked = AskedApi(scheduler, logs=ListedLines(), reload=lambda **_: pytest.fail("a reload"))
    for name in ("web", "db"):
        scheduler.add_function(name, until_stopped, manual=True, daemon=True)
    scheduler.add_function("nightly", lambda ctx: None, daemon=True, schedule=Schedule(every=300.0, text="every 5m"))
    scheduler.start()
    yield asked
    scheduler.finish()


@every_case("route", ROUTES, ids=[f"{route.method} {route.path}" for route in ROUTES])
def test_a_wrong_request_is_refused_and_changes_nothing(asked: AskedApi, route: Route) -> None:
    cases = [case for case in CASES if case.route is route]
    assert cases
    before = asked.scheduler.last_seq

    for case in cases:
        answer = asked.api.answer(case.request())

        assert isinstance(answer, Reply), case.name
        assert 400 <= answer.status < 500, (case.name, answer)
        check_reply(case.request(), answer)
        assert len(json.dumps(dict(answer.body))) < 5000, case.name  # a refusal does not send everything back
    assert asked.scheduler.last_seq == before


def test_each_field_of_the_table_has_wrong_requests() -> None:
    for route in ROUTES:
        for field in (*route.query, *route.body):
            assert [case for case in CASES if case.route is route and case.name.startswith(f"{field.name} ")]


# -- random requests

PATHS = sorted({route.path.replace("{job}", name) for route in ROUTES for name in ("web", "nope", "nightly")})
NAMES = sorted({field.name for route in ROUTES for field in (*route.query, *route.body)})
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["web", "w*", "[", "[!", "*" * 40, "true", "false", "1", "0", f"{START}.1", f"{START}.0", "x.9", "?"]
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.dictionaries(st.sampled_from(NAMES) | TEXTS, VALUES, max_size=3).map(lambda data: json.dumps(data).encode()),
)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE"]) | st.text(max_size=8),
    path=st.sampled_from(PATHS) | st.text(max_size=20).map(lambda text: f"/v1/{text}"),
    query=st.dictionaries(st.sampled_from(NAMES) | TEXTS, st.lists(TEXTS, max_size=3).map(tuple), max_size=3),
    headers=st.dictionaries(
        st.sampled_from(["content-type", "last-event-id", "accept"]),
        st.sampled_from(["application/json", "text/plain", f"{START}.1"]) | st.text(max_size=20),
        max_size=2,
    ),
    body=BODIES,
    caller=st.just(Caller(0, 1)),
)


def check_any(asked: AskedApi, request: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a request is answered, that the reply fits its schema, and that a refused one has done nothing."""
    if request.path in ("/v1/reload", "/v1/shutdown"):
        return  # they would end the scheduler, or ask for files
    done: list[str] = []
    monkeypatch.setattr(asked.api._state, "log", lambda line, _: done.append(line))
    answer = asked.api.answer(request)
    if isinstance(answer, Reply):
        assert answer.status < 500, answer
        check_reply(request, answer)
        assert bool(done) is (request.method == "POST" and answer.status < 400), (answer, done)
    elif not isinstance(answer, Deferred):
        answer.take(100)
        answer.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sent=REQUESTS)
def test_no_request_breaks_the_api(asked: AskedApi, sent: Request) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        check_any(asked, sent, monkeypatch)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sent=REQUESTS)
def test_no_request_of_very_many_breaks_the_api(asked: AskedApi, sent: Request) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        check_any(asked, sent, monkeypatch)


def test_a_request_that_is_right_is_answered(asked: AskedApi) -> None:
    """The requests above are wrong for the reason that each has, and no other."""
    for route in ROUTES:
        if route.path not in ("/v1/reload", "/v1/shutdown", "/v1/stop") and not route.path.endswith(
            ("pause", "resume", "signal")
        ):
            request = request_of(route.method, route.path.replace("{job}", "db"))
            answer = awaited(asked.api.answer(request))
            check_reply(request, answer)
            assert answer.status in {200, 503} if route.path == "/readyz" else answer.status == 200, answer
