from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from taskloom import waiting
from taskloom.core.model import Reason, ReasonKind
from taskloom.errors import Cancelled
from taskloom.runners import RunOrder
from taskloom.runners.binding import Binding
from taskloom.runners.context import RunContext
from taskloom.runners.gauges import Gauges
from taskloom.sync.cancel_token import CancelToken
from taskloom.testing import FakeContext

# Timeout of a failing test.
LONG = 60.0
SOON = 20.0


class SignallingContext(FakeContext):
    """Signals that the call under test has registered its callback: from then on a cancel must be enough."""

    def __init__(self) -> None:
        super().__init__()
        self.is_about_to_wait = threading.Event()

    def on_cancel(self, callback: Callable[[], object]) -> Any:
        handle = super().on_cancel(callback)
        self.is_about_to_wait.set()
        return handle


@pytest.fixture
def ctx() -> SignallingContext:
    return SignallingContext()


@pytest.mark.parametrize("timeout", [None, LONG, 1e20, float("inf")])
@pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.PriorityQueue])
def test_a_blocked_get_is_woken(ctx: SignallingContext, kind: type[queue.Queue[int]], timeout: float | None) -> None:
    source = kind()

    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(waiting.get, ctx, source, timeout)
        assert ctx.is_about_to_wait.wait(SOON)
        ctx.cancel()

        assert isinstance(blocked.exception(SOON), Cancelled)


@pytest.mark.parametrize("timeout", [None, LONG, 1e20, float("inf")])
def test_get_returns_the_item(ctx: SignallingContext, timeout: float | None) -> None:
    source: queue.Queue[str] = queue.Queue(1)
    source.put("early")
    found = [waiting.get(ctx, source, timeout)]

    ctx.is_about_to_wait.clear()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(waiting.get, ctx, source, timeout)
        assert ctx.is_about_to_wait.wait(SOON)
        source.put("late")
        found.append(late.result(SOON))

    assert found == ["early", "late"]


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_get_raises_empty_after_its_timeout(ctx: FakeContext, timeout: float) -> None:
    with pytest.raises(queue.Empty):
        waiting.get(ctx, queue.Queue[int](), timeout)


def test_get_refuses_nan_seconds(ctx: FakeContext) -> None:
    with pytest.raises(ValueError, match=r"^cannot wait for nan seconds$"):
        waiting.get(ctx, queue.Queue[int](), float("nan"))


def test_get_refuses_a_queue_that_it_could_not_wake(ctx: FakeContext) -> None:
    with pytest.raises(TypeError) as caught:
        waiting.get(ctx, queue.SimpleQueue())  # type: ignore[arg-type]

    assert str(caught.value) == "cannot wait for a SimpleQueue; use a queue.Queue, LifoQueue or PriorityQueue"


def test_a_get_whose_item_another_consumer_took_continues_to_wait(ctx: SignallingContext) -> None:
    # 1. the waiter sees that there is an item, and releases the queue's lock
    # 2. another consumer takes the item
    # 3. the waiter finds no item, and waits for the next one
    class Contested(queue.Queue[str]):
        thefts = 1

        def get_nowait(self) -> str:
            if self.thefts:
                self.thefts -= 1
                super().get_nowait()
                self.put("second")
                raise queue.Empty
            return super().get_nowait()

    source = Contested()
    source.put("first")

    assert waiting.get(ctx, source) == "second"


def test_a_get_leaves_no_callback_registered(ctx: FakeContext) -> None:
    source: queue.Queue[int] = queue.Queue()
    for number in range(3):
        source.put(number)

    found = [waiting.get(ctx, source) for _ in range(3)]

    assert found == [0, 1, 2]
    assert ctx.token.take_callbacks() == []


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a queue can be shut down from Python 3.13 on")
def test_a_get_ends_when_the_queue_is_shut_down(ctx: SignallingContext) -> None:
    source: Any = queue.Queue()

    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(waiting.get, ctx, source)
        assert ctx.is_about_to_wait.wait(SOON)
        source.shutdown()

        assert type(blocked.exception(SOON)).__name__ == "ShutDown"


# -- put


def full(kind: type[queue.Queue[int]]) -> queue.Queue[int]:
    target = kind(1)
    target.put(1)
    return target


