"""Circles among jobs: found, shortest, one for each group, and cheaply."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskloom.jobfile.circles import circles

NAMES = "abcdefg"
graphs = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(NAMES + "x"), max_size=3, unique=True) for name in NAMES}
)


def reachable(needs: dict[str, list[str]], start: str) -> set[str]:
    """Return what can be reached from a job in one step or more."""
    found: set[str] = set()
    todo = list(needs[start])
    while todo:
        name = todo.pop()
        if name in needs and name not in found:
            found.add(name)
            todo += needs[name]
    return found


@pytest.mark.parametrize(
    "needs, expected",
    [
        ({"a": ["b"], "b": []}, []),
        ({"a": ["b"], "b": ["a"]}, [["a", "b", "a"]]),
        ({"d": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, [["a", "b", "c", "a"]]),
        ({"a": ["b", "c"], "b": ["c"], "c": ["a"]}, [["a", "c", "a"]]),
        ({"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["c"]}, [["c", "d", "c"], ["a", "b", "a"]]),
        ({"a": ["gone"]}, []),
    ],
)
def test_a_circle_is_named_from_its_first_job_on(needs: dict[str, list[str]], expected: list[list[str]]) -> None:
    assert list(circles(needs)) == expected


@given(needs=graphs)
def test_a_circle_is_found_for_each_group_of_jobs_that_wait_for_each_other(needs: dict[str, list[str]]) -> None:
    groups = set()
    for name in needs:
        group = frozenset(other for other in reachable(needs, name) if name in reachable(needs, other))
        if len(group) > 1:
            groups.add(group)

    found = list(circles(needs))

    assert len(found) == len(groups)
    for circle in found:
        assert circle[0] == circle[-1]
        assert len(set(circle)) == len(circle) - 1
        assert all(need in needs[name] for name, need in pairwise(circle))
        assert any(set(circle) <= group for group in groups)


def test_a_hundred_thousand_jobs_in_a_row_are_no_matter() -> None:
    needs = {f"j{number}": [f"j{number + 1}"] for number in range(100_000)}
    before = time.process_time()

    assert list(circles(needs)) == []
    assert time.process_time() - before < 5
