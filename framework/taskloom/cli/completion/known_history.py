"""The names that are completed from a history. Whatever fails is not a completion: who types is not interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskloom.errors import TaskloomError
from taskloom.text import local_time

if TYPE_CHECKING:
    from taskloom.cli.history.chosen import Chosen
    from taskloom.history.read_rows import StartEntry

__all__ = ["failed_runs_of_history", "jobs_of_history", "names_of_histories", "starts_of_history"]

# More of them are no help.
_MOST = 50
Found = TypeVar("Found")


def names_of_histories() -> list[str]:
    """Return the names of the programs that have a history in the folder of this user."""
    from taskloom.cli.history.choosing import names_in
    from taskloom.history.location import state_folder

    try:
        return names_in(state_folder())
    except TaskloomError:
        return []


def jobs_of_history(ctx: click.Context) -> list[str]:
    """Return the jobs of the history that the options before the cursor mean."""
    return _asked(ctx, lambda chosen: chosen.reader.jobs(chosen.name), [])


def starts_of_history(ctx: click.Context) -> list[tuple[str, str]]:
    """Return the last starts, the latest first: the id, and when it was and how it ended."""
    from taskloom.clock import wall

    now = wall()
    starts: list[StartEntry] = _asked(ctx, lambda chosen: list(chosen.starts[-_MOST:]), [])
    return [(each.start, f"{local_time(each.since or 0.0, now)}, {each.how}") for each in reversed(starts)]


def failed_runs_of_history(ctx: click.Context) -> list[tuple[str, str]]:
    """Return the last runs that failed, the latest first: the id, and when it was and how it ended."""
    from taskloom.clock import wall

    def find(chosen: Chosen) -> Any:
        return chosen.reader.runs(chosen.filter(only_failed=True), _MOST).rows

    now = wall()
    runs: Any = _asked(ctx, find, ())
    found = {each.run: f"{local_time(each.began or 0.0, now)}, {each.outcome}" for each in reversed(runs)}
    return list(found.items())


def _asked(ctx: click.Context, ask: Callable[[Chosen], Found], nothing: Found) -> Found:
    """Return the answer of a history that is a file: a server may be far away, and the shell waits."""
    from taskloom.cli.history.chosen import chosen_history

    given = {name: ctx.params.get(name) for name in ("name", "path", "database")}
    if "://" in (given["database"] or ""):
        return nothing
    try:
        with chosen_history(**given) as chosen:
            return ask(chosen)
    except (TaskloomError, click.UsageError):
        return nothing
