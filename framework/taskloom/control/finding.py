"""Chooses the running program that is meant: by its socket, by its name, or because it is the only one.

Its lock file shows that it runs, and where it listens; whether it answers is known when it is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from taskloom.control.client_errors import NoProgram, SeveralPrograms
from taskloom.control.discovery import programs_of_all_users, programs_of_system, running_programs
from taskloom.control.identity import Holder
from taskloom.control.names import matches
from taskloom.control.places import client_places
from taskloom.text import did_you_mean, first_of

__all__ = ["Program", "find", "list_programs", "short_names"]

_MOST_NAMED = 10


class Program(NamedTuple):
    """A running program, as it is found without asking it."""

    name: str
    socket: str
    """The path of its socket."""
    pid: int
    """0 if it is unknown."""
    uid: int
    """The owner of the program. Only this user and root are trusted to answer in its name."""
    path: str = ""
    """Its first job file or folder; "" if there is none, or if it is unknown."""
    since: float | None = None
    """When it was started, in seconds since the epoch; None if it is unknown."""
    is_locked: bool = True
    """Whether its lock is held, so that it certainly runs."""

    @property
    def who(self) -> str:
        """The program, as an error names it."""
        return f"pid {self.pid}" if self.pid else f"the program at {self.socket}"


def find(name: str | None = None, socket: str | None = None) -> Program:
    """Return the program that is meant: at the path `socket`, or with this name, or the only one of this user.

    `name` is the whole name, or what is before the hash while that is unique. Programs in the folders of other
    variables than ours count only if none is in our own, and for root those of a service with a user of its own if
    there is no other. Raises NoProgram or SeveralPrograms.
    """
    if socket is not None:
        return _at(socket)
    for everywhere in (False, True):
        programs = _list(everywhere=everywhere)
        found = _meant(name, programs)
        if found:
            break
    if not found and os.geteuid() == 0:
        programs += [_program(holder, uid) for uid, holder in programs_of_system() if holder.socket]
        found = _meant(name, programs)
    if not found:
        raise _no_program(name, programs)
    if len(found) > 1:
        raise SeveralPrograms(found, name)
    return found[0]


def list_programs(*, all_users: bool = False) -> list[Program]:
    """Return the running programs of this user, by name; with `all_users` those of every user, which root can see."""
    if all_users:
        return [_program(holder, uid) for uid, holder in programs_of_all_users()]
    return _list(everywhere=True)


def _list(*, everywhere: bool) -> list[Program]:
    return [_program(each, os.geteuid()) for each in running_programs(everywhere=everywhere) if each.socket]


def _meant(name: str | None, programs: Sequence[Program]) -> list[Program]:
    """Return the programs that a name may mean: those with the whole name, or else those with the stem."""
    whole = [each for each in programs if name is None or each.name == name]
    return whole or [each for each in programs if name is not None and matches(name, each.name)]


def short_names(programs: Iterable[Program]) -> list[str]:
    """Return the names without the hash, of those programs for which that is unique; all others whole."""
    names = [each.name for each in programs]
    stems = [each[:-5] if matches(each[:-5], each) else each for each in names]
    return [
        stem if stems.count(stem) == 1 and stem not in names else name for stem, name in zip(stems, names, strict=True)
    ]


def _program(holder: Holder, uid: int) -> Program:
    return Program(holder.name, holder.socket, holder.pid, uid, holder.path, holder.since)


def _at(path: str) -> Program:
    """Return the program at a path that the user has given; it need not run."""
    path = os.path.abspath(path)  # noqa: PTH100 - a link stays a link
    uid = _owner_of(path)
    for each in list_programs():
        if os.path.realpath(each.socket) == os.path.realpath(path):
            return each._replace(socket=path, uid=uid)
    return Program(os.path.basename(path), path, 0, uid, is_locked=False)  # noqa: PTH119


def _owner_of(path: str) -> int:
    """Return whose program may be trusted at this path: ours, and for root that of the user who owns the socket."""
    if os.geteuid() == 0:
        try:
            return os.stat(path).st_uid  # noqa: PTH116 - pathlib takes long to import
        except OSError:
            pass  # the attempt to connect says it
    return os.geteuid()


def _no_program(name: str | None, programs: Sequence[Program]) -> NoProgram:
    if name is not None and programs:
        names = [each.name for each in programs]
        near = did_you_mean(name, dict.fromkeys([*names, *short_names(programs)]), before="; ")
        return NoProgram(f"cannot find a running program {name!r}; running: {first_of(names, _MOST_NAMED)}{near}")
    what = "a running program" if name is None else f"a running program {name!r}"
    looked = first_of(client_places(), _MOST_NAMED)
    return NoProgram(f"cannot find {what}; looked in {looked}; start one with `taskloom run PATH`")
