"""The user that a run is to be: `www-data`, `33`, `www-data:adm` or `33:4`."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from collections.abc import Mapping
from typing import NamedTuple

from taskloom.text import did_you_mean

__all__ = ["Account", "find_account"]


class Account(NamedTuple):
    """A user with the groups that a login would give."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    env: Mapping[str, str]
    """HOME, LOGNAME, SHELL and USER, as far as the user has them."""


def find_account(user: str) -> Account:
    """Return what `USER` or `USER:GROUP` means on this machine. Reads the user database. Raises OSError in words."""
    name, separator, group = user.partition(":")
    entry = _entry_of(name)
    if entry is None and not separator:
        raise _error(f"user {name} has no entry in the user database: write `{name}:GROUP`")
    if separator:
        gid = _gid_of(group)
    else:
        assert entry is not None
        gid = entry.pw_gid
    if entry is None:
        return Account(int(name), gid, (gid,), {})
    groups = tuple(os.getgrouplist(entry.pw_name, gid))
    env = {"HOME": entry.pw_dir, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell, "USER": entry.pw_name}
    return Account(entry.pw_uid, gid, groups, {key: value for key, value in env.items() if value})


def _entry_of(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(name)) if _is_number(name) else pwd.getpwnam(name)
    except (KeyError, OverflowError, ValueError):
        if _is_number(name) and int(name) < 2**32 - 1:
            return None
    known = [one.pw_name for one in pwd.getpwall()]
    raise _error(f"there is no user {name!r} here{did_you_mean(name, known, before='; ')}")


def _gid_of(group: str) -> int:
    if _is_number(group) and int(group) < 2**32 - 1:
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        known = [one.gr_name for one in grp.getgrall()]
    raise _error(f"there is no group {group!r} here{did_you_mean(group, known, before='; ')}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _error(words: str) -> OSError:
    return OSError(errno.EINVAL, words)
