"""From mistakes to problems: where each stands in its file, and nothing of the environment quoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.core.model import JobSpec
from taskloom.diagnostics import FieldError, Place, Problem, Related, quoted

if TYPE_CHECKING:
    from taskloom.jobfile.syntax.document import Document

__all__ = ["Declared", "as_written", "problems_of"]

# A shorter text is no secret worth the name, and may be part of any word of a message.
_SHORTEST_SECRET = 4


class Declared(NamedTuple):
    """A job as it is written, and what became of it."""

    name: str
    document: Document
    written: Mapping[str, Any]
    shared: Mapping[str, Any]
    """What `defaults:` of its file says, as written."""
    spec: JobSpec | None
    """None where something is wrong with it."""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of the job in its file."""
        return ("jobs", self.name)

    def path_of(self, field: str) -> tuple[str, ...]:
        """Return where a field's value comes from: the job, else the defaults; of one that nobody wrote, the job."""
        return ("defaults", field) if field not in self.written and field in self.shared else (*self.path, field)

    def place_of(self, field: str) -> Place:
        """Return where the field is written."""
        return self.document.places.key(self.path_of(field))

    def error(self, mistake: FieldError, related: tuple[Related, ...] = ()) -> Problem:
        """Return the problem of a mistake in what is written for the job."""
        [problem] = problems_of(self.document, self.path, self.written, [mistake])
        return problem._replace(related=(*problem.related, *related))

    def warning(self, field: str, mistake: FieldError, related: tuple[Related, ...] = ()) -> Problem:
        """Return a warning about a field, which may come from the defaults.

        The mistake's location begins inside the field, and counts only where a mapping or a list is written.
        """
        path = self.path_of(field)
        whole = self.shared if path[0] == "defaults" else self.written
        is_simple = not isinstance(whole.get(field), Mapping | list)
        inside = mistake._replace(loc=(field,) if is_simple else (field, *mistake.loc))
        [problem] = problems_of(self.document, path[:-1], whole, [inside])
        return problem._replace(severity="warning", job=self.name, related=(*problem.related, *related))


def problems_of(
    document: Document, base: tuple[str, ...], written: Mapping[str, Any], mistakes: Iterable[FieldError]
) -> Iterator[Problem]:
    """Place the mistakes of what is written at `base`.

    A value that came from the environment is shown as it is written, `${PASSWORD}`: never quoted.
    """
    job = base[-1] if base[0] == "jobs" else None
    for mistake in mistakes:
        path = (*base, *mistake.loc)
        message, hint = mistake.message, mistake.hint
        for value, text in _substituted(document, path, _at(written, mistake.loc)):
            message, hint = message.replace(value, text), hint.replace(value, text)
        yield document.places.problem(path, message, hint=hint, job=job, at_key=mistake.at_key)


def as_written(document: Document, path: tuple[str | int, ...], value: Any) -> str:
    """Return the value at a path on one line, as the file has it: `${VAR}` stays, and what `<<` brought is there."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {as_written(document, (*path, key), item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(as_written(document, (*path, index), item) for index, item in enumerate(value))}]"
    return " ".join(document.places.written(path).split())


def _at(value: Any, loc: Iterable[str | int]) -> Any:
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
    return value


def _substituted(document: Document, path: tuple[str | int, ...], value: Any) -> Iterator[tuple[str, str]]:
    """Yield the values beneath a path that came from the environment, each with what is written in the file."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _substituted(document, (*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _substituted(document, (*path, index), item)
    else:
        written = document.places.written(path)
        if "${" in written:
            yield quoted(value), quoted(written.strip("\"'"))
            if len(str(value)) >= _SHORTEST_SECRET:
                yield str(value), written.strip("\"'")
