"""`${VAR}` in the values of a job file, put in after parsing, once.

Parsing first means that no value of a variable can add a key, close a quote or start a comment. A value that was
put in is never looked at again, and it is never quoted in a message: it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.diagnostics import Problem, near_match
from taskloom.jobfile.syntax.document import Document
from taskloom.jobfile.syntax.positions import Borrowed, Branch, Span, Standing, edges, settle
from taskloom.jobfile.syntax.scalars import BadScalar, Scalar, resolve
from taskloom.text import suggest

__all__ = ["interpolate"]

FORMS = "legal: ${VAR}, ${VAR:-default}, ${VAR:?message}, and $${ for a literal ${"

_REFERENCE = re.compile(
    r"(?P<escape>\$\$\{)|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:[-?])(?P<text>[^{}]*))?\}|)"
)


def interpolate(document: Document, environ: Mapping[str, str]) -> list[Problem]:
    """Replace every `${...}` in the scalar values of `document` (never in keys) and return what was wrong.

    A plain scalar is resolved again afterwards, so `port: ${PORT}` may be an integer; a quoted one stays a text. A
    value with a problem is left as written. Costs one search of the text when there is nothing to replace.
    """
    text = document.source.text
    # A double-quoted "\x24{VAR}" has a "${" in its value and none in the text. It takes a backslash.
    if "${" not in text and "\\" not in text:
        return []
    walk = _Walk(document, environ)
    walk.container(document.root, document.places.root)
    return sorted(walk.problems, key=lambda problem: problem.place)


# More mistakes than this nobody reads, and more text than a job file may hold itself is no value of a job.
MAX_PROBLEMS = 1000
MAX_CHARACTERS = 8 * 1024 * 1024


class _Fault(NamedTuple):
    """A mistake in one scalar: at which of its `${`, counted from 0."""

    nth: int
    message: str
    hint: str


class _Enough(Exception):
    """The rest of a scalar is not looked at."""


class _Walk:
    """Visits every container and every scalar once, however many aliases share it."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._source, self._environ = document.source, environ
        self._seen: set[int] = set()
        self._done: dict[Span, Scalar] = {}
        self._characters = 0
        self.problems: list[Problem] = []

    def container(self, value: Any, standing: Standing) -> None:
        branch = settle(standing)
        if not isinstance(branch, Branch) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        places: Any = branch.values
        for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            if isinstance(item, str):
                value[key] = self._scalar(item, places[key])
            elif isinstance(item, dict | list):
                self.container(item, places[key])

    def _scalar(self, text: str, standing: Standing) -> Scalar:
        span = settle(standing)
        if not isinstance(span, int):
            return text
        # Only through an alias is a scalar met twice; its text may be a megabyte and its aliases half a million.
        if isinstance(standing, Borrowed) and span in self._done:
            return self._done[span]
        value = self._replaced(text, span) if "${" in text else text
        if isinstance(standing, Borrowed):
            self._done[span] = value
        return value

    def _replaced(self, text: str, span: Span) -> Scalar:
        faults: list[_Fault] = []
        try:
            replaced = self._substitute(text, faults)
        except _Enough:
            replaced = text
        if not faults and span & 1:
            try:
                return resolve(replaced)
            except BadScalar:
                # Not the reader's message: it would quote the value.
                hint = "quote it, if it is a text"
                faults.append(_Fault(0, "cannot read this as a number once its variables are put in", hint))
        if faults:
            self._complain(span, text, faults)
            self._done[span] = text  # told once, however many aliases repeat it
        return text if faults else replaced

    def _complain(self, span: Span, text: str, faults: list[_Fault]) -> None:
        start, end = edges(span)
        spots = [found.start() for found in re.finditer(r"\$\{", self._source.text[start:end])]
        # With escapes or folding in between the counts may differ, and then the whole scalar is pointed at.
        is_as_written = len(spots) == text.count("${")
        for fault in faults[: MAX_PROBLEMS - len(self.problems)]:
            first, last = start, end
            if is_as_written:
                first = start + spots[fault.nth]
                last = 1 + self._source.text.find("}", first, end) or end
            self.problems.append(self._source.problem(first, fault.message, end=last, hint=fault.hint))

    def _substitute(self, text: str, faults: list[_Fault]) -> str:
        nth = -1

        def put_in(found: re.Match[str]) -> str:
            nonlocal nth
            nth += 1
            if found["escape"]:
                return "${"
            result = _value(found, self._environ)
            if isinstance(result, str):
                self._characters += len(result)
                if self._characters <= MAX_CHARACTERS:
                    return result
                result = f"cannot put in more than {MAX_CHARACTERS:,} characters", ""
            faults.append(_Fault(nth, *result))
            if self._characters > MAX_CHARACTERS or len(faults) == MAX_PROBLEMS:
                raise _Enough
            return ""

        return _REFERENCE.sub(put_in, text)


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str | tuple[str, str]:
    """Return the text to put in, or the message and the hint of a problem."""
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
        # The text may be folded over lines; a message is one line.
        return f"cannot use ${{{name}}}: {' '.join(str(rest).split()) or 'it is not set'}", ""
    if name in environ:
        return value
    near = near_match(name, environ)
    hint = suggest(f"${{{near}}}") if near else f"set it, or give a default: ${{{name}:-...}}"
    return f"cannot find the environment variable {name!r}", hint
