"""The answer of `taskloom status`: the program and the chosen jobs at one moment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from taskloom.cli.control.common import choose_jobs
from taskloom.cli.control.job_table import job_table
from taskloom.cli.control.program_text import history_text, notification_lines, stop_text
from taskloom.cli.echo import echo, echo_styled
from taskloom.clock import wall
from taskloom.control.client import Connection
from taskloom.control.reply_fields import Fields
from taskloom.observe.terminal import has_styles

__all__ = ["Line", "Shown", "read_status", "show_lines"]

# SGR numbers. The words say the same, so nothing is lost without colours.
_BOLD, _RED, _YELLOW = "1", "31", "33"


class Line(NamedTuple):
    """A line of printable text, and the number of its colour or style; "" for none."""

    text: str
    style: str = ""

    def painted(self, most: int | None = None) -> str:
        """Return at most `most` characters of the text, with the escapes of its style."""
        text = self.text[:most]
        return f"\033[{self.style}m{text}\033[0m" if self.style else text


def show_lines(lines: Sequence[Line]) -> None:
    """Write the lines to standard output, in colours where escapes may be written."""
    if has_styles(sys.stdout):
        echo_styled("\n".join(line.painted() for line in lines))
    else:
        echo("\n".join(line.text for line in lines))


class Shown(NamedTuple):
    """A program and the chosen jobs of it, at one moment."""

    program: Fields
    jobs: Sequence[Fields]

    def as_lines(self, line_width: int | None = None, mark: str = "…") -> list[Line]:
        """Return the table; before it, how the stop goes if the program stops, and what is wrong with its views."""
        lines = []
        if self.program.text("state") not in ("", "running"):
            lines.append(Line(stop_text(self.program), _YELLOW))
        history = history_text(self.program, wall())
        if history:
            lines.append(Line(history, _YELLOW))
        lines += [Line(each, _YELLOW) for each in notification_lines(self.program)]
        if self.jobs:
            head, *rows = job_table(self.jobs, wall(), line_width, mark).split("\n")
            lines.append(Line(head, _BOLD))
            lines += [Line(row, _RED if job.flag("wrong") else "") for row, job in zip(rows, self.jobs, strict=True)]
        else:
            lines.append(Line("no jobs"))
        return lines

    def as_data(self) -> dict[str, Any]:
        """Return all of it as the program has sent it."""
        return {"program": self.program.data, "jobs": [job.data for job in self.jobs]}


def read_status(connection: Connection, jobs: Sequence[str], labels: Sequence[str]) -> Shown:
    """Ask for the program and the chosen jobs."""
    program = connection.fields(connection.get("/v1/program"))
    return Shown(program, choose_jobs(connection, jobs, labels))
