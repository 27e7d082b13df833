"""How a log message is written: short for a terminal, with date and zone for a file, or as JSON for a program."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from taskloom.clock import local_zone
from taskloom.core.events import format_wall
from taskloom.core.model import Moment
from taskloom.observe.name_column import NameColumn
from taskloom.text import printable, printable_lines, to_json

__all__ = ["LEVEL_COLORS", "LogFormat", "LogMessage", "render", "time_of"]

LEVEL_COLORS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class LogFormat(Enum):
    """The format of the log."""

    SHORT = "short"
    """`12:00:01.234 INFO    job          message`: a terminal shows today's lines."""
    FULL = "full"
    """`2026-03-29T12:00:01.234+02:00 INFO    job          message`: a file is read later, and elsewhere."""
    JSON = "json"
    """One JSON object a line: `at` (RFC 3339, UTC), `mono`, `level`, `job`, `run` and `message`."""


class LogMessage(NamedTuple):
    """A message and where it comes from. It may have several lines; `run` is "" if it comes from no run."""

    text: str
    level: str
    job: str
    run: str


def render(
    log_format: LogFormat,
    message: LogMessage,
    at: Moment | float,
    *,
    is_colored: bool = False,
    names: NameColumn | None = None,
) -> str:
    """Return the lines of a message, each with a line break at its end.

    `at`: both clocks, or seconds since the epoch alone. `names`: the column of the job's name.
    """
    wall, mono = (at.wall, at.mono) if isinstance(at, Moment) else (at, None)
    if log_format is LogFormat.JSON:
        return f"{to_json(_as_dict(message, wall, mono))}\n"
    name = (names or NameColumn()).cell(printable(message.job))
    head = f"{time_of(log_format, wall)} {printable(message.level):<7} {name} "
    color = LEVEL_COLORS.get(message.level) if is_colored else None
    text = message.text.removesuffix("\n")
    lines = [head + line for line in printable_lines(text).split("\n")]
    return "".join(f"\033[{color}m{line}\033[0m\n" if color else f"{line}\n" for line in lines)


def time_of(log_format: LogFormat, wall: float) -> str:
    """Return a time as a log line has it, in local time. `wall`: seconds since the epoch."""
    moment = datetime.fromtimestamp(wall)  # noqa: DTZ006 - local time, for people
    if log_format is LogFormat.FULL:
        return moment.isoformat(timespec="milliseconds") + _offset(int(wall), local_zone())
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


@lru_cache(maxsize=4)
def _offset(second: int, zone: tuple[int, int]) -> str:  # noqa: ARG001 - for the cache
    """Return the offset of the local zone: `+02:00`. To look it up takes longer than all else of a line.

    `zone`: that of `local_zone`, so that a task may change it.
    """
    return datetime.fromtimestamp(second).astimezone().isoformat()[len("2026-03-29T12:00:00") :]


def _as_dict(message: LogMessage, wall: float, mono: float | None) -> dict[str, object]:
    run = {"run": message.run} if message.run else {}
    return {
        "at": format_wall(wall),
        **({} if mono is None else {"mono": round(mono, 6)}),
        "level": message.level,
        "job": message.job,
        **run,
        "message": message.text,
    }
