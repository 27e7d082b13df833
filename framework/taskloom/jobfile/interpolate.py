"""`${VAR}` in the values of a job file, put in after parsing, once.

Parsing first means that no value of a variable can add a key, close a quote or start a comment. A value that was
put in is never looked at again, and it is never quoted in a message: it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.errors import Problem, near_match
from taskloom.jobfile.document import Document
from taskloom.jobfile.places import Branch, Span, Standing, edges, settle
from taskloom.jobfile.scalars import BadScalar, Scalar, resolve

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
    return sorted(walk.problems.values(), key=lambda problem: problem.place)


class _Fault(NamedTuple):
    """A mistake in one scalar: at which of its `${`, counted from 0."""

    nth: int
    message: str
    hint: str


class _Walk:
    """Visits every container once, however many aliases share it."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._source, self._environ = document.source, environ
        self._seen: set[int] = set()
        self.problems: dict[tuple[int, str], Problem] = {}

    def container(self, value: Any, standing: Standing) -> None:
        branch = settle(standing)
        if not isinstance(branch, Branch) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        places: Any = branch.values
        for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            if isinstance(item, str):
                where = settle(places[key])
                if "${" in item and isinstance(where, int):
                    value[key] = self._scalar(item, where)
            elif isinstance(item, dict | list):
                self.container(item, places[key])

    def _scalar(self, text: str, span: Span) -> Scalar:
        faults: list[_Fault] = []
        replaced = _substitute(text, self._environ, faults)
        if not faults and span & 1:
            try:
                return resolve(replaced)
            except BadScalar:
                # Not the reader's message: it would quote the value.
                hint = "quote it, if it is a text"
                faults.append(_Fault(0, "cannot read this as a number once its variables are put in", hint))
        for fault in faults:
            self._complain(span, text, fault)
        return text if faults else replaced

    def _complain(self, span: Span, text: str, fault: _Fault) -> None:
        start, end = edges(span)
        spots = [found.start() for found in re.finditer(r"\$\{", self._source.text[start:end])]
        # With escapes or folding in between the counts may differ, and then the whole scalar is pointed at.
        if len(spots) == text.count("${"):
            start += spots[fault.nth]
            closing = self._source.text.find("}", start, end)
            end = closing + 1 if closing >= 0 else end
        problem = self._source.problem(start, fault.message, end=end, hint=fault.hint)
        self.problems[start, fault.message] = problem


def _substitute(text: str, environ: Mapping[str, str], faults: list[_Fault]) -> str:
    nth = -1

    def put_in(found: re.Match[str]) -> str:
        nonlocal nth
        nth += 1
        if found["escape"]:
            return "${"
        result = _value(found, environ)
        if isinstance(result, str):
            return result
        faults.append(_Fault(nth, *result))
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
    hint = f"did you mean ${{{near}}}?" if near else f"set it, or give a default: ${{{name}:-...}}"
    return f"cannot find the environment variable {name!r}", hint
