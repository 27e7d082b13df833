"""`taskloom:` of a job file: the settings of the whole program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.diagnostics import FieldError, Place, Problem, Related, missing_blank, near_match
from taskloom.jobfile.declared_job import problems_of
from taskloom.jobfile.fields.registry import FIELDS, is_note
from taskloom.jobfile.fields.settings import FILE_ONLY, SETTINGS
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.url_passwords import without_passwords
from taskloom.jobfile.written_values import as_written, named_as_written
from taskloom.text import suggest

if TYPE_CHECKING:
    from taskloom.jobfile.syntax.document import Document

__all__ = ["KEY", "FileSetting", "FileSettings"]

KEY = "taskloom"


class FileSetting(NamedTuple):
    """One setting of a job file."""

    value: Any
    """Its final value, such as a number of seconds."""
    written: str
    """As it is written, on one line; `${VAR}` is not replaced, and the password of a URL is masked."""
    place: Place


class FileSettings:
    """The settings of one set of job files, of which at most one has some."""

    def __init__(self) -> None:
        self.found: dict[str, FileSetting] = {}
        self._first: Place | None = None

    def add(self, document: Document, root: Mapping[str, Any]) -> Iterator[Problem]:
        """Read the settings of a file, and yield what is wrong with them. A file without any is fine."""
        if KEY not in root:
            return
        written, place = root[KEY], document.positions.key((KEY,))
        if self._first is not None:
            message = f"cannot use {KEY!r} in two files: it is first written at {self._first}"
            problem = document.positions.problem((KEY,), message, at_key=True)
            yield problem._replace(related=(Related(self._first, "first written here"),))
        if written is not None and not isinstance(written, dict):
            yield _no_mapping(document, written)
        is_first, self._first = self._first is None, self._first or place
        if not isinstance(written, dict):
            return
        values, errors = _read(written)
        yield from problems_of(document, (KEY,), written, errors)
        if is_first:
            for name, value in values.items():
                path = (KEY, name)
                # A receiver may have secrets at several places, and needs more than a line.
                is_shown = name not in FILE_ONLY
                text = without_passwords(as_written(document, path, written[name])) if is_shown else str(value)
                self.found[name] = FileSetting(value, text, document.positions.key(path))


def _no_mapping(document: Document, written: object) -> Problem:
    blank = missing_blank(written)
    if blank is not None:
        return document.positions.problem((KEY,), blank[0], hint=blank[1])
    shown = named_as_written(document, (KEY,), written)
    return document.positions.problem((KEY,), f"cannot use {shown} as {KEY}; expected a mapping of settings")


def _read(written: Mapping[str, object]) -> tuple[dict[str, Any], list[FieldError]]:
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for key, value in written.items():
        if key in SETTINGS:
            try:
                values[key] = SETTINGS[key].read(value)
            except JobErrors as error:
                errors += error.errors
        elif not is_note(key):
            errors.append(_unknown(key, value))
    return values, errors


def _unknown(key: str, value: object) -> FieldError:
    blank = missing_blank(key) if value is None else None
    if blank is not None:
        return FieldError((key,), *blank, at_key=True)
    hint = suggest(near_match(key, SETTINGS))
    if key in FIELDS:
        hint = "it belongs to a job, or to 'defaults:'"
    elif key == "socket":
        hint = "write it as the value of 'control'"
    message = f"cannot find setting {key!r}; known: {', '.join(SETTINGS)}"
    return FieldError((key,), message, hint, at_key=True)