@pytest.mark.parametrize("timeout", [None, LONG, 1e20, float("inf")])
@pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.PriorityQueue])
def test_a_blocked_put_is_woken(ctx: SignallingContext, kind: type[queue.Queue[int]], timeout: float | None) -> None:
    target = full(kind)

    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(waiting.put, ctx, target, 2, timeout)
        assert ctx.is_about_to_wait.wait(SOON)
        ctx.cancel()

        assert isinstance(blocked.exception(SOON), Cancelled)
    assert target.qsize() == 1


def test_put_waits_for_room(ctx: SignallingContext) -> None:
    target = full(queue.Queue)

    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(waiting.put, ctx, target, 2)
        assert ctx.is_about_to_wait.wait(SOON)
        found = [target.get()]
        blocked.result(SOON)

    assert [*found, target.get()] == [1, 2]


@pytest.mark.parametrize("size", [0, -1, 3])
def test_put_does_not_wait_if_there_is_room(ctx: FakeContext, size: int) -> None:
    target: queue.Queue[int] = queue.Queue(size)

    for number in range(3):
        waiting.put(ctx, target, number, timeout=0)

    assert [target.get() for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_put_raises_full_after_its_timeout(ctx: FakeContext, timeout: float) -> None:
    with pytest.raises(queue.Full):
        waiting.put(ctx, full(queue.Queue), 2, timeout)


def test_put_refuses_what_cannot_work(ctx: FakeContext) -> None:
    with pytest.raises(ValueError, match=r"^cannot wait for nan seconds$"):
        waiting.put(ctx, full(queue.Queue), 2, float("nan"))
    with pytest.raises(TypeError, match=r"^cannot wait for a SimpleQueue; use a queue.Queue, LifoQueue or Priority"):
        waiting.put(ctx, queue.SimpleQueue(), 2)  # type: ignore[arg-type]


def test_a_cancelled_put_adds_nothing_even_if_there_is_room(ctx: FakeContext) -> None:
    target: queue.Queue[int] = queue.Queue()
    ctx.cancel()

    with pytest.raises(Cancelled):
        waiting.put(ctx, target, 1)

    assert target.empty()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a queue can be shut down from Python 3.13 on")
def test_a_put_ends_when_the_queue_is_shut_down(ctx: SignallingContext) -> None:
    target: Any = full(queue.Queue)

    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(waiting.put, ctx, target, 2)
        assert ctx.is_about_to_wait.wait(SOON)
        target.shutdown()

        assert type(blocked.exception(SOON)).__name__ == "ShutDown"


# -- both


def test_a_cancelled_get_passes_its_notification_on(ctx: SignallingContext) -> None:
    # 1. two threads wait for an item
    # 2. the first one is cancelled, and before it runs an item is put, which notifies the first one
    # 3. the first one leaves without the item; the second one has to get it
    source: queue.Queue[str] = queue.Queue()
    other = SignallingContext()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(waiting.get, ctx, source)
        assert ctx.is_about_to_wait.wait(SOON)
        second = pool.submit(waiting.get, other, source)
        assert other.is_about_to_wait.wait(SOON)
        with source.mutex:  # the first one cannot run on
            while len(source.not_empty._waiters) < 2:  # type: ignore[attr-defined]
                pass
            ctx.cancel()
            source._put("item")
            source.not_empty.notify()

        assert isinstance(first.exception(SOON), Cancelled)
        assert second.result(SOON) == "item"


def test_a_wait_needs_no_helper_thread_and_no_lock_to_be_woken() -> None:
    """A cancellation only releases the waiting thread; the queue's lock may be held by a thread that is stuck."""
    token = CancelToken()
    ctx: Any = RunContext(RunOrder("a#1", "a", "t", 1, 1, True, 1.0, Binding(lambda: None)), token, print, Gauges())  # type: ignore[arg-type, return-value]
    source: queue.Queue[int] = queue.Queue()
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(waiting.get, ctx, source)
        while not token.is_waiting:
            pass
        with source.mutex:
            token.request(Reason(ReasonKind.USER, "enough"))
            callbacks = token.take_callbacks()
            token.wake()

        assert isinstance(blocked.exception(SOON), Cancelled)
    assert callbacks == []


def test_a_wait_leaves_nothing_in_the_queue_or_the_token(ctx: FakeContext) -> None:
    source: queue.Queue[int] = queue.Queue()
    with pytest.raises(queue.Empty):
        waiting.get(ctx, source, 0.001)

    assert not source.not_empty._waiters  # type: ignore[attr-defined]
    assert not ctx.token.is_waiting
