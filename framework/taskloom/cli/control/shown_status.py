"""The answer of `taskloom status`: the program and the chosen jobs at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from taskloom.cli.control.common import choose_jobs
from taskloom.cli.control.job_table import job_table
from taskloom.cli.control.program_text import stop_text
from taskloom.clock import wall
from taskloom.control.client import Connection
from taskloom.control.reply_fields import Fields

__all__ = ["Shown", "read_status"]


class Shown(NamedTuple):
    """A program and the chosen jobs of it, at one moment."""

    program: Fields
    jobs: Sequence[Fields]

    def as_text(self, line_width: int | None = None, mark: str = "…") -> str:
        """Return the table; before it, how the stop goes if the program stops."""
        lines = [stop_text(self.program)] if self.program.text("state") not in ("", "running") else []
        if self.jobs:
            lines.append(job_table(self.jobs, wall(), line_width, mark))
        return "\n".join(lines) or "no jobs"

    def as_data(self) -> dict[str, Any]:
        """Return all of it as the program has sent it."""
        return {"program": self.program.data, "jobs": [job.data for job in self.jobs]}


def read_status(connection: Connection, jobs: Sequence[str], labels: Sequence[str]) -> Shown:
    """Ask for the program and the chosen jobs."""
    program = connection.fields(connection.get("/v1/program"))
    return Shown(program, choose_jobs(connection, jobs, labels))
