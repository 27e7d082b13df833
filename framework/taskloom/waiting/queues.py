"""Queue calls that a cancellation wakes: get and put, for `queue.Queue`, `LifoQueue` and `PriorityQueue`."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from taskloom.clock import mono
from taskloom.sync.waker import Waker, lock_timeout
from taskloom.waiting.event_loops import refuse_event_loop

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["get", "put"]

Item = TypeVar("Item")


class _Side(NamedTuple):
    """One side of a queue: taking from it, or adding to it."""

    queue: queue.Queue[Any]
    condition: threading.Condition
    must_wait: Callable[[], bool]
    """Return whether an attempt would be refused now; called with the lock of the condition held."""
    refusal: type[Exception]
    """What an attempt raises that is refused."""

    def is_ready(self) -> bool:
        """Return whether to attempt it now: also if the queue was shut down, from Python 3.13 on."""
        return not self.must_wait() or getattr(self.queue, "is_shutdown", False)


def get(ctx: Context, source: queue.Queue[Item], timeout: float | None = None) -> Item:
    """Take an item from a `queue.Queue`. Raises Cancelled, and queue.Empty after `timeout` seconds.

    From Python 3.13 on it raises queue.ShutDown if the queue is shut down and empty.
    """
    refuse_event_loop(ctx, "get")
    deadline = _deadline(source, timeout)
    side = _Side(source, source.not_empty, lambda: not source._qsize(), queue.Empty)
    return _repeat(ctx, side, source.get_nowait, deadline)


def put(ctx: Context, target: queue.Queue[Item], item: Item, timeout: float | None = None) -> None:
    """Put an item into a `queue.Queue`. Raises Cancelled, and queue.Full after `timeout` seconds.

    From Python 3.13 on it raises queue.ShutDown if the queue is shut down.
    """
    refuse_event_loop(ctx, "put")
    deadline = _deadline(target, timeout)
    side = _Side(target, target.not_full, lambda: 0 < target.maxsize <= target._qsize(), queue.Full)
    _repeat(ctx, side, lambda: target.put_nowait(item), deadline)


def _deadline(target: queue.Queue[Any], timeout: float | None) -> float | None:
    """Return the monotonic second at which the wait is over. Raises TypeError, ValueError for what cannot work."""
    if not isinstance(target, queue.Queue):
        raise TypeError(f"cannot wait for a {type(target).__name__}; use a queue.Queue, LifoQueue or PriorityQueue")
    lock_timeout(timeout)  # raises ValueError for nan, with which this would be a busy loop
    return None if timeout is None else mono() + timeout


def _repeat(ctx: Context, side: _Side, attempt: Callable[[], Item], deadline: float | None) -> Item:
    """Wait and attempt until it is not refused: another thread may be faster each time."""
    while True:
        _wait_until_ready(ctx, side, deadline)
        try:
            return attempt()
        except side.refusal:
            pass


def _wait_until_ready(ctx: Context, side: _Side, deadline: float | None) -> None:
    """Wait for the side. Raises Cancelled, and the refusal at the deadline."""
    ctx.raise_if_cancelled()
    with side.condition:
        try:
            while not side.is_ready():
                if deadline is not None and mono() >= deadline:
                    raise side.refusal
                _wait(ctx, side.condition, deadline)
                ctx.raise_if_cancelled()
        except BaseException:
            # Another thread's `notify` may have woken this thread, which leaves without an attempt: pass it on.
            side.condition.notify()
            raise


def _wait(ctx: Context, condition: threading.Condition, deadline: float | None) -> None:
    """Wait for a `notify` or the cancellation, as `Condition.wait` does for a `notify` alone.

    The condition has no public way to wait for something else as well. Its list of waiters takes whatever has
    `release`. So a cancellation wakes this thread directly: a callback that calls `notify_all` would need the queue's
    lock, and a helper thread.
    """
    waiter = Waker()
    waiters = condition._waiters  # type: ignore[attr-defined]
    waiters.append(waiter)
    condition.release()
    try:
        handle = ctx.on_cancel(waiter)
        try:
            waiter.wait(None if deadline is None else max(0.0, deadline - mono()))
        finally:
            handle.close()
    finally:
        condition.acquire()
        try:
            waiters.remove(waiter)
        except ValueError:
            pass  # `notify` removed it
