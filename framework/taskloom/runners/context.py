"""The context that a run gets: implements `taskloom.task.Context` with a token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from taskloom.core.endings import Reason, ReasonKind
from taskloom.core.run_reports import RunReady
from taskloom.runners import Emit, RunOrder
from taskloom.runners.gauges import Gauges, Progress, make_progress
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.waker import Waker
from taskloom.sync.wakeup_fd import WakeupFd

if TYPE_CHECKING:
    import logging

    from taskloom.task import CancelHandle

__all__ = ["FORKED", "RunContext", "current_run"]

Item = TypeVar("Item")

current_run: ContextVar[RunContext | None] = ContextVar("taskloom.current_run", default=None)
"""The context of the run that this thread executes. It also attributes log lines to jobs."""

FORKED = Reason(ReasonKind.SHUTDOWN, "this is a forked child; the run lives in the parent process")
"""The reason that the child of a run sees."""


def _ignore(_: object) -> None:
    """Report nothing: in a forked child there is no scheduler to report to."""


class RunContext:
    """One run's context. Threads that the task has left running may use it after the end of the run."""

    __slots__ = ("_emit", "_gauges", "_is_ready", "_log", "_order", "_token", "_wakeup")

    def __init__(self, order: RunOrder, token: CancelToken, emit: Emit, gauges: Gauges) -> None:
        self._order = order
        self._token = token
        self._emit = emit
        self._gauges = gauges
        self._log: logging.LoggerAdapter[logging.Logger] | None = None
        self._is_ready = False
        # Kept here, not in the token: the scheduler keeps tokens of ended runs, but the descriptor is open for as long
        # as a thread can ask this context for its number.
        self._wakeup: WakeupFd | None = None

    @property
    def cancelled(self) -> bool:
        # `CancelToken.cancelled` repeated here: it saves one call in the loop of every task.
        token = self._token
        token.polls += 1
        return token.is_requested

    @property
    def reason(self) -> Reason | None:
        return self._token.reason

    @property
    def urgent(self) -> bool:
        return self._token.urgent

    @property
    def poll_interval(self) -> float:
        changed = self._gauges.poll_interval
        return self._order.poll_interval if changed is None else changed

    @property
    def job(self) -> str:
        return self._order.job

    @property
    def run_id(self) -> str:
        return self._order.run

    @property
    def attempt(self) -> int:
        return self._order.attempt

    @property
    def replica(self) -> int:
        return self._order.replica

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        if self._log is None:
            from taskloom.runners.logs import run_logger

            self._log = run_logger(self._order.job, self._order.run)
        return self._log

    def belongs_to(self, token: CancelToken) -> bool:
        """Return whether this is the context of the run that has this token."""
        return self._token is token

    def begin_wait(self, waker: Waker) -> bool:
        """Count the run as waiting; return True if it must not wait because the stop is requested. For event loops."""
        # After the request nothing wakes it any more, and nothing has to: the loop reads the flag in each turn.
        if self._token.is_requested:
            return True
        self._token.add_waker(waker)
        return self._token.is_requested

    def end_wait(self, waker: Waker) -> bool:
        """End what `begin_wait` began; return whether the stop is requested."""
        return self._token.remove_waiter(waker)

    def detach(self) -> None:
        """Cut it off from the run, which lives on in the parent process. Called in a forked child."""
        self._emit = _ignore
        self._token.detach(FORKED)

    def raise_if_cancelled(self) -> None:
        self._token.raise_if_cancelled()

    def wait(self, seconds: float | None = None) -> bool:
        return self._token.wait(seconds)

    def sleep(self, seconds: float) -> None:
        self._token.sleep(seconds)

    def on_cancel(self, callback: Callable[[], object]) -> CancelHandle:
        # A waker ends a wait: the cancellation itself releases it, and so does the end of the run.
        return self._token.add_waker(callback) if isinstance(callback, Waker) else self._token.on_cancel(callback)

    def fileno(self) -> int:
        if self._wakeup is None:
            made = self._token.wakeup()
            if self._wakeup is None:  # no other thread comes in between: nothing is called before the assignment
                self._wakeup = made
        return self._wakeup.fileno()

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        self._gauges.progress = make_progress(done, total, unit)

    def track(self, items: Iterable[Item], total: float | None = None, unit: str = "") -> Iterator[Item]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        first = make_progress(0, total, unit)  # checked here: a generator begins only when it is iterated
        return self._track(items, first.total, unit)

    def _track(self, items: Iterable[Item], total: float | None, unit: str) -> Iterator[Item]:
        for done, item in enumerate(items):
            self._token.raise_if_cancelled()
            self._gauges.progress = Progress(done, total, unit)
            yield item
            self._gauges.progress = Progress(done + 1, total, unit)

    def ready(self) -> None:
        if not self._is_ready:
            # In this order: if the call is interrupted in between, the next one reports again.
            self._emit(RunReady(self._order.run))
            self._is_ready = True

    def count(self, name: str, n: int = 1) -> None:
        self._gauges.count(name, n)
