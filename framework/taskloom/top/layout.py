"""The whole screen as lines: what goes where, and how much room it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskloom.control.client_errors import BadReply
from taskloom.control.reply_fields import Fields
from taskloom.text import local_time, measured, rough
from taskloom.top.board import Board, Page
from taskloom.top.keyboard import KEYS, Key
from taskloom.top.lane import axis, lane
from taskloom.top.program_facts import header
from taskloom.top.run_book import PastRun
from taskloom.top.states import shown_state
from taskloom.top.styled import Line, Span, Style, cells, fitted, folded, joined, line, text_of
from taskloom.top.table import table, window

__all__ = ["job_at", "screen"]

_MOST_ALERTS = 2
_NAME_CELLS = 16
# The table has this share of what it and the log have together.
_TABLE_SHARE = 0.55
_LEAST_ROWS = 3
# Below this height there is no timeline on the main page.
_TIMELINE_HEIGHT = 16
_LAST_RUNS = 8


def screen(board: Board, width: int, height: int) -> list[Line]:
    """Return `height` lines of the screen at most, each of `width` cells at most."""
    top = [header(board.program, board.jobs, board.moment, width), *_alerts(board, width)]
    bottom = _bottom(board, width)
    room = max(0, height - len(top) - len(bottom))
    body = _BODIES.get(board.page, _text_page)(board, width, room)
    body += [line()] * (room - len(body))
    return [*top, *body[:room], *bottom][:height]


def job_at(board: Board, y: int, width: int) -> int | None:
    """Return the row of the table that is drawn on line `y` of the screen; None for another part of it."""
    row = y - 2 - len(_alerts(board, width)) + board.first_row
    return row if board.page is Page.MAIN and board.first_row <= row < len(board.shown_jobs) else None


def _alerts(board: Board, width: int) -> list[Line]:
    """Return what is wrong with the program as a whole, or that it cannot be asked."""
    found = list(board.program.alerts)
    if board.trouble:
        found = [f"away for {rough(board.away_seconds)}, trying again: {board.trouble}"]
    if board.has_ended:
        found = [f"the program has ended; waiting for its next start for {rough(board.away_seconds)}"]
    style = Style.BAD if board.trouble and not board.has_ended else Style.WARN
    return [line(Span(fitted(text, width), style)) for text in found[:_MOST_ALERTS]]


def _bottom(board: Board, width: int) -> list[Line]:
    """Return the last lines: a question, the filter that is typed, or a notice; and always the hints."""
    lines = []
    if board.question is not None:
        text = f"{board.question.text} y: yes, any other key: no"
        lines += [line(Span(piece, Style.WARN)) for piece in folded(text, max(1, width))]
    elif board.typed is not None:
        what = "log lines" if board.filters_log else "jobs"
        lines.append(
            line(
                Span(f"filter {what}: ", Style.HEAD), f"{board.typed}_", Span("  enter: use it, esc: do not", Style.DIM)
            )
        )
    elif board.notice is not None:
        lines.append(line(Span(fitted(board.notice.text, width), Style.BAD if board.notice.is_bad else Style.GOOD)))
    return [*lines, _hints(width)]


def _hints(width: int) -> Line:
    """Return the keys, as many as fit."""
    keys = [key for key in KEYS if key.order < 9]
    while sum(cells(key.shown) + cells(key.word) + 1 for key in keys) + 2 * (len(keys) - 1) > width and len(keys) > 1:
        keys.remove(max(keys, key=lambda key: key.order))
    return joined([line(Span(key.shown, Style.HEAD), f" {key.word}") for key in keys], "  ")


# -- the main page


def _main(board: Board, width: int, room: int) -> list[Line]:
    jobs = board.shown_jobs
    has_timeline = room >= _TIMELINE_HEIGHT - 2
    left = room - 2 - has_timeline
    rows = min(max(1, len(jobs)), max(_LEAST_ROWS, round(left * _TABLE_SHARE)), max(1, left))
    board.first_row = window(len(jobs), board.cursor, board.first_row, rows)
    shown = jobs[board.first_row : board.first_row + rows]
    chosen = board.chosen_job
    drawn = table(shown, chosen.name if chosen else "", board.runs.last, board.moment, width)
    lines = [drawn.head, *(drawn.rows or [line(Span(_no_jobs(board), Style.DIM))])]
    if has_timeline and chosen is not None:
        lines.append(_own_lane(board, chosen.name, width))
    return lines + _log(board, width, room - len(lines))


def _no_jobs(board: Board) -> str:
    if board.jobs:
        return f" no job matches {board.remembered.filter if board.typed is None else board.typed!r}"
    return " no jobs" if board.program.start else " asking the program ..."


def _own_lane(board: Board, job: str, width: int) -> Line:
    """Return the lane of one job with its ends."""
    span = board.remembered.span
    begin, end = f"timeline -{rough(span)} ", f" +{rough(span)}"
    size = max(3, width - cells(begin) - cells(end))
    return line(Span(begin, Style.HEAD), *_lane(board, job, size), end)


def _lane(board: Board, job: str, width: int) -> Line:
    firings = [firing.at for firing in board.firings if firing.job == job]
    known_since = max(board.kept.since or 0.0, board.runs.known_since(job))
    now, span = board.moment.wall, board.remembered.span
    return lane(board.runs.of(job), firings, now, span, width, known_since=known_since)


def _log(board: Board, width: int, room: int) -> list[Line]:
    log = board.log
    whose = "all jobs" if board.shows_all_logs else board.chosen or "-"
    newer = log.newer
    place = "follow" if log.follows else f"{newer:,} newer below, f: follow"
    words = [f"log [{whose}]", place, "wrapped" if log.wraps else "cut"]
    words += [f"/{log.filter}"] if log.filter else []
    if board.remembered.filter and board.page is Page.MAIN:
        words.append(f"jobs: /{board.remembered.filter}")
    return [line(Span(fitted("  ".join(words), width), Style.HEAD)), *log.shown(width, max(0, room - 1))]


# -- pages of text


def _text_page(board: Board, width: int, room: int) -> list[Line]:
    """Return the part of a page that fits, with its title."""
    title, lines = _PAGES[board.page](board, width)
    pieces = [piece for each in lines for piece in _pieces(each, width)]
    board.scroll = max(0, min(board.scroll, len(pieces) - (room - 1)))
    more = f"  (line {board.scroll + 1:,} of {len(pieces):,})" if len(pieces) > room - 1 else ""
    head = line(Span(fitted(f"{title}{more}  esc: back", width), Style.HEAD))
    return [head, *pieces[board.scroll : board.scroll + room - 1]]


def _pieces(each: Line, width: int) -> list[Line]:
    """Return a line in pieces that fit; one that fits keeps its styles."""
    text = text_of(each)
    if cells(text) <= width:
        return [each]
    style = next((span.style for span in each[::-1] if span.style is not Style.DIM), Style.PLAIN)
    return [line(Span(piece, style)) for piece in folded(text, max(1, width))]


def _details(board: Board, _width: int) -> tuple[str, list[Line]]:
    runs = [_run_line(run, board.now.wall) for run in board.runs.last(board.chosen, _LAST_RUNS)[::-1]]
    history = [line(), line(Span("last runs, newest first", Style.HEAD)), *runs] if runs else []
    return f"details of {_chosen_text(board)}", [*(board.looked or [_asking()]), *history]


def _run_line(run: PastRun, now: float) -> Line:
    took = "" if run.mean_seconds is None else f" in {measured(run.mean_seconds)}"
    late = "" if run.due is None or run.begun - run.due < 1 else f", {rough(run.begun - run.due)} late"
    on = f", on {run.place}" if run.place else ""
    error = f": {run.error}" if run.error else ""
    style = Style.BAD if run.error else Style.PLAIN
    outcome = run.outcome or "running"
    return line(f"{local_time(run.begun, now)}  {run.run}  ", Span(f"{outcome}{took}{late}{on}{error}", style))


def _stack(board: Board, _width: int) -> tuple[str, list[Line]]:
    return f"live stack of {_chosen_text(board)}", list(board.looked or [_asking()])


def _chosen_text(board: Board) -> str:
    """Return the name and the state of the chosen job: a page of its own hides the table."""
    job = board.chosen_job
    return board.chosen if job is None else f"{job.name}  {shown_state(job, board.moment.mono)}"


def _asking() -> Line:
    return line(Span("asking the program ...", Style.DIM))


def _timeline(board: Board, width: int, room: int) -> list[Line]:
    """Return the lanes that fit; those of a thousand jobs are not all drawn ten times a second."""
    jobs, size, limit = board.shown_jobs, max(3, width - _NAME_CELLS - 1), _known_text(board)
    room -= 2 + bool(limit)
    board.scroll = max(0, min(board.scroll, len(jobs) - room))
    shown = jobs[board.scroll : board.scroll + max(0, room)]
    more = f"  job {board.scroll + 1:,} of {len(jobs):,}" if len(shown) < len(jobs) else ""
    title = f"timeline ▇ ran ✗ failed ░ late ◇ planned  + - length{more}  esc back"
    return [
        line(Span(fitted(title, width), Style.HEAD)),
        line(Span(f"{fitted('', _NAME_CELLS)} {axis(size, board.remembered.span)}", Style.HEAD)),
        *(line(fitted(job.name, _NAME_CELLS), " ", *_lane(board, job.name, size)) for job in shown),
        *([line(Span(fitted(limit, width), Style.DIM))] if limit else []),
    ]


def _known_text(board: Board) -> str:
    """Return from when on runs are known, and why not longer; "" if that is before what is shown."""
    since, now = board.kept.since, board.moment.wall
    if since is None or since <= now - board.remembered.span:
        return ""
    why = {
        "read": ": the history has none before, or more than are shown",
        "off": ": this program records no history",
        "unread": ": its history cannot be read now",
    }
    return f"runs since {local_time(since, now)}{why.get(board.kept.history, '')}"


def _summary(board: Board, width: int) -> tuple[str, list[Line]]:
    from taskloom.control.report_data import statuses_of, stop_report_of
    from taskloom.observe.summary import summary

    report = board.report.data if board.report is not None else Fields({})
    try:
        text = summary(stop_report_of(report), statuses_of(report), width, "…").rstrip("\n")
        code = f" with exit code {report.count('exit_code')}"
    except BadReply as error:
        text, code = str(error), ""
    again = "; it was started again" if not board.trouble and board.program.state == "running" else ""
    title = f"the program has ended{code}{again}"
    return title, [line(each) for each in text.split("\n")]


def _help(_board: Board, _width: int) -> tuple[str, list[Line]]:
    def told(key: Key) -> Line:
        return line(Span(f"{key.shown:<10}", Style.HEAD), key.meaning)

    return "keys", [*map(told, KEYS), line(), line("No key acts on a job before you have confirmed it with y."),
                    line("To leave, by any key, never stops a job: the program runs on.")]  # fmt: skip


_BODIES: dict[Page, Callable[[Board, int, int], list[Line]]] = {
    Page.MAIN: _main,
    Page.LOG: _log,
    Page.TIMELINE: _timeline,
}
_PAGES: dict[Page, Callable[[Board, int], tuple[str, Sequence[Line]]]] = {
    Page.DETAILS: _details,
    Page.STACK: _stack,
    Page.SUMMARY: _summary,
    Page.HELP: _help,
}
