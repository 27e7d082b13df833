"""Why a program could not be executed, in words that name what is missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from taskloom.text import did_you_mean

__all__ = ["why_not_executed"]

# execvp(3) searches these without a PATH; the supervisor as well.
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_LONGEST_FIRST_LINE = 256


def why_not_executed(name: str, env: Mapping[str, str], cwd: str | None, number: int) -> str | None:
    """Return the words for the error `number` of exec; None for the kernel's own words. May read all of the PATH."""
    if number == errno.ENOEXEC:
        return "it is neither a program of this machine nor a script that begins with `#!`"
    if number == errno.ENOENT and "/" in name:
        return _why_missing(Path(cwd or ".") / name)
    if number == errno.ENOENT:
        return f"it is not on the PATH{did_you_mean(name, _programs_on(env.get('PATH', _DEFAULT_PATH)), before='; ')}"
    if number == errno.EACCES and "/" in name and Path(cwd or ".", name).is_dir():
        return "it is a folder"
    if number == errno.EACCES:
        return "it is not executable, or not for this user"
    return None


def _why_missing(path: Path) -> str | None:
    """Return why a path that was not found was not: a program is also "not found" if its interpreter is not."""
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST_FIRST_LINE)
    except OSError:
        return f"{os.strerror(errno.ENOENT)}{did_you_mean(path.name, _names_in(str(path.parent)), before='; ')}"
    if first.startswith(b"#!") and (words := first[2:].split()):
        if first.endswith(b"\r\n") and len(words) == 1:
            return "its lines end as on Windows, so its interpreter is not found: remove the carriage returns"
        return f"its interpreter '{os.fsdecode(words[0])}' does not exist"
    return "the loader that it names does not exist: it was built for another system"


def _programs_on(path: str) -> Iterator[str]:
    for folder in path.split(":"):
        yield from _names_in(folder or ".")


def _names_in(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entry.name for entry in entries)
    except OSError:
        return
