"""Replaces `${VAR}` and `${file:PATH}` in the values of a job file, once, after parsing.

Because the file is parsed first, the value of a variable cannot add a key, close a quote or start a comment. A
replaced value is not searched again, and it is never quoted in a message, because it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from taskloom.diagnostics import Problem, near_match
from taskloom.jobfile.syntax.document import Document
from taskloom.jobfile.syntax.positions import Aliased, Branch, Position, Span, offsets, origin_of
from taskloom.jobfile.syntax.scalars import BadScalar, Scalar, resolve
from taskloom.jobfile.syntax.value_files import ValueFiles, folder_of
from taskloom.text import suggest

__all__ = ["interpolate", "references_in"]

FORMS = "legal: ${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:PATH}, and $${ for a literal ${"

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# `${file:-x}` and `${file:?x}` are the variable `file`, so no path begins with "-" or "?". A path may contain `${VAR}`.
_PATH = rf"file:(?![-?])(?P<path>(?:\$\{{{_NAME}\}}|[^{{}}:]|:(?![-?]))+)"
_REFERENCE = re.compile(
    rf"(?P<escape>\$\$\{{)|\$\{{(?:(?:{_PATH}|(?P<name>{_NAME}))(?:(?P<how>:[-?])(?P<text>[^{{}}]*))?\}}|)"
)
_VARIABLE_IN_PATH = re.compile(rf"\$\{{({_NAME})\}}")


def interpolate(document: Document, environ: Mapping[str, str], files: ValueFiles | None = None) -> list[Problem]:
    """Replace every `${...}` in the scalar values of `document`, and return the problems. Keys are not changed.

    `files` remembers what it has read, for all documents of one reading.

    A plain scalar is resolved again afterwards, so `port: ${PORT}` may become an integer; a quoted one remains text. A
    value with a problem remains as written. If there is nothing to replace, this costs one search of the text.
    """
    text = document.source.text
    # A double-quoted "\x24{VAR}" has "${" in its value but not in the text; this needs a backslash.
    if "${" not in text and "\\" not in text:
        return []
    interpolator = _Interpolator(document, environ, files or ValueFiles())
    interpolator.container(document.root, document.positions.root)
    return sorted(interpolator.problems, key=lambda problem: problem.place)


# A double-quoted text may write its "$" as an escape, too.
_ESCAPED_DOLLAR = re.compile(r"\\(?:x24|u0024|U00000024)")


def references_in(written: str) -> Iterator[str]:
    """Yield each reference in a scalar as it is written, such as `${NAME}`, but not the escape `$${`."""
    text = _ESCAPED_DOLLAR.sub("$", written) if written.startswith('"') else written
    for found in _REFERENCE.finditer(text):
        if not found["escape"]:
            name = found["name"] or (f"file:{found['path']}" if found["path"] else "")
            yield f"${{{name}}}"


# More problems than these would not be read. The replaced text may be as long as the largest job file.
MAX_PROBLEMS = 1000
MAX_CHARACTERS = 8 * 1024 * 1024


class _ScalarError(NamedTuple):
    """An error in one scalar. `nth` counts its `${` from 0."""

    nth: int
    message: str
    hint: str


class _LimitReached(Exception):
    """Signals that a limit is reached and the rest of a scalar is skipped."""


class _Interpolator:
    """Visits every container and every scalar once, even if aliases share it."""

    def __init__(self, document: Document, environ: Mapping[str, str], files: ValueFiles) -> None:
        self._source, self._environ, self._files = document.source, environ, files
        self._seen: set[int] = set()
        self._done: dict[Span, Scalar] = {}
        self._characters = 0
        self.problems: list[Problem] = []

    def container(self, value: Any, position: Position) -> None:
        branch = origin_of(position)
        if not isinstance(branch, Branch) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        places: Any = branch.values
        for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            if isinstance(item, str):
                value[key] = self._scalar(item, places[key])
            elif isinstance(item, dict | list):
                self.container(item, places[key])

    def _scalar(self, text: str, position: Position) -> Scalar:
        span = origin_of(position)
        if not isinstance(span, int):
            return text
        # A scalar is visited twice only through an alias. Its text may be a megabyte, and its aliases half a million.
        if isinstance(position, Aliased) and span in self._done:
            return self._done[span]
        value = self._replaced(text, span) if "${" in text else text
        if isinstance(position, Aliased):
            self._done[span] = value
        return value

    def _replaced(self, text: str, span: Span) -> Scalar:
        errors: list[_ScalarError] = []
        try:
            replaced = self._substitute(text, errors)
        except _LimitReached:
            replaced = text
        if not errors and span & 1:
            try:
                return resolve(replaced)
            except BadScalar:
                # Not the message of the exception, which quotes the value.
                hint = "quote it, if it is a text"
                errors.append(_ScalarError(0, "cannot read this as a number after its variables are replaced", hint))
        if errors:
            self._report(span, text, errors)
            self._done[span] = text  # reported once, even if aliases repeat it
        return text if errors else replaced

    def _report(self, span: Span, text: str, errors: list[_ScalarError]) -> None:
        start, end = offsets(span)
        spots = [found.start() for found in re.finditer(r"\$\{", self._source.text[start:end])]
        # With escapes or folded lines the counts may differ. Then the problem is shown at the whole scalar.
        is_as_written = len(spots) == text.count("${")
        for error in errors[: MAX_PROBLEMS - len(self.problems)]:
            first, last = start, end
            if is_as_written:
                first = start + spots[error.nth]
                last = self._end_of_reference(first, end)
            self.problems.append(self._source.problem(first, error.message, end=last, hint=error.hint))

    def _end_of_reference(self, start: int, end: int) -> int:
        """Return the offset after the `${...}` that begins at `start`, in a scalar that ends at `end`."""
        found = _REFERENCE.match(self._source.text, start, end)
        if found is not None and found[0].endswith("}"):
            return found.end()
        return 1 + self._source.text.find("}", start, end) or end

    def _substitute(self, text: str, errors: list[_ScalarError]) -> str:
        nth = -1

        def replacement(found: re.Match[str]) -> str:
            nonlocal nth
            this = nth + 1
            nth += found[0].count("${")
            if found["escape"]:
                return "${"
            result = self._value_of_file(found) if found["path"] else _value(found, self._environ)
            if isinstance(result, str):
                self._characters += len(result)
                if self._characters <= MAX_CHARACTERS:
                    return result
                result = f"cannot replace variables by more than {MAX_CHARACTERS:,} characters", ""
            errors.append(_ScalarError(this, *result))
            if self._characters > MAX_CHARACTERS or len(errors) == MAX_PROBLEMS:
                raise _LimitReached
            return ""

        return _REFERENCE.sub(replacement, text)

    def _value_of_file(self, found: re.Match[str]) -> str | tuple[str, str]:
        """Return the content of a file, or the message and the hint of a problem."""
        written, how = str(found["path"]), found["how"]
        shown = f"${{file:{' '.join(written.split())}}}"
        unset = [name for name in _VARIABLE_IN_PATH.findall(written) if not self._environ.get(name)]
        if unset and how != ":-":
            return f"cannot use {shown}: the environment variable {unset[0]!r} is not set", ""
        if unset:
            return str(found["text"])
        path = _VARIABLE_IN_PATH.sub(lambda name: self._environ[name[1]], written)
        value = self._files.value(path, folder_of(self._source.path))
        if value.refusal and not value.is_missing:
            return f"cannot read {shown}: {value.refusal}", ""
        if value.text or (how is None and not value.is_missing):
            return value.text
        if how == ":-":
            return str(found["text"])
        if how == ":?":
            why = " ".join(str(found["text"]).split()) or ("it does not exist" if value.is_missing else "it is empty")
            return f"cannot use {shown}: {why}", ""
        # The near path of one that holds a variable would show its value.
        reason = value.refusal.partition("; ")[0] if path != written else value.refusal
        return f"cannot read {shown}: {reason}", f"create it, or give a default: {shown[:-1]}:-...}}"


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str | tuple[str, str]:
    """Return the replacement, or the message and the hint of a problem."""
    name, how, rest = found["name"], found["how"], found["text"]
    if name is None:
        return "cannot read this '${'", FORMS
    value = environ.get(name, "")
    if value:
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            return f"cannot use ${{{name}}}: its value is not UTF-8 text", ""
        return value
    if how == ":-":
        return str(rest)
    if how == ":?":
        # The text may be folded over several lines, but a message is one line.
        return f"cannot use ${{{name}}}: {' '.join(str(rest).split()) or 'it is not set'}", ""
    if name in environ:
        return value
    near = near_match(name, environ)
    hint = suggest(f"${{{near}}}") if near else f"set it, or give a default: ${{{name}:-...}}"
    return f"cannot find the environment variable {name!r}", hint
