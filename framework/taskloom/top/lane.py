"""The timeline: the past runs of a job and its coming firings, on one line around now."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.text import rough
from taskloom.top.run_book import PastRun
from taskloom.top.styled import Line, Span, Style

__all__ = ["SPANS", "axis", "lane"]

SPANS = (300.0, 1800.0, 7200.0, 43_200.0, 86_400.0)
"""The seconds before now, and as many after it, that a timeline may show."""

_UNKNOWN, _NOTHING, _LATE, _RUN, _PLANNED, _NOW = " ", "·", "░", "▇", "◇", "│"
_FAILURES = frozenset({"failed", "start_failed", "timed_out", "lost", "abandoned"})


def axis(width: int, span: float) -> str:
    """Return the head of lanes: their begin, now, and their end."""
    begin, end, middle = f"-{rough(span)}", f"+{rough(span)}", "now"
    left = max(0, width // 2 - len(begin) - 1)
    right = max(0, width - width // 2 - len(middle) - len(end) + 1)
    return f"{begin}{' ' * left}{middle}{' ' * right}{end}"[:width]


def lane(
    runs: Sequence[PastRun],
    firings: Sequence[float],
    now: float,
    span: float,
    width: int,
    *,
    known_since: float = 0.0,
) -> Line:
    """Return a lane of `width` cells. `now`, `known_since` and the firings: seconds since the epoch.

    The time between the instant of a schedule and the start of its run is shaded. The end of a failed run is a cross.
    Before `known_since`, cells without a run are blank.
    """
    middle = width // 2
    drawn: list[tuple[str, Style]] = [(_NOTHING, Style.DIM)] * width

    def cell(instant: float) -> int:
        return middle + round((instant - now) / span * (width - middle))

    def draw(begin: float, end: float, mark: str, style: Style) -> None:
        last = middle - 1
        for place in range(max(0, min(last, cell(begin))), min(last, cell(end)) + 1):
            drawn[place] = (mark, style)

    for place in range(max(0, min(middle, cell(known_since)))):
        drawn[place] = (_UNKNOWN, Style.DIM)
    for run in runs:
        if run.due is not None and cell(run.begun) > cell(run.due):
            draw(run.due, run.begun, _LATE, Style.WARN)
        end = now if run.ended is None else run.ended
        if end < now - span:
            continue
        draw(run.begun, end, _RUN, Style.GOOD)
        if run.outcome in _FAILURES:
            draw(end, end, "✗", Style.BAD)
    drawn[middle] = (_NOW, Style.HEAD)
    for firing in firings:
        if middle < cell(firing) < width:
            drawn[cell(firing)] = (_PLANNED, Style.PLAIN)
    return _joined(drawn)


def _joined(drawn: Sequence[tuple[str, Style]]) -> Line:
    spans: list[Span] = []
    for mark, style in drawn:
        if spans and spans[-1].style is style:
            spans[-1] = Span(spans[-1].text + mark, style)
        else:
            spans.append(Span(mark, style))
    return tuple(spans)
