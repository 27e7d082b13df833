"""The origin of each value of a job, which `taskloom validate --plan` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from taskloom.catalog.pydantic_errors import mask_secrets
from taskloom.diagnostics import Place
from taskloom.jobfile.declared_job import DeclaredJob
from taskloom.jobfile.fields.registry import FIELDS
from taskloom.jobfile.url_passwords import without_passwords
from taskloom.jobfile.written_values import as_written

__all__ = ["Origin", "origins_of"]


class Origin(NamedTuple):
    """The source of a field's value, and its place: the job, `defaults:` of its file, or the default of the field."""

    source: Literal["job", "defaults", "default"]
    written: str
    """The value as written, on one line. Secrets are masked, and `${VAR}` is not replaced."""
    place: Place | None = None

    def __str__(self) -> str:
        if self.place is None:
            return self.source
        where = f"{self.place.path}:{self.place.line}"
        return f"defaults: {where}" if self.source == "defaults" else f"job {where}"


def origins_of(job: DeclaredJob) -> Mapping[str, Origin]:
    """Return the origin of every field of a valid job."""
    return {name: _origin(job, name) for name in FIELDS}


def _origin(job: DeclaredJob, field: str) -> Origin:
    path = job.path_of(field)
    section = job.defaults if path[0] == "defaults" else job.written
    if field not in section:
        return Origin("default", FIELDS[field].default)
    final = job.spec.params if job.spec is not None and field == "params" else None
    written = without_passwords(as_written(job.document, path, section[field], final))
    if job.spec is not None:
        written = mask_secrets(written, job.spec.params)
    return Origin("defaults" if path[0] == "defaults" else "job", written, job.place_of(field))
