"""Parameters are read from a task's class or function, and values are checked as strictly as JSON."""

from __future__ import annotations

import datetime as dt
import enum
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr
from tests.support.every_case import every_case

from taskloom.catalog.params import ParamErrors, ShapeError, inspect_task
from taskloom.task import Context, Duration, Task, param


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Peer(BaseModel):
    host: str
    port: int = 80
    token: SecretStr | None = None


class Beat(Task):
    """Say that we are here."""

    LIMIT: ClassVar[int] = 3
    volume = 11
    times: int = param(ge=1, le=9, description="how often")
    every: Duration = param("5s", description="time between two")
    words: list[str] = param(["boom"])
    mode: Literal["fast", "slow"] = "fast"
    colour: Colour = Colour.RED
    target: Path = Path("out.log")
    secret: SecretStr = SecretStr("")
    peers: list[Peer] = []
    extra: dict[str, int] | None = None
    _seen: int = 0

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Classic(Task):
    """Has a hand-written constructor, as in every textbook."""

    def __init__(self, n: int, host: str = "localhost", *, flag: bool = False) -> None:
        if n > 100:
            raise ValueError(f"{n} is too many")
        self.n, self.host, self.flag, self._running = n, host, flag, True

    def run(self, ctx: Context) -> None:
        """Do nothing."""

    def terminate(self) -> None:
        self._running = False


def beat(ctx: Context, every: Duration = param("1s", description="pace"), times: int = 2) -> None:  # noqa: B008 - read, never called
    """Beat."""


def errors_of(target: object, params: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str, str]]:
    with pytest.raises(ParamErrors) as caught:
        inspect_task(target).validate(params)
    return [(error.loc, error.message, error.hint) for error in caught.value.errors]


def test_the_annotated_public_attributes_of_a_class_are_its_params() -> None:
    shape = inspect_task(Beat)

    assert [each.name for each in shape.params] == [
        "times", "every", "words", "mode", "colour", "target", "secret", "peers", "extra",
    ]  # fmt: skip
    assert (shape.name, shape.doc) == ("Beat", "Say that we are here.")
    assert not shape.has_terminate
    assert shape.params[0].is_required
    assert shape.params[0].info.description == "how often"


def test_the_arguments_of_an_own_constructor_are_the_params() -> None:
    shape = inspect_task(Classic)

    assert [(each.name, each.annotation) for each in shape.params] == [("n", int), ("host", str), ("flag", bool)]
    assert shape.has_terminate


def test_the_parameters_of_a_function_after_the_first_are_the_params() -> None:
    shape = inspect_task(beat)

    assert [each.name for each in shape.params] == ["every", "times"]
    assert shape.params[0].info.description == "pace"
    assert shape.validate({}) == {"every": 1.0, "times": 2}
    assert shape.label.endswith("test_params:beat")


def test_the_docstring_that_dataclasses_invent_is_none() -> None:
    class Silent(Task):
        n: int = 1

        def run(self, ctx: Context) -> None:
            """Do nothing."""

    assert inspect_task(Silent).doc == ""


def test_plain_data_is_converted_to_the_types() -> None:
    values = inspect_task(Beat).validate(
        {
            "times": 3,
            "every": "1m30s",
            "mode": "slow",
            "colour": "blue",
            "target": "here.log",
            "secret": "hunter2",
            "peers": [{"host": "h", "token": "t"}],
            "extra": {"a": 1},
        }
    )

    assert values["every"] == 90.0
    assert values["colour"] is Colour.BLUE
    assert values["target"] == Path("here.log")
    assert values["secret"].get_secret_value() == "hunter2"
    assert values["peers"][0].port == 80
    assert values["extra"] == {"a": 1}


