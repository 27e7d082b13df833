"""The tokens of a program: random texts in files that only its user can read. They survive its restarts."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from taskloom.diagnostics import quoted
from taskloom.errors import UsageError
from taskloom.history.errors import HistoryUnusable
from taskloom.history.location import state_folder
from taskloom.text import error_text

__all__ = ["TokenError", "Tokens", "token_folder", "tokens_of"]

# 256 bits; 128 are enough that it is never guessed.
_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,128}")
_MOST_BYTES = 256


class TokenError(UsageError):
    """The file of a token cannot be used. `path`, and `why` in words."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"cannot use the token file {quoted(str(path))}: {why}")


class Tokens(NamedTuple):
    """Both tokens of a program, and the files that have them."""

    act: str
    read: str
    act_file: Path
    read_file: Path


def token_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the token files, Taskloom's state folder. Raises TokenError if there is none."""
    try:
        return Path(state_folder(environ))
    except HistoryUnusable as error:
        raise TokenError(Path("~/.local/state/taskloom"), error.reason) from None


def tokens_of(name: str, folder: Path, *, is_new: bool = False) -> Tokens:
    """Return the tokens of the program `name`; make those that do not exist, or both if `is_new`.

    Raises TokenError if a file cannot be read or made, or if other users can read it.
    """
    files = folder / f"{name}.token", folder / f"{name}.read-token"
    act, read = (_token_in(file, is_new=is_new) for file in files)
    if act == read:
        raise TokenError(files[1], f"it has the same token as {files[0].name}; remove one of them")
    return Tokens(act, read, *files)


def _token_in(file: Path, *, is_new: bool) -> str:
    try:
        found = None if is_new else _read(file)
        if found is None:
            _make(file, replaces=is_new)
            found = _read(file)
        if found is None:
            raise TokenError(file, "another program has removed it at this moment; start again")
        return found
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise TokenError(file, "it is a symbolic link; remove it, and the next start makes a file") from None
        raise TokenError(file, error_text(error)) from None


def _read(file: Path) -> str | None:
    """Return the token of a file; None if there is no such file. Raises TokenError and OSError."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenError(file, "it is not a file")
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise TokenError(file, "other users can read or change it; remove it, and the next start makes another")
        token = os.read(descriptor, _MOST_BYTES).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    if not _TOKEN.fullmatch(token):
        raise TokenError(file, "it has no token; remove it, and the next start makes another")
    return token


def _make(file: Path, *, replaces: bool) -> None:
    """Make a new token. Of programs that start at the same moment one makes it, unless `replaces`, and all read it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            os.write(descriptor, f"{secrets.token_urlsafe(_BYTES)}\n".encode())
        finally:
            os.close(descriptor)
        if replaces:
            part.replace(file)
        else:
            _link(part, file)
    finally:
        part.unlink(missing_ok=True)


def _link(part: Path, file: Path) -> None:
    try:
        os.link(part, file)
    except FileExistsError:
        pass  # another program has made it
    except OSError:  # a file system without links
        part.replace(file)
