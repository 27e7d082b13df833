"""Jobs as declared in a file: gives each error its place, and quotes values as they are written there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.core.model import JobSpec
from taskloom.diagnostics import FieldError, Place, Problem, Related
from taskloom.jobfile.written_values import in_words_of_file

if TYPE_CHECKING:
    from taskloom.jobfile.syntax.document import Document

__all__ = ["DeclaredJob", "problems_of"]


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

    The value is quoted as it is written: `1.10`, not 1.1. A value from the environment is shown as `${PASSWORD}`; its
    content is never quoted.
    """
    job = base[-1] if base[0] == "jobs" else None
    for error in errors:
        path = (*base, *error.loc)
        message, hint = in_words_of_file(document, base, written, error)
        yield document.positions.problem(path, message, hint=hint, job=job, at_key=error.at_key)
