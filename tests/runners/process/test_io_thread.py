"""The thread of all pipes and sockets: messages, deadlines, descriptors, strikes."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from math import inf
from queue import SimpleQueue

import pytest
from tests.support.descriptors import no_descriptor_is_left

from taskloom.clock import mono
from taskloom.runners.process.io_thread import IoThread

SOON = 20.0


class Member:
    """What the thread works for; keeps what it is called with."""

    def __init__(self) -> None:
        self.due = inf
        self.wanted: list[float] = []
        self.calls: SimpleQueue[str] = SimpleQueue()
        self.failing = ""
        self.name = "timer"

    def next_timer(self) -> float:
        return self.wanted[0] if self.wanted else inf

    def on_timer(self, now: float) -> None:
        assert self.wanted.pop(0) <= now
        self.note(self.name)

    def struck(self, error: BaseException) -> None:
        self.note(f"struck by {error!r}")

    def note(self, what: str) -> None:
        self.calls.put(what)
        if what == self.failing:
            self.failing = ""
            raise MemoryError

    def next_call(self) -> str:
        return self.calls.get(timeout=SOON)


class Bench:
    def __init__(self) -> None:
        self.bugs: SimpleQueue[BaseException] = SimpleQueue()
        self.io = IoThread(lambda: True, self.bugs.put)
        self.io.start()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.io.close()
    assert made.io.join(SOON)


def test_messages_are_processed_in_order_and_on_the_thread(bench: Bench) -> None:
    member = Member()

    for number in range(100):
        bench.io.post(member, member.note, str(number))
    bench.io.post(member, lambda: member.note(threading.current_thread().name))

    assert [member.next_call() for _ in range(101)] == [*map(str, range(100)), "taskloom-processes"]


def test_deadlines_come_in_their_order_and_can_be_moved(bench: Bench) -> None:
    early, late = Member(), Member()
    order: SimpleQueue[str] = SimpleQueue()
    early.calls = late.calls = order
    early.name, late.name = "early", "late"
    now = mono()

    bench.io.post(late, late.wanted.append, now + 0.06)
    bench.io.post(early, early.wanted.append, now + 3600)
    bench.io.post(early, lambda: early.wanted.__setitem__(0, now + 0.03))

    assert [order.get(timeout=SOON) for _ in range(2)] == ["early", "late"]


def test_a_deadline_that_was_given_up_does_not_come(bench: Bench) -> None:
    member = Member()

    bench.io.post(member, member.wanted.append, mono() + 0.01)
    bench.io.post(member, member.wanted.clear)
    bench.io.post(member, member.wanted.append, mono() + 0.02)

    assert member.next_call() == "timer"
    assert member.calls.empty()


def test_a_descriptor_that_is_ready_is_handed_to_its_member_until_it_is_forgotten(bench: Bench) -> None:
    member = Member()
    reading, writing = os.pipe()

    def ready(events: int, _: float) -> None:
        member.note(os.read(reading, 10).decode())
        bench.io.unwatch(reading)

    bench.io.post(member, bench.io.watch, reading, select.EPOLLIN, member, ready)
    os.write(writing, b"one")
    first = member.next_call()
    os.write(writing, b"two")
    bench.io.post(member, member.note, "after")

    assert [first, member.next_call()] == ["one", "after"]
    for descriptor in (reading, writing):
        os.close(descriptor)


@pytest.mark.parametrize("failing", ["message", "timer", "ready"])
def test_a_member_whose_work_raises_is_told_and_the_others_go_on(bench: Bench, failing: str) -> None:
    member, other = Member(), Member()
    member.failing = failing
    reading, writing = os.pipe()
    os.write(writing, b"x")
    os.close(writing)

    def ready(events: int, _: float) -> None:
        bench.io.unwatch(reading)
        member.note("ready")

    if failing == "message":
        bench.io.post(member, member.note, "message")
    elif failing == "timer":
        bench.io.post(member, member.wanted.append, mono())
    else:
        bench.io.post(member, bench.io.watch, reading, select.EPOLLIN, member, ready)
    calls = [member.next_call(), member.next_call()]
    bench.io.post(other, other.note, "alive")

    assert calls == [failing, "struck by MemoryError()"]
    assert isinstance(bench.bugs.get(timeout=SOON), MemoryError)
    assert other.next_call() == "alive"
    os.close(reading)


def test_a_member_that_is_struck_while_it_is_told_is_told_again(bench: Bench) -> None:
    member = Member()
    member.failing = "struck by ValueError()"

    def fail() -> None:
        raise ValueError

    bench.io.post(member, fail)

    assert [member.next_call(), member.next_call()] == ["struck by ValueError()", "struck by MemoryError()"]


def test_after_its_end_nothing_is_woken_and_no_descriptor_is_open() -> None:
    with no_descriptor_is_left():
        bench, member = Bench(), Member()
        bench.io.close()
        assert bench.io.join(SOON)

        bench.io.post(member, member.note, "late")

    assert member.calls.empty()


def test_a_deadline_that_is_always_due_keeps_nothing_else_waiting(bench: Bench) -> None:
    member, other = Member(), Member()
    member.wanted = [0.0] * 1_000_000

    bench.io.post(member, lambda: None)
    first = member.next_call()
    bench.io.post(other, other.note, "alive")
    seen = other.next_call()
    bench.io.post(member, member.wanted.clear)

    assert (first, seen) == ("timer", "alive")
