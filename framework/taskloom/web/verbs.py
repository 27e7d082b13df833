"""The replies that a verb of Taskloom gives in a process of its own: the tasks that are installed, and the history.

To list tasks is to import every plugin, and to read the history is to use a database. Neither belongs into a process
that keeps jobs: an import may do anything, and a database may not answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from taskloom.control.refusals import Refusal
from taskloom.text import printable

__all__ = ["Verbs", "history_arguments", "task_arguments"]

_SECONDS = 20.0
_AT_ONCE = 2
_MOST_ROWS = 20_000
_LONGEST = 200
_OPTIONS = ("since", "until", "blocks")
_KNOWN = ("job", *_OPTIONS, "count")
_STATUS = {2: (400, "invalid-query"), 4: (404, "no-history")}


class Verbs:
    """Runs verbs, at most two at a time. Used on one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def data(self, arguments: Sequence[str]) -> Any:
        """Return the JSON data that a verb prints. Raises Refusal with its words if it refuses, or takes too long."""
        async with self._free:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "taskloom",
                *arguments,
                "-o",
                "json",
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
            )
            try:
                async with asyncio.timeout(_SECONDS):
                    output, words = await process.communicate()
            except TimeoutError:
                raise Refusal(504, "too-slow", f"taskloom {arguments[0]} has not answered in time") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode:
            status, code = _STATUS.get(process.returncode, (500, "failed"))
            raise Refusal(status, code, printable(words.decode("utf-8", "replace").strip()[-2000:]))
        return json.loads(output)


def task_arguments(name: str | None) -> list[str]:
    """Return the command that lists the tasks, or describes one. Raises Refusal for what is not a name."""
    return ["tasks"] if name is None else ["tasks", _checked("task", name)]


def history_arguments(program: str, url: str, query: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the command that reads the last runs by `job` (several), `since` and `count`.

    With `blocks`, in seconds, runs that are so close together are one, and `until` leaves out what ended later.
    Raises Refusal.
    """
    unknown = next((name for name in query if name not in _KNOWN), None)
    if unknown is not None:
        raise Refusal(400, "invalid-query", f"cannot find parameter {unknown!r}; known: {', '.join(_KNOWN)}")
    count = query.get("count", ["1000"])[-1]
    if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= _MOST_ROWS):
        raise Refusal(400, "invalid-query", f"cannot use {count[:_LONGEST]!r} as count; expected 1 to {_MOST_ROWS:,}")
    options = [("--" + name, _checked(name, query[name][-1])) for name in _OPTIONS if query.get(name)]
    jobs = [_checked("job", value) for value in query.get("job", [])]
    place = ["--history", url] if url else []
    return ["history", "--name", program, *place, "--last", count, *chain.from_iterable(options), *jobs]


def _checked(what: str, value: str) -> str:
    """Return a value for a command line: no option, and not too long. Raises Refusal."""
    if not value or value.startswith("-") or "\0" in value or len(value) > _LONGEST:
        raise Refusal(400, "invalid-query", f"cannot use {value[:_LONGEST]!r} as {what}")
    return value
