"""The error for a job declared in code names the field, whichever it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.errors import InvalidJob
from taskloom.job import Job
from taskloom.jobfile.job_spec import spec_of
from taskloom.scheduler import Scheduler
from taskloom.task import Context, Duration, Task


class Count(Task):
    n: int = 1
    every: Duration = 1.0
    words: list[str] = []

    def run(self, ctx: Context) -> None:
        """Do nothing."""


NOT_SECONDS: list[Any] = ["soon", "5 s", -1, float("nan"), float("inf"), True, [], {}, "1s1h", "", b"5s", object()]
NOT_MAPPINGS: list[Any] = [5, "soon", [], object(), True]
# For each field what it cannot be, and with a part of it that the error has to name.
WRONG: Mapping[str, list[Any]] = {
    "params": [5, "x", [1], {"n": "x"}, {"every": "soon"}, {"words": 5}, {"other": 1}, {1: 1}],
    "description": [5, None, ["x"], b"x", object()],
    "labels": [5, "x", [5], [""], {"a": 1}, None],
    "enabled": ["yes", 1, None, "true", []],
    "daemon": ["no", 0, None],
    "poll_interval": [*NOT_SECONDS, 0, None],
    "join": [
        *(each for each in NOT_SECONDS if each != {}), None, "waits",
        {"within": "soon"}, {"within": -1}, {"otherwise": "x"}, {"x": 1},
    ],
    "start": [*NOT_MAPPINGS, None, {"delay": "soon"}, {"x": 1}, {}],
    "schedule": [
        *NOT_MAPPINGS, {"every": "soon"}, {"every": 0}, {"cron": "x"}, {"at": "x"}, {"cron": 5}, {"x": 1}, {},
        {"cron": "@daily", "timezone": "Mars"}, {"every": "1s", "jitter": "x"}, {"every": "1s", "jitter": "2s"},
        {"every": "1s", "grace": "x"}, {"every": "1s", "overlap": "x"}, {"every": "1s", "missed": 1},
        {"every": "1s", "immediately": "x"}, {"every": "1s", "cron": "@daily"}, {"every": "1s", "timezone": "UTC"},
        {"at": "2030-01-01T00:00", "immediately": True}, "every:5m",
    ],
    "after": [5, None, [5], {"b": "x"}, {"b": 5}, [{"b": "x"}], ["b", "b"], "b:started", object()],
    "restart": [
        *NOT_MAPPINGS, None, {"when": "x"}, {"delay": "soon"}, {"factor": 0}, {"max_delay": "x"}, {"jitter": "x"},
        {"limit": 5}, {"limit": {"times": 0, "within": "1s"}}, {"limit": {"times": 1, "within": "x"}},
        {"limit": {"times": 1}}, {"x": 1}, {"delay": "5s", "max_delay": "1s"}, "allways",
        {"delay": "1m", "limit": {"times": 5, "within": "1m"}},
    ],
    "timeout": [*NOT_SECONDS, 0],
    "ready_within": [*NOT_SECONDS, 0],
    "watchdog": [*NOT_SECONDS, 0, {"after": "soon"}, {"after": 1, "then": "x"}, {"then": "stop"}, {"x": 1}],
    "essential": ["x", 1, None],
    "log": [5, "loud", None, [], {"level": "loud"}, {"level": 1}, {"file": ""}, {"file": 5}, {"file": True}, {"x": 1}],
    "replicas": ["x", 0, 1001, 1.0, True, None],
    "runner": [
        5, None, "", {"thread": 5}, {"thread": {"x": 1}}, {"thread": {"reuse": "x"}}, {"a": 1, "b": 2}, "nowhere",
    ],
}  # fmt: skip
ROWS = [(field, value) for field, values in WRONG.items() for value in values]


def named(field: str, value: object) -> list[str]:
    """Return the names of which the error has to contain one: those of a param are names of fields of its own."""
    inner = list(value) if field == "params" and isinstance(value, dict) else []
    return [field, *map(str, inner)]


@every_case("field, value", ROWS, ids=[f"{field}-{number}" for number, (field, _) in enumerate(ROWS)])
def test_the_error_names_the_field(field: str, value: Any) -> None:
    job = Job(name="a", task=Count, **{field: value})

    with pytest.raises(InvalidJob) as caught:
        spec_of(job, catalog=_catalog())

    for reason in caught.value.reasons:
        assert any(name in reason for name in named(field, value)), reason
    assert str(caught.value).startswith("cannot add job 'a': ")


def test_the_table_has_every_field() -> None:
    assert set(WRONG) == {field.name for field in dataclasses.fields(Job)} - {"name", "task"}


def test_the_text_is_that_of_a_field_and_its_value() -> None:
    with pytest.raises(InvalidJob) as caught:
        spec_of(Job(name="a", task=Count, timeout="soon", schedule={"every": "5 s"}), catalog=_catalog())

    assert caught.value.reasons == (
        "schedule.every: cannot read '5 s' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds",
        "timeout: cannot read 'soon' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds",
    )


@pytest.mark.parametrize("field, value", [("join", "9s"), ("timeout", "10s"), ("watchdog", "2s"), ("replicas", 1000)])
def test_a_value_beside_a_wrong_one_is_accepted(field: str, value: Any) -> None:
    assert spec_of(Job(name="a", task=Count, **{field: value}), catalog=_catalog()).name == "a"


@pytest.mark.parametrize("name", ["", "a b", 5, None, "-a", "x" * 64])
def test_a_wrong_name_is_quoted_as_a_name(name: Any) -> None:
    with pytest.raises(InvalidJob, match="as the name of a job"):
        spec_of(Job(name=name, task=Count), catalog=_catalog())


@pytest.mark.parametrize("task", [5, None, "countdwon", lambda: None, int, []])
def test_a_wrong_task_is_told_as_that(task: Any) -> None:
    with pytest.raises(Exception, match="task"):
        spec_of(Job(name="a", task=task), catalog=_catalog())


def _catalog() -> Any:
    from tests.support.given_catalog import GivenCatalog

    return GivenCatalog({})


@pytest.mark.parametrize("value", ["soon", [], b"5"])
def test_the_option_of_a_scheduler_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match="as stop_within; expected seconds"):
        Scheduler(stop_within=value)
