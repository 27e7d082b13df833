"""Values that can be sent to another process, and the words for all others."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import socket
import threading
import uuid
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr
from tests.support.every_case import every_case

from taskloom.catalog.params import inspect_task
from taskloom.diagnostics import FieldError
from taskloom.runners.binding import TaskReference
from taskloom.task import Context, Task


def plain(ctx: Context, value: Any = None, other: Any = None) -> None:
    """A task for any values."""


def reference(task: object, **params: Any) -> TaskReference:
    found = inspect_task(task).bind(params)[1].reference
    assert found is not None
    return found


def refused(task: object, **params: Any) -> FieldError:
    """Return the only error; the binding says the same."""
    shape = inspect_task(task)
    [error] = shape.errors_crossing(params)
    assert shape.bind(params)[1].cannot_cross == error.message
    return error


@every_case(
    "value",
    [
        *(None, True, False, 0, -5, 2**64, 10**4000, 1.5, -0.0, 1e308, "", "text", "ä😀\x00\u2028", "\ud800"),
        *([], {}, [1, [2, [3]]], {"a": {"b": [None, True]}}, {"": 1}),
    ],
    ids=repr,
)
def test_json_data_crosses_as_it_is(value: Any) -> None:
    found = reference(plain, value=value).params

    assert found == {"value": value}
    assert repr(json.loads(json.dumps(found))) == repr({"value": value})


class Colour(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int = 0


class Model(BaseModel):
    x: int = 0


class Text(str):
    __slots__ = ()


OTHER_VALUES: list[tuple[str, Any, str, str]] = [
    ("set", {1}, "{1} of type set is not JSON data", "write a list"),
    ("frozenset", frozenset(), "frozenset() of type frozenset is not JSON data", "write a list"),
    ("tuple", (1, 2), "(1, 2) of type tuple is not JSON data", "write a list"),
    ("range", range(2), "range(0, 2) of type range is not JSON data", "write a list"),
    ("deque", collections.deque(), "deque([]) of type deque is not JSON data", "write a list"),
    ("bytes", b"x", "b'x' of type bytes is not JSON data", "write plain text"),
    ("text", Text("x"), "'x' of type Text is not JSON data", "write plain text"),
    ("enum", Colour.RED, "'red' of type Colour is not JSON data", "write its value"),
    ("path", pathlib.PurePosixPath("/x"), "PurePosixPath('/x') of type PurePosixPath is not JSON data", "write it as"),
    ("date", dt.date(2026, 1, 2), "datetime.date(2026, 1, 2) of type date is not JSON data", "write it as text"),
    ("delta", dt.timedelta(0), "datetime.timedelta(0) of type timedelta is not JSON data", "write a number of"),
    ("decimal", decimal.Decimal(1), "Decimal('1') of type Decimal is not JSON data", "write it as text"),
    ("uuid", uuid.UUID(int=0), "UUID('00000000-0000-0000-0000-000000000000') of type UUID is not JSON data", "write"),
    ("nan", math.nan, "nan of type float is not JSON data", ""),
    ("inf", math.inf, "inf of type float is not JSON data", ""),
    ("-inf", -math.inf, "-inf of type float is not JSON data", ""),
    ("complex", 1j, "1j of type complex is not JSON data", ""),
    ("dict", collections.OrderedDict(), "OrderedDict() of type OrderedDict is not JSON data", "write a plain dict"),
    ("dataclass", Point(), "Point(x=0) of type Point is not JSON data", "write a dict of its fields"),
    ("model", Model(), "Model(x=0) of type Model is not JSON data", "write a dict of its fields"),
    ("type", int, "<class 'int'> of type type is not JSON data", ""),
    ("huge", 10**4300, "an integer of more than 4,200 digits is too long", "write it as text"),
]


@every_case("name, value, message, hint", OTHER_VALUES, ids=[row[0] for row in OTHER_VALUES])
def test_a_value_that_is_not_json_data_is_refused(name: str, value: Any, message: str, hint: str) -> None:
    error = refused(plain, value=value)

    assert error.loc == ("params", "value")
    assert error.message == f"cannot pass param 'value' to a process: {message}"
    assert error.hint.startswith(hint)


def test_objects_of_the_program_are_refused_by_their_type() -> None:
    with socket.socket() as sock, open(__file__) as file:  # noqa: PTH123
        found = [refused(plain, value=value) for value in (sock, file, threading.Lock(), plain, object())]

    kinds = ["socket", "TextIOWrapper", "lock", "function", "object"]
    for error, kind in zip(found, kinds, strict=True):
        assert f" of type {kind} is not JSON data" in error.message
    assert [error.hint for error in found] == ["open it in the task"] * 2 + [""] * 3


def test_the_place_of_a_value_is_in_the_message() -> None:
    peers = [{"port": 1}, {"port": {2}, "names": ["a", b"c"]}]

    errors = inspect_task(plain).errors_crossing({"value": peers, "other": {80: "web", None: 1, True: 2}})

    assert [(error.loc, error.message, error.hint) for error in errors] == [
        (
            ("params", "value", 1, "port"),
            "cannot pass param 'value[1].port' to a process: {2} of type set is not JSON data",
            "write a list",
        ),
        (
            ("params", "value", 1, "names", 1),
            "cannot pass param 'value[1].names[1]' to a process: b'c' of type bytes is not JSON data",
            "write plain text",
        ),
        (("params", "other"), "cannot pass param 'other' to a process: key 80 of type int is not text", "write '80'"),
        (("params", "other"), "cannot pass param 'other' to a process: key null of type NoneType is not text", ""),
        (("params", "other"), "cannot pass param 'other' to a process: key true of type bool is not text", ""),
    ]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_deep_data_crosses_up_to_a_limit() -> None:
    assert reference(plain, value=nested(200)).params == {"value": nested(200)}

    [error] = inspect_task(plain).errors_crossing({"value": nested(201)})

    assert error.loc == ("params", "value")
    assert error.message == "cannot pass param 'value' to a process: it is nested deeper than 200 levels"


def test_data_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    [error] = inspect_task(plain).errors_crossing({"value": loop})

    assert error.message == "cannot pass param 'value' to a process: it is nested deeper than 200 levels"


def test_large_params_are_refused() -> None:
    assert reference(plain, value="x" * 999_000).params["value"] == "x" * 999_000
    assert refused(plain, value="x" * 1_000_000).message == (
        "cannot pass params of 1,000,013 bytes to a process; at most 1,000,000 bytes of JSON"
    )


class Login(Task):
    key: SecretBytes = SecretBytes(b"")
    word: SecretStr = SecretStr("")
    password: Any = None

    def run(self, ctx: Context) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "name, value", [("key", b"hunter2"), ("word", SecretStr("hunter2")), ("password", {"hunter2"})]
)
def test_a_secret_is_not_quoted(name: str, value: Any) -> None:
    error = refused(Login, **{name: value})

    assert error.message.startswith(f"cannot pass param '{name}' to a process: ********** of type ")
