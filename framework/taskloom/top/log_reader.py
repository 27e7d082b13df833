"""The thread that follows the log of the chosen job, or of all jobs."""

from __future__ import annotations

import threading
from typing import NamedTuple

from taskloom.cli.control.instants import read_instant
from taskloom.clock import wall
from taskloom.control.client import Connection, ControlError, Refused
from taskloom.control.exchange import ServerSentEvent
from taskloom.text import local_time, printable
from taskloom.top.inbox import Inbox
from taskloom.top.log_buffer import LogLine, log_line

__all__ = ["LogReader"]

# The first lines, from before. All jobs have more.
_LINES = 500
# While the cursor moves over the table, no log is asked for.
_SETTLE_SECONDS = 0.15
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 1.0


class _Wanted(NamedTuple):
    log: int
    job: str | None


class LogReader:
    """Puts the lines into the inbox. `choose` may be called by any thread."""

    def __init__(self, connection: Connection, inbox: Inbox) -> None:
        self._connection, self._inbox = connection, inbox
        self._wanted: _Wanted | None = None
        self._is_over = False
        self._changed = threading.Event()

    def choose(self, job: str | None) -> None:
        """Follow the log of this job from now on; None for that of all jobs."""
        self._wanted = _Wanted(self._inbox.begin_log(), job)
        self._changed.set()

    def close(self) -> None:
        """Let the thread end, within a quarter of a second."""
        self._is_over = True
        self._changed.set()

    def run(self) -> None:
        """Follow until `close`, on a thread of the feed."""
        last_id, known, told = "", None, ""
        while not self._is_over:
            wanted = self._wanted
            if wanted is None:
                self._changed.wait()
                self._changed.clear()
                continue
            # One that is chosen before this line is seen by the comparison, and one after it by the wait.
            self._changed.clear()
            if self._wanted != wanted or self._changed.wait(_SETTLE_SECONDS if wanted != known else _RETRY_SECONDS):
                continue
            if wanted != known:
                last_id, known, told = "", wanted, ""
            try:
                last_id = self._follow(wanted, last_id)
            except ControlError as error:
                # That the program is away is said at the head of the screen; after a moment it is tried again.
                if isinstance(error, Refused) and str(error) != told:
                    told = str(error)
                    self._remark(wanted, told)
            except RecursionError:
                self._remark(wanted, "the program has sent what is nested too deeply")

    def _follow(self, wanted: _Wanted, last_id: str) -> str:
        """Follow until another log is wanted, or the program ends; return the id of the last line."""
        options = {"since": last_id} if last_id else {"lines": _LINES}
        with self._connection.follow("/v1/logs", job=wanted.job, **options) as events:
            while not self._is_over and self._wanted == wanted:
                event = events.take(_LOOK_SECONDS)
                if event is not None and event.event == "end":
                    self._remark(wanted, "the program has ended")
                    return events.last_id
                if event is not None:
                    self._put(wanted, event)
            return events.last_id

    def _put(self, wanted: _Wanted, event: ServerSentEvent) -> None:
        if event.event == "gap":
            why = "the program was started again" if event.data.get("why") == "restart" else "lines are missing here"
            self._remark(wanted, why)
            return
        if event.event != "line":
            return
        data = self._connection.fields(event.data)
        at = read_instant(data.text("at"))
        time = "" if at is None else local_time(at, at, is_exact=True)
        for text in data.text("text").split("\n"):
            self._inbox.put_line(wanted.log, log_line(time, data.text("level"), data.text("job"), text))

    def _remark(self, wanted: _Wanted, text: str) -> None:
        self._inbox.put_line(wanted.log, LogLine(local_time(wall(), wall()), "", "", f"-- {printable(text)} --"))
