"""The fields of queries and bodies: unknown names with a near match, wrong types and limits with the legal values."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.control.fields import LONGEST_TEXT, Field, Kind, read_body, read_query
from taskloom.control.refusals import Refusal

FIELDS = (
    Field("text", Kind.TEXT, "", default=""),
    Field("now", Kind.BOOLEAN, "", default=False),
    Field("count", Kind.INTEGER, "", default=20, least=1, most=1000),
    Field("within", Kind.SECONDS, ""),
    Field("level", Kind.TEXT, "", choices=("debug", "warning")),
    Field("job", Kind.TEXT, "", is_list=True),
)
BODY = FIELDS[:5]


def test_a_field_that_is_missing_has_its_default() -> None:
    values = {"text": "", "now": False, "count": 20, "within": None, "level": None}

    assert read_query(FIELDS, {}) == {**values, "job": ()}
    assert read_body(BODY, {}) == values


def test_values_are_read_by_their_types() -> None:
    query = {"text": ("a b",), "now": ("true",), "count": ("7",), "level": ("warning",), "job": ("web", "d*")}
    body = {"text": "a", "now": True, "count": 1000, "within": 0.5, "level": "debug"}

    assert read_query(FIELDS, query) == {
        "text": "a b", "now": True, "count": 7, "within": None, "level": "warning", "job": ("web", "d*")
    }  # fmt: skip
    assert read_body(BODY, body) == body
    assert read_body(BODY, {"within": 3})["within"] == 3


@every_case(
    ("query", "code", "message"),
    [
        (
            {"jobs": ("web",)},
            "unknown-query-field",
            "cannot use field 'jobs' in the query; expected text, now, count, within, level, job; did you mean 'job'?",
        ),
        ({"": ("",)}, "unknown-query-field", None),
        ({"JOB": ("web",)}, "unknown-query-field", None),
        ({"now": ("yes",)}, "invalid-query", "cannot use 'yes' as now in the query; expected true or false"),
        ({"now": ("True",)}, "invalid-query", None),
        ({"now": ("1",)}, "invalid-query", None),
        ({"now": ("",)}, "invalid-query", None),
        (
            {"count": ("0",)},
            "invalid-query",
            "cannot use '0' as count in the query; expected a whole number from 1 to 1,000",
        ),
        ({"count": ("1001",)}, "invalid-query", None),
        ({"count": ("-1",)}, "invalid-query", None),
        ({"count": ("+1",)}, "invalid-query", None),
        ({"count": (" 1",)}, "invalid-query", None),
        ({"count": ("1_0",)}, "invalid-query", None),
        ({"count": ("1.5",)}, "invalid-query", None),
        ({"count": ("\u0661",)}, "invalid-query", None),
        ({"count": ("9" * 5000,)}, "invalid-query", None),
        ({"level": ("warn",)}, "invalid-query", None),
        (
            {"level": ("warnin",)},
            "invalid-query",
            "cannot use 'warnin' as level in the query; expected one of debug, warning; did you mean 'warning'?",
        ),
        (
            {"count": ("1", "1")},
            "invalid-query",
            "cannot use several values of 'count' in the query; expected one",
        ),
        ({"job": ("a",) * 1001}, "invalid-query", "cannot use 1,001 values of 'job'; at most 1,000"),
        ({"text": ("a" * (LONGEST_TEXT + 1),)}, "invalid-query", None),
    ],
    ids=range(21),
)
def test_a_query_is_refused(query: dict[str, tuple[str, ...]], code: str, message: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        read_query(FIELDS, query)

    assert (refused.value.status, refused.value.code) == (400, code)
    assert message is None or refused.value.message == message


@every_case(
    ("body", "message"),
    [
        ({"text": None}, "cannot use text in the body; expected a text of at most 1,000 characters, not null"),
        ({"text": 1}, "cannot use text in the body; expected a text of at most 1,000 characters, not a number"),
        ({"text": ["a"]}, "cannot use text in the body; expected a text of at most 1,000 characters, not an array"),
        ({"text": {"a": 1}}, "cannot use text in the body; expected a text of at most 1,000 characters, not an object"),
        ({"text": "a" * 1001}, None),
        ({"now": 1}, "cannot use now in the body; expected true or false, not a number"),
        ({"now": 0}, None),
        ({"now": "true"}, "cannot use now in the body; expected true or false, not a string"),
        ({"now": None}, None),
        ({"count": True}, "cannot use count in the body; expected a whole number from 1 to 1,000, not a boolean"),
        ({"count": 1.0}, None),
        ({"count": "1"}, None),
        ({"count": 0}, "cannot use count in the body; expected a whole number from 1 to 1,000, not 0"),
        ({"count": 10**29}, None),
        ({"within": True}, None),
        ({"within": "1s"}, None),
        ({"within": -0.001}, None),
        ({"within": 1e300}, None),
        ({"level": "warn"}, "cannot use level in the body; expected one of debug, warning, not 'warn'"),
    ],
    ids=range(19),
)
def test_a_body_is_refused(body: dict[str, Any], message: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        read_body(BODY, body)

    assert (refused.value.status, refused.value.code) == (400, "invalid-body")
    assert message is None or refused.value.message == message


def test_an_unknown_field_of_a_body_is_refused_with_a_near_match() -> None:
    with pytest.raises(Refusal) as refused:
        read_body(BODY, {"txet": ""})

    assert refused.value.code == "unknown-body-field"
    assert refused.value.near == ("text",)


def test_a_route_without_fields_says_so() -> None:
    with pytest.raises(Refusal, match="cannot use field 'a' in the body; it takes none here"):
        read_body((), {"a": 1})
