from __future__ import annotations

from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines


def test_alarms_come_in_the_order_of_their_seconds_and_of_one_second_as_they_were_set() -> None:
    alarms: ExpectedDeadlines[str] = ExpectedDeadlines()
    for key, due in (("late", 5.0), ("first", 2.0), ("second", 2.0), ("never", float("inf"))):
        alarms.set(key, due)

    assert list(alarms.pop_until(2.0)) == [("first", 2.0), ("second", 2.0)]
    assert list(alarms.pop_until(9.0)) == [("late", 5.0)]


def test_an_alarm_that_was_moved_or_dropped_comes_once_or_never() -> None:
    alarms: ExpectedDeadlines[str] = ExpectedDeadlines()
    alarms.set("moved", 1.0)
    alarms.set("moved", 3.0)
    alarms.set("dropped", 2.0)
    alarms.drop("dropped")
    alarms.set("stopped", 2.0)
    alarms.set("stopped", float("inf"))

    assert alarms.due_of("moved") == 3.0
    assert "dropped" not in alarms
    assert list(alarms.pop_until(9.0)) == [("moved", 3.0)]


def test_whether_any_is_due_is_known_without_taking_it_out() -> None:
    alarms: ExpectedDeadlines[str] = ExpectedDeadlines()
    alarms.set("a", 2.0)

    assert not alarms.is_any_due(1.9)
    assert alarms.is_any_due(2.0)
    assert "a" in alarms
