"""Polls with timestamps: for a drill, which runs one job at a time and can afford two readings of the clock a poll.

The scheduler itself only counts polls, so it knows their age to a second. Here the task is given a context of ours
around the run's own, and whatever it asks of that is dated on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from taskloom.clock import mono
from taskloom.errors import Cancelled
from taskloom.runners.binding import Binding, Body

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["PollClock", "TimedContext", "timed"]

Item = TypeVar("Item")


class PollClock:
    """The polls of one run, in monotonic seconds. The run's thread moves it, any thread may look.

    A gap is a time without a poll: from the entry into the body, or a look at the cancellation, to the next one.
    Inside a wait on the token there is none, nor once the run knows that it was asked to stop.
    """

    def __init__(self, now: Callable[[], float] = mono) -> None:
        self.polls = 0
        self.has_learned = False
        """Whether the run has seen that it was asked to stop, or is over."""
        self._now = now
        self._worst: tuple[float, str] = (0.0, "")
        # When the gap that is open now began; None where there is none.
        self._since: float | None = None
        # The beginning of a gap, and where the run was seen in it.
        self._seen: tuple[float, str] = (0.0, "")

    def begin(self) -> None:
        """Enter the body."""
        self._since = self._now()

    def poll(self) -> None:
        """Look whether the run was asked to stop: one gap ends, and another begins."""
        self.polls += 1
        self._close()
        if not self.has_learned:
            self._since = self._now()

    def rest(self) -> None:
        """Enter a wait on the token: a poll, and no gap follows."""
        self.polls += 1
        self._close()

    def learn(self) -> None:
        """Look and find that the run was asked to stop, or come to the end: no gap follows."""
        self._close()
        self.has_learned = True

    def open_gap(self) -> tuple[float, float]:
        """Return when the gap that is open began, and how long it is; 0.0 twice where there is none."""
        since = self._since
        return (0.0, 0.0) if since is None else (since, self._now() - since)

    def see(self, since: float, where: str) -> None:
        """Note where the run was seen in the gap that began then."""
        self._seen = (since, where)

    def worst(self) -> tuple[float, str]:
        """Return the longest gap so far, that which is open included, and where the run was seen in it, or ""."""
        since = self._since
        return self._worst if since is None else self._worse(since)

    def _close(self) -> None:
        since, self._since = self._since, None
        if since is not None:
            self._worst = self._worse(since)

    def _worse(self, since: float) -> tuple[float, str]:
        gap = self._now() - since
        where = self._seen[1] if self._seen[0] == since else ""
        return (gap, where) if gap > self._worst[0] else self._worst


class TimedContext:
    """A run's context whose polls are dated. All that is no poll goes straight to the run's own."""

    def __init__(self, ctx: Context, clock: PollClock) -> None:
        self._ctx = ctx
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    @property
    def cancelled(self) -> bool:
        """The poll."""
        return self._looked(self._ctx.cancelled)

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled once the run was asked to stop."""
        with self._looking():
            self._ctx.raise_if_cancelled()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until cancelled, or for so many seconds; return True when cancelled."""
        self._clock.rest()
        return self._looked(self._ctx.wait(seconds))

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds; raise Cancelled as soon as the run is asked to stop."""
        self._clock.rest()
        with self._looking():
            self._ctx.sleep(seconds)

    def track(self, items: Iterable[Item], total: float | None = None, unit: str = "") -> Iterator[Item]:
        """Yield the items; poll and report progress at each; raise Cancelled once asked to stop."""
        tracked = self._ctx.track(items, total, unit)
        while True:
            try:
                with self._looking():
                    item = next(tracked)
            except StopIteration:
                return
            yield item

    def _looked(self, is_cancelled: bool) -> bool:
        self._clock.poll()
        if is_cancelled:
            self._clock.learn()
        return is_cancelled

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Date a look that raises Cancelled."""
        try:
            yield
        except Cancelled:
            self._clock.learn()
            raise
        self._clock.poll()


def timed(binding: Binding, clock: PollClock) -> Binding:
    """Return the same task, for one run whose polls move the clock."""

    def make() -> Body:
        body = binding.make()

        def run(ctx: Context) -> object:
            clock.begin()
            try:
                return body.run(cast("Context", TimedContext(ctx, clock)))
            except BaseException as error:
                # What is told of it begins with the task's own code, as for any other run.
                if error.__traceback__ is not None:
                    error.__traceback__ = error.__traceback__.tb_next
                raise
            finally:
                clock.learn()

        return body._replace(run=run)

    return Binding(
        make,
        has_terminate=binding.has_terminate,
        announces_ready=binding.announces_ready,
        label=binding.label,
    )
