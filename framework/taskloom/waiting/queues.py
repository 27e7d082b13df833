"""Queue calls that a cancellation wakes: get and put, for `queue.Queue`, `LifoQueue` and `PriorityQueue`."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom.clock import mono
from taskloom.sync.waker import Waker, lock_timeout

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["get", "put"]

Item = TypeVar("Item")


def get(ctx: Context, source: queue.Queue[Item], timeout: float | None = None) -> Item:
    """Take an item from a `queue.Queue`. Raises Cancelled, and queue.Empty after `timeout` seconds.

    From Python 3.13 on it raises queue.ShutDown if the queue is shut down and empty.
    """
    deadline = _deadline(source, timeout)

    def take() -> Item:
        return source.get_nowait()

    return _repeat(ctx, take, queue.Empty, source.not_empty, lambda: not source._qsize(), deadline, source)


def put(ctx: Context, target: queue.Queue[Item], item: Item, timeout: float | None = None) -> None:
    """Put an item into a `queue.Queue`. Raises Cancelled, and queue.Full after `timeout` seconds.

    From Python 3.13 on it raises queue.ShutDown if the queue is shut down.
    """
    deadline = _deadline(target, timeout)

    def add() -> None:
        target.put_nowait(item)

    def is_full() -> bool:
        return 0 < target.maxsize <= target._qsize()

    _repeat(ctx, add, queue.Full, target.not_full, is_full, deadline, target)


def _deadline(source: queue.Queue[Any], timeout: float | None) -> float | None:
    """Return the monotonic second at which the wait is over. Raises TypeError, ValueError for what cannot work."""
    if not isinstance(source, queue.Queue):
        raise TypeError(f"cannot wait for a {type(source).__name__}; use a queue.Queue, LifoQueue or PriorityQueue")
    lock_timeout(timeout)  # raises ValueError for nan, with which this would be a busy loop
    return None if timeout is None else mono() + timeout


def _repeat(
    ctx: Context,
    attempt: Callable[[], Item],
    refusal: type[Exception],
    condition: threading.Condition,
    must_wait: Callable[[], bool],
    deadline: float | None,
    target: queue.Queue[Any],
) -> Item:
    """Wait and attempt until it is not refused: another thread may be faster each time."""
    while True:
        ctx.raise_if_cancelled()
        with condition:
            try:
                while must_wait() and not getattr(target, "is_shutdown", False):
                    if deadline is not None and mono() >= deadline:
                        raise refusal
                    _wait(ctx, condition, deadline)
                    ctx.raise_if_cancelled()
            except BaseException:
                # Another thread's `notify` may have woken this thread, which leaves without an attempt: pass it on.
                condition.notify()
                raise
        try:
            return attempt()
        except refusal:
            pass


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
