"""The keys and their meaning. None acts on a job before the user has confirmed it, and none that leaves stops a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from taskloom.text import duration
from taskloom.top.board import Board, Page, Question
from taskloom.top.job_row import JobRow
from taskloom.top.lane import SPANS
from taskloom.top.table import SORTS

__all__ = ["KEYS", "Key", "press", "type_text"]

_PAGE_ROWS = 10
_LOG_PAGES = (Page.MAIN, Page.LOG)


class Key(NamedTuple):
    """A key: its name in textual, the word beside it, and what it does in a sentence."""

    name: str
    shown: str
    word: str
    meaning: str
    does: Callable[[Board], object]
    order: int = 9
    """The hint with the highest number is left out first; 9 is in the help only."""


def press(board: Board, name: str, character: str | None) -> bool:
    """Do what a key does; return False if it means nothing here. `name`: as textual names it, such as `ctrl+u`."""
    if board.question is not None:
        _answer(board, board.question, character)
        return True
    if board.typed is not None:
        _type(board, name, character)
        return True
    found = next(
        (key for key in KEYS if name in key.name.split() or (character and character in key.name.split())), None
    )
    if found is None:
        return False
    found.does(board)
    return True


def type_text(board: Board, text: str) -> None:
    """Take a text that was pasted: it goes into the filter, if that is being typed."""
    if board.typed is not None:
        board.type(board.typed + "".join(each for each in text if each.isprintable()))


# -- the filter


def _begin_filter(board: Board) -> None:
    if board.page not in _LOG_PAGES:
        board.open(Page.MAIN)
    board.type(board.remembered.log_filter if board.filters_log else board.remembered.filter or board.recalled)


def _type(board: Board, name: str, character: str | None) -> None:
    typed = board.typed or ""
    if name == "escape":
        board.type(None)
    elif name in ("enter", "return"):
        board.change(**{"log_filter" if board.filters_log else "filter": typed})
        board.type(None)
        board.choose(board.cursor)
    elif name in ("backspace", "ctrl+h"):
        board.type(typed[:-1])
    elif name == "ctrl+u":
        board.type("")
    elif character and character.isprintable():
        board.type(typed + character)


# -- actions


def _answer(board: Board, question: Question, character: str | None) -> None:
    board.question = None
    if character == "y":
        board.source.act(question.verb, question.job)
        board.notify(f"{question.verb} {question.job} ...")
    else:
        board.notify("nothing was done")


def _ask(board: Board, verb: str, text: Callable[[JobRow], str]) -> None:
    job = board.chosen_job
    if job is None:
        board.notify("there is no job here", is_bad=True)
    elif board.trouble:
        board.notify(f"cannot {verb} {job.name} while the program is away", is_bad=True)
    else:
        board.question = Question(verb, job.name, text(job))


def _stop(board: Board) -> None:
    job = board.chosen_job
    if job is not None and job.state == "stopping":
        board.notify(f"{job.name} is being stopped already; k shows its stack")
        return
    _ask(board, "stop", lambda job: f"Stop {job.name}?{_limit(job)} It stays stopped until it is started.")


def _limit(job: JobRow) -> str:
    if not job.is_alive:
        return ""
    return (
        " Its run may take any time to end." if job.within is None else f" Its run has {duration(job.within)} to end."
    )


def _restart(board: Board) -> None:
    _ask(board, "restart", lambda job: f"Restart {job.name}?{_limit(job)} Another run begins after it.")


def _start(board: Board) -> None:
    _ask(board, "start", lambda job: f"Start a run of {job.name} now?")


def _pause(board: Board) -> None:
    job = board.chosen_job
    if job is not None and job.marks & {"paused", "stopped by user"}:
        _ask(board, "resume", lambda job: f"Resume the schedule of {job.name}?")
    else:
        _ask(
            board, "pause", lambda job: f"Pause the schedule of {job.name}? Each firing is missed until it is resumed."
        )


# -- what is shown


def _toggle(page: Page) -> Callable[[Board], None]:
    return lambda board: board.open(Page.MAIN if board.page is page else page)


def _sort(board: Board) -> None:
    orders = list(SORTS)
    order = orders[(orders.index(board.remembered.sort) + 1) % len(orders)]
    board.change(sort=order, is_reversed=False)
    board.notify(f"sorted by {order}" if order != "file" else "in the order of the job files")


def _zoom(step: int) -> Callable[[Board], None]:
    def zoom(board: Board) -> None:
        place = SPANS.index(board.remembered.span) + step
        board.change(span=SPANS[max(0, min(place, len(SPANS) - 1))])

    return zoom


def _move(by: int) -> Callable[[Board], None]:
    def move(board: Board) -> None:
        if board.page is Page.MAIN:
            board.choose(board.cursor + by)
        elif board.page is Page.LOG:
            board.log.move(by)
        else:
            board.scroll = max(0, board.scroll + by)

    return move


def _scroll_log(by: int) -> Callable[[Board], None]:
    """A page up or down: in the table's screen it moves the log."""

    def scroll(board: Board) -> None:
        if board.page in _LOG_PAGES:
            board.log.move(by)
        else:
            board.scroll = max(0, board.scroll + by)

    return scroll


