from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from taskloom.core.events import Event, EventName
from taskloom.scheduler.subscribers import Listener

SOON = 20.0


def event(number: int) -> Event:
    return Event(number, 0.0, 0.0, EventName.STARTED, "job", f"job#{number}", 1)


MakeListener = Callable[..., Listener]


@pytest.fixture
def make_listener() -> Iterator[MakeListener]:
    made: list[Listener] = []

    def make(callback: Callable[[Event], object], limit: int = 1000) -> Listener:
        made.append(Listener(callback, limit))
        return made[-1]

    yield make

    for listener in made:
        assert listener.close(SOON)
        listener._thread.join(SOON)


class Gate:
    """A callback that blocks at its first event until it is released."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.is_blocked = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, event: Event) -> None:
        self.is_blocked.set()
        assert self.let_go.wait(SOON)
        self.seen.append(event.seq)


def test_events_come_in_order_on_a_thread_of_the_listeners_own(make_listener: MakeListener) -> None:
    seen: list[int] = []
    threads: set[int] = set()

    def callback(event: Event) -> None:
        seen.append(event.seq)
        threads.add(threading.get_ident())

    listener = make_listener(callback)
    for number in range(1000):
        listener.put(event(number))

    assert listener.close(SOON)
    assert seen == list(range(1000))
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_slow_listener_loses_only_its_own_events_and_counts_them(make_listener: MakeListener) -> None:
    slow = Gate()
    quick: list[int] = []
    listener, other = make_listener(slow, limit=10), make_listener(lambda event: quick.append(event.seq))
    listener.put(event(0))
    assert slow.is_blocked.wait(SOON)

    for number in range(1, 31):
        listener.put(event(number))
        other.put(event(number))
    slow.let_go.set()

    assert listener.close(SOON)
    assert other.close(SOON)
    assert slow.seen == list(range(11)), "the first event and the ten queued ones, in order"
    assert (listener.dropped, other.dropped) == (20, 0)
    assert quick == list(range(1, 31))


def test_put_never_blocks_even_if_the_listener_does(make_listener: MakeListener) -> None:
    gate = Gate()
    listener = make_listener(gate, limit=1)

    for number in range(100):
        listener.put(event(number))

    gate.let_go.set()
    assert listener.close(SOON)
    assert len(gate.seen) + listener.dropped == 100


class ErrorWithoutText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("oops"), "ValueError: oops"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (ErrorWithoutText(), "ErrorWithoutText: (its message cannot be read: RuntimeError)"),
    ],
)
def test_a_listener_that_raises_loses_only_that_event(
    make_listener: MakeListener, error: BaseException, text: str
) -> None:
    seen: list[int] = []

    def callback(event: Event) -> None:
        if event.seq == 1:
            raise error
        seen.append(event.seq)

    listener = make_listener(callback)
    for number in range(3):
        listener.put(event(number))

    assert listener.close(SOON)
    assert seen == [0, 2]
    assert (listener.failed, listener.last_error) == (1, text)


def test_closing_delivers_the_queued_events_and_accepts_no_more(make_listener: MakeListener) -> None:
    gate = Gate()
    listener = make_listener(gate)
    for number in range(3):
        listener.put(event(number))
    assert gate.is_blocked.wait(SOON)

    is_over = [listener.close(0)]
    listener.put(event(99))
    gate.let_go.set()
    is_over.append(listener.close(SOON))

    assert is_over == [False, True]
    assert gate.seen == [0, 1, 2]


def test_a_listener_may_close_itself(make_listener: MakeListener) -> None:
    seen: list[int] = []
    answers: list[bool] = []
    is_closed = threading.Event()

    def callback(event: Event) -> None:
        seen.append(event.seq)
        answers.append(listener.close(None))
        is_closed.set()

    listener = make_listener(callback)
    listener.put(event(1))
    assert is_closed.wait(SOON)

    assert (seen, answers) == ([1], [True])


def test_an_idle_listener_ends_when_it_is_closed(make_listener: MakeListener) -> None:
    listener = make_listener(lambda event: None)

    assert listener.close(SOON)
    listener._thread.join(SOON)
    assert not listener._thread.is_alive()


def test_an_event_that_is_put_while_the_thread_falls_asleep_is_delivered(make_listener: MakeListener) -> None:
    # 1. the listener's thread finds no event
    # 2. an event is put and wakes the thread
    # 3. the thread goes to sleep and must wake at once
    seen: list[int] = []
    listener = make_listener(lambda event: seen.append(event.seq))
    real = listener._signal
    late = threading.Event()

    class LyingLock:
        def acquire(self) -> bool:
            if not late.is_set():
                late.set()
                listener.put(event(2))
            return real.acquire()

        def release(self) -> None:
            real.release()

    listener._signal = LyingLock()  # type: ignore[assignment]
    listener.put(event(1))
    assert late.wait(SOON)

    assert listener.close(SOON)
    assert seen == [1, 2]
