"""The names of programs, by which clients choose one: given with `--name`, or made from the first path."""

from __future__ import annotations

import os
import re
import stat

from taskloom.diagnostics import quoted

__all__ = ["STDIN", "checked_name", "default_name", "label_of", "matches", "program_name", "subject_of"]

STDIN = "-"
"""The path that means standard input."""

# A name is part of a file name, is typed in shells, and is shown in tables.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_STEM = 32
_HASH_DIGITS = 4
_DEFAULT_NAME = re.compile(rf"(.+)-[0-9a-f]{{{_HASH_DIGITS}}}")


def checked_name(text: str) -> str:
    """Return the name. Raises ValueError if a program cannot have it."""
    if _NAME.fullmatch(text):
        return text
    expected = "expected at most 64 letters, digits, '-', '_' and '.', the first a letter or a digit"
    raise ValueError(f"cannot use {quoted(text)} as the name of a program; {expected}")


def subject_of(path: str) -> str:
    """Return what a program with this first path runs: its real path, which is the same for all ways to write it.

    Standard input and pipes have none, so two programs never run the same: "" for them.
    """
    if path == STDIN:
        return ""
    real = os.path.realpath(path)
    try:
        status = os.stat(path)  # noqa: PTH116 - not of `real`: a pipe has none that can be opened
    except (OSError, ValueError):
        return real
    return real if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else ""


def default_name(path: str) -> str:
    """Return the name of a program whose first path this is: its stem, and a hash of its real path.

    A program that reads standard input or a pipe has a hash of its pid: what it reads has no name of its own.
    """
    subject = subject_of(path)
    if subject:
        stem = os.path.basename(subject)  # noqa: PTH119
        stem = os.path.splitext(stem)[0] if os.path.isfile(subject) else stem  # noqa: PTH113, PTH122
    else:
        subject, stem = _this_process(), "stdin" if path == STDIN else "pipe"
    return _hashed(stem, subject)


def program_name(script: str) -> str:
    """Return the name of a program that brings its own scheduler: its script's, and a hash of its pid.

    Several processes may execute one script.
    """
    return _hashed(os.path.splitext(os.path.basename(script))[0] or "python", _this_process())  # noqa: PTH119, PTH122


def _this_process() -> str:
    return f"pid {os.getpid()}"


def _hashed(stem: str, subject: str) -> str:
    # Here, since it loads OpenSSL: verbs that ask a program do without, and with too little memory for it, it logs a
    # traceback for each kind of hash before the program can say in one line that it cannot begin.
    import hashlib

    return f"{_legal(stem)}-{hashlib.sha256(os.fsencode(subject)).hexdigest()[:_HASH_DIGITS]}"


def _legal(stem: str) -> str:
    """Return the stem with a dash for each group of characters that a name cannot have."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", stem)[:_LONGEST_STEM].strip("-_.") or "jobs"


def label_of(name: str) -> str:
    """Return a default name without its hash, as it is typed while that is unique; any other name whole."""
    found = _DEFAULT_NAME.fullmatch(name)
    return name if found is None else found[1]


def matches(typed: str, name: str) -> bool:
    """Return whether a name that was typed may mean the program with this one: `jobs` may mean `jobs-3f2a`."""
    return typed in (name, label_of(name))
