"""Where each effective value of a job comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from taskloom.catalog.pydantic_errors import mask_secrets
from taskloom.diagnostics import Place
from taskloom.jobfile.declared_job import Declared, as_written
from taskloom.jobfile.fields.registry import FIELDS

__all__ = ["Origin", "origins_of"]


class Origin(NamedTuple):
    """Who gave a field its value: the job itself, the `defaults:` of its file, or nobody; and where."""

    source: Literal["job", "defaults", "default"]
    written: str
    """The value as it is written, on one line; secrets masked, and `${VAR}` as it stands."""
    place: Place | None = None

    def __str__(self) -> str:
        if self.place is None:
            return self.source
        where = f"{self.place.path}:{self.place.line}"
        return f"defaults: {where}" if self.source == "defaults" else f"job {where}"


def origins_of(job: Declared) -> Mapping[str, Origin]:
    """Return the origin of every field of a job without mistakes."""
    return {name: _origin(job, name) for name in FIELDS}


def _origin(job: Declared, field: str) -> Origin:
    path = job.path_of(field)
    whole = job.shared if path[0] == "defaults" else job.written
    if field not in whole:
        return Origin("default", FIELDS[field].default)
    written = as_written(job.document, path, whole[field])
    if job.spec is not None:
        written = mask_secrets(written, job.spec.params)
    return Origin("defaults" if path[0] == "defaults" else "job", written, job.place_of(field))
