"""The folders of control sockets: where a program makes its own, and where clients look.

Everything in such a folder is trusted, so it belongs to the user (or to root) and no other user may write to it. It is
opened once, without following a link, and checked by its descriptor: between a check by name and its use another user
could replace a folder in /tmp.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from taskloom.diagnostics import quoted

__all__ = [
    "OpenFolder",
    "Place",
    "client_places",
    "is_trusted_folder",
    "open_server_folder",
    "open_trusted_folder",
    "places_of_all_users",
    "server_places",
    "system_place",
]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OF_ROOT, _OF_USERS, _TEMPORARY = "/run/taskloom", "/run/user", "/tmp"


class Place(NamedTuple):
    """A folder in which a program may make its control socket."""

    folder: str
    base: str
    """The folder above it, which has to exist and to belong to the user; "" if that does not matter."""
    origin: str
    """The variable that it comes from, with a dollar sign; or ""."""
    is_made: bool
    """Whether the program makes it if it does not exist."""


class OpenFolder(NamedTuple):
    """The folder of a control socket."""

    path: str
    descriptor: int
    """The descriptor of the folder; the caller closes it."""
    notes: tuple[str, ...]
    """Why each folder before it could not be used, if its variable is set."""


def server_places(environ: Mapping[str, str] | None = None, uid: int | None = None) -> list[Place]:
    """Return where a program of this user makes its socket: the first of these folders that can be used."""
    environ, uid = _defaults(environ, uid)
    places = []
    given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]  # systemd names several so, and made all of them
    if given:
        places.append(Place(given, "", "$RUNTIME_DIRECTORY", is_made=False))
    given = environ.get("XDG_RUNTIME_DIR", "")
    if given:
        places.append(Place(os.path.join(given, "taskloom"), given, "$XDG_RUNTIME_DIR", is_made=True))  # noqa: PTH118
    if uid == 0:
        places.append(Place(_OF_ROOT, "", "", is_made=True))
    places.append(Place(f"{_TEMPORARY}/taskloom-{uid}", "", "", is_made=True))
    return places


def client_places(environ: Mapping[str, str] | None = None, uid: int | None = None) -> list[str]:
    """Return all folders in which a program of this user may have its socket, whatever its environment was.

    A service has $RUNTIME_DIRECTORY, and the shell from which it is asked has not; with cron it is the reverse for
    $XDG_RUNTIME_DIR.
    """
    environ, uid = _defaults(environ, uid)
    usual = [f"{_OF_USERS}/{uid}/taskloom", _OF_ROOT, f"{_TEMPORARY}/taskloom-{uid}"]
    folders = [*(place.folder for place in server_places(environ, uid)), *usual]
    return [folder for folder in dict.fromkeys(folders) if os.path.isabs(folder)]  # noqa: PTH117


def places_of_all_users() -> Iterator[tuple[str, int]]:
    """Yield the usual folders of all users that exist, each with the uid that it has to belong to. For root."""
    of_system = system_place()
    if of_system is not None:
        yield of_system
    for parent, before in ((_OF_USERS, ""), (_TEMPORARY, "taskloom-")):
        for name in sorted(_names_in(parent)):
            number = name.removeprefix(before)
            if name.startswith(before) and number.isascii() and number.isdigit():
                yield f"{parent}/{name}" + ("" if before else "/taskloom"), int(number)


def system_place() -> tuple[str, int] | None:
    """Return the folder of the programs of the system, and its owner; None if there is none.

    systemd makes it for a unit with `RuntimeDirectory=taskloom`, and gives it to the user of the unit. Only root can
    make it, so root may trust its owner to answer in the name of the programs there.
    """
    try:
        status = os.lstat(_OF_ROOT)
    except OSError:
        return None
    return (_OF_ROOT, status.st_uid) if stat.S_ISDIR(status.st_mode) else None


def is_trusted_folder(status: os.stat_result, uid: int | None = None) -> bool:
    """Return whether an opened folder belongs to this user, or to root, and no other user may write to it."""
    return not _objection(status, {os.geteuid() if uid is None else uid, 0})


def open_trusted_folder(path: str, uid: int | None = None) -> int:
    """Open a folder in which a client may look, and return its descriptor. Raises OSError, also if it is not trusted.

    Raises FileNotFoundError if there is none.
    """
    descriptor = os.open(path, _FOLDER)
    try:
        objection = _objection(os.fstat(descriptor), {os.geteuid() if uid is None else uid, 0})
        if objection:
            raise PermissionError(objection)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_server_folder(environ: Mapping[str, str] | None = None, uid: int | None = None) -> OpenFolder:
    """Open the first folder in which a program of this user can make its socket; make it if it does not exist.

    Raises OSError, with a sentence as its text, if there is none.
    """
    environ, uid = _defaults(environ, uid)
    notes: list[str] = []
    reasons: list[str] = []
    for place in server_places(environ, uid):
        try:
            descriptor = open_place(place, uid)
        except (OSError, ValueError) as error:
            reason = _reason(error)
            where = quoted(place.base or place.folder)
            if place.origin:
                notes.append(f"cannot use {place.origin} {where}: {reason}")
            reasons.append(f"{place.origin} {where} {reason}".lstrip())
        else:
            return OpenFolder(place.folder, descriptor, tuple(notes))
    raise OSError(f"no folder for it can be used: {'; '.join(reasons)}")


def open_place(place: Place, uid: int) -> int:
    """Open this folder, make it if it is missing, and return its descriptor. Raises OSError if it cannot be used."""
    if not os.path.isabs(place.folder):  # noqa: PTH117
        raise OSError("is not an absolute path")
    if place.base:
        _check_base(place.base, uid)
    if place.is_made:
        try:
            os.mkdir(place.folder, 0o700)  # noqa: PTH102 - never with wider permissions, not even for a moment
        except FileExistsError:
            pass
    try:
        descriptor = os.open(place.folder, _FOLDER)
    except NotADirectoryError:
        raise NotADirectoryError("is not a folder, or is a symbolic link") from None
    try:
        status = os.fstat(descriptor)
        objection = _objection(status, {uid})
        if objection:
            raise PermissionError(objection)
        # Ours, and made by an unusual umask or by hand.
        if place.is_made and stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
        if not os.access(f"/proc/self/fd/{descriptor}", os.W_OK | os.X_OK) and os.path.isdir("/proc/self/fd"):  # noqa: PTH112
            raise OSError("cannot be written to")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_base(path: str, uid: int) -> None:
    """Raise OSError if this is not a folder of the user. A link is followed: the user has named it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
    if owner != uid:
        raise PermissionError(f"belongs to uid {owner}")


def _objection(status: os.stat_result, owners: set[int]) -> str:
    """Return why this folder must not be used, or ""."""
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if status.st_uid not in owners:
        return f"belongs to uid {status.st_uid}"
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []


def _defaults(environ: Mapping[str, str] | None, uid: int | None) -> tuple[Mapping[str, str], int]:
    return os.environ if environ is None else environ, os.geteuid() if uid is None else uid
