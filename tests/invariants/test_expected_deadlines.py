from __future__ import annotations

from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines


def test_deadlines_come_in_order_and_equal_ones_in_the_order_in_which_they_were_set() -> None:
    deadlines: ExpectedDeadlines[str] = ExpectedDeadlines()
    for key, due in (("late", 5.0), ("first", 2.0), ("second", 2.0), ("never", float("inf"))):
        deadlines.set(key, due)

    assert list(deadlines.pop_until(2.0)) == [("first", 2.0), ("second", 2.0)]
    assert list(deadlines.pop_until(9.0)) == [("late", 5.0)]


def test_a_moved_deadline_comes_once_and_a_dropped_one_never() -> None:
    deadlines: ExpectedDeadlines[str] = ExpectedDeadlines()
    deadlines.set("moved", 1.0)
    deadlines.set("moved", 3.0)
    deadlines.set("dropped", 2.0)
    deadlines.drop("dropped")
    deadlines.set("stopped", 2.0)
    deadlines.set("stopped", float("inf"))

    assert deadlines.due_of("moved") == 3.0
    assert deadlines.due_of("dropped") is None
    assert list(deadlines.pop_until(9.0)) == [("moved", 3.0)]


def test_is_any_due_removes_no_deadline() -> None:
    deadlines: ExpectedDeadlines[str] = ExpectedDeadlines()
    deadlines.set("a", 2.0)

    assert not deadlines.is_any_due(1.9)
    assert deadlines.is_any_due(2.0)
    assert deadlines.due_of("a") == 2.0
