"""The program that is to be started for a run, and how it is written down for the supervisor."""

from __future__ import annotations

import errno
import functools
import marshal
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType

from taskloom.runners.process.accounts import find_account
from taskloom.runners.process.compiled import code_of

__all__ = ["CannotLaunch", "LaunchSpec", "encode", "supervisor_code"]

_SUPERVISOR_MODULES = (
    "spec", "system", "wakeups", "channel", "cgroups", "tree", "memory", "lease", "child", "loop", "main",
)  # fmt: skip


class CannotLaunch(OSError):
    """A run's processes could not be started, and none of them is left. Has `errno` and `strerror`."""

    def __init__(self, number: int | None, what: str, reason: str) -> None:
        super().__init__(number or errno.EINVAL, reason)
        self.what = what

    def __str__(self) -> str:
        return f"cannot start {self.what}: {self.strerror}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchSpec:
    """A program that is to be started, and how."""

    argv: Sequence[str]
    """The program, searched for on the PATH of `env` unless it has a `/`, and its arguments."""
    env: Mapping[str, str]
    """The whole environment."""
    job: str
    """The job's name; for messages and `ps`."""
    cwd: str | None = None
    """Relative to our own working directory; None for that."""
    nice: int | None = None
    user: str | None = None
    """`USER` or `USER:GROUP`, names or numbers; None for our own. Set HOME yourself: `find_account` knows it."""
    memory_limit: int | None = None
    """Bytes, for all processes of the run together."""
    control: bool = False
    """Whether the main process gets a control socket, as CONTROL_DESCRIPTOR."""
    stdin: bytes | None = None
    """None for /dev/null."""
    grace: float = 2.0
    """Seconds from SIGTERM to SIGKILL when this process has ended or the channel is closed."""
    linger: float = 0.2
    """Seconds that the processes left by the main process may take to end by themselves."""
    no_file_limit: int | None = None
    """The soft limit of open files of the run; None for our own."""
    lease: float | None = None
    """The second of `taskloom.clock.boottime` at which all processes of the run are killed, unless it was renewed."""

    @property
    def what(self) -> str:
        """The name for messages."""
        return f"a process for job '{self.job}'"


def encode(spec: LaunchSpec) -> bytes:
    """Return the standard input of the supervisor. Raises CannotLaunch for what the kernel would refuse."""
    account = None
    what = spec.what
    if not spec.argv or not spec.argv[0]:
        raise CannotLaunch(errno.EINVAL, what, "there is no program to start")
    try:
        if spec.user is not None:
            uid, gid, groups, _ = find_account(spec.user)
            account = (uid, gid, list(groups))
    except OSError as error:
        raise CannotLaunch(error.errno, what, error.strerror or str(error)) from None
    cwd = None if spec.cwd is None else _bytes_of(spec.cwd, what, f"cwd {spec.cwd!r}")
    fields = {
        "argv": [_bytes_of(part, what, f"argument {part!r}") for part in spec.argv],
        "env": dict(_variable(name, value, what) for name, value in spec.env.items()),
        "cwd": cwd,
        "nice": spec.nice,
        "account": account,
        "no_file_limit": spec.no_file_limit,
        "memory_limit": spec.memory_limit,
        "control": spec.control,
        "stdin": spec.stdin,
        "grace": spec.grace,
        "linger": spec.linger,
        "lease": spec.lease,
        "parent": os.getpid(),
    }
    return marshal.dumps((supervisor_code(), fields))


@functools.cache
def supervisor_code() -> tuple[tuple[str, CodeType], ...]:
    """Return the compiled modules of the supervisor with their names; each imports only those before it."""
    names = [f"taskloom.worker.supervision.{name}" for name in _SUPERVISOR_MODULES]
    return tuple((name, code_of(name)[1]) for name in names)


def _variable(name: str, value: str, what: str) -> tuple[bytes, bytes]:
    if not name or "=" in name:
        raise CannotLaunch(errno.EINVAL, what, f"{name!r} cannot be the name of an environment variable")
    place = f"environment variable {name!r}"  # not the value, which may be secret
    return _bytes_of(name, what, place), _bytes_of(value, what, place)


def _bytes_of(text: str, what: str, place: str) -> bytes:
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise CannotLaunch(errno.EINVAL, what, f"{place} has characters that cannot be encoded") from None
    if b"\0" in encoded:
        raise CannotLaunch(errno.EINVAL, what, f"{place} has a NUL character")
    return encoded
