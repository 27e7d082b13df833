"""The origin of each value of a job, which `taskloom validate --plan` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from taskloom.catalog.pydantic_errors import mask_secrets
from taskloom.diagnostics import SECRET_NAME, Place
from taskloom.jobfile.declared_job import DeclaredJob
from taskloom.jobfile.fields.registry import FIELDS
from taskloom.jobfile.secret_values import is_program
from taskloom.jobfile.url_passwords import without_passwords
from taskloom.jobfile.written_values import as_written
from taskloom.text import duration

__all__ = ["Origin", "origins_of"]


class Origin(NamedTuple):
    """The source of a field's value, and its place.

    It is the job, `defaults:` of its file, the job's task if that is a program, or the default of the field.
    """

    source: Literal["job", "defaults", "task", "default"]
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
        return _default_of(job, field)
    final = _final(job, field)
    written = without_passwords(as_written(job.document, path, section[field], final))
    if job.spec is not None:
        written = mask_secrets(written, job.spec.params)
    return Origin("defaults" if path[0] == "defaults" else "job", written, job.place_of(field))


def _default_of(job: DeclaredJob, field: str) -> Origin:
    """Return the origin of a field that is not written: a program has a runner and perhaps a watchdog of its own."""
    spec = job.spec
    if spec is not None and field == "runner" and spec.runner.name != FIELDS[field].default:
        return Origin("task", spec.runner.name)
    if spec is not None and field == "watchdog" and spec.watchdog is not None:
        return Origin("task", f"{{after: {duration(spec.watchdog.after)}, then: {spec.watchdog.then.value}}}")
    return Origin("default", FIELDS[field].default)


class _Secret:
    """Stands for a value that is to be masked."""

    def get_secret_value(self) -> None:
        """Return nothing: only that it is there counts."""


def _final(job: DeclaredJob, field: str) -> object:
    """Return the final value of a field as far as it holds secrets."""
    if job.spec is None:
        return None
    if field == "params":
        env = job.spec.params.get("env") if is_program(job.spec) else None
        return {**job.spec.params, "env": _secret_variables(env)} if isinstance(env, Mapping) else job.spec.params
    env = job.spec.runner.options.get("env") if field == "runner" else None
    return {job.spec.runner.name: {"env": _secret_variables(env)}} if isinstance(env, Mapping) else None


def _secret_variables(env: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return environment variables with those replaced that are secret by their names."""
    return {name: _Secret() if SECRET_NAME.search(str(name)) else value for name, value in env.items()}
