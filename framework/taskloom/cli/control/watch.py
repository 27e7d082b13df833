"""`taskloom status --watch`: the table again whenever something happens; on a terminal it is redrawn in place."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from taskloom.cli.control.common import ControlExit, line_shape
from taskloom.cli.control.follow_text import is_reader_gone
from taskloom.cli.control.shown_status import Line, Shown, read_status, show_lines
from taskloom.cli.echo import echo, echo_error, echo_styled
from taskloom.clock import mono
from taskloom.control.client import Connection
from taskloom.control.client_errors import ConnectionLost, NoAnswer, NoProgram
from taskloom.control.follower import Follower
from taskloom.observe.terminal import has_styles, is_plain, is_terminal
from taskloom.text import printable, to_json

__all__ = ["watch_status"]

# Some events come by the hundred. A person cannot read faster, and the program has other work.
_LEAST_SECONDS = 0.5
# On a terminal, where times go on.
_REDRAW_SECONDS = 1.0
# These change without an event.
_VOLATILE = frozenset({"seconds", "due_in", "poll_age", "worst_gap", "counts", "progress", "would_meet_join"})
# The cursor stays visible: a signal that ends this process would leave it hidden.
_HOME, _CLEAR_LINE, _CLEAR_BELOW, _CLEAR = "\033[H", "\033[K", "\033[J", "\033[2J"


def watch_status(
    connection: Connection, jobs: Sequence[str], labels: Sequence[str], *, wants_json: bool
) -> ControlExit:
    """Show the status until the program has ended. Ctrl-C ends it as well."""
    is_live = not wants_json and is_terminal(sys.stdout) and not is_plain(os.environ)
    show: Callable[[Shown], None] = _Screen().show if is_live else _Printer(wants_json=wants_json).show
    first = read_status(connection, jobs, labels)
    if is_live:
        echo_styled(_CLEAR)
    show(first)
    with connection.follow("/v1/events", since=_position(first)) as events:
        events.on_lost = lambda error: echo_error(f"taskloom: {error}; waiting for the program")
        events.on_found = lambda: echo_error("taskloom: connected again")
        is_over = False
        for is_over in _changes(events, is_live=is_live):
            shown = None if events.is_lost else _look_again(connection, jobs, labels, is_over=is_over)
            if shown is not None:
                show(shown)
        if is_over:
            echo_error(f"taskloom: {printable(first.program.text('name')) or 'the program'} has ended")
    return ControlExit.DONE


def _position(shown: Shown) -> str | None:
    start, seq = shown.program.text("start"), shown.program.count("seq")
    return f"{start}.{seq}" if start else None


def _look_again(connection: Connection, jobs: Sequence[str], labels: Sequence[str], *, is_over: bool) -> Shown | None:
    """Return the status; None if the program has just gone. Whether it comes back is seen by the follower."""
    try:
        return read_status(connection, jobs, labels)
    except (NoProgram, ConnectionLost):
        return None
    except NoAnswer:
        if is_over:
            return None
        raise


def _changes(events: Follower, *, is_live: bool) -> Iterator[bool]:
    """Yield whenever the status is to be read again: after events, on a terminal each second; True after the last.

    The first of many events is not waited for; those after it within `_LEAST_SECONDS` are one change.
    """
    looked = mono()
    while not is_reader_gone():
        event = events.take(_REDRAW_SECONDS)
        if event is None and not is_live:
            continue
        while event is not None and event.event != "end" and mono() - looked < _LEAST_SECONDS:
            event = events.take(max(0.0, looked + _LEAST_SECONDS - mono()))
        if event is not None and event.event == "end":
            yield True
            return
        yield False
        looked = mono()


class _Printer:
    """Prints the table, or the JSON on one line, whenever more than a time in it has changed."""

    def __init__(self, *, wants_json: bool) -> None:
        self._wants_json = wants_json
        self._last: Any = None

    def show(self, shown: Shown) -> None:
        found = [{name: value for name, value in job.data.items() if name not in _VOLATILE} for job in shown.jobs]
        now = (found, shown.program.text("state"))
        if now == self._last:
            return
        if self._wants_json:
            echo(to_json(shown.as_data()))
        else:
            lines = shown.as_lines(*line_shape())
            show_lines(lines if self._last is None else [Line(""), *lines])
        self._last = now
        sys.stdout.flush()


class _Screen:
    """Draws the table over the one before, in one write, so that nothing flickers."""

    def show(self, shown: Shown) -> None:
        line_width, mark = line_shape()
        size = shutil.get_terminal_size()
        lines = shown.as_lines(line_width, mark)
        most = max(2, size.lines - 1)
        if len(lines) > most:
            lines = [*lines[: most - 1], Line(f"{mark} {len(lines) - most + 1} more")]
        is_styled = has_styles(sys.stdout)
        shown_lines = [line.painted(size.columns) if is_styled else line.text[: size.columns] for line in lines]
        drawn = "".join(f"{line}{_CLEAR_LINE}\n" for line in shown_lines)
        echo_styled(f"{_HOME}{drawn}{_CLEAR_BELOW}")
        sys.stdout.flush()