def test_every_error_is_reported_at_once() -> None:
    found = errors_of(
        Beat,
        {
            "tims": 3,
            "every": "5x",
            "words": ["a", 5],
            "mode": "fats",
            "colour": "green",
            "target": 7,
            "peers": [{"host": "h", "port": "80"}, {}],
            "extra": [],
        },
    )

    assert found == [
        (
            ("tims",),
            "cannot find parameter 'tims'; known: times, every, words, mode, colour, target, secret, peers, extra",
            "did you mean 'times'?",
        ),
        ((), "cannot do without parameter 'times'", "how often"),
        (("every",), "cannot read '5x' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds", ""),
        (("words", 1), "cannot use 5 as words[1]; expected text", "quote it to make it text"),
        (("mode",), "cannot use 'fats' as mode; expected 'fast' or 'slow'", "did you mean 'fast'?"),
        (("colour",), "cannot use 'green' as colour; expected 'red' or 'blue'", ""),
        (("target",), "cannot use 7 as target; expected text", "quote it to make it text"),
        (("peers", 0, "port"), "cannot use '80' as peers[0].port; expected an integer", "write 80 without quotes"),
        (("peers", 1), "cannot do without 'host' in peers[1]", ""),
        (("extra",), "cannot use [] as extra; expected a mapping", ""),
    ]


@every_case(
    ("value", "message", "hint"),
    [
        (True, "cannot use true as times; expected an integer", ""),
        ("5", "cannot use '5' as times; expected an integer", "write 5 without quotes"),
        (5.0, "cannot use 5.0 as times; expected an integer", ""),
        (0, "cannot use 0 as times; expected at least 1", ""),
        (10, "cannot use 10 as times; expected at most 9", ""),
        (None, "cannot use null as times; expected an integer", ""),
        ([1], "cannot use [1] as times; expected an integer", ""),
        ("x" * 99, f"cannot use '{'x' * 59}... as times; expected an integer", ""),
    ],
)
def test_an_integer_is_never_guessed(value: object, message: str, hint: str) -> None:
    assert errors_of(Beat, {"times": value}) == [(("times",), message, hint)]


def test_a_limit_is_shown_as_written() -> None:
    def limited(
        ctx: Context,
        big: int = param(default=1, le=67108864),
        half: float = param(default=1, gt=0.5),
        every: Duration = param(default=1, gt=0),  # noqa: B008
        day: dt.date = param(default=dt.date(2027, 1, 1), ge=dt.date(2026, 1, 1)),  # noqa: B008
    ) -> None:
        """Do nothing."""

    given = {"big": 10**9, "half": 0.25, "every": 0, "day": "2025-05-05"}

    assert [message for _, message, _ in errors_of(limited, given)] == [
        "cannot use 1000000000 as big; expected at most 67108864",
        "cannot use 0.25 as half; expected more than 0.5",
        "cannot use 0 as every; expected more than 0",
        "cannot use '2025-05-05' as day; expected at least 2026-01-01",
    ]


@every_case("value", ["no", "yes", "on", "off", 0, 1, "true", "False"])
def test_a_bool_is_never_guessed(value: object) -> None:
    [(loc, message, hint)] = errors_of(Classic, {"n": 1, "flag": value})

    assert loc == ("flag",)
    assert message == f"cannot use {value!r} as flag; expected true or false"
    assert hint == "write true or false"


def test_a_union_that_fails_is_one_mistake_that_names_all_arms() -> None:
    def either(ctx: Context, port: int | Literal["auto"], more: list[int | bool] = []) -> None:  # noqa: B006
        """Do nothing."""

    assert errors_of(either, {"port": "x", "more": [1, "x"]}) == [
        (("port",), "cannot use 'x' as port; expected an integer or 'auto'", ""),
        (("more", 1), "cannot use 'x' as more[1]; expected an integer or true or false", ""),
    ]


class Open(BaseModel, extra="allow"):
    host: str = Field(default="", alias="Host")


def test_a_key_that_a_nested_model_would_drop_is_a_mistake() -> None:
    def dial(ctx: Context, peers: list[Peer] = [], more: dict[str, Peer] = {}, wide: Open | None = None) -> None:  # noqa: B006
        """Do nothing."""

    found = errors_of(
        dial,
        {
            "peers": [{"host": "h"}, {"host": "h", "prt": 1}],
            "more": {"a": {"host": "h", "b": 1}},
            "wide": {"Host": "h", "else": 1},
        },
    )

    assert found == [
        (("peers", 1, "prt"), "cannot find 'prt' here; known: host, port, token", "did you mean 'port'?"),
        (("more", "a", "b"), "cannot find 'b' here; known: host, port, token", ""),
    ]


