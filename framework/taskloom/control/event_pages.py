"""One look into the last events: those after a place, and whether some between were lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from taskloom.control.event_ring import MOST_EVENTS, EventRing
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.marks import Mark, mark_id
from taskloom.control.streams import gap
from taskloom.core.events import Event

__all__ = ["EventPage", "read_events"]


class EventPage(NamedTuple):
    """Events, and where they end."""

    events: Sequence[Event]
    seq: int
    """The number after which the next page begins."""
    position: int
    """The position at which a stream goes on that begins with this page."""
    after: int | None
    """The number after which that stream begins; None if it begins with whatever comes first."""
    gap: ServerSentEvent | None


def read_events(
    ring: EventRing, start: str, mark: Mark | None, count: int, wants: Callable[[Event], bool]
) -> EventPage:
    """Return the first `count` wanted events after the mark; without a mark, the last `count` of all."""
    page = ring.read(0, MOST_EVENTS)
    events, begin = page.events, page.position - len(page.events)
    newest = events[-1].seq if events else 0
    if mark is None:
        wanted = [event for event in events if wants(event)]
        # `max`: a slice from -0 would be all of them.
        return EventPage(wanted[max(0, len(wanted) - count) :], newest, page.position, newest or None, None)
    after, lost = _after(start, mark, events)
    skipped = sum(1 for event in events if event.seq <= (after or 0))
    wanted = [event for event in events[skipped:] if wants(event)]
    taken = wanted[:count]
    seq = taken[-1].seq if len(taken) < len(wanted) and taken else max(newest, after or 0)
    if lost is None and after is not None and count:
        lost = _first_gap(start, after, [event for event in events[skipped:] if event.seq <= seq])
    return EventPage(taken, seq, begin + skipped, after, lost)


def _after(start: str, mark: Mark, events: Sequence[Event]) -> tuple[int | None, ServerSentEvent | None]:
    """Return the number after which events are wanted, None for all, and what was missed before them."""
    first = events[0] if events else None
    if mark.instant is not None:
        after = next((event.seq - 1 for event in events if event.at >= mark.instant), events[-1].seq if events else 0)
        if first is not None and first.seq > 1 and mark.instant < first.at:
            return first.seq - 1, gap(mark.written, mark_id(start, first.seq), "lost")
        return after or None, None
    if mark.start != start:
        return None, gap(mark.written, mark_id(start, first.seq if first is not None else 0), "restart")
    return mark.number, None


def _first_gap(start: str, after: int, events: Sequence[Event]) -> ServerSentEvent | None:
    """Return where events were lost, if they were."""
    for event in events:
        if event.seq != after + 1:
            return gap(mark_id(start, after), mark_id(start, event.seq), "lost")
        after = event.seq
    return None
