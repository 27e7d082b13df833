"""The settings in job files, and nothing else of them: no task is imported, and the jobs may have errors.

A program that is down because of its job files has a history all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskloom.diagnostics import Problem
from taskloom.errors import JobFileError, UsageError
from taskloom.jobfile.file_settings import FileSettings
from taskloom.jobfile.syntax.document import LIMITS
from taskloom.jobfile.syntax.inputs import bytes_of, is_stream, shown_path
from taskloom.jobfile.syntax.interpolation import interpolate
from taskloom.jobfile.syntax.reader import examine
from taskloom.jobfile.syntax.value_files import ValueFiles

__all__ = ["settings_of"]

_SUFFIXES = (".yaml", ".yml")


def settings_of(path: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the settings in a job file, or in the job files of a folder.

    Raises JobFileError if a file cannot be read, or if one of its settings is wrong, and UsageError for a pipe.
    """
    found, value_files = FileSettings(), ValueFiles()
    for file in _files(path):
        problems = list(_read(file, found, environ, value_files))
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors:
            raise JobFileError(errors)
    return {name: setting.value for name, setting in found.found.items()}


def _read(file: str, found: FileSettings, environ: Mapping[str, str], value_files: ValueFiles) -> Iterator[Problem]:
    """Add the settings of a file, and yield what is wrong with the file as a whole or with them."""
    reading = examine(bytes_of(file, LIMITS.bytes), shown_path(file))
    document = reading.document
    if document is None or reading.errors:
        yield from reading.errors
    elif isinstance(document.root, dict):
        unset = interpolate(document, environ, value_files)
        before = set(found.found)
        yield from found.add(document, document.root)
        lines = {found.found[name].place.line for name in found.found.keys() - before}
        # A variable that is not set matters in a setting, and not in the params of a job.
        yield from (problem for problem in unset if problem.place.line in lines)


def _files(path: str) -> list[str]:
    """Return the job files that a path of the command line means."""
    if is_stream(path):
        raise UsageError(f"cannot read settings from {path!r}: it is a stream; expected a job file or a folder")
    if not os.path.isdir(path):  # noqa: PTH112 - Path("") is the working directory
        return [path]
    try:
        names = sorted(each.name for each in Path(path).iterdir() if _is_job_file(each))
    except OSError as error:
        raise UsageError(f"cannot read folder {path!r}: {(error.strerror or str(error)).lower()}") from None
    return [os.path.join(path, name) for name in names]  # noqa: PTH118


def _is_job_file(path: Path) -> bool:
    return path.suffix in _SUFFIXES and not path.name.startswith(".") and not path.is_dir()
