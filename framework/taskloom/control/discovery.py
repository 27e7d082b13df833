"""The running programs of a user, found by their lock files. Clients use it, and a program that starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from taskloom.control.identity import Holder, in_folder
from taskloom.control.places import client_places, open_trusted_folder, places_of_all_users, system_place

__all__ = ["programs_of_all_users", "programs_of_system", "running_programs"]

# A client with one of these variables sees what was started with it, and what is in the usual folders. One without
# them also sees the programs that were started with them, in whatever folder: those announce themselves.
_OWN_FOLDERS = ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")

# Who gives such a variable a folder of its own keeps programs apart, as two checkouts that are tested side by side: a
# client sees none that was started with another such folder.


def running_programs(
    environ: Mapping[str, str] | None = None, uid: int | None = None, *, everywhere: bool = False
) -> list[Holder]:
    """Return the programs of this user that run now and have a control socket, by name.

    Those that only announce themselves count if there are no others and no variable names a folder, or with
    `everywhere`: a service has other variables than the shell in which it is asked. If a variable names a folder that
    is not a usual one, only those count that announce themselves there.

    Only folders are read that belong to the user or to root, and to which no other user may write. A socket file may be
    missing all the same: it was removed, and is being made again.
    """
    environ = os.environ if environ is None else environ
    has_own = any(environ.get(name) for name in _OWN_FOLDERS)
    places = client_places(environ, uid)
    usual = client_places({}, uid)
    own = [folder for folder in places if folder not in usual]
    found: dict[str, Holder] = {}
    for elsewhere in (False, True):
        if elsewhere and not everywhere and (has_own or found):
            break
        for folder in own if elsewhere and own else places:
            for holder in _in(folder, uid, elsewhere=elsewhere):
                found.setdefault(holder.socket, holder)
    return sorted(found.values(), key=lambda holder: holder.name)


def programs_of_all_users() -> list[tuple[int, Holder]]:
    """Return the running programs of all users in the usual folders, each with the uid of its user. For root."""
    found: dict[str, tuple[int, Holder]] = {}
    for folder, uid in places_of_all_users():
        for holder in (*_in(folder, uid, elsewhere=False), *_in(folder, uid, elsewhere=True)):
            found.setdefault(holder.socket, (uid, holder))
    return sorted(found.values(), key=lambda each: (each[0], each[1].name))


def programs_of_system() -> list[tuple[int, Holder]]:
    """Return the programs of a service that has its own user, each with the uid of this user. For root."""
    place = system_place()
    return [] if place is None else [(place[1], each) for each in _in(*place, elsewhere=False)]


def _in(folder: str, uid: int | None, *, elsewhere: bool) -> Iterator[Holder]:
    try:
        descriptor = open_trusted_folder(folder, uid)
    except OSError:
        return  # there is none, or it is not to be trusted
    try:
        yield from in_folder(descriptor, elsewhere=elsewhere)
    except OSError:
        pass  # it is just being removed
    finally:
        os.close(descriptor)
