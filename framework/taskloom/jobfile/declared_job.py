"""Jobs as declared in a file: gives each error its place, and keeps values of the environment out of messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.catalog.pydantic_errors import MASK
from taskloom.core.model import JobSpec
from taskloom.diagnostics import FieldError, Place, Problem, Related, quoted
from taskloom.jobfile.secret_frames import is_reference

if TYPE_CHECKING:
    from taskloom.jobfile.syntax.document import Document

__all__ = ["DeclaredJob", "as_written", "problems_of"]

# A shorter value is not worth hiding, and it may occur inside any word of a message.
_SHORTEST_SECRET = 4


class DeclaredJob(NamedTuple):
    """A job as written in its file, and its validated form."""

    name: str
    document: Document
    written: Mapping[str, Any]
    defaults: Mapping[str, Any]
    """`defaults:` of the file, as written."""
    spec: JobSpec | None
    """None if the job is invalid."""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of the job in its file."""
        return ("jobs", self.name)

    def path_of(self, field: str) -> tuple[str, ...]:
        """Return the path at which a field is set: in the job or in `defaults:`. If it is in neither, in the job."""
        return ("defaults", field) if field not in self.written and field in self.defaults else (*self.path, field)

    def place_of(self, field: str) -> Place:
        """Return the place at which a field is set."""
        return self.document.positions.key(self.path_of(field))

    def error(self, error: FieldError, related: tuple[Related, ...] = ()) -> Problem:
        """Return the problem for an error in what is written for the job."""
        [problem] = problems_of(self.document, self.path, self.written, [error])
        return problem._replace(related=(*problem.related, *related))

    def warning(self, field: str, error: FieldError, related: tuple[Related, ...] = ()) -> Problem:
        """Return a warning about a field, which may come from `defaults:`.

        The location of `error` begins inside the field. It is ignored if the field is neither a mapping nor a list.
        """
        path = self.path_of(field)
        section = self.defaults if path[0] == "defaults" else self.written
        is_simple = not isinstance(section.get(field), Mapping | list)
        inside = error._replace(loc=(field,) if is_simple else (field, *error.loc))
        [problem] = problems_of(self.document, path[:-1], section, [inside])
        return problem._replace(severity="warning", job=self.name, related=(*problem.related, *related))


def problems_of(
    document: Document, base: tuple[str, ...], written: Mapping[str, Any], errors: Iterable[FieldError]
) -> Iterator[Problem]:
    """Yield the errors in what is written at `base`, each with its place.

    A value from the environment is shown as written, such as `${PASSWORD}`. It is never quoted.
    """
    job = base[-1] if base[0] == "jobs" else None
    for error in errors:
        path = (*base, *error.loc)
        message, hint = error.message, error.hint
        for value, text in _substituted(document, path, _value_at(written, error.loc)):
            message, hint = message.replace(value, text), hint.replace(value, text)
        yield document.positions.problem(path, message, hint=hint, job=job, at_key=error.at_key)


def as_written(document: Document, path: tuple[str | int, ...], value: Any, final: Any = None) -> str:
    """Return the value at a path on one line, as written: with `${VAR}`, and with the keys that `<<` merges.

    `final`: the validated value. Where it is a secret, the written one is masked unless it only names a variable.
    """
    if isinstance(value, dict):
        parts = [f"{key}: {as_written(document, (*path, key), item, _part(final, key))}" for key, item in value.items()]
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list):
        items = enumerate(value)
        parts = [as_written(document, (*path, index), item, _part(final, index)) for index, item in items]
        return f"[{', '.join(parts)}]"
    written = " ".join(document.positions.written(path).split())
    return MASK if hasattr(final, "get_secret_value") and not is_reference(written) else written


def _part(final: Any, key: str | int) -> Any:
    """Return the part of a validated value that was written under a key; None if it cannot be found."""
    if isinstance(final, Mapping):
        return final.get(key)
    if isinstance(final, list | tuple) and isinstance(key, int):
        return final[key] if key < len(final) else None
    fields = getattr(type(final), "model_fields", {})
    names = [name for name, field in fields.items() if key in (name, field.alias)]
    return getattr(final, names[0], None) if names else None


def _value_at(value: Any, loc: Iterable[str | int]) -> Any:
    """Return the value at a location, or the nearest one above it that exists."""
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
    return value


def _substituted(document: Document, path: tuple[str | int, ...], value: Any) -> Iterator[tuple[str, str]]:
    """Yield the values at or below a path that come from the environment, each with the text in the file."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _substituted(document, (*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _substituted(document, (*path, index), item)
    else:
        written = document.positions.written(path)
        if "${" in written:
            yield quoted(value), quoted(written.strip("\"'"))
            if len(str(value)) >= _SHORTEST_SECRET:
                yield str(value), written.strip("\"'")
