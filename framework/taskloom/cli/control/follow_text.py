"""What a person is told while a verb follows a stream: gaps, a lost connection, another one. On standard error."""

from __future__ import annotations

from collections.abc import Iterator

from taskloom.cli.echo import echo_error
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.follower import Follower

__all__ = ["follow_quietly", "gap_text"]


def follow_quietly(stream: Follower, noun: str, *, yields_gaps: bool = False) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream until the program's end; gaps and lost connections are told in one line each.

    `noun`: what the stream has, in the plural. `yields_gaps`: for output that programs read, which has gaps, too.
    """
    stream.on_lost = lambda error: echo_error(f"taskloom: {error}; waiting for the program to come back")
    stream.on_found = lambda: echo_error("taskloom: connected again")
    for event in stream:
        if event.event == "end":
            return
        if event.event == "gap":
            echo_error(f"taskloom: {gap_text(event, noun)}")
        if event.event != "gap" or yields_gaps:
            yield event


def gap_text(event: ServerSentEvent, noun: str) -> str:
    """Return what an event `gap` means."""
    if event.data.get("why") == "restart":
        return f"the program was restarted; {noun} from before that may be missing here"
    return f"{noun} are missing here: they came faster than they could be read, or are no longer kept"
