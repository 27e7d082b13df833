"""The stop of all jobs of one program: begun by a signal, a client or an error, hurried, and announced in the log."""

from __future__ import annotations

import signal
from collections.abc import Callable

from taskloom.cli.program.signals import HURRY_SECONDS, Signal
from taskloom.cli.program.watcher import Watcher
from taskloom.clock import mono
from taskloom.core.model import Reason, ReasonKind
from taskloom.observe.console import Console
from taskloom.observe.event_text import reason_text
from taskloom.scheduler.facade import Scheduler
from taskloom.text import first_of, plural

__all__ = ["HURRY", "Stopping", "name_of"]

HURRY = plural(round(HURRY_SECONDS), "more second")
# More names than these make a log line too long to read.
_MOST_AWAITED = 5


class Stopping:
    """Stops all jobs once, within `within` seconds. On the main thread alone.

    `begun` is called when the stop has been requested.
    """

    def __init__(
        self, scheduler: Scheduler, watcher: Watcher, console: Console, within: float, begun: Callable[[], object]
    ) -> None:
        self._scheduler = scheduler
        self._watcher = watcher
        self._console = console
        self._within = within
        self._begun = begun
        self.is_under_way = False
        self.deadline = float("inf")
        """The monotonic second at which the stop has to be over."""

    def begin(self, reason: Reason, *, since: float | None = None, within: float | None = None) -> None:
        """Stop all jobs within the time that is left, counted from the monotonic second `since`, or from now.

        `within`: the seconds for it, if it is not the program's own time.
        """
        if self.is_under_way:
            return
        now = mono()
        if within is not None and within != self._within:
            self._within = within
            self._watcher.allow(within)
        self.deadline = (now if since is None else since) + self._within
        self._scheduler.request_stop(max(0.0, self.deadline - now), reason=reason)
        self.is_under_way = True  # only now: an exception in the lines above leads here again
        self._begun()
        self._log_awaited(reason)

    def begin_by_signal(self, arrived: Signal) -> None:
        """Stop all jobs because of a signal, from the moment at which it arrived."""
        number = arrived.number
        name, again = name_of(number)
        self._console.log(f"{name}: stopping all jobs; {again} to allow only {HURRY}", level="WARNING")
        self.begin(Reason(ReasonKind.SIGNAL, signal.Signals(number).name, number), since=arrived.at)

    def begin_by_request(self, within: float | None, reason: Reason) -> None:
        """Stop all jobs for a client of the control socket, or hurry the stop that is under way."""
        if not self.is_under_way:
            self.begin(reason, within=within)
        elif within is not None and mono() + within < self.deadline:
            self._scheduler.hurry(within)
            self.deadline = mono() + within
            self._watcher.hurry(within)

    def hurry(self, arrived: Signal) -> None:
        """Allow the stop little time, because of a second signal."""
        name, again = name_of(arrived.number)
        self._console.log(f"{name}: at most {HURRY}; {again} to exit at once", level="WARNING")
        deadline = arrived.at + HURRY_SECONDS
        self._scheduler.hurry(max(0.0, deadline - mono()))
        self.deadline = min(self.deadline, deadline)

    def _log_awaited(self, reason: Reason) -> None:
        awaited = [status.report.job for status in self._scheduler.status() if status.state == "stopping"]
        waiting = f"waiting for {first_of(awaited, _MOST_AWAITED)}" if awaited else ""
        stopping = f"stopping all jobs: {reason_text(reason)}"
        if reason.kind is ReasonKind.ESSENTIAL:
            self._console.log(f"{stopping}; {waiting}" if awaited else stopping, level="ERROR")
        elif awaited:
            is_logged = reason.kind is ReasonKind.SIGNAL  # the line about the signal has announced the stop
            self._console.log(waiting if is_logged else f"{stopping}; {waiting}")


def name_of(number: int) -> tuple[str, str]:
    """Return how a log line calls a signal, and how its reader sends it again."""
    if number == signal.SIGINT:
        return "Ctrl-C", "press again"
    return signal.Signals(number).name, "send it again"
