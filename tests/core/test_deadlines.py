from __future__ import annotations

from typing import Any

from taskloom.core.deadlines import Deadlines, Due


def deadlines(stale: set[Any] | None = None) -> Deadlines:
    return Deadlines(lambda when, due, subject: subject in (stale or ()))


def test_entries_fall_due_in_order_and_equal_ones_as_they_came() -> None:
    found = deadlines()
    found.add(2, Due.OVERDUE, "b")
    found.add(1, Due.DELAY, "a")
    found.add(2, Due.URGENT, "c")
    found.add(3, Due.PROGRESS, "d")

    assert found.next() == 1
    assert list(found.pop_until(2)) == [(Due.DELAY, "a"), (Due.OVERDUE, "b"), (Due.URGENT, "c")]
    assert found.next() == 3


def test_what_became_stale_is_passed_over_wherever_it_stands() -> None:
    stale = {"a", "c"}
    found = deadlines(stale)
    for when, subject in enumerate("abcd", start=1):
        found.add(when, Due.OVERDUE, subject)

    assert found.next() == 2
    assert list(found.pop_until(4)) == [(Due.OVERDUE, "b"), (Due.OVERDUE, "d")]
    assert found.next() is None


def test_a_deadline_at_infinity_never_comes() -> None:
    found = deadlines()

    found.add(float("inf"), Due.OVERDUE, "a")

    assert found.next() is None
    assert list(found.pop_until(1e300)) == []


def test_entries_may_be_added_while_others_are_taken_out() -> None:
    found = deadlines()
    found.add(1, Due.PROGRESS, 1)
    taken = []

    for due, subject in found.pop_until(3):
        taken.append(subject)
        found.add(subject + 1, due, subject + 1)

    assert taken == [1, 2, 3]
    assert found.next() == 4


def test_what_falls_due_during_a_taking_out_may_become_stale_by_it() -> None:
    stale: set[Any] = set()
    found = deadlines(stale)
    found.add(1, Due.OVERDUE, "first")
    found.add(1, Due.OVERDUE, "second")
    taken = []

    for _, subject in found.pop_until(1):
        taken.append(subject)
        stale.add("second")

    assert taken == ["first"]
