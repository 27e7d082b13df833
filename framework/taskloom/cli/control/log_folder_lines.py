"""The lines in a folder of log files, as `taskloom run --log-dir` writes them: no program needs to run.

Files are text or JSON lines, also both in one file, since each start of the program chooses. Secrets are masked in them
already.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

import click

from taskloom.cli.control.instants import format_instant, read_instant
from taskloom.control.reply_fields import Fields
from taskloom.diagnostics import near_match, quoted
from taskloom.observe.job_logs import PROGRAM_FILE
from taskloom.observe.name_column import LEAST_NAME
from taskloom.text import suggest

__all__ = ["lines_of_folder"]

_FILE = re.compile(r"(?P<job>.+)\.log(?:\.(?P<number>[1-9][0-9]{0,3}))?", re.DOTALL)
_HEAD = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT\S+) (?P<level>[A-Z]+) +(?P<job>\S+) +")


def lines_of_folder(
    folder: str, jobs: Sequence[str], matches: Callable[[Fields], bool], count: int, since: float
) -> list[Fields]:
    """Return the last `count` lines of these jobs (none: of all, and of the program) that match, by their times.

    A job is a name, the name of a job with replicas, or a glob. `count` is 1 at least. `since`: seconds since the
    epoch, -inf for any time. Raises click.UsageError if the folder cannot be read, or has no file of a job.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - as text
        found: list[tuple[float, Fields]] = []
        for files in _chosen(names, jobs, folder).values():
            # Sorting keeps the order of lines with the same time; of each job no more than the last ones are needed.
            found = sorted([*found, *_of_job(folder, files, matches, count, since)], key=_time)[-count:]
    except OSError as error:
        raise click.UsageError(f"cannot read log files in {folder!r}: {error.strerror or error}") from None
    return [fields for _, fields in found]


def _time(line: tuple[float, Fields]) -> float:
    return line[0]


def _chosen(names: Sequence[str], jobs: Sequence[str], folder: str) -> Mapping[str, list[str]]:
    """Return the names of the files of each job that is meant, the newest file first."""
    files: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        found = _FILE.fullmatch(name)
        if found is not None:
            files.setdefault(unquote(found["job"]), []).append((int(found["number"] or 0), name))
    wanted = set(files) if not jobs else set[str]()
    known = sorted(files.keys() - {PROGRAM_FILE})
    for job in jobs:
        meant = {name for name in known if name == job or re.fullmatch(rf"{re.escape(job)}\.\d+", name)}
        meant = meant or {name for name in known if fnmatchcase(name, job)}
        if not meant:
            near = suggest(near_match(job, known), before="; ")
            raise click.UsageError(f"cannot find a log file of job {quoted(job)} in {folder!r}{near}")
        wanted |= meant
    return {job: [name for _, name in sorted(files[job])] for job in sorted(wanted)}


def _of_job(
    folder: str, files: Sequence[str], matches: Callable[[Fields], bool], count: int, since: float
) -> list[tuple[float, Fields]]:
    """Return the last lines of one job; files that are older than needed are not read."""
    found: list[tuple[float, Fields]] = []
    for name in files:
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="backslashreplace", newline="\n") as file:  # noqa: PTH118, PTH123
                lines = _read(file, f"log file {name!r}")
                newer = deque((line for line in lines if line[0] >= since and matches(line[1])), maxlen=count)
        except FileNotFoundError:
            continue  # it was rotated meanwhile
        found = [*newer, *found][-count:]
        if len(found) == count:
            break
    return found


def _read(file: Iterator[str], who: str) -> Iterator[tuple[float, Fields]]:
    """Yield the lines of a file with their times. A torn line has the time of the line before it."""
    at, data = 0.0, dict[str, Any]()
    for line in file:
        text = line.removesuffix("\n")
        data = _json_line(text) or _text_line(text) or {**data, "text": text}
        at = read_instant(data.get("at", "")) or at
        yield at, Fields({**data, "at": format_instant(at)}, who)


def _json_line(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        data = json.loads(text)
        return _line(data["at"], data["level"], data["job"], data.get("run"), data["message"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # torn, or written by something else


def _text_line(text: str) -> dict[str, Any] | None:
    head = _HEAD.match(text)
    if head is None:
        return None
    # The rest may begin with blanks, such as a line of a traceback.
    begin = head.start("job") + max(LEAST_NAME, len(head["job"])) + 1
    return _line(head["at"], head["level"], head["job"], None, text[begin:])


def _line(at: str, level: str, job: str, run: str | None, text: str) -> dict[str, Any]:
    return {"at": at, "level": level.lower(), "job": job, "run": run, "text": text}
