"""Other ways to see the context of a run: all members that never block, passed on to the run's own context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import logging

    from taskloom.core.endings import Reason
    from taskloom.sync.waker import Waker
    from taskloom.task import CancelHandle, Context

__all__ = ["ContextView", "LoopContext"]

Item = TypeVar("Item")


class LoopContext(Protocol):
    """What an event loop needs of a run's context besides `taskloom.task.Context`."""

    def begin_wait(self, waker: Waker) -> bool:
        """Count the run as waiting, so that a cancellation releases the waker.

        Return True if the stop is requested already: then do not wait.
        """

    def end_wait(self, waker: Waker) -> bool:
        """End what `begin_wait` began. Counts as a poll; return whether the stop is requested."""


class ContextView:
    """Has the members of `taskloom.task.AnyContext`; each is that of the run's own context."""

    __slots__ = ("_ctx",)

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    @property
    def cancelled(self) -> bool:
        return self._ctx.cancelled

    @property
    def reason(self) -> Reason | None:
        return self._ctx.reason

    @property
    def urgent(self) -> bool:
        return self._ctx.urgent

    @property
    def poll_interval(self) -> float:
        return self._ctx.poll_interval

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        return self._ctx.log

    @property
    def job(self) -> str:
        return self._ctx.job

    @property
    def run_id(self) -> str:
        return self._ctx.run_id

    @property
    def attempt(self) -> int:
        return self._ctx.attempt

    @property
    def replica(self) -> int:
        return self._ctx.replica

    def raise_if_cancelled(self) -> None:
        self._ctx.raise_if_cancelled()

    def on_cancel(self, callback: Callable[[], object]) -> CancelHandle:
        return self._ctx.on_cancel(callback)

    def fileno(self) -> int:
        return self._ctx.fileno()

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        self._ctx.progress(done, total, unit)

    def track(self, items: Iterable[Item], total: float | None = None, unit: str = "") -> Iterator[Item]:
        return self._ctx.track(items, total, unit)

    def ready(self) -> None:
        self._ctx.ready()

    def count(self, name: str, n: int = 1) -> None:
        self._ctx.count(name, n)
