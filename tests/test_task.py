"""A Task is a plain class: its constructor, and the attributes that are new on each instance."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from taskloom import Duration, Task, param


class Plain(Task):
    every: Duration = param("5s", description="time between two beats")
    hosts: list[str] = ["a"]
    limit: ClassVar[int] = 3
    constant = "plain"
    _seen: list[str] = []


def test_annotated_public_attributes_are_keyword_only_parameters() -> None:
    task = Plain(every=2.0, hosts=["b"])

    assert (task.every, task.hosts, task.limit, task.constant) == (2.0, ["b"], 3, "plain")
    with pytest.raises(TypeError):
        Plain(2.0)  # type: ignore[call-arg]


def test_a_default_duration_is_seconds() -> None:
    assert Plain().every == 5.0


def test_lists_are_fresh_on_each_instance() -> None:
    first, second = Plain(), Plain()

    first.hosts.append("x")
    first._seen.append("y")

    assert (second.hosts, second._seen) == (["a"], [])


def test_a_subclass_adds_parameters() -> None:
    class More(Plain):
        extra: int = 1

    assert More(every=1.0, extra=2).extra == 2


def test_a_constructor_of_its_own_is_kept() -> None:
    class Own(Task):
        def __init__(self, host: str) -> None:
            self.host = host.upper()

    assert Own("a").host == "A"


def test_a_constructor_of_its_own_is_inherited_too() -> None:
    class Own(Task):
        def __init__(self, host: str) -> None:
            self.host = host.upper()

    class Heir(Own):
        port: int = 5

    make: Any = Heir
    heir = make("a")
    assert (heir.host, heir.port) == ("A", 5)


def test_a_constraint_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(TypeError, match=r"cannot use constraint 'least'; known: ge, gt"):
        param(1, least=0)


def test_a_bad_default_duration_is_refused_where_the_class_is_written() -> None:
    with pytest.raises(ValueError, match="cannot read '5 minutes' as a duration"):

        class Bad(Task):
            every: Duration = param("5 minutes")