def _to_end(board: Board) -> None:
    board.log.follow()
    board.scroll = 1_000_000 if board.page not in _LOG_PAGES else 0


def _back(board: Board) -> None:
    if board.page is not Page.MAIN:
        board.open(Page.MAIN)
    elif board.remembered.filter:
        board.recalled = board.remembered.filter
        board.change(filter="")
        board.notify("the filter is off; / brings it back")


def _toggle_all_logs(board: Board) -> None:
    board.show_all_logs(all_jobs=not board.shows_all_logs)


def _reverse(board: Board) -> None:
    board.change(is_reversed=not board.remembered.is_reversed)


def _wrap(board: Board) -> None:
    board.change(wraps=not board.remembered.wraps)


def _leave(_board: Board) -> None:
    """Do nothing: the application leaves before it asks here. The keys are listed for the hints."""


KEYS: Sequence[Key] = (
    Key("s", "s", "stop", "stop the job; its policy says how long its run has", _stop, 1),
    Key("r", "r", "restart", "stop the run of the job, and start another", _restart, 2),
    Key("n", "n", "run now", "start a run of the job now", _start, 3),
    Key("p", "p", "pause", "pause or resume the schedule of the job", _pause, 4),
    Key("enter return", "enter", "details", "why the job is as it is, its declaration and last runs",
        _toggle(Page.DETAILS), 2),
    Key("k", "k", "stack", "the live stack of the run, once a second", _toggle(Page.STACK), 1),
    Key("l", "l", "log", "the log alone, or with the table again", _toggle(Page.LOG), 2),
    Key("a", "a", "all logs", "the log of all jobs, or of the chosen one", _toggle_all_logs, 6),
    Key("slash /", "/", "filter", "filter jobs by name, task, state, label or glob; on the page of the log its lines",
        _begin_filter, 1),
    Key("t", "t", "timeline", "the past runs and the coming firings of all jobs", _toggle(Page.TIMELINE), 4),
    Key("o", "o", "sort", "sort by file, name, state, elapsed, next or restarts", _sort, 5),
    Key("O", "O", "reverse", "reverse the order", _reverse),
    Key("w", "w", "wrap", "wrap long log lines, or cut them", _wrap, 7),
    Key("f end", "f, end", "follow", "go to the newest log line, and follow", _to_end, 8),
    Key("plus +", "+", "longer", "show a longer time in the timeline", _zoom(1)),
    Key("minus -", "-", "shorter", "show a shorter time in the timeline", _zoom(-1)),
    Key("up", "up", "", "one job or line up", _move(-1)),
    Key("down", "down", "", "one job or line down", _move(1)),
    Key("pageup", "page up", "", "older log lines; they keep their place", _scroll_log(-_PAGE_ROWS)),
    Key("pagedown", "page down", "", "newer log lines", _scroll_log(_PAGE_ROWS)),
    Key("home", "home", "", "the first job", lambda board: board.choose(0)),
    Key("escape", "esc", "", "back to the table; there: the filter off", _back),
    Key("question_mark ?", "?", "keys", "this list", _toggle(Page.HELP), 0),
    Key("q", "q", "quit", "leave; the jobs run on", _leave, 0),
    Key("d", "d", "detach", "the same as q", _leave),
)  # fmt: skip