def test_a_secret_is_never_quoted() -> None:
    [(_, wrong_type, _)] = errors_of(Beat, {"times": 1, "secret": 12345})
    [(_, nested, _)] = errors_of(Beat, {"times": 1, "peers": [{"host": "h", "token": 12345}]})

    assert wrong_type == "cannot use ********** as secret; expected text"
    assert "12345" not in nested


def test_a_secret_in_a_constructors_error_is_masked() -> None:
    class Vault(Task):
        key: SecretStr
        hint: str = ""

        def __post_init__(self) -> None:
            raise ValueError(f"bad key {self.key.get_secret_value()} ({self.hint})")

        def run(self, ctx: Context) -> None:
            """Do nothing."""

    [(loc, message, _)] = errors_of(Vault, {"key": "hunter2", "hint": "as always"})

    assert loc == ()
    assert message == "cannot make Vault of these params: bad key ********** (as always)"


def test_a_value_that_the_constructor_refuses_is_reported_before_any_start() -> None:
    class Exits(Task):
        def __post_init__(self) -> None:
            sys.exit(0)

        def run(self, ctx: Context) -> None:
            """Do nothing."""

    assert errors_of(Classic, {"n": 101}) == [((), "cannot make Classic of these params: 101 is too many", "")]
    assert errors_of(Exits, {}) == [((), "cannot make Exits of these params: SystemExit: 0", "")]


@pytest.mark.parametrize(
    ("default", "annotation"),
    [("ten", int), (True, int), (0, bool), (None, str), (["a", 1], list[str]), ("5x", Duration), ("green", Colour)],
)
def test_a_default_is_held_to_its_own_type(default: object, annotation: Any) -> None:
    def task(ctx: Context, n: Any = default) -> None:
        """Do nothing."""

    task.__annotations__["n"] = annotation

    with pytest.raises(ShapeError, match=r"^default of parameter 'n': cannot "):
        inspect_task(task).validate({})


def test_a_default_is_held_to_its_constraints() -> None:
    def task(ctx: Context, n: int = param(0, ge=1)) -> None:
        """Do nothing."""

    with pytest.raises(ShapeError) as caught:
        inspect_task(task).validate({})

    assert str(caught.value) == "default of parameter 'n': cannot use 0 as n; expected at least 1"


def test_any_name_is_free_for_a_parameter() -> None:
    def task(ctx: Context, json: Colour, copy: Colour, schema: Colour, model_config: Colour) -> None:
        """Do nothing."""

    names = dict.fromkeys(["json", "copy", "schema", "model_config"], "red")

    assert inspect_task(task).validate(names) == dict.fromkeys(names, Colour.RED)


def test_the_json_schema_names_types_defaults_and_required_params() -> None:
    schema = inspect_task(Beat).json_schema()

    assert schema["required"] == ["times"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["times"] == {
        "type": "integer", "minimum": 1, "maximum": 9, "description": "how often",
    }  # fmt: skip
    assert schema["properties"]["every"]["default"] == 5.0
    assert schema["properties"]["mode"] == {"enum": ["fast", "slow"], "type": "string", "default": "fast"}
    assert schema["properties"]["secret"]["writeOnly"] is True


def test_plain_values_need_no_pydantic() -> None:
    program = """
import sys
from typing import Literal
from taskloom.catalog.params import inspect_task
from taskloom.task import Duration, Task, param
class Plain(Task):
    start: int = param(5, ge=0)
    interval: Duration = param("1s")
    mode: Literal["a", "b"] | None = None
    names: list[str] = param(["x"], min_length=1)
    def run(self, ctx): ...
inspect_task(Plain).bind({"start": 3, "interval": "200ms", "mode": "b"})
print("pydantic" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert answer.stdout == "False\n"
