"""Feeds the waits of a verb with the events of the program until all are over, under one absolute deadline."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

from taskloom.cli.control.waiting import REMOVED, JobResult, ProgramEnd, Wait
from taskloom.clock import mono
from taskloom.control.client import Connection, ControlError, NoAnswer, NoProgram, Refused, job_path
from taskloom.control.client_errors import ConnectionLost
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.reply_fields import Fields

__all__ = ["END_SECONDS", "SETTLE_SECONDS", "is_gone", "place_of", "wait_until_over"]

# How often the process is looked for after a connection is lost.
_LOOK_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.05
_IDLE_SECONDS = 5.0
END_SECONDS = 2.0
"""How long a program may take from the end of its connections to the end of its process."""
# A task that does not announce that it is ready counts as ready once it has begun. So a run that fails at once is ready
# for a moment, and a start would be good or bad by chance. Long enough for an import or a refused connection.
SETTLE_SECONDS = 0.5
_SETTLE_STEP_SECONDS = 0.05
# For the status and the place of each job at the deadline: all of it together must not take much longer.
_LAST_SECONDS = 1.0
# More names than these would make the request line too long; then the events of all jobs are sent.
_MOST_NAMES = 50


def wait_until_over(
    connection: Connection,
    waits: Sequence[Wait],
    *,
    since: str,
    deadline: float,
    on_result: Callable[[JobResult], object] = lambda _: None,
) -> NoAnswer | None:
    """Return when each wait has a result. `since`: the id of the last event before all of the actions.

    `deadline`: a second of the monotonic clock, or inf. `on_result` is called with each result as it comes. Returns why
    the program does not say at the deadline where its jobs are; None if it does, or if all are over.
    """
    begun = mono()
    follower = _Following(connection, waits, on_result)
    follower.report()
    if follower.open_jobs:
        follower.run(since, deadline)
    for wait in follower.open_waits():
        status, where = follower.last_look(wait.job)
        wait.check(status)  # what has happened since the last event
        wait.accept_provisional()
        if wait.result is None and follower.silence is not None:
            wait.end_unanswered(mono() - begun)
        elif wait.result is None:
            wait.late(status, mono() - begun, where)
    follower.report()
    return follower.silence


def is_gone(connection: Connection, within: float = 0.0) -> bool:
    """Return whether the program has ended, as far as that can be seen; look again for `within` seconds.

    Its connections break a moment before its process has ended.
    """
    until = mono() + within
    while not _is_gone(connection):
        if mono() >= until:
            return False
        select.select([], [], [], _LOOK_AGAIN_SECONDS)
    return True


def _is_gone(connection: Connection) -> bool:
    pid = connection.program.pid
    if pid and _is_alive(pid):
        return False
    try:
        connection.get("/v1", timeout=_LAST_SECONDS)
    except NoProgram:
        return True
    except ControlError:
        return bool(pid)
    return False  # the pid is that of another container


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    # The name of the program, in parentheses, may contain anything.
    return stat.rpartition(b")")[2].split()[:1] not in ([b"Z"], [b"X"])


def place_of(connection: Connection, job: str, timeout: float = _LAST_SECONDS) -> str:
    """Return where the run of a job is; "" if the program does not say so in time."""
    try:
        stacks = connection.fields(connection.get("/v1/stacks", timeout=timeout, job=job)).objects("stacks")
        return next((each.text("where") for each in stacks if each.text("job") == job), "")
    except ControlError:
        return ""


class _Following:
    """The waits of one verb that are not over, by job."""

    def __init__(self, connection: Connection, waits: Sequence[Wait], on_result: Callable[[JobResult], object]) -> None:
        self._connection = connection
        self._on_result = on_result
        self.open_jobs = {wait.job: wait for wait in waits}
        self._is_lost = False
        self._has_stopped = False
        self._last_until = inf
        self.silence: NoAnswer | None = None
        """Why the last look has found nothing, if the program does not answer."""
        self._look_at = 0.0
        # Job -> the monotonic second at which its result was provisional for the first time.
        self._settling: dict[str, float] = {}

    def open_waits(self) -> list[Wait]:
        """Return the waits that are not over."""
        return list(self.open_jobs.values())

    def report(self) -> None:
        """Pass on the results that have come, and forget their waits."""
        for wait in self.open_waits():
            if wait.result is not None:
                del self.open_jobs[wait.job]
                self._on_result(wait.result)

    def run(self, since: str, deadline: float) -> None:
        """Follow the events until no wait is open, or until the deadline."""
        jobs = list(self.open_jobs) if len(self.open_jobs) <= _MOST_NAMES else None
        with self._connection.follow("/v1/events", since=since, job=jobs) as stream:
            stream.on_lost = lambda _: self._set_lost(True)
            stream.on_found = lambda: self._set_lost(False)
            self._accept_provisional()
            while self.open_jobs and mono() < deadline:
                try:
                    event = stream.take(min(deadline - mono(), self._pause()))
                except (NoProgram, ConnectionLost, NoAnswer):
                    if stream.is_lost:
                        self._end(ProgramEnd.LOST)
                    elif is_gone(self._connection, END_SECONDS):
                        self._end(ProgramEnd.GONE)
                    else:
                        raise
                    return
                if event is not None:
                    self._take(event)
                elif self._is_lost and self._is_time_to_look() and is_gone(self._connection):
                    self._end(ProgramEnd.STOPPED if self._has_stopped else ProgramEnd.LOST)
                self._ask_where_needed(deadline)
                self._accept_provisional()
                self.report()

    def _pause(self) -> float:
        """Return the seconds after which something is due even without an event."""
        return _SETTLE_STEP_SECONDS if self._settling else _LOOK_SECONDS if self._is_lost else _IDLE_SECONDS

    def _accept_provisional(self) -> None:
        """Accept the results that have been provisional for long enough."""
        now = mono()
        for wait in self.open_waits():
            if wait.result is not None:
                self._settling.pop(wait.job, None)
            elif wait.provisional is not None and now - self._settling.setdefault(wait.job, now) >= SETTLE_SECONDS:
                del self._settling[wait.job]
                wait.accept_provisional()

    def _is_time_to_look(self) -> bool:
        """Return whether to look for the process again: not at each step."""
        now = mono()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        return True

    def _set_lost(self, is_lost: bool) -> None:
        self._is_lost = is_lost

    def _take(self, event: ServerSentEvent) -> None:
        fields = self._connection.fields(event.data)
        if event.event == "gap":
            if fields.text("why") == "restart":
                self._end(ProgramEnd.RESTARTED)
            for wait in self.open_waits():
                wait.needs_status = True
        elif event.event == "end":
            self._end(ProgramEnd.STOPPED)
        elif event.event == "scheduler_stopped":
            self._has_stopped = True
        else:
            concerned = self.open_jobs.get(fields.text("job"))
            if concerned is not None:
                concerned.see(fields)

    def _end(self, end: ProgramEnd) -> None:
        for wait in self.open_waits():
            wait.accept_provisional()
            if wait.result is None:
                wait.end_with_program(end)
        self.report()

    def _ask_where_needed(self, deadline: float) -> None:
        for wait in self.open_waits():
            if wait.needs_status and wait.result is None:
                status = self._status(wait.job, max(0.1, min(5.0, deadline - mono())))
                if status is not None:
                    wait.check(status)

    def _status(self, job: str, timeout: float) -> Fields | None:
        """Return the status of a job; an empty one if there is no such job; None if the program does not answer."""
        try:
            return self._connection.fields(self._connection.get(job_path(job), timeout=timeout)).object("job")
        except Refused:
            return Fields({"job": job, "state": REMOVED})
        except NoAnswer as error:
            self.silence = error if self._last_until < inf else None
            return None
        except ControlError:
            return None

    def last_look(self, job: str) -> tuple[Fields, str]:
        """Return the status of a job at the deadline, and where its run is, as far as the program says so in time."""
        if self._last_until == inf:
            self._last_until = mono() + _LAST_SECONDS
        left = self._last_until - mono()
        if left <= 0:
            return Fields({"job": job}), ""
        status = self._status(job, left)
        if status is None:
            return Fields({"job": job}), ""  # an empty one decides nothing
        left = self._last_until - mono()
        return status, place_of(self._connection, job, left) if left > 0 else ""
