"""The lines of the log pane: the last ones that came, those that the filter wants, and the part that is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from taskloom.text import printable
from taskloom.top.styled import Line, Span, Style, fitted, wrapped

__all__ = ["MOST_LINES", "LogBuffer", "LogLine", "log_line"]

MOST_LINES = 5000
_LEVELS = {"warning": Style.WARN, "error": Style.BAD, "critical": Style.BAD}


class LogLine(NamedTuple):
    """One line. `time` is shown; `job` only if the lines of all jobs are. A line with no level is a remark of ours."""

    time: str
    level: str
    job: str
    text: str

    @property
    def style(self) -> Style:
        """The style of the whole line."""
        return _LEVELS.get(self.level.lower(), Style.PLAIN if self.level else Style.DIM)


def log_line(time: str, level: str, job: str, text: str) -> LogLine:
    """Return a line whose text a terminal can show."""
    return LogLine(time, level, printable(job), printable(text.expandtabs().rstrip("\n")))


class LogBuffer:
    """Keeps the last lines. While it follows, the newest is shown; after a move upwards the lines keep their place."""

    def __init__(self, most: int = MOST_LINES) -> None:
        self._lines: deque[tuple[int, LogLine]] = deque(maxlen=most)
        self._count = 0
        # The number of the last line that is shown; None to follow.
        self._last: int | None = None
        self.filter = ""
        self.wraps = False
        self.shows_job = False

    @property
    def follows(self) -> bool:
        """Whether the newest line is shown."""
        return self._last is None

    @property
    def newer(self) -> int:
        """How many wanted lines have come below those that are shown."""
        last = self._last
        if last is None:
            return 0
        return sum(number > last and self._wants(each) for number, each in self._lines)

    def clear(self) -> None:
        """Forget all lines, and follow."""
        self._lines.clear()
        self._last = None

    def extend(self, lines: Iterable[LogLine]) -> None:
        """Take new lines."""
        for each in lines:
            self._count += 1
            self._lines.append((self._count, each))

    def follow(self) -> None:
        """Show the newest line from now on."""
        self._last = None

    def move(self, by: int) -> None:
        """Show lines that are `by` further down, or up if it is negative. The end of the lines follows."""
        numbers = [number for number, each in self._lines if self._wants(each)]
        if not numbers:
            return
        place = len(numbers) - 1
        if self._last is not None:
            place = max(sum(number <= self._last for number in numbers) - 1, 0)
        place = max(0, place + by)
        self._last = None if place >= len(numbers) - 1 else numbers[place]

    def shown(self, width: int, height: int) -> list[Line]:
        """Return at most `height` lines of `width` cells."""
        found: list[Line] = []
        for number, each in reversed(self._lines):
            if len(found) >= height:
                break
            if (self._last is None or number <= self._last) and self._wants(each):
                found += reversed(self._drawn(each, width))
        return found[:height][::-1]

    def _wants(self, each: LogLine) -> bool:
        if not self.filter or not each.level:
            return True
        is_folded = self.filter == self.filter.lower()
        return self.filter in (each.text.lower() if is_folded else each.text)

    def _drawn(self, each: LogLine, width: int) -> list[Line]:
        head = f"{each.time} {each.level.upper()[:7]:<7} " if each.level else ""
        job = f"{each.job} │ " if self.shows_job and each.job else ""
        text = f"{head}{job}{each.text}"
        pieces = list(wrapped(text, max(1, width))) if self.wraps else [fitted(text, width).rstrip()]
        return [(Span(piece, each.style),) for piece in pieces]
