"""Errors of a job whose processes run on this machine: its user, its niceness, the runner itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from taskloom.diagnostics import FieldError, MachineError, quoted

__all__ = ["errors_on_this_machine"]

# `nice` -20 to 19 is `RLIMIT_NICE` 40 to 1: setrlimit(2).
_NICE_FROM_LIMIT = 20


def errors_on_this_machine(options: Mapping[str, Any], runner: str = "process") -> Iterator[FieldError]:
    """Yield an error for each option that a run could not have here, on this machine and as this user."""
    if not sys.platform.startswith("linux"):
        yield MachineError(("runner",), f"cannot use runner {runner} on {sys.platform}: it needs Linux")
        return
    if getattr(sys, "frozen", False) or not sys.executable:
        why = f"{sys.executable!r} is a frozen program" if sys.executable else "sys.executable is empty"
        yield MachineError(("runner",), f"cannot use runner {runner} without a Python interpreter to start: {why}")
    if "user" in options:
        yield from _errors_in_user(options["user"], runner)
    if options.get("nice", 0) < 0:
        yield from _errors_in_nice(options["nice"], runner)


def _errors_in_user(written: str, runner: str) -> Iterator[FieldError]:
    from taskloom.runners.process.accounts import find_account

    loc = ("runner", runner, "user")
    try:
        account = find_account(written)
    except OSError as error:
        yield FieldError(loc, f"cannot run as user {quoted(written)}: {error.strerror}")
        return
    if os.geteuid() != 0 and (account.uid, account.gid) != (os.geteuid(), os.getegid()):
        message = f"cannot run as user {quoted(written)}: only root may, and this is user {_own_name()}"
        yield FieldError(loc, message, "leave it out, or start the program as root")


def _own_name() -> str:
    import pwd

    try:
        return quoted(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return str(os.geteuid())


def _errors_in_nice(nice: int, runner: str) -> Iterator[FieldError]:
    import resource

    lowest = _NICE_FROM_LIMIT - resource.getrlimit(resource.RLIMIT_NICE)[0]
    if os.geteuid() != 0 and nice < lowest:
        message = f"cannot use {nice} as runner.{runner}.nice: only root may go below 0"
        yield FieldError(("runner", runner, "nice"), message, "write 0 or more, or start the program as root")
