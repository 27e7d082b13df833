"""Errors of a job on runner `process` that depend on this machine: its user, its niceness, the runner itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from taskloom.diagnostics import FieldError, quoted
from taskloom.text import did_you_mean

__all__ = ["errors_on_this_machine"]

_BASE = ("runner", "process")
# `nice` -20 to 19 is `RLIMIT_NICE` 40 to 1: setrlimit(2).
_NICE_FROM_LIMIT = 20


def errors_on_this_machine(options: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield an error for each option that a run could not have here, on this machine and as this user."""
    if not sys.platform.startswith("linux"):
        yield FieldError(("runner",), f"cannot use runner process on {sys.platform}: it needs Linux")
        return
    if "user" in options:
        yield from _errors_in_user(options["user"])
    if options.get("nice", 0) < 0:
        yield from _errors_in_nice(options["nice"])


def _errors_in_user(written: str) -> Iterator[FieldError]:
    import grp
    import pwd

    loc = (*_BASE, "user")
    user, _, group = written.partition(":")
    try:
        # A number needs no entry of its own, unless its group is to be found there.
        entry = pwd.getpwuid(int(user)) if _is_number(user) else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        if not _is_number(user):
            hint = did_you_mean(user, [each.pw_name for each in pwd.getpwall()])
            yield FieldError(loc, f"cannot find user {quoted(user)} on this machine", hint)
            return
        if not group:
            message = f"cannot find the group of user {user}: this machine has no user of that number"
            yield FieldError(loc, message, f"write '{user}:GROUP'")
            return
        entry = None
    gid = entry.pw_gid if entry is not None else -1
    try:
        if group:
            gid = int(group) if _is_number(group) else grp.getgrnam(group).gr_gid
    except KeyError:
        hint = did_you_mean(group, [each.gr_name for each in grp.getgrall()])
        yield FieldError(loc, f"cannot find group {quoted(group)} on this machine", hint)
        return
    uid = entry.pw_uid if entry is not None else int(user)
    if os.geteuid() != 0 and (uid, gid) != (os.geteuid(), os.getegid()):
        message = f"cannot run as user {quoted(written)}: only root may, and this is user {_own_name()}"
        yield FieldError(loc, message, "leave it out, or start the program as root")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _own_name() -> str:
    import pwd

    try:
        return quoted(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return str(os.geteuid())


def _errors_in_nice(nice: int) -> Iterator[FieldError]:
    import resource

    lowest = _NICE_FROM_LIMIT - resource.getrlimit(resource.RLIMIT_NICE)[0]
    if os.geteuid() != 0 and nice < lowest:
        message = f"cannot use {nice} as runner.process.nice: only root may go below 0"
        yield FieldError((*_BASE, "nice"), message, "write 0 or more, or start the program as root")
