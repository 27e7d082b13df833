"""The rows of a history as verbs show them: plain records, made of values that anything may have written.

A database may be damaged, or written by another version: each value is checked for its type, and one that cannot be
used counts as missing. Nothing here imports a database.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from taskloom.core.events import FAILURE_OUTCOMES, format_wall

__all__ = [
    "FAILURES",
    "LOST_WITH_PROGRAM",
    "ActionEntry",
    "JobTotals",
    "LogTail",
    "Page",
    "RunEntry",
    "RunFilter",
    "StartEntry",
    "instant_of",
    "object_of",
]

# The beginning of the command line of a verb: the interpreter, and the folder of the program.
_INTERPRETED = re.compile(r"\A\S*/python[\d.]* (?:-\w+ )*(?:\S*/taskloom|-m taskloom) ")

# The years 2 to 9998: a time zone may shift an instant by a day, and still it can be shown.
_FIRST, _LAST = -62_104_060_800.0, 253_370_764_799.0
FAILURES = tuple(sorted(outcome.value for outcome in FAILURE_OUTCOMES))
"""The outcomes of runs that need attention, as they are written in the rows."""
LOST_WITH_PROGRAM = "lost"
"""The kind of the reason of runs that were lost because their program was killed, as it is written in the rows."""
_LONGEST_COUNT = 2**63 - 1


class RunFilter(NamedTuple):
    """Which rows are meant."""

    name: str
    """The program."""
    jobs: Sequence[str] | None = None
    """The names of the jobs; None for all."""
    since: float | None = None
    """Rows that began before are left out; seconds since the epoch."""
    only_failed: bool = False
    killed: Mapping[str, float | None] = {}
    """The starts that were killed, which no later start has told yet, and when each was last seen alive. Their runs
    that have no end are lost."""


class JobTotals(NamedTuple):
    """All rows of one job together."""

    job: str
    runs: int
    succeeded: int
    failed: int
    last_at: float | None
    """When the last run began."""


class Page(NamedTuple):
    """The last rows that were asked for, oldest first, and how many rows before them would match too."""

    rows: Sequence[Any]
    older: int


class StartEntry(NamedTuple):
    """One start of a program."""

    name: str
    start: str
    since: float | None
    """When it began, in seconds since the epoch; so are all times here, None if they are not known."""
    pid: int
    host: str
    version: str
    paths: tuple[str, ...]
    command: tuple[str, ...]
    alive_at: float | None
    """When it was last seen alive."""
    ended_at: float | None
    exit_code: int | None
    how: str
    """`running`, `ended` or `lost`. A program that was killed is `running` until its next start."""
    stop_reason: str

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> StartEntry:
        """Return the start of a row of the database."""
        return cls(
            name=_text(row.get("name")),
            start=_text(row.get("start")),
            since=instant_of(row.get("since")),
            pid=_count(row.get("pid")),
            host=_text(row.get("host")),
            version=_text(row.get("version")),
            paths=_texts(row.get("paths")),
            command=_texts(row.get("command")),
            alive_at=instant_of(row.get("alive_at")),
            ended_at=instant_of(row.get("ended_at")),
            exit_code=None if row.get("exit_code") is None else _count(row.get("exit_code")),
            how=_text(row.get("how")),
            stop_reason=_text(row.get("stop_reason")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **self._asdict(),
            "since": _rfc3339(self.since),
            "paths": list(self.paths),
            "command": list(self.command),
            "alive_at": _rfc3339(self.alive_at),
            "ended_at": _rfc3339(self.ended_at),
            "stop_reason": self.stop_reason or None,
        }


class RunEntry(NamedTuple):
    """One run, or several short ones in one row."""

    name: str
    start: str
    run: str
    job: str
    attempt: int
    runner: str
    instant: float | None
    """The instant of the schedule that it was started for."""
    is_unrecorded: bool
    """Whether it began before its instant was written: after a crash the instant may have run twice."""
    is_made_up: bool
    """Whether it makes up for an instant that passed while the program was down."""
    queued_at: float | None
    started_at: float | None
    ready_at: float | None
    ended_at: float | None
    seconds: float | None
    outcome: str
    """"" as long as it has not ended."""
    reason_kind: str
    reason_text: str
    error_type: str
    error_message: str
    error_traceback: str
    last_polled: float | None
    counters: Mapping[str, Any]
    progress: Mapping[str, Any]
    stuck_at: str
    stuck_stack: str
    folded: int
    """The number of runs in this row, 1 at least."""
    folded_seconds: float | None
    """How long all of them took together."""
    host: str
    """Its host, if it executed elsewhere; else ""."""
    worker: str
    pid: int
    """Its main process there; 0 if that is not known."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> RunEntry:
        """Return the run of a row of the database."""
        return cls(
            name=_text(row.get("name")),
            start=_text(row.get("start")),
            run=_text(row.get("run")),
            job=_text(row.get("job")),
            attempt=_count(row.get("attempt")),
            runner=_text(row.get("runner")),
            instant=instant_of(row.get("instant")),
            is_unrecorded=bool(row.get("is_unrecorded")),
            is_made_up=bool(row.get("is_made_up")),
            queued_at=instant_of(row.get("queued_at")),
            started_at=instant_of(row.get("started_at")),
            ready_at=instant_of(row.get("ready_at")),
            ended_at=instant_of(row.get("ended_at")),
            seconds=_number(row.get("seconds")),
            outcome=_text(row.get("outcome")),
            reason_kind=_text(row.get("reason_kind")),
            reason_text=_text(row.get("reason_text")),
            error_type=_text(row.get("error_type")),
            error_message=_text(row.get("error_message")),
            error_traceback=_text(row.get("error_traceback")),
            last_polled=instant_of(row.get("last_polled")),
            counters=object_of(row.get("counters")),
            progress=object_of(row.get("progress")),
            stuck_at=_text(row.get("stuck_at")),
            stuck_stack=_text(row.get("stuck_stack")),
            folded=max(1, _count(row.get("folded"))),
            folded_seconds=_number(row.get("folded_seconds")),
            host=_text(row.get("host")),
            worker=_text(row.get("worker")),
            pid=_count(row.get("pid")),
        )

    @property
    def began(self) -> float | None:
        """When it began; when it was queued if its body was never called."""
        return next((at for at in (self.started_at, self.queued_at, self.ended_at) if at is not None), None)

    @property
    def mean_seconds(self) -> float | None:
        """How long it took; of several runs, on average."""
        if self.folded > 1 and self.folded_seconds is not None:
            return self.folded_seconds / self.folded
        return self.seconds

    @property
    def has_failed(self) -> bool:
        """Whether its outcome is one that needs attention."""
        return self.outcome in FAILURES

    @property
    def error(self) -> str:
        """The class and the message of its error; "" if it has none."""
        parts = [self.error_type, self.error_message]
        return ": ".join(part for part in parts if part)

    @property
    def reason(self) -> str:
        """Why it was asked to stop: the words of a user or of the program, or else the kind; "" if it was not."""
        return self.reason_text or self.reason_kind

    def as_lost(self, seen: float | None) -> RunEntry:
        """Return it as the next start of its program will mark it, which was killed and last seen alive then."""
        why = self.reason_text or "the program was killed"
        return self._replace(outcome="lost", ended_at=seen, reason_kind=LOST_WITH_PROGRAM, reason_text=why)

    @property
    def lost_with(self) -> str:
        """What was lost: the `program` with all its runs, or this run by its `runner`; "" if it was not lost."""
        if self.outcome != "lost":
            return ""
        return "runner" if self.error and self.reason_kind != LOST_WITH_PROGRAM else "program"

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        instants = ("instant", "queued_at", "started_at", "ready_at", "ended_at", "last_polled")
        data = {key: value for key, value in self._asdict().items() if not key.startswith(("is_", "error_", "reason_"))}
        error = {"type": self.error_type, "message": self.error_message, "traceback": self.error_traceback}
        return {
            **data,
            **{key: _rfc3339(data[key]) for key in instants},
            "outcome": self.outcome or None,
            "unrecorded": self.is_unrecorded,
            "made_up": self.is_made_up,
            "failed": self.has_failed,
            "lost_with": self.lost_with or None,
            "host": self.host or None,
            "worker": self.worker or None,
            "pid": self.pid or None,
            "reason": {"kind": self.reason_kind, "text": self.reason_text} if self.reason else None,
            "error": error if self.error else None,
            "counters": dict(self.counters),
            "progress": dict(self.progress) or None,
            "stuck_at": self.stuck_at or None,
            "stuck_stack": self.stuck_stack or None,
        }


