"""The places in the order of events at which a client goes on: ids, and instants."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from taskloom.control.refusals import Refusal
from taskloom.core.events import format_wall
from taskloom.diagnostics import quoted

__all__ = ["Mark", "instant_text", "mark_id", "read_mark"]

_ID = re.compile(r"([0-9A-Za-z]{1,32})\.([0-9]{1,15})", re.ASCII)


class Mark(NamedTuple):
    """A place after which events are wanted. Either `start` and `number`, or `instant` in seconds since the epoch."""

    written: str
    start: str = ""
    number: int = 0
    instant: float | None = None


def mark_id(start: str, number: int) -> str:
    """Return the id of the event or line with this number."""
    return f"{start}.{number}"


def instant_text(seconds: float | None) -> str | None:
    """Return an instant as RFC 3339 in UTC; None for none."""
    return None if seconds is None else format_wall(seconds)


def read_mark(written: str) -> Mark:
    """Return the place that `since` or `Last-Event-ID` names. Raises Refusal."""
    found = _ID.fullmatch(written)
    if found is not None:
        return Mark(written, start=found[1], number=int(found[2]))
    try:
        instant = datetime.fromisoformat(written)
        # Without a zone it is UTC: the host's zone is not the client's.
        seconds = (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Refusal(
            400,
            "invalid-query",
            f"cannot use {quoted(written)} as since; expected an id of an event, such as 1f0c2a9b.42, or an instant, "
            "such as 2026-01-31T12:00:00Z",
        ) from None
    return Mark(written, instant=seconds)
