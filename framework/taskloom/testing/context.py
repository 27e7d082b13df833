"""A context for unit tests of a task: no scheduler, no thread and, in virtual time, no waiting."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from taskloom.core.model import Reason, ReasonKind
from taskloom.errors import Cancelled
from taskloom.runners.gauges import make_progress, whole_number
from taskloom.runners.logs import TASK_LOGGER, run_logger
from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.waker import Waker
from taskloom.sync.wakeup_fd import WakeupFd
from taskloom.task import CancelHandle
from taskloom.testing.clock import VirtualClock

__all__ = ["FakeContext", "ProgressCall"]

Item = TypeVar("Item")


class ProgressCall(NamedTuple):
    """The arguments of one `ctx.progress(...)`."""

    done: float
    total: float | None
    unit: str


class FakeContext:
    """The context of a run, for tests: `Heartbeat(...).run(FakeContext())`.

    Cancellation works as in a real run: `cancel()`, from any thread or from inside the task, wakes waits and
    descriptors and calls the callbacks. The callbacks run in the caller of `cancel()`; exceptions that they raise are
    in `callback_errors`.

    With `clock=VirtualClock()` a wait takes no time: it advances the clock and returns, so a countdown of ten minutes
    is tested in milliseconds. `cancel_after` cancels the run after this many virtual seconds, `cancel_after_polls` at
    this poll (1 is the first). A `wait()` without seconds blocks until `cancel()` is called, as in a real run, unless
    `cancel_after` ends it.

    At the end of a `with` block the run counts as ended, as after `close()`.
    """

    def __init__(
        self,
        *,
        clock: VirtualClock | None = None,
        cancel_after: float | None = None,
        cancel_after_polls: int | None = None,
        job: str = "fake",
        attempt: int = 1,
        replica: int = 1,
        poll_interval: float = 1.0,
    ) -> None:
        if cancel_after is not None and clock is None:
            raise ValueError(f"cannot cancel after {cancel_after:g} virtual seconds without clock=VirtualClock()")
        self.clock = clock
        self.token = CancelToken()
        self.job, self.run_id, self.attempt, self.replica = job, f"{job}#1", attempt, replica
        self.poll_interval = poll_interval
        self.records: list[logging.LogRecord] = []
        """All records that were logged through `ctx.log`, in order."""
        self.log = _make_log(job, self.run_id, self.records)
        self.counts: Counter[str] = Counter()
        """The run's counters."""
        self.progress_calls: list[ProgressCall] = []
        """Every call of `ctx.progress`, including those by `ctx.track`."""
        self.is_ready = threading.Event()
        """Set once the task has called `ctx.ready()`."""
        self.callback_errors: list[BaseException] = []
        """The exceptions that `on_cancel` callbacks raised; a real run reports each as an event."""
        self._cancel_at = clock.now().mono + cancel_after if clock and cancel_after is not None else float("inf")
        self._cancel_at_poll = cancel_after_polls
        self._wakeup: WakeupFd | None = None

    # -- for the test

    def cancel(self, reason: str | Reason = "") -> None:
        """Cancel the run: set its token, wake it, and call its callbacks.

        Only the first call has an effect, so its reason counts.
        """
        first = reason if isinstance(reason, Reason) else Reason(ReasonKind.USER, reason)
        if not self.token.request(first):
            return
        callbacks = self.token.take_callbacks()
        self.token.wake()
        for callback in callbacks:
            self._call(callback)

    def hurry(self) -> None:
        """Make `ctx.urgent` true, as in a real run after three quarters of its time to stop."""
        self.token.urgent = True

    def close(self) -> None:
        """End the run: for threads that the task has left it is cancelled; callbacks that were not called are dropped.

        The descriptor stays open until the context is collected.
        """
        self.token.close()

    @property
    def messages(self) -> list[str]:
        """The text of each logged line."""
        return [record.getMessage() for record in self.records]

    @property
    def polls(self) -> int:
        """How often the task polled the cancellation. Each wait counts as one poll."""
        return self.token.polls

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, callback: CancelCallback) -> None:
        if not callback.begin():
            return
        try:
            callback()
        except BaseException as error:  # noqa: BLE001 - an error in a callback must not end the test
            self.callback_errors.append(error)

    def _cancel_when_due(self) -> None:
        """Cancel the run if `cancel_after` or `cancel_after_polls` is reached."""
        if self._cancel_at_poll is not None and self.token.polls + 1 >= self._cancel_at_poll:
            self.cancel(f"poll {self._cancel_at_poll}")
        if self.clock is not None and self.clock.now().mono >= self._cancel_at:
            self.cancel("cancel_after")

    # -- for the event loop of an async task

    def begin_wait(self, waker: Waker) -> bool:
        """Count the run as waiting; return True if it must not wait because the run was cancelled."""
        if self.token.is_requested:
            return True
        self.token.add_waker(waker)
        return self.token.is_requested

    def end_wait(self, waker: Waker) -> bool:
        """End what `begin_wait` began; return whether the run was cancelled."""
        return self.token.remove_waiter(waker)

    # -- for the task

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled. This is the poll."""
        self._cancel_when_due()
        return self.token.cancelled

    @property
    def reason(self) -> Reason | None:
        """Why the run was cancelled."""
        return self.token.reason

    @property
    def urgent(self) -> bool:
        """True after `hurry()`."""
        return self.token.urgent

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled if the run was cancelled."""
        if self.cancelled:
            raise Cancelled

    def wait(self, seconds: float | None = None) -> bool:
        """Wait on the token or, in virtual time, advance the clock. Return whether the run was cancelled."""
        self._cancel_when_due()
        if not self._is_virtual(seconds):
            return self.token.wait(seconds)
        return self._advance(seconds)

    def _is_virtual(self, seconds: float | None) -> bool:
        """Return whether a wait for these seconds takes only virtual time."""
        return self.clock is not None and (seconds is not None or self._cancel_at != float("inf"))

    def _advance(self, seconds: float | None) -> bool:
        """Wait in virtual time."""
        assert self.clock is not None
        if not self.token.is_requested:
            wanted = float("inf") if seconds is None else self.clock.now().mono + max(seconds, 0.0)
            self.clock.advance_to(min(wanted, self._cancel_at))
        # Not `self.cancelled`, which would count a second poll.
        if self.clock.now().mono >= self._cancel_at:
            self.cancel("cancel_after")
        return self.token.cancelled

    def sleep(self, seconds: float) -> None:
        """Wait, and raise Cancelled if the run was cancelled."""
        if self.wait(seconds):
            raise Cancelled

    def on_cancel(self, callback: Callable[[], object]) -> CancelHandle:
        """Have `callback` called by `cancel()`. After the cancel it is called here, at once."""
        return self.token.add_waker(callback) if isinstance(callback, Waker) else self.token.on_cancel(callback)

    def fileno(self) -> int:
        """Return a descriptor that is readable once the run was cancelled."""
        if self._wakeup is None:
            self._wakeup = self.token.wakeup()
        return self._wakeup.fileno()

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Record the call in `progress_calls`. Raises TypeError as in a real run."""
        make_progress(done, total, unit)
        self.progress_calls.append(ProgressCall(done, total, unit))

    def track(self, items: Iterable[Item], total: float | None = None, unit: str = "") -> Iterator[Item]:
        """Yield the items. Poll and report progress at each; raise Cancelled once the run was cancelled."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        make_progress(0, total, unit)  # checked here: a generator begins only when it is iterated
        return self._track(items, total, unit)

    def _track(self, items: Iterable[Item], total: float | None, unit: str) -> Iterator[Item]:
        for done, item in enumerate(items, start=1):
            self.raise_if_cancelled()
            yield item
            self.progress(done, total, unit)

    def ready(self) -> None:
        """Set `is_ready`."""
        self.is_ready.set()

    def count(self, name: str, n: int = 1) -> None:
        """Add to `counts`. Raises TypeError as in a real run."""
        self.counts[name] += whole_number(name, n)


class _ListHandler(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


def _make_log(job: str, run: str, records: list[logging.LogRecord]) -> logging.LoggerAdapter[logging.Logger]:
    # Each context has its own logger, so that two contexts never share lines. Its parent is the real logger, so that
    # pytest's caplog sees the lines, too.
    logger = logging.Logger(TASK_LOGGER, logging.DEBUG)  # noqa: LOG001
    logger.parent = logging.getLogger(TASK_LOGGER)
    logger.addHandler(_ListHandler(records))
    log = run_logger(job, run)
    log.logger = logger
    return log