class ActionEntry(NamedTuple):
    """One command of a user, and who gave it."""

    name: str
    start: str
    at: float | None
    action: str
    jobs: tuple[str, ...]
    caller: Mapping[str, Any]
    """`pid`, `uid`, `user` and `command`, or `signal`, as far as they are known."""
    reason: str
    result: str

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> ActionEntry:
        """Return the action of a row of the database."""
        return cls(
            name=_text(row.get("name")),
            start=_text(row.get("start")),
            at=instant_of(row.get("at")),
            action=_text(row.get("action")),
            jobs=_texts(row.get("jobs")),
            caller=object_of(row.get("caller")),
            reason=_text(row.get("reason")),
            result=_text(row.get("result")),
        )

    @property
    def who(self) -> str:
        """The caller in words: `alice (pid 4711)`, `SIGTERM`; "" if nothing is known of it."""
        caller = {key: _word(value) for key, value in self.caller.items() if value not in (None, "")}
        user = caller.get("user") or (f"uid {caller['uid']}" if "uid" in caller else "")
        pid = f"pid {caller['pid']}" if "pid" in caller else ""
        who = " ".join(part for part in (caller.get("signal", ""), user) if part)
        return f"{who} ({pid})" if who and pid else who or pid

    @property
    def command(self) -> str:
        """The command line of the caller, of a Taskloom verb without the interpreter and its folder; "" if unknown."""
        return _INTERPRETED.sub("taskloom ", _word(self.caller.get("command") or ""))

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **self._asdict(),
            "at": _rfc3339(self.at),
            "jobs": list(self.jobs),
            "caller": dict(self.caller),
            "reason": self.reason or None,
            "result": self.result or None,
        }


