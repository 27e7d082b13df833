"""The threads that ask and steer the program for the screen. Their answers go into the inbox.

Each kind of question has a thread of its own, so that a program that is slow to answer one of them delays no other, and
never the screen. They are daemon threads: a call that is under way at the end ends with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from taskloom.clock import mono
from taskloom.control.client import Asked, Connection, ControlError, job_path
from taskloom.control.client_errors import BadReply
from taskloom.text import error_text, printable
from taskloom.top.inbox import Inbox, Look, Report, Taken
from taskloom.top.job_row import job_row
from taskloom.top.log_reader import LogReader
from taskloom.top.looking import lines_of
from taskloom.top.poller import Poller

__all__ = ["Feed", "Source"]

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0
# Longer than any program runs.
_LONGEST_SECONDS = 86_400.0 * 365
_JOIN_SECONDS = 1.0


class Source(Protocol):
    """The source of all that the screen shows: the feed, or a fake one in tests. No method waits."""

    def take(self) -> Taken:
        """Return what has come since the last time."""

    def choose_log(self, job: str | None) -> None:
        """Give the log of this job from now on; None for the log of all jobs."""

    def watch(self, look: Look | None) -> None:
        """Give the state of this once a second; None to end that."""

    def act(self, verb: str, job: str) -> None:
        """Carry out a verb of the API on a job. Its result is a notice."""

    def hurry(self) -> None:
        """Ask the program now, and not at the next second."""


class _Act(NamedTuple):
    verb: str
    job: str


class Feed:
    """All threads, and the inbox. Use it as a context: it starts them, and lets them end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox = Inbox()
        self._is_over = threading.Event()
        self._poller = Poller(connection, self._inbox, on_found=self._found)
        self._log = LogReader(connection, self._inbox)
        self._acts: SimpleQueue[_Act | None] = SimpleQueue()
        self._look: Look | None = None
        self._looks = threading.Event()
        self._asked: Asked | None = None
        self._report_wanted = threading.Event()
        bodies: tuple[tuple[str, Callable[[], None]], ...] = (
            ("poll", self._poller.run),
            ("log", self._log.run),
            ("look", self._look_again),
            ("act", self._act),
            ("report", self._await_report),
        )
        self._threads = [
            threading.Thread(target=self._guarded, args=(body,), name=f"taskloom-top-{name}", daemon=True)
            for name, body in bodies
        ]

    def __enter__(self) -> Feed:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the threads end. Waits a second for one that is in the middle of a call. Idempotent."""
        self._is_over.set()
        self._poller.close()
        self._log.close()
        self._looks.set()
        self._acts.put(None)
        self._report_wanted.set()
        asked = self._asked
        if asked is not None:
            asked.abort()
        end = mono() + _JOIN_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - mono()))

    # -- what the screen calls

    def take(self) -> Taken:
        """Return what has come since the last time."""
        return self._inbox.take()

    def choose_log(self, job: str | None) -> None:
        """Give the log of this job from now on; None for the log of all jobs."""
        self._log.choose(job)

    def watch(self, look: Look | None) -> None:
        """Give the state of this once a second; None to end that."""
        self._look = look
        self._looks.set()

    def act(self, verb: str, job: str) -> None:
        """Carry out a verb of the API on a job. Its result is a notice."""
        self._acts.put(_Act(verb, job))

    def hurry(self) -> None:
        """Ask the program now, and not at the next second."""
        self._poller.hurry()

    # -- the threads

    def _guarded(self, body: Callable[[], None]) -> None:
        """Say that a thread has failed: a traceback on the screen would be drawn over at once."""
        try:
            body()
        except Exception as error:  # noqa: BLE001 - a bug of ours, or a lack of memory
            self._inbox.put_notice(printable(f"the view has failed: {error_text(error)}; q leaves it"), is_bad=True)

    def _act(self) -> None:
        while (act := self._acts.get()) is not None and not self._is_over.is_set():
            try:
                self._connection.post(job_path(act.job, act.verb))
                self._inbox.put_notice(f"{act.verb} {act.job}: requested")
            except ControlError as error:
                self._inbox.put_notice(printable(f"{act.verb} {act.job}: {error}"), is_bad=True)
            self._poller.hurry()

    def _look_again(self) -> None:
        while not self._is_over.is_set():
            self._looks.clear()
            look = self._look
            if look is not None:
                try:
                    self._inbox.put_look(look, lines_of(self._connection, look))
                except (ControlError, RecursionError) as error:
                    self._inbox.put_notice(printable(str(error)), is_bad=True)
            self._looks.wait(None if look is None else _LOOK_SECONDS)

    def _await_report(self) -> None:
        """Wait for the report of the stop: it comes last, so that it was asked for before."""
        while not self._is_over.is_set():
            self._report_wanted.wait()
            if self._is_over.is_set():
                return
            self._report_wanted.clear()
            try:
                self._asked = self._connection.request("/v1/stop", wait=True)
                if not self._is_over.is_set():
                    answer = self._connection.fields(self._asked.answer(_LONGEST_SECONDS))
                    self._inbox.put_report(Report(answer, [job_row(job, mono()) for job in answer.objects("jobs")]))
            except (ControlError, RecursionError) as error:
                if isinstance(error, BadReply):
                    self._inbox.put_notice(printable(str(error)), is_bad=True)
                # A program that is away is waited for by the poller; one that was only busy is asked again.
                self._is_over.wait(_RETRY_SECONDS)
                if not self._poller.is_away:
                    self._report_wanted.set()
            finally:
                asked, self._asked = self._asked, None
                if asked is not None:
                    asked.close()

    def _found(self) -> None:
        """Called by the poller when there is another start of the program, or a connection again."""
        self._report_wanted.set()
