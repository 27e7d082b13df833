"""Files whose content is a value of a job file: `${file:/run/secrets/db}`.

The content is probably a password, so no message contains any of it. Symbolic links are followed: the secrets of
Docker, Kubernetes and systemd are links, or stand behind one. A file that is named several times is read once, so that
all values of one reading agree.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.inputs import bytes_of

__all__ = ["LARGEST", "FileValue", "ValueFiles", "folder_of"]

_DESCRIPTORS = ("/dev/fd/", "/dev/std", "/proc/")

LARGEST = 1024 * 1024
"""The most bytes of one file."""


class FileValue(NamedTuple):
    """The content of a file, or why it cannot be used."""

    text: str = ""
    refusal: str = ""
    """"" if it can be used."""
    is_missing: bool = False
    """There is no such file, which a default may replace."""


class ValueFiles:
    """The files of one reading of all job files."""

    def __init__(self) -> None:
        self._found: dict[str, FileValue] = {}

    @property
    def contents(self) -> frozenset[str]:
        """The contents of all files that were read."""
        return frozenset(found.text for found in self._found.values() if found.text)

    def value(self, path: str, folder: str) -> FileValue:
        """Return what is in the file at `path`, relative to `folder`. Never blocks, and raises nothing."""
        whole = os.path.join(folder, path)  # noqa: PTH118 - as it was written
        if whole not in self._found:
            self._found[whole] = _read(whole)
        return self._found[whole]


def folder_of(path: str) -> str:
    """Return the folder of a job file, to which the paths in it are relative.

    It is "", the working folder, for standard input and other open descriptors, whose folder is none of the user's.
    """
    return "" if path.startswith(_DESCRIPTORS) else os.path.dirname(path)  # noqa: PTH120 - as it was given


def _read(path: str) -> FileValue:
    try:
        data = bytes_of(path, LARGEST)
    except JobFileError as error:
        is_missing = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
        return FileValue(refusal=error.problems[0].message.partition(": ")[2], is_missing=is_missing)
    if len(data) > LARGEST:
        return FileValue(refusal=f"it has more than {LARGEST >> 20} MiB")
    if b"\0" in data:
        return FileValue(refusal="it contains a NUL byte, so it is not text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return FileValue(refusal="it is not UTF-8 text")
    return FileValue(text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text)
