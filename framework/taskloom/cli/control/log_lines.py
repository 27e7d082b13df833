"""Log lines of a running program, as text: with the name of the job if there may be several, in a colour of its own."""

from __future__ import annotations

from zlib import crc32

from taskloom.cli.control.instants import read_instant
from taskloom.control.reply_fields import Fields
from taskloom.observe.log_format import LEVEL_COLORS, LogFormat, time_of
from taskloom.observe.name_column import NameColumn
from taskloom.text import printable, printable_lines

__all__ = ["LogLines"]

# Those that can be read on a dark terminal and on a light one. Red and yellow are for errors and warnings.
_NAME_COLORS = ("36", "32", "35", "34", "96", "92", "95", "94")


class LogLines:
    """Renders lines one by one. `names`: the column of the job names; None if all lines are of one job."""

    def __init__(self, log_format: LogFormat, names: NameColumn | None, *, is_colored: bool = False) -> None:
        self._format, self._names, self._is_colored = log_format, names, is_colored

    def render(self, fields: Fields) -> str:
        """Return a line with a line break at its end; one of several lines has its head before each. Raises BadReply.

        Characters that could drive the terminal are escaped: tasks have written the text.
        """
        level, job = fields.text("level").upper(), fields.text("job")
        at = read_instant(fields.text("at")) or 0.0
        color = LEVEL_COLORS.get(level, "")
        head = f"{time_of(self._format, at)} {self._colored(f'{printable(level):<7}', color)} {self._name(job)}"
        text = printable_lines(fields.text("text").replace("\r\n", "\n"))
        return "".join(f"{head}{self._colored(line, color)}\n" for line in text.split("\n"))

    def _name(self, job: str) -> str:
        if self._names is None:
            return ""
        self._names.fit(len(job))
        cell = self._names.cell(printable(job))
        return f"{self._colored(cell, _NAME_COLORS[crc32(job.encode()) % len(_NAME_COLORS)])} "

    def _colored(self, text: str, color: str) -> str:
        return f"\033[{color}m{text}\033[0m" if self._is_colored and color and text else text
