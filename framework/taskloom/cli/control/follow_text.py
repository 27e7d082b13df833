"""Follows a stream for a verb, and tells of gaps and lost connections on standard error."""

from __future__ import annotations

import select
from collections.abc import Iterator

from taskloom.cli.echo import echo_error
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.follower import Follower

__all__ = ["follow_quietly", "gap_text", "is_reader_gone"]

_STDOUT = 1
# How soon a verb ends after the reader of its output. Nothing else wakes it while nothing happens.
_LOOK_SECONDS = 1.0


def follow_quietly(stream: Follower, noun: str, *, yields_gaps: bool = False) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream until the end of the program, or of the reader of standard output.

    Gaps and lost connections are told in one line each. `noun`: what the stream has, in the plural. `yields_gaps`: for
    output that programs read, which has gaps, too.
    """
    stream.on_lost = lambda error: echo_error(f"taskloom: {error}; waiting for the program to come back")
    stream.on_found = lambda: echo_error("taskloom: connected again")
    while not is_reader_gone():
        event = stream.take(_LOOK_SECONDS)
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
