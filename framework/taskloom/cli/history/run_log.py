"""`taskloom logs --run ID`: the last lines of a run that did not succeed, from the history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from taskloom.cli.control.common import ControlExit
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.cli.history.choosing import NotInHistory
from taskloom.cli.history.chosen import Chosen, chosen_history
from taskloom.cli.history.common import reads_history
from taskloom.cli.history.row_texts import outcome_text, time_text
from taskloom.clock import wall
from taskloom.diagnostics import quoted
from taskloom.history.read_rows import LogTail, RunEntry
from taskloom.text import duration, printable, size

__all__ = ["show_log_of_run"]

# `tick#3`, or `tick#3@1f0c2a9b` for the run of one start.
_ID = re.compile(r"(?P<run>[A-Za-z0-9][A-Za-z0-9_.-]*#[0-9]{1,18})(?:@(?P<start>[0-9A-Za-z-]{1,64}))?", re.ASCII)


class RunId(NamedTuple):
    """A run, and the beginning of the id of its start; None for the latest one that has it."""

    run: str
    start: str | None


def read_run_id(text: str) -> RunId:
    """Return what an id on the command line means. Raises NotInHistory."""
    found = _ID.fullmatch(text)
    if found is None:
        raise NotInHistory(
            f"cannot use {quoted(text)} as the id of a run; expected such as tick#3, or tick#3@1f0c2a9b for the run of "
            "one start"
        )
    return RunId(found["run"], found["start"])


@reads_history
def show_log_of_run(
    text: str,
    *,
    count: int | None,
    grep: re.Pattern[str] | None,
    name: str | None,
    path: str | None,
    database: str | None,
    wants_json: bool,
) -> int:
    """Show the last `count` lines of the run (None: all that were kept), of those in which `grep` is found."""
    wanted = read_run_id(text)
    with chosen_history(name=name, path=path, database=database) as chosen:
        run = _find(chosen, wanted)
        tail = chosen.reader.log_tail(run)
        head = _head(chosen, run, tail)
    lines = [] if tail is None else _lines(tail, count, grep)
    if wants_json:
        left_out = 0 if tail is None else tail.left_out
        echo_json({"program": chosen.name, "history": chosen.where, "run": run.as_dict(),
                   "lines": lines, "left_out_bytes": left_out})  # fmt: skip
        return ControlExit.DONE
    echo_error(printable(f"taskloom: {head}"))
    if lines:
        echo("\n".join(lines))
    return ControlExit.DONE


def _find(chosen: Chosen, wanted: RunId) -> RunEntry:
    found = chosen.reader.find_run(chosen.name, wanted.run, wanted.start)
    if found is not None:
        return found
    of = "" if wanted.start is None else f" of start {wanted.start!r}"
    job = wanted.run.rpartition("#")[0]
    hint = f"`taskloom history {job}` lists those that are kept"
    if job not in chosen.reader.jobs(chosen.name):
        hint = "`taskloom history` lists the jobs"
    raise NotInHistory(f"cannot find run {wanted.run!r}{of} in the history of {chosen.name!r}; {hint}")


def _lines(tail: LogTail, count: int | None, grep: re.Pattern[str] | None) -> Sequence[str]:
    lines = tail.text.removesuffix("\n").split("\n") if tail.text else []
    found = [line for line in lines if grep is None or grep.search(line)]
    return found if count is None else found[max(0, len(found) - count) :]


def _head(chosen: Chosen, run: RunEntry, tail: LogTail | None) -> str:
    """Return on one line which run it is, how it ended, and whether all of its lines are here."""
    now = wall()
    outcome = outcome_text(run, {start.start: start for start in chosen.starts})
    seconds = "" if run.seconds is None else f" after {duration(max(0.0, run.seconds), is_rounded=True)}"
    head = f"run {run.run} of start {run.start}, began {time_text(run.began, now)}: {outcome}{seconds}"
    if tail is None:
        return f"{head}; {_no_lines(run, outcome)}"
    return f"{head}; {size(tail.left_out)} of lines before these are not kept" if tail.left_out else head


def _no_lines(run: RunEntry, outcome: str) -> str:
    if outcome == "running":
        return f"its lines are kept when it has ended; `taskloom logs {run.job}` shows them now"
    if outcome == "succeeded":
        return "lines are kept of runs that did not succeed"
    if outcome == "lost":
        return "its lines were in the memory of the program that was killed"
    return "no lines of it are kept"
