"""Chooses the history that is meant: by its path or URL, by job files, by a name, or because it is the only one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from taskloom.cli.history.file_settings import settings_of
from taskloom.control.names import default_name, label_of, matches
from taskloom.errors import TaskloomError
from taskloom.history.location import DATABASE_SUFFIX, Target, default_target, parse_target, state_folder
from taskloom.text import did_you_mean, first_of

__all__ = ["NoHistory", "NotInHistory", "Place", "SeveralHistories", "meant_name", "meant_place", "names_in"]

_MOST_NAMED = 10
# Values of TASKLOOM_HISTORY that switch the history of a program on or off, and name no place.
_WORDS = ("on", "off", "true", "false")


class NoHistory(TaskloomError):
    """There is no history of the program that is meant."""


class NotInHistory(TaskloomError):
    """The history has no such job, run or start, or several that may be meant."""


class SeveralHistories(TaskloomError):
    """More than one program is meant. Name one of `names`."""

    def __init__(self, names: Sequence[str], wanted: str | None = None) -> None:
        self.names, self.wanted = tuple(names), wanted
        meant = "" if wanted is None else f" named {wanted!r}"
        super().__init__(
            f"cannot choose one of {len(names):,} histories{meant}: add --name NAME; known: "
            f"{first_of(self.names, _MOST_NAMED)}"
        )


class Place(NamedTuple):
    """A database, and the name of the program in it that is meant; None if any may be."""

    target: Target
    name: str | None


def meant_place(*, name: str | None, path: str | None, database: str | None, is_secret: bool) -> Place:
    """Return the place of the history. `is_secret`: other users cannot read `database`, so it may have a password.

    `path` is that of job files, `database` a path or a URL. Raises NoHistory, SeveralHistories, HistoryError,
    UsageError and JobFileError.
    """
    found: dict[str, Any] = {} if path is None else settings_of(path, os.environ)
    if path is not None:
        name = name or found.get("name") or default_name(path)
    if database and database.lower() not in _WORDS:
        if os.path.isdir(database):  # noqa: PTH112
            return _in_folder(os.path.abspath(database), name)  # noqa: PTH100
        return Place(parse_target(database, is_password_allowed=is_secret), name)
    setting = found.get("history")
    if setting is not None and setting.place:
        return Place(parse_target(setting.place, is_password_allowed=True), name)
    return _in_folder(state_folder(), name, is_exact=path is not None)


def _in_folder(folder: str, name: str | None, *, is_exact: bool = False) -> Place:
    """Return the file of a folder that a name means; `is_exact`: only the whole name does."""
    known = names_in(folder)
    chosen = meant_name(known, name, folder, is_exact=is_exact)
    return Place(default_target(chosen, folder), chosen)


def meant_name(known: Sequence[str], name: str | None, where: str, *, is_exact: bool = False) -> str:
    """Return the one of the known names that is meant: the whole name, or what is before its hash, or the only one."""
    found = [each for each in known if name is None or each == name]
    if not found and name is not None and not is_exact:
        found = [each for each in known if matches(name, each)]
    if len(found) == 1:
        return found[0]
    if found:
        raise SeveralHistories(found, name)
    if name is None or not known:
        of = "" if name is None else f" of {name!r}"
        raise NoHistory(f"cannot find a history{of} in {where}; `taskloom run` keeps one unless history is off")
    near = did_you_mean(name, [*known, *map(label_of, known)], before="; ")
    raise NoHistory(f"cannot find a history of {name!r} in {where}; known: {first_of(known, _MOST_NAMED)}{near}")


def names_in(folder: str) -> list[str]:
    """Return the names of the programs that have a history in a folder. Raises NoHistory if it cannot be read."""
    try:
        files = os.listdir(folder)  # noqa: PTH208 - as text
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NoHistory(f"cannot read folder {folder!r} of histories: {reason}") from None
    return sorted(file.removesuffix(DATABASE_SUFFIX) for file in files if file.endswith(DATABASE_SUFFIX))
