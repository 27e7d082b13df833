"""The ring of the last events: its bounds, its positions, and the wake-ups of its readers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from taskloom.control.event_ring import EventRing
from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo


def make_event(seq: int, name: EventName = EventName.STARTED, **fields: Any) -> Event:
    return Event(seq, 1000.0 + seq, float(seq), name, **{"job": "web", **fields})


def filled(count: int, **limits: int) -> EventRing:
    ring = EventRing(**limits)
    for seq in range(1, count + 1):
        ring.put(make_event(seq))
    return ring


def seqs(ring: EventRing, position: int = 0, most: int = 1000) -> list[int]:
    return [event.seq for event in ring.read(position, most).events]


def test_an_empty_ring_has_nothing() -> None:
    ring = EventRing()

    assert ring.read(0, 10) == ([], 0, True)
    assert (ring.last_seq, ring.is_over) == (0, False)
    assert ring.position_after(lambda event: True) == 0


@pytest.mark.parametrize("count", [1, 4, 5, 6, 14, 15, 16])
def test_the_last_events_are_kept(count: int) -> None:
    ring = filled(count, most=5)

    assert seqs(ring) == list(range(max(1, count - 4), count + 1))
    assert ring.last_seq == count


def test_the_bytes_are_bounded_and_the_newest_event_is_always_kept() -> None:
    ring = EventRing(most=100, most_bytes=50_000)
    for seq in range(1, 11):
        ring.put(make_event(seq, error=ErrorInfo("E", "m", "x" * 15_000)))

    assert seqs(ring) == [8, 9, 10]

    ring.put(make_event(11, data={"jobs": ["y" * 100] * 1000}))
    assert seqs(ring) == [11]
    ring.put(make_event(12))
    assert seqs(ring) == [12]


def test_a_reader_goes_on_from_its_position() -> None:
    ring = filled(5)

    first = ring.read(0, 2)
    second = ring.read(first.position, 2)
    third = ring.read(second.position, 2)

    assert [[event.seq for event in page.events] for page in (first, second, third)] == [[1, 2], [3, 4], [5]]
    assert [page.is_end for page in (first, second, third)] == [False, False, True]


def test_a_position_that_was_dropped_is_that_of_the_oldest_event() -> None:
    ring = filled(12, most=5)

    page = ring.read(2, 3)

    assert [event.seq for event in page.events] == [8, 9, 10]
    assert page.position == 10


def test_the_place_after_an_event_is_found_although_some_are_missing() -> None:
    ring = EventRing(most=5)
    for seq in (2, 3, 7, 8, 20, 21):
        ring.put(make_event(seq))

    def after(number: int) -> list[int]:
        return seqs(ring, ring.position_after(lambda event: event.seq <= number))

    assert {number: after(number) for number in (0, 3, 5, 20, 99)} == {
        0: [3, 7, 8, 20, 21],
        3: [7, 8, 20, 21],
        5: [7, 8, 20, 21],
        20: [21],
        99: [],
    }


def test_readers_are_woken_until_they_are_forgotten() -> None:
    ring, woken = EventRing(), []
    forget_a = ring.wake_with(lambda: woken.append("a"))
    forget_b = ring.wake_with(lambda: woken.append("b"))

    ring.put(make_event(1))
    forget_a()
    forget_a()
    ring.put(make_event(2))
    forget_b()
    ring.put(make_event(3))

    assert woken == ["a", "b", "b"]


def test_those_who_wait_for_the_end_are_woken_once() -> None:
    ring, woken = EventRing(), []
    ring.wake_at_end(lambda: woken.append(ring.is_over))

    ring.put(make_event(1))
    ring.put(make_event(2, EventName.SCHEDULER_STOPPED))
    ring.put(make_event(3, EventName.LATE_EXIT))

    assert woken == [True]


def test_a_reader_may_read_and_leave_while_it_is_woken() -> None:
    """The lock is not held then: this would wait for ever."""
    ring, found = EventRing(), []

    def wake() -> None:
        found.append(seqs(ring))
        forget()

    forget = ring.wake_with(wake)
    ring.put(make_event(1))
    ring.put(make_event(2))

    assert found == [[1]]


def test_readers_on_other_threads_see_each_event_once_and_in_order() -> None:
    ring, is_over = EventRing(most=50_000), threading.Event()
    found: list[list[int]] = [[] for _ in range(3)]

    def read(mine: list[int]) -> None:
        position = 0
        while True:
            was_over = is_over.is_set()
            page = ring.read(position, 100)
            position = page.position
            mine.extend(event.seq for event in page.events)
            if was_over and page.is_end:
                return

    threads = [threading.Thread(target=read, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for seq in range(1, 5_001):
        ring.put(make_event(seq))
    is_over.set()
    for thread in threads:
        thread.join()

    assert all(mine == list(range(1, 5_001)) for mine in found)
