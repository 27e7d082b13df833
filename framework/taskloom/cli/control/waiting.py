"""Decides when the wait of a verb for one job is over, from events and statuses alone: no socket, no clock.

Each verb asks a program to do something, and has one `Wait` per job. The wait is fed with every event since the action,
and with a status whenever events alone do not decide (`needs_status`): after a gap, or if what follows is not in them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Any, NamedTuple

from taskloom.cli.control.common import ControlExit
from taskloom.control.reply_fields import Fields
from taskloom.text import measured

__all__ = ["EXPLAINED", "REMOVED", "JobResult", "ProgramEnd", "Wait", "worst"]

EXPLAINED = frozenset({"ProcessDied", "ProcessKilled", "ProcessLost", "ProgramFailed"})
"""The types of errors that no exception stands for: the message says how the processes of a run ended."""
REMOVED = "removed"
"""Instead of the state of a job that is not there any more."""


class ProgramEnd(StrEnum):
    """How the program ended while a verb waited."""

    STOPPED = "the program has stopped"
    """It said so: all its jobs were stopped."""
    GONE = "the program has ended"
    """Before it could be followed, so it is not known how."""
    LOST = "the program has ended without a stop: it was killed, or it exited hard"
    RESTARTED = "the program was restarted"


class JobResult(NamedTuple):
    """How a verb ended for one job."""

    job: str
    state: str
    """A word for programs: ready, ended, stopped, not running, still stopping, refused, late, ..."""
    text: str
    """The rest of the line after the name."""
    exit: ControlExit = ControlExit.DONE
    run: str = ""
    outcome: str = ""
    error: str = ""
    seconds: float | None = None
    """From the request, or from the start of the run, to its end; None if it is unknown."""
    where: str = ""
    """The place of the thread of a run that does not stop, as `file:line in function`."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object, with null for what does not apply."""
        data = {name: value if value != "" else None for name, value in self._asdict().items()}
        del data["exit"]
        return {**data, "exit_code": int(self.exit)}

    def __str__(self) -> str:
        return f"{self.job}: {self.text}"


def worst(codes: list[ControlExit]) -> ControlExit:
    """Return the exit code of a verb from those of its jobs."""
    order = (ControlExit.UNREACHABLE, ControlExit.STILL_STOPPING, ControlExit.FAILED)
    return next((code for code in order if code in codes), ControlExit.DONE)


class Wait(ABC):
    """The wait for one job. `result` is None until it is over."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.result: JobResult | None = None
        self.provisional: JobResult | None = None
        """The result unless another event comes within a moment."""
        self.needs_status = False
        """Whether `check` has to be called with a status that is newer than the events so far."""

    def see(self, event: Fields) -> None:
        """Take in an event of the job. Once the wait is over, events change nothing."""
        if self.result is not None:
            return
        if event.text("event") == "job_removed":
            self._see_removal()
        else:
            self._see(event)

    def check(self, status: Fields) -> None:
        """Take in a status of the job that is newer than all events so far; an empty one decides nothing."""
        self.needs_status = False
        if self.result is not None or not status.text("state"):
            return
        if status.text("state") == REMOVED:
            self._see_removal()
        else:
            self._check(status)

    def accept_provisional(self) -> None:
        """Accept the provisional result, if there is one and no other one has come."""
        if self.result is None:
            self.result = self.provisional

    @abstractmethod
    def _see(self, event: Fields) -> None:
        """Take in an event while the wait is not over."""

    @abstractmethod
    def _check(self, status: Fields) -> None:
        """Take in a status while the wait is not over."""

    @abstractmethod
    def late(self, status: Fields, waited: float, where: str) -> None:
        """End the wait at its deadline, after `waited` seconds. `where`: the place of the job's run, or ""."""

    def end_unanswered(self, waited: float) -> None:
        """End the wait at its deadline, after `waited` seconds, since the program does not answer."""
        text = f"not known after {measured(waited)}: the program does not answer"
        self._end("unknown", text, ControlExit.UNREACHABLE)

    def end_with_program(self, end: ProgramEnd) -> None:
        """End the wait because there is no such program any more."""
        code = ControlExit.FAILED if end is ProgramEnd.STOPPED else ControlExit.UNREACHABLE
        self._end("program ended", f"cannot wait any longer: {end.value}", code)

    def _see_removal(self) -> None:
        self._end("removed", "removed by a reload", ControlExit.FAILED)

    def _end(self, state: str, text: str, code: ControlExit = ControlExit.DONE, **details: Any) -> None:
        self.result = JobResult(self.job, state, text, code, **details)


def after(seconds: float | None) -> str:
    """Return ` after 0.4 s`; "" if the time is unknown."""
    return "" if seconds is None else f" after {measured(seconds)}"


def place(where: str) -> str:
    """Return `, at tick.py:3 in wait`; "" if the place is unknown."""
    return f", at {where}" if where else ""


def ending(outcome: str, error: str) -> str:
    """Return `failed: ValueError: boom`, on one line."""
    first = error.split("\n", 1)[0]
    return f"{outcome}: {first}" if first else outcome


def error_of(event: Fields) -> str:
    """Return the error of an event in one text; "" if it has none."""
    error = event.object("error")
    kind, message = error.text("type"), error.text("message")
    if kind in EXPLAINED and message:
        return message
    return f"{kind}: {message}" if kind and message else kind or message


class RunTimes:
    """When a run was created and asked to stop, in seconds of the program's monotonic clock."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self, event: Fields) -> None:
        """Count from this event on."""
        self._since = event.number("mono")

    def until(self, event: Fields) -> float | None:
        """Return the seconds up to this event; None if the beginning was not seen."""
        now = event.number("mono")
        return None if now is None or self._since is None else max(0.0, now - self._since)
