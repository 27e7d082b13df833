"""A Job declared in code may hold any object: each is accepted or refused in words, and nothing else is raised."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from taskloom import Job, Scheduler, Task, TaskloomError
from taskloom.core.model import JobSpec
from taskloom.core.reload import ReloadAction
from taskloom.diagnostics import quoted
from taskloom.errors import InvalidJob


class NotEqual:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("cannot be compared")


class NotShown:
    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")


class NotTrue:
    """Compares as arrays do: element by element, without a truth value."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return self

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


class OddText(str):
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("cannot be compared")


class Colour(Enum):
    RED = 1


class Counting(Task):
    """Count."""

    start: int = 1

    def run(self, ctx: Any) -> None:
        """Do nothing."""


def run(ctx: Any) -> None:
    pass


def counting(ctx: Any, x: int, y: str = "") -> None:
    pass


def cycle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


ODD: list[Any] = [
    None, 1, -1, 1.5, True, math.inf, math.nan, 10**400, 1j, Decimal(1), "", "x", "\ud800", "\x00", "x" * 1_000_000,
    b"x", b"x" * 1_000_000, [], {}, (), set(), [1], ["a", "a"], {"a", "b"}, {1: 2}, {None: 1}, {("a",): 1},
    {b"a": 1}, {"a": 1}, {"a": object()}, {"within": {1: 2}}, {"within": cycle()}, {"every": NotTrue()}, {"cron": 1},
    {"when": []}, {"thread": {1: 2}}, {"after": NotEqual()}, {"db": 1}, {"db": "ready"}, {1.5: "ready"}, ["db", 1],
    [{"db": "ready"}], [{1: "ready"}], [[["a"]]], cycle(), object(), NotEqual(), NotShown(), NotTrue(), OddText("x"),
    Colour.RED, Path("x"), range(3), iter([1]), lambda: 1, int, NotShown,
]  # fmt: skip
TASKS: list[Any] = [run, counting, Counting, Counting()]


@pytest.mark.parametrize("field", vars(Job(name="", task="")))
def test_any_object_in_any_field_is_accepted_or_refused_in_words(field: str) -> None:
    messages: list[str] = []
    for value in ODD:
        for task in TASKS if field == "params" else TASKS[:1]:
            fields: dict[str, Any] = {"name": "a", "task": task, field: value}
            with Scheduler() as scheduler:
                try:
                    scheduler.add_all([Job(**fields)])
                except TaskloomError as error:
                    messages.append(str(error))
    assert len(messages) > 10
    assert {len(message) for message in messages} <= set(range(10, 3000))
    assert all(message.encode() for message in messages)


@pytest.mark.parametrize("task", [run, counting, Counting])
def test_the_keys_of_params_must_be_text(task: Any) -> None:
    params: Any = {1: 2, None: 3}

    with Scheduler() as scheduler, pytest.raises(InvalidJob) as caught:
        scheduler.add(Job(name="a", task=task, params=params))

    assert caught.value.reasons[:2] == (
        "cannot use 1 as the name of a parameter; expected text",
        "cannot use null as the name of a parameter; expected text",
    )


def test_a_key_that_is_not_text_hides_no_other_error_and_makes_none() -> None:
    params: Any = {1: 2, "x": "three"}

    with Scheduler() as scheduler, pytest.raises(InvalidJob) as caught:
        scheduler.add(Job(name="a", task=counting, params=params))

    first, second = caught.value.reasons
    assert first == "cannot use 1 as the name of a parameter; expected text"
    assert "three" in second


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"timeout": 10**400}, "as a duration; it must be between 0 and ten years"),
        ({"name": 3}, "cannot use 3 as the name of a job"),
        ({"name": NotShown()}, "cannot use an object of type NotShown as the name of a job"),
        ({"description": NotShown()}, "an object of type NotShown"),
        ({"runner": {"thread": NotShown()}}, "an object of type NotShown"),
        ({"runner": OddText("x")}, "cannot read its declaration: RuntimeError: cannot be compared"),
    ],
)
def test_the_message_names_what_is_wrong(fields: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"name": "a", "task": run} | fields

    with Scheduler() as scheduler, pytest.raises(InvalidJob) as caught:
        scheduler.add(Job(**given))

    assert text in str(caught.value)


def test_a_bug_in_a_method_of_a_value_is_the_cause_of_the_error() -> None:
    with Scheduler() as scheduler, pytest.raises(InvalidJob) as caught:
        scheduler.add(Job(name="a", task=run, runner=OddText("x")))

    assert isinstance(caught.value.__cause__, RuntimeError)


def specs(make: Callable[[], Any]) -> list[JobSpec]:
    def use(ctx: Any, x: Any) -> None:
        pass

    with Scheduler() as scheduler:
        return scheduler._declarations.specs([Job(name="a", task=use, params={"x": make()})])


@pytest.mark.parametrize("make", [NotEqual, NotTrue])
def test_a_reload_with_params_that_cannot_be_compared_restarts_the_job(make: Callable[[], Any]) -> None:
    with Scheduler() as scheduler:
        scheduler.add_all(specs(make))
        [changed] = scheduler.reload(specs(make))

    assert (changed.action, changed.fields) == (ReloadAction.RESTART, ("params",))


def test_a_quoted_value_is_cut_before_it_is_shown() -> None:
    assert quoted("x" * 10**6) == "'" + "x" * 59 + "..."
    assert quoted(NotShown()) == "an object of type NotShown"