class LogTail(NamedTuple):
    """The last lines that a run has logged."""

    text: str
    left_out: int
    """How many bytes of lines came before it."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> LogTail:
        """Return the lines of a row of the database."""
        return cls(_text(row.get("text")), _count(row.get("truncated")))


def instant_of(value: Any) -> float | None:
    """Return seconds since the epoch that can be shown as an instant, or None."""
    seconds = _number(value)
    return seconds if seconds is not None and _FIRST <= seconds <= _LAST else None


def _rfc3339(seconds: float | None) -> str | None:
    return None if seconds is None else format_wall(seconds)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _count(value: Any) -> int:
    number = _number(value)
    return 0 if number is None else int(max(-_LONGEST_COUNT, min(number, _LONGEST_COUNT)))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else "" if value is None else str(value)


def _word(value: Any) -> str:
    """Return a value of a caller as text; a command line is a list of words."""
    return " ".join(map(_text, value)) if isinstance(value, list) else _text(value)


def _json(value: Any) -> Any:
    """Return the data of a JSON column: a driver may have read it already; None if it is damaged."""
    if not isinstance(value, str | bytes):
        return value
    try:
        return json.loads(_text(value))
    except (ValueError, RecursionError):
        return None


def object_of(value: Any) -> Mapping[str, Any]:
    """Return the object of a JSON column; an empty one if there is none, or if it is damaged."""
    found = _json(value)
    return found if isinstance(found, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    found = _json(value)
    if found is None and value:
        return (_text(value),)  # one name, written as it is
    if isinstance(found, str):
        return (found,)
    return tuple(map(_text, found)) if isinstance(found, Sequence) else ()
