"""The events of a running program as lines: in the words of its log, and for those that no log has in plain ones.

One line an event: the traceback of a failed run is in the log, and in the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.cli.control.instants import read_instant
from taskloom.cli.control.waiting import EXPLAINED
from taskloom.control.reply_fields import Fields
from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Moment, Outcome, Reason, ReasonKind
from taskloom.observe.event_text import describe, reason_text
from taskloom.observe.log_format import LogFormat, LogMessage, render
from taskloom.observe.name_column import NameColumn
from taskloom.scheduler.failure_text import LogLine
from taskloom.text import duration, first_of, plural, printable

__all__ = ["EventLines"]

_MOST_NAMED = 5
_COMMON = frozenset({"seq", "at", "mono", "event", "job", "run", "attempt", "reason", "outcome", "seconds", "error"})


class EventLines:
    """Renders events one by one, aligned. `log_format`: how the time is written."""

    def __init__(self, log_format: LogFormat, names: NameColumn, *, is_colored: bool = False) -> None:
        self._format, self._names, self._is_colored = log_format, names, is_colored

    def render(self, fields: Fields) -> str:
        """Return the line of an event, with a line break at its end. Raises BadReply."""
        line = _line_of(fields)
        at = read_instant(fields.text("at")) or 0.0
        job = fields.text("job") or "taskloom"
        self._names.fit(len(job))
        shown = LogMessage(line.message, line.level, job, fields.text("run"))
        return render(self._format, shown, Moment(0.0, at), is_colored=self._is_colored, names=self._names)


def _line_of(fields: Fields) -> LogLine:
    event = _event_of(fields)
    if event is None:
        return LogLine(fields.text("event") or "an event without a name")
    try:
        line = describe(event)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        line = None  # an event of a newer or an older program, with other data
    return line or LogLine(printable(_plain_text(event)))


def _event_of(fields: Fields) -> Event | None:
    """Return the event; None for one that is unknown here, from a newer program."""
    reason, error = fields.object("reason"), fields.object("error")
    try:
        return Event(
            seq=fields.count("seq"),
            at=read_instant(fields.text("at")) or 0.0,
            mono=fields.number("mono") or 0.0,
            event=EventName(fields.text("event")),
            job=fields.text("job") or None,
            run=fields.text("run") or None,
            attempt=fields.count("attempt") or None,
            reason=Reason(ReasonKind(reason.text("kind")), reason.text("text")) if reason.data else None,
            outcome=Outcome(fields.text("outcome")) if fields.has("outcome") else None,
            seconds=fields.number("seconds"),
            error=_error_of(error) if error.data else None,
            data={name: value for name, value in fields.data.items() if name not in _COMMON},
        )
    except ValueError:  # a name that an enum does not have
        return None


def _error_of(error: Fields) -> ErrorInfo:
    kind = error.text("type")
    return ErrorInfo(kind, error.text("message"), error.text("traceback"), is_explained=kind in EXPLAINED)


def _plain_text(event: Event) -> str:
    """Return the text of an event that no log has: its name as words, and what it is about."""
    parts = [event.event.value.replace("_", " ")]
    if event.run:
        parts.append(event.run)
    if event.seconds is not None:
        parts.append(f"after {duration(event.seconds, is_rounded=True)}")
    why = reason_text(event.reason)
    if why:
        parts.append(f"({why})")
    text = " ".join(parts)
    return ": ".join(filter(None, [text, _data_text(event.data)]))


def _data_text(data: Mapping[str, Any]) -> str:
    mark = "; " if any(isinstance(value, list) for value in data.values()) else ", "
    return mark.join(_item_text(name.replace("_", " "), value) for name, value in data.items() if value)


def _item_text(name: str, value: Any) -> str:
    """Return a value that says something, in words: `daemon`, `15 jobs`, `task countdown`, `added a, b`."""
    if value is True:
        return name
    if isinstance(value, int) and name.endswith("s"):
        return plural(value, name.removesuffix("s"))
    return f"{name} {first_of([str(each) for each in value], _MOST_NAMED) if isinstance(value, list) else value}"
