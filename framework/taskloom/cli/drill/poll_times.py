"""Timestamps of polls. A drill runs one job at a time, so it can afford to read the clock twice for each poll.

The scheduler only counts polls, so it knows their age to a second. A drill wraps the run's context in a TimedContext,
which records the time of each poll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from taskloom.clock import mono
from taskloom.errors import Cancelled
from taskloom.runners.binding import Binding, Body
from taskloom.runners.error_info import drop_first_frame

if TYPE_CHECKING:
    from taskloom.runners.context_view import LoopContext
    from taskloom.sync.waker import Waker
    from taskloom.task import Context

__all__ = ["PollClock", "TimedContext", "with_timed_polls"]

Item = TypeVar("Item")


class PollClock:
    """The polls of one run, in monotonic seconds. Only the run's thread records; any thread may read.

    A gap is a time without a poll: from the start of the body, or from a poll, to the next poll. There is no gap inside
    a wait on the token, nor after the run has seen that it was asked to stop.
    """

    def __init__(self, now: Callable[[], float] = mono) -> None:
        self.polls = 0
        self.has_seen_stop = False
        """Whether the run has seen that it was asked to stop, or has ended."""
        self._now = now
        self._longest: tuple[float, str] = (0.0, "")
        # The beginning of the current gap; None if there is no gap.
        self._since: float | None = None
        # The beginning of a gap, and where the run was during it.
        self._last_place: tuple[float, str] = (0.0, "")

    def enter_body(self) -> None:
        """Record the start of the body, where the first gap begins."""
        self._since = self._now()

    def poll(self) -> None:
        """Record a poll: one gap ends and the next begins."""
        self.polls += 1
        self._end_gap()
        if not self.has_seen_stop:
            self._since = self._now()

    def enter_wait(self) -> None:
        """Record the start of a wait on the token: a poll, after which no gap begins."""
        self.polls += 1
        self._end_gap()

    def note_stop(self) -> None:
        """Record that the run has seen the request to stop, or has ended: no gap follows."""
        self._end_gap()
        self.has_seen_stop = True

    def current_gap(self) -> tuple[float, float]:
        """Return the beginning and the length of the current gap; (0.0, 0.0) if there is none."""
        since = self._since
        return (0.0, 0.0) if since is None else (since, self._now() - since)

    def record_place(self, since: float, where: str) -> None:
        """Record where the run was during the gap that began at `since`."""
        self._last_place = (since, where)

    def longest_gap(self) -> tuple[float, str]:
        """Return the longest gap so far, including the current one, and where the run was during it, or ""."""
        since = self._since
        return self._longest if since is None else self._longer_of(since)

    def _end_gap(self) -> None:
        since, self._since = self._since, None
        if since is not None:
            self._longest = self._longer_of(since)

    def _longer_of(self, since: float) -> tuple[float, str]:
        gap = self._now() - since
        where = self._last_place[1] if self._last_place[0] == since else ""
        return (gap, where) if gap > self._longest[0] else self._longest


class TimedContext:
    """A run's context with recorded poll times. Everything but polls is passed on to the run's own context."""

    def __init__(self, ctx: Context, clock: PollClock) -> None:
        self._ctx = ctx
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled. This is the poll."""
        return self._record_poll(self._ctx.cancelled)

    def begin_wait(self, waker: Waker) -> bool:
        """Record that the event loop of an async task begins to wait; return whether the run was cancelled."""
        self._clock.enter_wait()
        return self._loop_ctx.begin_wait(waker)

    def end_wait(self, waker: Waker) -> bool:
        """End what `begin_wait` began; return whether the run was cancelled."""
        return self._record_poll(self._loop_ctx.end_wait(waker))

    @property
    def _loop_ctx(self) -> LoopContext:
        return cast("LoopContext", self._ctx)

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled if the run was cancelled."""
        with self._recording_poll():
            self._ctx.raise_if_cancelled()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until cancelled, or for `seconds`. Return whether the run was cancelled."""
        self._clock.enter_wait()
        return self._record_poll(self._ctx.wait(seconds))

    def sleep(self, seconds: float) -> None:
        """Block for `seconds`; raise Cancelled as soon as the run is cancelled."""
        self._clock.enter_wait()
        with self._recording_poll():
            self._ctx.sleep(seconds)

    def track(self, items: Iterable[Item], total: float | None = None, unit: str = "") -> Iterator[Item]:
        """Yield the items. Poll and report progress at each; raise Cancelled once the run was cancelled."""
        tracked = self._ctx.track(items, total, unit)
        while True:
            try:
                with self._recording_poll():
                    item = next(tracked)
            except StopIteration:
                return
            yield item

    def _record_poll(self, is_cancelled: bool) -> bool:
        self._clock.poll()
        if is_cancelled:
            self._clock.note_stop()
        return is_cancelled

    @contextmanager
    def _recording_poll(self) -> Iterator[None]:
        """Record the poll of a method that raises Cancelled."""
        try:
            yield
        except Cancelled:
            self._clock.note_stop()
            raise
        self._clock.poll()


def with_timed_polls(binding: Binding, clock: PollClock) -> Binding:
    """Return a binding of the same task, for one run whose polls are recorded in the clock."""

    def make() -> Body:
        body = binding.make()

        def run(ctx: Context) -> object:
            clock.enter_body()
            try:
                return body.run(cast("Context", TimedContext(ctx, clock)))
            except BaseException as error:
                drop_first_frame(error)
                raise
            finally:
                clock.note_stop()

        return body._replace(run=run)

    return Binding(
        make, has_terminate=binding.has_terminate, announces_ready=binding.announces_ready, label=binding.label
    )
