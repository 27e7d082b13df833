"""The streams of events and of log lines, one object for each client that follows.

A stream keeps only its place, and reads what is there when the server takes it: a slow client costs no memory, and
finds a `gap` where it was too slow. All methods but `wake_with`'s callback are called on the server's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from taskloom.control.event_ring import EventRing
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.log_source import LogLine, LogSource
from taskloom.control.marks import instant_text, mark_id
from taskloom.core.events import Event

__all__ = ["EventStream", "LogStream", "gap"]


Forget = Callable[[], object]


def _nothing() -> None:
    pass


def gap(begin: str, end: str, why: str, id: str = "") -> ServerSentEvent:  # noqa: A002 - as the field is named
    """Return the event that tells a client what it has missed, and why: `restart` or `lost`."""
    return ServerSentEvent("gap", {"from": begin, "to": end, "why": why}, id)


class _Woken:
    """The part that both kinds of stream have: the wake-up of the server, and the end."""

    def __init__(self, first: Iterable[ServerSentEvent]) -> None:
        self._first = list(first)
        self._forgets: list[Forget] = []
        self._wake: Callable[[], object] = _nothing
        self._is_closed = False
        # Whether the server has seen that there is nothing more. Only then does a new event wake it.
        self._is_asleep = True

    def _begin(self, wake: Callable[[], object], *subscriptions: Callable[[Callable[[], object]], Forget]) -> None:
        self._wake = wake
        woken = self._wake_once  # one object, by which it is forgotten
        self._forgets = [subscribe(woken) for subscribe in subscriptions]
        wake()  # for what is there already

    def _wake_once(self) -> None:
        # Several writers may come here at once, or one while `take` is reading. The worst is one wake-up too many.
        if self._is_asleep:
            self._is_asleep = False
            self._wake()

    def close(self) -> None:
        """Forget it: the client has gone. Idempotent."""
        self._is_closed = True
        for forget in self._forgets:
            forget()


class EventStream(_Woken):
    """The events after a place. `wants` chooses them; `show` makes the JSON of one.

    `after`: the number after which they begin, or None for any.
    """

    def __init__(
        self,
        ring: EventRing,
        start: str,
        position: int,
        *,
        after: int | None,
        wants: Callable[[Event], bool],
        show: Callable[[Event], dict[str, Any]],
        first: Iterable[ServerSentEvent] = (),
    ) -> None:
        super().__init__(first)
        self._ring = ring
        self._start = start
        self._position = position
        self._after = after
        self._wants = wants
        self._show = show

    def wake_with(self, wake: Callable[[], object]) -> None:
        """Call `wake` whenever there is something to take."""
        self._begin(wake, self._ring.wake_with)

    def take(self, most: int) -> Iterable[ServerSentEvent] | None:
        """Return at most `most` events that were not taken before; None at the end."""
        if self._is_closed:
            return None
        self._is_asleep = True  # first: what comes while we read wakes the server again
        is_over = self._ring.is_over  # before the events are read: what comes after that is not awaited
        taken, self._first = self._first[:most], self._first[most:]
        page = self._ring.read(self._position, max(0, most - len(taken)))
        self._position = page.position
        for event in page.events:
            self._add(event, taken)
        if not page.is_end or self._first:
            self._wake_once()
        elif is_over:
            taken.append(ServerSentEvent("end", {"start": self._start, "seq": self._ring.last_seq}))
            self.close()
        return taken

    def _add(self, event: Event, taken: list[ServerSentEvent]) -> None:
        after = self._after
        if after is not None and event.seq <= after:
            return
        identity = mark_id(self._start, event.seq)
        if after is not None and event.seq > after + 1:
            taken.append(gap(mark_id(self._start, after), identity, "lost"))
        self._after = event.seq
        if self._wants(event):
            taken.append(ServerSentEvent(event.event.value, self._show(event), identity))


class LogStream(_Woken):
    """The lines of some jobs after a place. `jobs`: their names; None for all. `wants` chooses among the lines."""

    def __init__(
        self,
        source: LogSource,
        start: str,
        number: int,
        *,
        jobs: Collection[str] | None,
        wants: Callable[[LogLine], bool],
        events: EventRing,
        first: Iterable[ServerSentEvent] = (),
    ) -> None:
        super().__init__(first)
        self._source = source
        self._events = events
        self._start = start
        self._number = number
        self._jobs = jobs
        self._wants = wants

    def wake_with(self, wake: Callable[[], object]) -> None:
        """Call `wake` whenever there is something to take."""
        self._begin(wake, self._source.wake_with, self._events.wake_at_end)

    def take(self, most: int) -> Iterable[ServerSentEvent] | None:
        """Return at most `most` lines that were not taken before; None at the end."""
        if self._is_closed:
            return None
        self._is_asleep = True
        is_over = self._events.is_over
        taken, self._first = self._first[:most], self._first[most:]
        lost = self._source.lost(self._jobs)
        if lost > self._number:
            taken.append(gap(mark_id(self._start, self._number), mark_id(self._start, lost), "lost"))
            self._number = lost
        lines = self._source.after(self._number, self._jobs, max(1, most - len(taken)))
        for line in lines:
            self._number = line.seq
            if self._wants(line):
                taken.append(line_event(self._start, line))
        if lines or self._first:
            self._wake_once()
        elif is_over:
            taken.append(ServerSentEvent("end", {"start": self._start, "seq": self._number}))
            self.close()
        return taken


def line_event(start: str, line: LogLine) -> ServerSentEvent:
    """Return a line as the event of a stream."""
    return ServerSentEvent("line", line_data(line), mark_id(start, line.seq))


def line_data(line: LogLine) -> dict[str, Any]:
    """Return a line as JSON data."""
    return {
        "at": instant_text(line.at),
        "level": line.level,
        "job": line.job,
        "run": line.run or None,
        "text": line.text,
        "seq": line.seq,
    }
