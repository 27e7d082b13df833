"""The end of a program whose schedulers were not stopped.

Python waits for all threads that are not daemon threads, and does not say so. Here the wait is ours, so that a warning
can name the runs, and so that Ctrl-C can stop them. Called on the main thread, before Python begins to wait.

Ctrl-C stops everything, a second one allows HURRY_SECONDS more, and a third one ends our wait. Any other exception that
a signal handler raises counts as a Ctrl-C, too: a handler for SIGTERM may call `sys.exit`. The exit code stays the one
that the program ended with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from taskloom.text import first_of, plural

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle
    from taskloom.scheduler.engine import Engine

__all__ = ["AtExit", "finish_all"]

HURRY_SECONDS = 2.0
# A signal that arrives just before the main thread falls asleep is handled only when the thread wakes up.
WAIT_SECONDS = 1.0
FLUSH_SECONDS = 1.0
# More names than these make a log line too long to read.
MOST_NAMED = 5


class Stoppable(Protocol):
    """The part of a scheduler that is used here."""

    def request_stop(self, within: float) -> None:
        """Begin to stop everything, and return at once."""

    def stop(self, within: float) -> object:
        """Stop everything, and wait for the threads of ended runs."""

    def hurry(self, within: float) -> None:
        """Allow a stop at most `within` more seconds."""


class AtExit:
    """The part that one scheduler takes in the end of the program.

    `is_stopped`: whether it is stopped then, within `within` seconds. If not, its runs are waited for.
    """

    def __init__(self, scheduler: Stoppable, engine: Engine, *, is_stopped: bool, within: float) -> None:
        self._scheduler = scheduler
        self._engine = engine
        self._is_stopped = is_stopped
        self._within = within
        self._is_announced = False

    def begin(self) -> bool:
        """Begin the stop, if the scheduler is to be stopped; each step returns whether it is done."""
        return self.request_stop() if self._is_stopped else True

    def request_stop(self) -> bool:
        """Begin to stop everything."""
        self._scheduler.request_stop(self._within)
        return True

    def hurry(self) -> bool:
        """Allow the stop only a little more time."""
        self._scheduler.hurry(HURRY_SECONDS)
        return True

    def wait(self) -> bool:
        """Wait, at most WAIT_SECONDS, until no stop is going on and no run is alive that is not a daemon."""
        engine = self._engine
        if not engine.executor.last:
            return True  # it never had a run
        if not self._is_announced:
            self._announce(engine.query(None, self._awaited))
        if not engine.wait_until(lambda _: not self._is_stopping() and not self._live(), WAIT_SECONDS):
            return False
        if engine.executor.report is not None:
            self._scheduler.stop(self._within)  # the stop is over: this waits for what is left of ended runs
        return True

    def flush(self) -> bool:
        """Write what is still to be logged: the threads that log are daemon threads."""
        log = self._engine.executor.log
        return log is None or log.flush(FLUSH_SECONDS) or True

    def record_bug(self, error: Exception) -> None:
        """Record an error of Taskloom itself."""
        self._engine.record_bug(error)

    def _live(self) -> list[str]:
        live = list(self._engine.executor.live.values())
        return [run.id for run in live if not run.record.spec.daemon and run.is_executing()]

    def _is_stopping(self) -> bool:
        return self._engine.gate.stop is not None and not self._engine.is_stopped

    def _awaited(self, _: Lifecycle) -> list[str]:
        """Return the runs that only their own end, or a Ctrl-C, can end."""
        return [] if self._is_stopping() else self._live()

    def _announce(self, names: list[str]) -> None:
        log = self._engine.executor.log
        if not names or log is None:
            return
        self._is_announced = True
        runs = f"{plural(len(names), 'run')}: {first_of(names, MOST_NAMED)}"
        log.put_warning(f"the program has ended without stop(), and waits for {runs} (Ctrl-C stops everything)")


def finish_all(parts: Iterable[AtExit]) -> None:
    """Stop the schedulers that are to be stopped, and wait for the runs of all others. Raises nothing."""
    all_parts = tuple(parts)
    steps: deque[tuple[AtExit, Callable[[], bool]]] = deque()
    steps.extend((part, part.begin) for part in all_parts)
    steps.extend((part, part.wait) for part in all_parts)
    steps.extend((part, part.flush) for part in all_parts)
    interruptions = 0
    while steps:
        part, step = steps[0]
        try:
            if step():
                steps.popleft()
        except Exception as error:  # noqa: BLE001 - the hooks of other libraries, and Python's own wait, must follow
            steps.popleft()
            part.record_bug(error)
        except BaseException:  # noqa: BLE001 - raised by a signal handler
            interruptions += 1
            if interruptions > 2:
                return
            steps.extendleft((each, each.hurry if interruptions == 2 else each.request_stop) for each in all_parts)
