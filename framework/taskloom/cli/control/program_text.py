"""The state of a running program as a whole, in words."""

from __future__ import annotations

from taskloom.control.reply_fields import Fields
from taskloom.text import first_of, measured, printable

__all__ = ["stop_text"]

_MOST_NAMED = 5


def stop_text(program: Fields) -> str:
    """Return how the stop of the program goes: who is awaited, and for how long at most."""
    stop = program.object("stop")
    who = f"{program.text('name')} (pid {program.count('pid')})"
    reason = stop.text("reason")
    why = f" ({reason})" if reason else ""
    if program.text("state") != "stopping":
        return printable(f"{who} is {program.text('state')}{why}")
    awaited = stop.texts("awaited")
    waits = f": waiting for {first_of(awaited, _MOST_NAMED)}" if awaited else ""
    left = stop.number("seconds_left")
    at_most = "" if left is None else f", at most {measured(max(0.0, left))} more"
    return printable(f"{who} is stopping{why}{waits}{at_most}")
