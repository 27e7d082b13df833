"""The fingerprint of a job: equal for equal declarations in each start of a program, and no help to guess secrets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr
from tests.support.every_case import every_case

from taskloom.calendars import cron_calendar
from taskloom.core.policies import Missed, Schedule
from taskloom.scheduler.fingerprint import fingerprint
from taskloom.testing import make_job

PLAIN = make_job("a", params={"text": "hello", "count": 3})


class Shade(Enum):
    DARK = 1
    LIGHT = 2


@dataclass
class Point:
    x: int
    y: Any = None


class Model(BaseModel):
    name: str
    secret: SecretStr = SecretStr("none")


class Plain:
    def __init__(self, value: object) -> None:
        self.value = value


class Broken:
    __slots__ = ()

    def __repr__(self) -> str:
        raise ValueError("no text")


def of(value: object) -> str:
    return fingerprint(replace(PLAIN, params={"value": value}))


@every_case(
    "same, other",
    [
        pytest.param("a", "b", id="text"),
        pytest.param(1, 2, id="number"),
        pytest.param(True, False, id="flag"),
        pytest.param([1, 2], [2, 1], id="list"),
        pytest.param({"a": 1, "b": 2}, {"a": 2, "b": 1}, id="mapping"),
        pytest.param({"x", "y", "z"}, {"x", "y"}, id="set"),
        pytest.param(SecretStr("one"), "one", id="secret"),
        pytest.param(Model(name="a"), Model(name="b"), id="model"),
        pytest.param(Point(1, [2]), Point(1, [3]), id="dataclass"),
        pytest.param(Plain("a"), Plain("b"), id="object"),
        pytest.param(Path("/a"), Path("/b"), id="path"),
        pytest.param(Shade.DARK, Shade.LIGHT, id="enum"),
        pytest.param(b"a", b"b", id="bytes"),
        pytest.param("a\udc80", "a\udc81", id="surrogate"),
    ],
)
def test_another_param_makes_another_fingerprint(same: object, other: object) -> None:
    assert of(same) == of(same)
    assert of(same) != of(other)


@pytest.mark.parametrize(
    "one, other",
    [
        pytest.param(SecretStr("one"), SecretStr("two"), id="secret"),
        pytest.param(SecretBytes(b"one"), SecretBytes(b"two"), id="bytes"),
        pytest.param([{"token": SecretStr("one")}], [{"token": SecretStr("two")}], id="deep secret"),
        pytest.param(Model(name="a", secret=SecretStr("1")), Model(name="a", secret=SecretStr("2")), id="model"),
    ],
)
def test_a_secret_that_is_renewed_makes_no_other_job(one: object, other: object) -> None:
    assert of(one) == of(other)


def test_the_order_of_keys_does_not_matter() -> None:
    assert of({"a": 1, "b": {"c": 2, "d": 3}}) == of({"b": {"d": 3, "c": 2}, "a": 1})


def test_an_object_with_a_default_repr_is_the_same_wherever_it_lies() -> None:
    assert of(Plain(object())) == of(Plain(object()))


@pytest.mark.parametrize("kind", ["cycle", "broken"])
def test_params_of_any_kind_have_a_fingerprint(kind: str) -> None:
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle

    assert of(cycle if kind == "cycle" else Broken())


@pytest.mark.parametrize(
    "change",
    [
        {"task": "other"},
        {"schedule": Schedule(every=5.0)},
        {"enabled": False},
        {"params": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_declaration_has_another_fingerprint(change: Mapping[str, Any]) -> None:
    assert fingerprint(replace(PLAIN, **change)) != fingerprint(PLAIN)


@pytest.mark.parametrize(
    "change", [{"timeout": 5.0}, {"description": "x"}, {"name": "b"}], ids=lambda each: next(iter(each))
)
def test_a_policy_does_not_count(change: Mapping[str, Any]) -> None:
    assert fingerprint(replace(PLAIN, **change)) == fingerprint(PLAIN)


def test_the_zone_of_a_calendar_counts() -> None:
    one, other = (Schedule(calendar=cron_calendar("0 6 * * *", zone), text="cron") for zone in ("UTC", "Europe/Berlin"))

    assert fingerprint(replace(PLAIN, schedule=one)) != fingerprint(replace(PLAIN, schedule=other))


def test_it_is_the_same_in_each_process() -> None:
    """The hashes of texts differ from process to process."""
    program = (
        "from taskloom.calendars import cron_calendar\n"
        "from taskloom.core.policies import Missed, Schedule\n"
        "from taskloom.scheduler.fingerprint import fingerprint\n"
        "from taskloom.testing import make_job\n"
        "calendar = cron_calendar('0 6 * * *', 'UTC')\n"
        "schedule = Schedule(calendar=calendar, text='cron 0 6 * * *', missed=Missed.CATCH_UP)\n"
        "print(fingerprint(make_job('a', params={'names': {'x', 'y', 'z'}}, schedule=schedule)))\n"
    )
    schedule = Schedule(calendar=cron_calendar("0 6 * * *", "UTC"), text="cron 0 6 * * *", missed=Missed.CATCH_UP)

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()

    assert printed == fingerprint(make_job("a", params={"names": {"x", "y", "z"}}, schedule=schedule))


def test_it_tells_almost_nothing_about_a_secret_in_a_plain_param() -> None:
    """Of the params it has 16 bits: of a million guesses, fifteen fit as well."""
    prints = {of(f"postgresql://alice:{number}@db").rpartition("-")[2] for number in range(100)}

    assert {len(each) for each in prints} == {4}
