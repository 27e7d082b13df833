"""Stop levels and cycles: correct, shortest, one for each group, and in linear time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cpu_time import cpu_seconds

from taskloom.core.graph import find_cycle, find_cycles, stop_levels

NAMES = "abcdefg"
graphs = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(NAMES + "x"), max_size=3, unique=True) for name in NAMES}
)


def reachable(after: dict[str, list[str]], start: str) -> set[str]:
    """Return the jobs that can be reached from a job in one step or more."""
    found: set[str] = set()
    waiting = list(after[start])
    while waiting:
        name = waiting.pop()
        if name in after and name not in found:
            found.add(name)
            waiting += after[name]
    return found


# -- levels


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
    ids=["nothing", "no order", "one before the other", "a chain with a shortcut", "a fork", "unknown and repeated"],
)
def test_dependents_come_before_what_they_depend_on(after: dict[str, list[str]], levels: list[list[str]]) -> None:
    assert stop_levels(after) == levels


@pytest.mark.parametrize("after", [{"a": ["a"]}, {"a": ["b"], "b": ["a"], "c": []}], ids=["itself", "two"])
def test_levels_of_jobs_that_form_a_cycle_are_refused(after: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="cannot order jobs that depend on each other in a cycle"):
        stop_levels(after)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12))
def test_without_a_cycle_no_job_is_in_a_level_before_a_dependent(needed: list[set[int]]) -> None:
    after = {str(job): [str(other) for other in others if other < job] for job, others in enumerate(needed)}

    levels = stop_levels(after)

    height = {job: number for number, level in enumerate(levels) for job in level}
    assert sorted(height) == sorted(after)
    assert sum(map(len, levels)) == len(after)
    assert all(height[job] < height[other] for job, others in after.items() for other in others)


# -- the cycle through one job


def test_a_diamond_is_not_a_cycle() -> None:
    after = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}

    assert find_cycle("d", lambda name: after[name]) == []


def test_a_cycle_that_can_only_be_reached_from_a_job_does_not_go_through_it() -> None:
    after = {"a": ["b"], "b": ["c"], "c": ["b"]}

    assert find_cycle("a", lambda name: after.get(name, ())) == []
    assert find_cycle("b", lambda name: after.get(name, ())) == ["b", "c", "b"]


def test_a_job_that_starts_after_itself_is_a_cycle_of_one() -> None:
    assert find_cycle("a", lambda name: ["a"]) == ["a", "a"]


@given(after=graphs)
def test_a_cycle_through_a_job_is_found_if_the_job_can_be_reached_from_itself(after: dict[str, list[str]]) -> None:
    for name in after:
        cycle = find_cycle(name, lambda job: after.get(job, ()))
        assert bool(cycle) is (name in reachable(after, name))
        assert cycle[:1] == cycle[-1:]
        assert all(other in after[job] for job, other in pairwise(cycle))


# -- all cycles


@pytest.mark.parametrize(
    "after, expected",
    [
        ({"a": ["b"], "b": []}, []),
        ({"a": ["b"], "b": ["a"]}, [["a", "b", "a"]]),
        ({"d": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, [["a", "b", "c", "a"]]),
        ({"a": ["b", "c"], "b": ["c"], "c": ["a"]}, [["a", "c", "a"]]),
        ({"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["c"]}, [["c", "d", "c"], ["a", "b", "a"]]),
        (
            {"a": ["x", "b"], "b": ["c"], "c": ["d"], "d": ["a"], "x": ["y"], "y": ["a"]},
            [["a", "x", "y", "a"]],
        ),
        ({"a": ["gone"]}, []),
    ],
)
def test_a_cycle_begins_with_its_first_job(after: dict[str, list[str]], expected: list[list[str]]) -> None:
    assert list(find_cycles(after)) == expected


@given(after=graphs)
def test_one_cycle_is_found_for_each_group_of_jobs_that_wait_for_each_other(after: dict[str, list[str]]) -> None:
    groups = set()
    for name in after:
        group = frozenset(other for other in reachable(after, name) if name in reachable(after, other))
        if len(group) > 1:
            groups.add(group)

    found = list(find_cycles(after))

    assert len(found) == len(groups)
    for cycle in found:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(other in after[name] for name, other in pairwise(cycle))
        assert any(set(cycle) <= group for group in groups)


def test_a_chain_of_a_hundred_thousand_jobs_is_searched_in_linear_time() -> None:
    after = {f"j{number}": [f"j{number + 1}"] for number in range(100_000)}

    with cpu_seconds() as spent:
        assert list(find_cycles(after)) == []
        assert spent() < 5


def test_many_small_cycles_in_a_row_are_found_in_linear_time() -> None:
    after = {f"j{number}": [f"j{number ^ 1}", f"j{number + 1}"] for number in range(20_000)}

    with cpu_seconds() as spent:
        assert len(list(find_cycles(after))) == 10_000
        assert spent() < 5
