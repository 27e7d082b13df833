"""Follows a stream for a verb, and tells of gaps and lost connections on standard error."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator

from taskloom.cli.echo import echo_error
from taskloom.clock import mono
from taskloom.control.client_errors import ControlError
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.follower import Follower

__all__ = ["InOrder", "follow_quietly", "gap_text", "is_reader_gone"]

_STDOUT = 1
# How soon a verb ends after the reader of its output. Nothing else wakes it while nothing happens.
_LOOK_SECONDS = 1.0
# Longer than a few thread switches on a busy machine, shorter than a person notices.
TOGETHER_SECONDS = 0.05
_MOST_TOGETHER = 1000


class InOrder:
    """Sorts the events of a stream that come within TOGETHER_SECONDS by their `at`.

    The line that a run has started comes from another thread than the first line of the run, often a moment later.
    """

    def __init__(self, take: Callable[[float], ServerSentEvent | None]) -> None:
        self._take = take
        self._sorted: deque[ServerSentEvent] = deque()
        self._error: ControlError | None = None

    def take(self, timeout: float) -> ServerSentEvent | None:
        """Return the next event; None after `timeout` seconds. Raises what the stream has raised, after its events."""
        if not self._sorted:
            self._gather(timeout)
        return self._sorted.popleft() if self._sorted else None

    def _gather(self, timeout: float) -> None:
        if self._error is not None:
            raise self._error
        event, found = self._take(timeout), list[ServerSentEvent]()
        until = mono() + TOGETHER_SECONDS
        while event is not None and "at" in event.data:
            found.append(event)
            event = self._next(until - mono()) if len(found) < _MOST_TOGETHER else None
        # A gap, or the end, stays where it is; all that came before it is before it.
        self._sorted.extend(sorted(found, key=_at))
        if event is not None:
            self._sorted.append(event)

    def _next(self, seconds: float) -> ServerSentEvent | None:
        try:
            return self._take(seconds) if seconds > 0 else None
        except ControlError as error:
            self._error = error
            return None


def _at(event: ServerSentEvent) -> str:
    return str(event.data["at"])


def follow_quietly(
    stream: Follower, noun: str, *, yields_gaps: bool = False, in_order: bool = False
) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream until the end of the program, or of the reader of standard output.

    Gaps and lost connections are told in one line each. `noun`: what the stream has, in the plural. `yields_gaps`: for
    output that programs read, which has gaps, too. `in_order`: those that come together are sorted by their times.
    """
    take = InOrder(stream.take).take if in_order else stream.take
    stream.on_lost = lambda error: echo_error(f"taskloom: {error}; waiting for the program to come back")
    stream.on_found = lambda: echo_error("taskloom: connected again")
    while not is_reader_gone():
        event = take(_LOOK_SECONDS)
        if event is None:
            continue
        if event.event == "end":
            return
        if event.event == "gap":
            echo_error(f"taskloom: {gap_text(event, noun)}")
        if event.event != "gap" or yields_gaps:
            yield event


def is_reader_gone() -> bool:
    """Return whether standard output is a pipe whose reader has gone (`| head`): to follow makes no sense any more."""
    poller = select.poll()
    poller.register(_STDOUT, 0)
    return any(found & (select.POLLERR | select.POLLHUP) for _, found in poller.poll(0))


def gap_text(event: ServerSentEvent, noun: str) -> str:
    """Return what an event `gap` means."""
    if event.data.get("why") == "restart":
        return f"the program was restarted; {noun} from before that may be missing here"
    return f"{noun} are missing here: they came faster than they could be read, or are no longer kept"
