"""Parses files of `NAME=VALUE` lines, which give values to job files and to programs.

The usual subset of what systemd, Docker and dotenv libraries read: blank lines, `#` comments, an optional `export`,
values in single quotes (as they are, over several lines) or double quotes (with `\\n`, `\\t`, `\\"`, `\\\\` and `\\$`).
A `$` is a `$`: nothing is substituted or executed. The values are probably passwords: no message shows any.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from taskloom.diagnostics import MASK, Place, Problem

__all__ = ["LARGEST", "MOST_PROBLEMS", "EnvLines", "EnvValue", "decode_env"]

LARGEST = 1024 * 1024
"""The most bytes of one file."""
MOST_PROBLEMS = 100
"""More would not be read."""

_NAME = re.compile(r"(?P<start>[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=)(?P<gap>[ \t]*)")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?=\n|\Z)")
_COMMENT = re.compile(r"[ \t]#.*")
_ESCAPE = re.compile(r"""\\([nrt"'\\$])""")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


class EnvValue(NamedTuple):
    """The value of one variable, and the place of its name."""

    text: str
    place: Place


def decode_env(data: bytes) -> str:
    """Return the text of a file. Raises ValueError, with the reason, if it is too large or no text."""
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST >> 20} MiB")
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        raise ValueError("it contains a NUL byte, so it is not text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text") from None


class EnvLines:
    """Reads the lines of one file; `path` is what messages call it."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text.replace("\r\n", "\n")
        self.values: dict[str, EnvValue] = {}
        self.problems: list[Problem] = []

    def read(self) -> None:
        """Read all lines into `values` and `problems`. Call it once."""
        start, number = 0, 1
        while start < len(self._text) and len(self.problems) < MOST_PROBLEMS:
            end = self._entry(start, number)
            end = len(self._text) if end < 0 else end
            number += self._text.count("\n", start, end + 1)
            start = end + 1

    def _entry(self, start: int, number: int) -> int:
        """Read what begins with the line at `start`; return the offset of the line break after it, or -1."""
        end = self._text.find("\n", start)
        line = self._text[start:] if end < 0 else self._text[start:end]
        if not line.strip() or line.lstrip().startswith("#"):
            return end
        found = _NAME.match(line)
        if found is None:
            self._report(number, "cannot read this line: it is not NAME=VALUE", "write NAME=VALUE, or '#' before it")
            return end
        begin = start + found.end()
        if line[found.end() :].startswith(("'", '"')):
            return self._quoted(found, number, begin, end)
        value = found["gap"] + line[found.end() :]
        self._add(found, number, _COMMENT.sub("", value).strip())
        return end

    def _quoted(self, found: re.Match[str], number: int, begin: int, end: int) -> int:
        is_double = self._text[begin] == '"'
        value = (_DOUBLE if is_double else _SINGLE).match(self._text, begin)
        if value is None:
            kind = "double" if is_double else "single"
            self._report(number, f"cannot find the end of this value: it begins with a {kind} quote", "", found)
            return end
        rest = _REST.match(self._text, value.end())
        if rest is None:
            self._report(number, "cannot read the text after the closing quote", "", found)
            return self._text.find("\n", value.end())
        text = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), value[1]) if is_double else value[1]
        self._add(found, number, text)
        return rest.end() if rest.end() < len(self._text) else -1

    def _add(self, found: re.Match[str], number: int, text: str) -> None:
        self.values[found["name"]] = EnvValue(text, self._place(found, number))

    def _place(self, found: re.Match[str], number: int) -> Place:
        return Place(self._path, number, found.start("name") + 1, len(found["name"]))

    def _report(self, number: int, message: str, hint: str, found: re.Match[str] | None = None) -> None:
        """Record a problem. Its line is shown with a mask for the value, or for all of it if there is no name."""
        if found is None:
            problem = Problem(Place(self._path, number, 1, len(MASK)), message, hint, source_line=MASK)
        else:
            problem = Problem(self._place(found, number), message, hint, source_line=f"{found['start']}{MASK}")
        self.problems.append(problem)
