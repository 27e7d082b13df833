"""Reads files of `NAME=VALUE` lines, which give values to `${NAME}` in job files.

Their form is that of `taskloom.env_lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskloom.diagnostics import Problem
from taskloom.env_lines import LARGEST, EnvLines, EnvValue, decode_env
from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.encoding import unreadable
from taskloom.jobfile.syntax.inputs import bytes_of

__all__ = ["EnvValue", "environ_with", "read_env_files"]


def read_env_files(paths: Iterable[str]) -> Mapping[str, EnvValue]:
    """Return the variables of all files; of several values of one name, the last one.

    Only regular files are read, since a reload reads them again. Never blocks. Raises JobFileError with all problems.
    """
    values: dict[str, EnvValue] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            file = EnvLines(path, _text_of(path))
        except JobFileError as error:
            problems += error.problems
            continue
        file.read()
        values |= file.values
        problems += file.problems
    if problems:
        raise JobFileError(problems)
    return values


def environ_with(values: Mapping[str, EnvValue], environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment, with the variables of env files that it lacks. It goes first, also where it is empty."""
    return environ if not values else {**{name: value.text for name, value in values.items()}, **environ}


def _text_of(path: str) -> str:
    try:
        return decode_env(bytes_of(path, LARGEST))
    except ValueError as error:
        hint = "" if "MiB" in str(error) else "save the file as UTF-8"
        raise unreadable(path, str(error), hint) from None
