"""Makes a validated JobSpec from the fields of a job: plain values of a job file, or a Job declared in code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.catalog.pydantic_errors import ParamErrors
from taskloom.catalog.signatures import ShapeError
from taskloom.core.model import JobSpec, RunnerSpec
from taskloom.core.policies import Watchdog, WatchdogThen
from taskloom.diagnostics import FieldError, Place, missing_blank, near_match, quoted
from taskloom.errors import CatalogError, InvalidJob, NotATask, TaskloomError
from taskloom.job import Job
from taskloom.jobfile.checks.contradictions import (
    RunnerAbilities,
    catalog_hint,
    check_restart,
    check_runner,
    check_self_dependency,
    join_policy,
)
from taskloom.jobfile.fields.registry import FIELDS, JOB_NAME, is_note
from taskloom.jobfile.fields.spec import JobErrors, Loc
from taskloom.jobfile.misplaced import told_level
from taskloom.text import error_text, suggest

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog
    from taskloom.catalog.params import TaskShape
    from taskloom.runners.binding import Binding

__all__ = ["job_spec", "read_defaults", "spec_of"]

# Looked up once: a file may hold a hundred thousand jobs.
_READERS = {name: field.spec.read for name, field in FIELDS.items()}
_NOT_FIELDS = ("name", "task")
# A message about a value that a program made may contain all of it.
_LONGEST_REASON = 1000
_LONGEST_SHOWN_NAME = 200
# The attributes of a Job that has only the required ones, to recognise which were given.
_JOB_DEFAULTS = vars(Job(name="", task=""))


def read_defaults(written: Mapping[str, object]) -> dict[str, Any]:
    """Return the values that `defaults:` of a file gives to all its jobs. Raises JobErrors."""
    values, errors = _read({key: value for key, value in written.items() if not _belongs_to_one_job(key)})
    for key in written:
        if _belongs_to_one_job(key):
            errors.append(FieldError((key,), f"cannot set {key!r} in defaults; it belongs to each job", at_key=True))
    if errors:
        raise JobErrors(errors)
    return values


def _belongs_to_one_job(key: str) -> bool:
    return key in FIELDS and not FIELDS[key].is_shareable


def _read(written: Mapping[str, object]) -> tuple[dict[str, Any], list[FieldError]]:
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for key, value in written.items():
        read = _READERS.get(key)
        if read is None:
            if not is_note(key):
                errors.append(_unknown_field(key, value))
            continue
        try:
            values[key] = read(value, (key,))
        except JobErrors as error:
            errors += error.errors
    return values, errors


def _unknown_field(key: str, value: object) -> FieldError:
    blank = missing_blank(key) if value is None else None
    if blank is not None:
        return FieldError((key,), *blank, at_key=True)
    near = near_match(key, FIELDS)
    message = f"cannot find field {key!r}; known: {', '.join(FIELDS)}"
    return FieldError((key,), message, suggest(near), at_key=True)


def job_spec(
    name: str,
    written: Mapping[str, object],
    catalog: Catalog,
    *,
    defaults: Mapping[str, Any] | None = None,
    place: Place | None = None,
) -> JobSpec:
    """Return the job that the written fields declare. `defaults` is a result of `read_defaults`.

    Raises JobErrors with everything that is wrong; its locations begin at the job.
    """
    values, errors = _read(written)
    if "after" in values:
        check_self_dependency(name, written["after"], errors)
    find: Callable[[], _Found] | None = None
    if "task" in values:
        find = partial(_installed_task, values["task"], catalog)
    elif "task" not in written and not any(missing_blank(key, ["task"]) for key in written):
        message = f"cannot run a job without a task; installed: {', '.join(catalog.names()) or 'none'}"
        errors.append(FieldError(("task",), message, at_key=True))
    return _assemble(name, {**(defaults or {}), **values}, find, catalog=catalog, errors=errors, place=place)


def spec_of(job: Job, catalog: Catalog) -> JobSpec:
    """Return the validated form of a job declared in code. Raises InvalidJob with everything that is wrong."""
    written: object = job.name
    name = written if isinstance(written, str) else quoted(written)
    try:
        return _spec_of(job, catalog)
    except JobErrors as error:
        reasons = list(map(_reason, error.errors))
        raise InvalidJob(name, list(map(_shown, reasons))) from None
    except (TaskloomError, MemoryError):
        raise
    except Exception as error:  # an object of the program has a method that fails, such as `__eq__` or `__repr__`
        raise InvalidJob(name, [_shown(f"cannot read its declaration: {error_text(error)}")]) from error


def _reason(error: FieldError) -> str:
    """Return the sentence for an error, which names the field."""
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    if not error.loc or _names_field(error.message, error.loc):
        return message
    return f"{'.'.join(map(str, error.loc))}: {message}"


def _names_field(message: str, loc: Loc) -> bool:
    """Return whether a message says which field it is about; of a param, its own name is enough."""
    field, *inner = [re.search(rf"\b{re.escape(str(part))}\b", message) is not None for part in loc]
    is_about_value = message.startswith(("cannot use ", "cannot read ", "cannot wait "))
    if loc[0] == "params":
        return any(inner) or not inner
    return field or (any(inner) and not is_about_value)


def _shown(reason: str) -> str:
    """Return a reason as text that can be written anywhere, cut to a length that can be read."""
    text = reason[:_LONGEST_REASON].encode("utf-8", "backslashreplace").decode()
    return text if len(reason) <= _LONGEST_REASON else f"{text}..."


def _is_given(key: str, value: object) -> bool:
    """Return whether an attribute of a Job differs from its default.

    Only values of the default's type are compared: others may be equal to everything, or to nothing, as arrays are.
    """
    default = _JOB_DEFAULTS.get(key, value)
    return value is not default and (type(value) is not type(default) or value != default)


def _spec_of(job: Job, catalog: Catalog) -> JobSpec:
    written = {key: value for key, value in vars(job).items() if key not in _NOT_FIELDS and _is_given(key, value)}
    if isinstance(job.labels, tuple):
        written["labels"] = list(job.labels)
    values, errors = _read(written)
    if "params" in values:
        _drop_unnamed(values, errors)
    if "after" in values:
        check_self_dependency(job.name, written["after"], errors)
    if isinstance(job.task, str):
        values["task"], find = job.task, partial(_installed_task, job.task, catalog)
    else:
        find = partial(_task_of_program, job.task, catalog)
    return _assemble(job.name, values, find, catalog=catalog, errors=errors)


def _drop_unnamed(values: dict[str, Any], errors: list[FieldError]) -> None:
    """Drop each param whose key is not text, which only a program can write, and add an error for it."""
    params = values["params"]
    values["params"] = {key: value for key, value in params.items() if isinstance(key, str)}
    errors += (
        FieldError(("params",), f"cannot use {quoted(key)} as the name of a parameter; expected text", at_key=True)
        for key in params
        if not isinstance(key, str)
    )


class _Found(NamedTuple):
    """The task of a job."""

    shape: TaskShape
    named: str
    """How a message names it."""


def _installed_task(task: str, catalog: Catalog) -> _Found:
    loaded = catalog.load(task)
    return _Found(loaded.shape, f"task {loaded.name!r} of {loaded.offered_by}")


def _task_of_program(task: object, catalog: Catalog) -> _Found:
    try:
        shape = catalog.shape_of(task)
    except ShapeError as error:
        raise NotATask(getattr(task, "__name__", type(task).__name__), "this program", str(error)) from None
    return _Found(shape, f"the task at {shape.label}")


def _assemble(
    name: Any,
    values: dict[str, Any],
    find: Callable[[], _Found] | None,
    *,
    catalog: Catalog,
    errors: list[FieldError],
    place: Place | None = None,
) -> JobSpec:
    """Return the job with the final values. Raises JobErrors with `errors` and the ones found here."""
    if not isinstance(name, str) or not JOB_NAME.fullmatch(name):
        errors.append(_invalid_name(name))
    is_unknown = "params" not in values and any(error.loc[:1] == ("params",) for error in errors)
    params = None if is_unknown else values.get("params") or {}
    in_task: list[FieldError] = []
    shape, bound = _bind(find, params, in_task)
    runner = check_runner(values, catalog, errors, is_program=None if shape is None else shape.is_program)
    values["join"] = join_policy(values, runner, errors)
    check_restart(values, errors)
    errors += in_task
    if errors and shape is not None:
        errors = [told_level(error, shape) for error in errors]
    if shape is not None and bound is not None and runner is not None:
        if runner.needs_reference and not shape.is_program:
            crossing = shape.errors_crossing(params or {})
            errors += crossing
            _ = None if crossing else bound[1].reference  # copies the params now: the caller may change them later
        _add_defaults(values, bound[1], runner)
    if errors or shape is None or bound is None:
        raise JobErrors(errors)
    values.setdefault("task", shape.name)
    values["params"] = bound[0]
    return JobSpec(name=name, place=place, binding=bound[1], **values)


def _add_defaults(values: dict[str, Any], binding: Binding, runner: RunnerAbilities) -> None:
    """Add the defaults that depend on the task: the runner of a program, and the watchdog of one that is checked."""
    if "runner" not in values and runner.name != "thread":
        values["runner"] = RunnerSpec(runner.name)
    if "watchdog" not in values and binding.check_seconds is not None:
        values["watchdog"] = Watchdog(binding.check_seconds, WatchdogThen.RESTART)


def _invalid_name(name: object) -> FieldError:
    # One that is a little too long is shown in full, so that it can be found.
    shown = repr(name) if isinstance(name, str) and len(name) <= _LONGEST_SHOWN_NAME else quoted(name)
    message = f"cannot use {shown} as the name of a job; expected a letter or a digit, then letters, digits, '_', '-'"
    is_long = isinstance(name, str) and len(name) > 63
    return FieldError((), message, "at most 63 characters" if is_long else "", at_key=True)


def _bind(
    find: Callable[[], _Found] | None, params: Mapping[str, Any] | None, errors: list[FieldError]
) -> tuple[TaskShape | None, tuple[dict[str, Any], Binding] | None]:
    """Return the task, and its params with what makes the runs' bodies; None for each of both that cannot be used.

    `params` is None if they cannot be read. Then only the task is looked for.
    """
    if find is None:
        return None, None
    try:
        shape, named = find()
    except CatalogError as error:
        errors.append(FieldError(("task",), str(error), catalog_hint(error)))
        return None, None
    if params is None:
        return None, None
    try:
        return shape, shape.bind(params)
    except ParamErrors as found:
        # An error without a location, such as a missing param, is shown at the key `params` and not over all its lines.
        errors += (
            each._replace(loc=("params", *each.loc), at_key=each.at_key or not each.loc) for each in found.errors
        )
        return shape, None
    except ShapeError as error:  # a type that pydantic cannot check
        errors.append(FieldError(("task",), f"cannot use {named}: {error}"))
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - its types and defaults are objects of the task's own package
        errors.append(FieldError(("task",), f"cannot use {named}: it raised {error_text(error)}"))
    return None, None
