"""The JSON of requests and replies: exact inverses, and one error for everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskloom.core.endings import Reason, ReasonKind
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Entry, Lease, Reply, Request
from taskloom.runners.wire import ProtocolError

NUMBERS = st.integers(0, 2**53)
SECONDS = st.floats(0, 1e9)
TEXTS = st.text(max_size=20)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXTS, DATA, max_size=3)
REASONS = st.builds(Reason, st.sampled_from(list(ReasonKind)), TEXTS, st.none() | st.integers(1, 64))
COMMANDS = st.builds(Command, st.sampled_from(CommandKind.ALL), TEXTS, st.none() | REASONS, SECONDS)
LEASES = st.builds(Lease, SECONDS, SECONDS, SECONDS, SECONDS)
REQUESTS = st.builds(
    Request, TEXTS, NUMBERS, TEXTS, st.none() | SECONDS, LEASES, NUMBERS, st.none() | st.lists(TEXTS).map(tuple),
    st.lists(COMMANDS, max_size=4).map(tuple),
)  # fmt: skip
ENTRIES = st.builds(Entry, NUMBERS, TEXTS, TEXTS, OBJECTS, NUMBERS)
REPLIES = st.builds(
    Reply, TEXTS, TEXTS, SECONDS, st.lists(ENTRIES, max_size=4).map(tuple),
    st.dictionaries(TEXTS, TEXTS, max_size=4), NUMBERS, NUMBERS,
)  # fmt: skip

REQUEST = Request("s", 3, "a", 1.5, Lease(), 7, ("e1",), (Command("cancel", "e1", Reason(ReasonKind.USER, "x")),))
REPLY = Reply("s", "a", 1.5, (Entry(1, "claim", "e1", {"run": "r"}),), {"e1": "claiming"}, 1)


@given(REQUESTS)
def test_a_request_crosses_unchanged(request: Request) -> None:
    assert Request.from_json(request.to_json()) == request
    assert request.to_json().isascii()


@given(REPLIES)
def test_a_reply_crosses_unchanged(reply: Reply) -> None:
    assert Reply.from_json(reply.to_json()) == reply
    assert reply.to_json().isascii()


@given(st.text() | DATA.map(json.dumps))
def test_anything_else_is_a_protocol_error(text: str) -> None:
    for kind in (Request, Reply):
        with pytest.raises(ProtocolError):
            kind.from_json(text)


@given(st.sampled_from([REQUEST, REPLY]), st.data())
def test_a_message_with_one_wrong_value_is_refused_or_read(message: Request | Reply, data: st.DataObject) -> None:
    """Whatever stands in place of one value, nothing but ProtocolError is raised."""
    broken = json.loads(message.to_json())
    place: Any = broken
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(DATA | st.just(10**400))

    try:
        read = type(message).from_json(json.dumps(broken))
    except ProtocolError:
        return
    assert type(read).from_json(read.to_json()) == read


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seq", -1, "'seq' is -1; expected a whole number from 0"),
        ("stamp", "now", "'stamp' is 'now'; expected a number"),
        ("stamp", 10**400, "; expected a number"),
        ("expected", [1], "'expected' is [1]; expected a list of texts"),
        ("commands", {}, "'commands' is {}; expected a list"),
        ("lease", {"ttl": 1}, "'lease' has no 'grace'"),
        ("lease", {"ttl": -1, "grace": 1, "period": 1, "claim_wait": 1}, "'ttl' is -1; expected a number of seconds"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, message: str) -> None:
    data = {**json.loads(REQUEST.to_json()), name: value}

    with pytest.raises(ProtocolError) as caught:
        Request.from_json(json.dumps(data))

    assert message in str(caught.value)


def test_a_missing_value_is_named() -> None:
    data = json.loads(REPLY.to_json())
    del data["last"]

    with pytest.raises(ProtocolError, match="'reply' has no 'last'"):
        Reply.from_json(json.dumps(data))


def test_an_unknown_key_is_ignored() -> None:
    text = json.dumps({**json.loads(REPLY.to_json()), "new": 1})

    assert Reply.from_json(text) == REPLY


@pytest.mark.parametrize("text", ["", "[", '{"stamp": NaN}', "[" * 100_000, "1" * 10_000, "\ud800"])
def test_a_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        Request.from_json(text)
