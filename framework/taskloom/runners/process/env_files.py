"""Reads the env files of a program, for each of its runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from taskloom.env_lines import LARGEST, EnvLines, decode_env

__all__ = ["EnvFileError", "read_env"]

# O_NONBLOCK because opening a pipe blocks until there is a writer.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)


class EnvFileError(OSError):
    """An env file cannot be used. The message names the file and the line, and quotes no value."""


def read_env(paths: Iterable[str]) -> dict[str, str]:
    """Return the variables of all files; of several values of one name, the last one. Raises EnvFileError."""
    values: dict[str, str] = {}
    for path in paths:
        lines = EnvLines(path, _text_of(path))
        lines.read()
        if lines.problems:
            first = lines.problems[0]
            raise EnvFileError(f"cannot use env_file {path!r}: line {first.place.line}: {first.message}")
        values |= {name: value.text for name, value in lines.values.items()}
    return values


def _text_of(path: str) -> str:
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("it is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                return decode_env(file.read(LARGEST + 1))
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvFileError(f"cannot read env_file {path!r}: {reason}") from None
    except ValueError as error:
        raise EnvFileError(f"cannot read env_file {path!r}: {error}") from None
