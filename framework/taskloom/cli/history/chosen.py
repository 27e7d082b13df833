"""The history of one program, chosen and opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from taskloom.history.read_rows import RunFilter, StartEntry
    from taskloom.history.reader import Reader

__all__ = ["Chosen", "chosen_history"]


class Chosen:
    """The history of one program, opened."""

    def __init__(self, reader: Reader, name: str) -> None:
        self.reader, self.name = reader, name

    @property
    def where(self) -> str:
        """Its path or URL, without a password."""
        return self.reader.shown

    @cached_property
    def starts(self) -> Sequence[StartEntry]:
        """All starts of the program, oldest first; of one that was killed `how` is `lost`, also if none has told it."""
        return [each._replace(how="lost") if each.start in self.killed else each for each in self._found]

    @cached_property
    def killed(self) -> Mapping[str, float | None]:
        """The starts that were killed, which no later start has told yet, and when each was last seen alive."""
        running = [each for each in self._found if each.how == "running"]
        if running and running[-1] == self._found[-1] and self.reader.is_written(self.name):
            del running[-1]
        return {each.start: each.alive_at for each in running}

    @cached_property
    def _found(self) -> Sequence[StartEntry]:
        return self.reader.starts(self.name).rows

    def filter(self, jobs: Sequence[str] | None = None, **other: Any) -> RunFilter:
        """Return a filter of the rows of this program. `other`: as `RunFilter` has it."""
        from taskloom.history.read_rows import RunFilter

        return RunFilter(self.name, jobs, killed=self.killed, **other)


@contextmanager
def chosen_history(*, name: str | None, path: str | None, database: str | None) -> Iterator[Chosen]:
    """Open the history that is meant. Raises TaskloomError, and click.UsageError for what cannot be used together."""
    from taskloom.cli.history.choosing import meant_name, meant_place
    from taskloom.history import is_installed
    from taskloom.history.errors import PackageMissing

    # First of all: "no history" would be half of the truth, since no program has one either.
    if not is_installed():
        raise PackageMissing("SQLAlchemy", "history")
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source("database")
    is_secret = source is not click.core.ParameterSource.COMMANDLINE
    place = meant_place(name=name, path=path, database=database, is_secret=is_secret)
    try:
        from taskloom.history.reader import open_reader
    except ImportError as error:
        raise PackageMissing("SQLAlchemy", "history", str(error)) from error
    with open_reader(place.target) as reader:
        yield Chosen(reader, meant_name(reader.names(), place.name, reader.shown, is_exact=path is not None))
