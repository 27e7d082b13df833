"""The lines of a stack: what its head says, and which frames belong to a task."""

from __future__ import annotations

import re
from typing import NamedTuple

from taskloom.control.reply_fields import Fields
from taskloom.text import measured, printable, printable_lines

__all__ = ["FrameLine", "marked_frames", "stack_head"]

# The standard library, and Taskloom itself, as a traceback names their files.
_FOREIGN = re.compile(
    r'File "(<frozen |[^"]*/lib(64)?/python3[^/"]*/(?!(site|dist)-packages/)'
    r'|[^"]*/((site|dist)-packages|framework)/taskloom/)'
)
_FRAME = re.compile(r'\s*File "')


class FrameLine(NamedTuple):
    """A line of a stack, with its mark; and whether it belongs to a frame of a task."""

    text: str
    is_own: bool


def stack_head(run: Fields) -> str:
    """Return where a run is, when it has polled last, and in which process it executes."""
    age = run.number("poll_age")
    polled = "" if age is None else f", last poll {measured(age)} ago"
    worker = f" of worker {run.text('worker')} on {run.text('host')}" if run.has("host") else ""
    process = f", in process {run.count('pid')}{worker} (runner: {run.text('runner')})" if run.has("pid") else ""
    where = run.text("where") or "an unknown place"
    return printable(f"{run.text('run') or run.text('job')}: at {where}{polled}{process}")


def marked_frames(text: str) -> list[FrameLine]:
    """Return the lines of a stack, with `>` before the frames of a task."""
    lines, is_own = [], False
    for line in printable_lines(text.rstrip("\n")).split("\n") if text.strip() else []:
        is_frame = _FRAME.match(line) is not None
        if is_frame:
            is_own = _FOREIGN.search(line) is None
        lines.append(FrameLine(f"{'>' if is_own and is_frame else ' '} {line}", is_own))
    return lines
