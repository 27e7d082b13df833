"""`after`: the jobs that a job waits for, and the condition that each must satisfy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from taskloom.core.policies import Condition, Dependency
from taskloom.diagnostics import FieldError, missing_blank, quoted
from taskloom.jobfile.fields.spec import Field, JobErrors, Loc, Spec, choice, invalid_value, join_or, text
from taskloom.text import did_you_mean

__all__ = ["AFTER", "WrittenDependency", "written_dependencies"]

_CONDITIONS = {each.value: each for each in Condition}
_FORMS = "the name of a job, a list of names, or {job: started, ready, succeeded or finished}"

_NAME: Mapping[str, Any] = text(is_empty_allowed=False).schema
_BY_JOB: Mapping[str, Any] = {"type": "object", "additionalProperties": choice(Condition).schema}
_SCHEMA: Mapping[str, Any] = {
    "anyOf": [
        _NAME,
        _BY_JOB,
        {"type": "array", "items": {"anyOf": [_NAME, {**_BY_JOB, "minProperties": 1, "maxProperties": 1}]}},
    ]
}


class WrittenDependency(NamedTuple):
    """One dependency as written, valid or not, and its location."""

    loc: Loc
    at_key: bool
    """Whether the name of the job is a key."""
    job: object
    condition: object


def written_dependencies(value: object) -> Iterator[WrittenDependency]:
    """Yield the dependencies, valid or not, in the order in which they are written.

    Raises JobErrors if the value has none of the legal forms.
    """
    if isinstance(value, str):
        yield WrittenDependency(("after",), False, value, Condition.READY.value)
    elif isinstance(value, Mapping):
        for job, condition in value.items():
            yield WrittenDependency(("after", job), True, job, condition)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if isinstance(item, Mapping) and len(item) == 1:
                [(job, condition)] = item.items()
                yield WrittenDependency(("after", index, job), True, job, condition)
            else:
                yield WrittenDependency(("after", index), False, item, Condition.READY.value)
    else:
        raise invalid_value(value, ("after",), _FORMS, "write [] for none" if value is None else "")


def _read(value: object, loc: Loc) -> tuple[Dependency, ...]:
    del loc  # `after` is a field and never a part of another value
    dependencies: dict[str, Dependency] = {}
    errors = []
    for written in written_dependencies(value):
        error = _error_in(written, dependencies)
        if error is not None:
            errors.append(error)
        else:
            job = str(written.job)
            dependencies[job] = Dependency(job, _CONDITIONS[str(written.condition)])
    if errors:
        raise JobErrors(errors)
    return tuple(dependencies.values())


def _error_in(written: WrittenDependency, earlier: Mapping[str, Dependency]) -> FieldError | None:
    loc, at_key, job, condition = written
    if not isinstance(job, str) or not job:
        hint = "one job per item" if isinstance(job, Mapping) and job else ""
        message = f"cannot use {quoted(job)} as a dependency; expected the name of a job, or {{job: condition}}"
        return FieldError(loc, message, hint)
    blank = missing_blank(job)
    if blank is not None and job.partition(":")[2] in _CONDITIONS:
        return FieldError(loc, *blank, at_key=at_key)
    if not isinstance(condition, str) or condition not in _CONDITIONS:
        message = f"cannot wait for {job!r} to be {quoted(condition)}; expected {join_or(list(_CONDITIONS))}"
        return FieldError(loc, message, did_you_mean(condition, _CONDITIONS))
    if job in earlier:
        first = earlier[job].condition.value
        hint = "" if condition == first else f"it already waits for {first}"
        return FieldError(loc, f"cannot wait for {job!r} twice", hint, at_key=at_key)
    return None


AFTER = Field(
    "after",
    Spec(_read, _SCHEMA, lambda value: isinstance(value, str | Mapping | list | tuple)),
    "[]",
    "The jobs to wait for: a name, a list of names, or {job: condition}. A bare name waits for ready; the "
    "other conditions are started, succeeded and finished. The name of a job with replicas means all of "
    "its replicas.",
    is_shareable=False,
)
