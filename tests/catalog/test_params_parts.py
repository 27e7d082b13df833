"""Errors in a part of a parameter: of a union, and of a mapping with known keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from taskloom.catalog.params import ParamErrors, inspect_task
from taskloom.task import Context, Task


@dataclass
class Peer:
    host: str
    port: int = 1


class Parts(Task):
    either: list[str] | str = ""
    peer: Peer | str | None = None
    peers: list[Peer] | None = None

    def run(self, ctx: Context) -> None:
        """Do nothing."""


def errors(**params: Any) -> list[tuple[tuple[str | int, ...], str, str]]:
    with pytest.raises(ParamErrors) as caught:
        inspect_task(Parts).validate(params)
    return [(error.loc, error.message, error.hint) for error in caught.value.errors]


def test_of_a_union_the_types_that_were_not_meant_are_not_named() -> None:
    assert errors(either=["a", 5, "b", True]) == [
        (("either", 1), "cannot use 5 as either[1]; expected text", "quote it to make it text"),
        (("either", 3), "cannot use true as either[3]; expected text", "quote it to make it text"),
    ]


def test_a_value_of_no_type_of_the_union_names_them_all() -> None:
    assert errors(either=5) == [
        (("either",), "cannot use 5 as either; expected a list or text", "quote it to make it text")
    ]


def test_an_unknown_key_gets_the_known_ones_and_a_near_match() -> None:
    unknown = "cannot find 'prot' in {}; known: host, port"

    assert errors(peer={"host": "a", "prot": 2}) == [(("peer", "prot"), unknown.format("peer"), "did you mean 'port'?")]
    assert errors(peers=[{"host": "a"}, {"host": "b", "prot": 2}]) == [
        (("peers", 1, "prot"), unknown.format("peers[1]"), "did you mean 'port'?")
    ]


def test_a_missing_key_is_named() -> None:
    [(_, message, _)] = errors(peers=[{"port": 2}])

    assert message == "cannot do without 'host' in peers[0]"
