"""A reader that connects by name while DNS goes and comes back, in namespaces of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.long

AFTER_A_CONNECTION = ["UNKNOWN_NAME", "SERVER_FAILURE", "REFUSED", "NO_ADDRESS", "SILENCE"]


@pytest.mark.parametrize(
    ("scene", "trouble"),
    [
        *(("goes_and_comes_back", trouble) for trouble in AFTER_A_CONNECTION),
        ("comes_back_elsewhere", "UNKNOWN_NAME"),
        ("goes_twice", "UNKNOWN_NAME"),
        ("is_not_there_yet", "SERVER_FAILURE"),
        ("is_not_there_yet", "SILENCE"),
        ("never_was", "UNKNOWN_NAME"),
        ("never_was", "NO_ADDRESS"),
        ("stops_while_it_is_gone", "UNKNOWN_NAME"),
        ("stops_while_it_is_gone", "SILENCE"),
    ],
)
def test_a_reader_that_connects_by_name(scene: str, trouble: str, in_namespaces: Callable[..., None]) -> None:
    in_namespaces("tests.support.dns_scenes", scene, trouble)
