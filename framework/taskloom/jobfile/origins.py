"""Where each effective value of a job comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from taskloom.errors import Place
from taskloom.jobfile.fields import FIELDS
from taskloom.jobfile.placing import Declared

__all__ = ["Origin", "origins_of"]


class Origin(NamedTuple):
    """Who gave a field its value: the job itself, the `defaults:` of its file, or nobody; and where."""

    source: Literal["job", "defaults", "default"]
    place: Place | None = None

    def __str__(self) -> str:
        if self.place is None:
            return self.source
        where = f"{self.place.path}:{self.place.line}"
        return f"defaults: {where}" if self.source == "defaults" else f"job {where}"


def origins_of(job: Declared) -> Mapping[str, Origin]:
    """Return the origin of every field."""
    return {name: _origin(job, name) for name in FIELDS}


def _origin(job: Declared, field: str) -> Origin:
    if field in job.written:
        return Origin("job", job.place_of(field))
    if field in job.shared:
        return Origin("defaults", job.place_of(field))
    return Origin("default")
