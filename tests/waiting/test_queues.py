from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from taskloom import waiting
from taskloom.errors import Cancelled
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
