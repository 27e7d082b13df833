from __future__ import annotations

from typing import Any

from taskloom.core.deadlines import DeadlineKind, Deadlines


class Owner:
    """An owner of two kinds of deadline, which records what is due and in which order."""

    def __init__(self) -> None:
        self.handled: list[Any] = []
        self.stale: set[Any] = set()
        self.first = DeadlineKind(self.handle, self.is_stale)
        self.second = DeadlineKind(lambda subject: self.handle((subject, "second")), self.is_stale)

    def handle(self, subject: Any) -> None:
        self.handled.append(subject)

    def is_stale(self, when: float, subject: Any) -> bool:
        return subject in self.stale


def test_entries_are_handled_by_their_kind_in_order_of_time_and_then_of_adding() -> None:
    owner, deadlines = Owner(), Deadlines()
    deadlines.add(2, owner.first, "b")
    deadlines.add(1, owner.second, "a")
    deadlines.add(2, owner.second, "c")
    deadlines.add(3, owner.first, "d")

    assert deadlines.next() == 1
    deadlines.run_due(2)

    assert owner.handled == [("a", "second"), "b", ("c", "second")]
    assert deadlines.next() == 3


def test_a_stale_entry_is_dropped_wherever_it_is() -> None:
    owner, deadlines = Owner(), Deadlines()
    owner.stale = {"a", "b", "d"}
    for when, subject in enumerate("abcde", start=1):
        deadlines.add(when, owner.first, subject)

    assert deadlines.next() == 3
    deadlines.run_due(5)

    assert owner.handled == ["c", "e"]
    assert deadlines.next() is None


def test_staleness_is_decided_from_the_time_and_the_subject_of_the_entry() -> None:
    owner, deadlines = Owner(), Deadlines()
    asked: list[tuple[float, Any]] = []

    def is_stale(when: float, subject: Any) -> bool:
        asked.append((when, subject))
        return False

    deadlines.add(1.5, DeadlineKind(owner.handle, is_stale), "a")

    assert deadlines.next() == 1.5
    assert asked == [(1.5, "a")]


def test_a_deadline_at_infinity_is_never_due() -> None:
    owner, deadlines = Owner(), Deadlines()

    deadlines.add(float("inf"), owner.first, "a")
    deadlines.run_due(1e300)

    assert deadlines.next() is None
    assert owner.handled == []


def test_handling_an_entry_may_add_others_that_are_due() -> None:
    handled: list[int] = []
    deadlines = Deadlines()

    def add_another(subject: int) -> None:
        handled.append(subject)
        deadlines.add(subject + 1, kind, subject + 1)

    kind = DeadlineKind(add_another, lambda when, subject: False)
    deadlines.add(1, kind, 1)

    deadlines.run_due(3)

    assert handled == [1, 2, 3]
    assert deadlines.next() == 4


def test_handling_an_entry_may_make_another_one_of_the_same_time_stale() -> None:
    handled: list[str] = []

    def cancel_the_others(subject: str) -> None:
        handled.append(subject)

    kind = DeadlineKind(cancel_the_others, lambda when, subject: bool(handled))
    deadlines = Deadlines()
    deadlines.add(1, kind, "first")
    deadlines.add(1, kind, "second")

    deadlines.run_due(1)

    assert handled == ["first"]
