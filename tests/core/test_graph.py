from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskloom.core.graph import stop_levels


@pytest.mark.parametrize(
    ("after", "levels"),
    [
        ({}, []),
        ({"a": [], "b": []}, [["a", "b"]]),
        ({"base": [], "top": ["base"]}, [["top"], ["base"]]),
        ({"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"]}, [["d"], ["c"], ["b"], ["a"]]),
        ({"a": [], "b": ["a"], "c": ["a"]}, [["b", "c"], ["a"]]),
        ({"a": ["gone"], "b": ["a", "a"]}, [["b"], ["a"]]),
    ],
    ids=["nothing", "no order", "one before the other", "a ladder with a shortcut", "a fork", "unknown and twice"],
)
def test_dependents_come_before_what_they_depend_on(after: dict[str, list[str]], levels: list[list[str]]) -> None:
    assert stop_levels(after) == levels


@pytest.mark.parametrize("after", [{"a": ["a"]}, {"a": ["b"], "b": ["a"], "c": []}], ids=["itself", "two"])
def test_a_circle_is_refused(after: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="cannot order jobs that depend on each other in a circle"):
        stop_levels(after)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12))
def test_any_order_without_a_circle_has_levels_in_which_nobody_stops_before_a_dependent(needs: list[set[int]]) -> None:
    after = {str(job): [str(need) for need in wanted if need < job] for job, wanted in enumerate(needs)}

    levels = stop_levels(after)

    height = {job: number for number, level in enumerate(levels) for job in level}
    assert sorted(height) == sorted(after)
    assert sum(map(len, levels)) == len(after)
    assert all(height[job] < height[need] for job, wanted in after.items() for need in wanted)
