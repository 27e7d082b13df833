"""The state of a running program as a whole, in words."""

from __future__ import annotations

from collections.abc import Iterator

from taskloom.cli.control.instants import read_instant
from taskloom.control.reply_fields import Fields
from taskloom.text import first_of, local_time, measured, plural, printable

__all__ = ["history_text", "notification_lines", "stop_text"]

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


def history_text(program: Fields, now: float) -> str:
    """Return that the history of the program is degraded, since when and why; "" if it is not.

    `now`: seconds since the epoch.
    """
    history = program.object("history")
    if history.text("state") != "degraded":
        return ""
    since, reason = read_instant(history.text("since")), history.text("reason")
    begin = "" if since is None else f" since {local_time(since, now)}"
    queued, dropped = history.count("queued"), history.count("dropped")
    rows = f"; {plural(queued, 'row')} not written yet" if queued else ""
    lost = f"; {plural(dropped, 'row')} lost" if dropped else ""
    return printable(f"history is degraded{begin}{reason and f': {reason}'}{rows}{lost}")


def notification_lines(program: Fields) -> Iterator[str]:
    """Return a line for each receiver of notifications that gets none at the moment, or has lost some."""
    for each in program.objects("notifications"):
        reason, lost, queued = each.text("reason"), each.count("lost"), each.count("queued")
        if reason or lost:
            state = f"cannot be sent to {each.text('name')}: {reason}" if reason else f"to {each.text('name')}"
            waiting = f"; {plural(queued, 'notification')} waiting" if queued else ""
            gone = f"{'; ' if reason else ': '}{plural(lost, 'notification')} lost" if lost else ""
            yield printable(f"notifications {state}{gone}{waiting}")
