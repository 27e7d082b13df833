"""From the fields of a job, as plain values or as a Job declared in code, to a validated JobSpec."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from taskloom.catalog.pydantic_errors import ParamErrors
from taskloom.catalog.signatures import ShapeError
from taskloom.core.model import JobSpec, JoinPolicy, Otherwise, RunnerSpec
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.diagnostics import FieldError, Place
from taskloom.errors import CatalogError, InvalidJob, NotATask, TaskImportFailed, TaskNotFound
from taskloom.job import Job
from taskloom.jobfile.fields.after import written_needs
from taskloom.jobfile.fields.registry import FIELDS, JobErrors, Join
from taskloom.text import did_you_mean, suggest

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog
    from taskloom.catalog.params import TaskShape
    from taskloom.runners.binding import Binding

__all__ = ["JOB_NAME", "ONLY_IN_A_JOB", "is_note", "job_spec", "read_defaults", "spec_of"]

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
ONLY_IN_A_JOB = ("task", "params", "description", "after")
_DEFAULT_JOIN = Join()
# What `vars()` of a Job says when nothing but the required fields was given.
_OF_CODE = ("name", "task")
_JOB_DEFAULTS = vars(Job(name="", task=""))


def is_note(key: str) -> bool:
    """Tell whether a key is a note, which nobody reads but people."""
    return key.startswith("x-")


def read_defaults(written: Mapping[str, object]) -> dict[str, Any]:
    """Return the values that a file's `defaults:` gives to all its jobs. Raises JobMistakes."""
    values, mistakes = _read({key: value for key, value in written.items() if key not in ONLY_IN_A_JOB})
    for key in written:
        if key in ONLY_IN_A_JOB:
            mistakes.append(FieldError((key,), f"cannot set {key!r} in defaults; it belongs to each job", at_key=True))
    if mistakes:
        raise JobErrors(mistakes)
    return values


def _read(written: Mapping[str, object]) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the final values of the fields that are written, and what is wrong with them."""
    values: dict[str, Any] = {}
    mistakes: list[FieldError] = []
    for key, value in written.items():
        field = FIELDS.get(key)
        if field is None:
            mistakes += _foreign(key)
            continue
        try:
            values[key] = field.read(value)
        except JobErrors as error:
            mistakes += error.mistakes
    return values, mistakes


def _foreign(key: str) -> list[FieldError]:
    if is_note(key):
        return []
    message = f"cannot find field {key!r}; known: {', '.join(FIELDS)}"
    return [FieldError((key,), message, did_you_mean(key, FIELDS), at_key=True)]


def job_spec(
    name: str,
    written: Mapping[str, object],
    catalog: Catalog,
    *,
    defaults: Mapping[str, Any] | None = None,
    place: Place | None = None,
) -> JobSpec:
    """Return the job that the written fields declare. `defaults` are what `read_defaults` returned.

    Raises JobMistakes with everything that is wrong; a location in them starts at the job.
    """
    values, mistakes = _read(written)
    if "after" in values:
        mistakes += _own_name(name, values, written)
    find: Callable[[], TaskShape] | None = None
    if "task" in values:
        find = partial(_installed, values["task"], catalog)
    elif "task" not in written:
        message = f"cannot run a job without a task; installed: {', '.join(catalog.names()) or 'none'}"
        mistakes.append(FieldError(("task",), message, at_key=True))
    return _assembled(name, {**(defaults or {}), **values}, find, catalog=catalog, mistakes=mistakes, place=place)


def spec_of(job: Job, catalog: Catalog) -> JobSpec:
    """Return the validated form of a job declared in code. Raises InvalidJob with everything that is wrong."""
    plain = {
        key: value
        for key, value in vars(job).items()
        if value is not (usual := _JOB_DEFAULTS.get(key, value)) and key not in _OF_CODE and value != usual
    }
    if isinstance(job.labels, tuple):
        plain["labels"] = list(job.labels)
    values, mistakes = _read(plain)
    mistakes += _own_name(job.name, values, plain)
    if isinstance(job.task, str):
        values["task"], find = job.task, partial(_installed, job.task, catalog)
    else:
        find = partial(_given, job.task, catalog)
    try:
        return _assembled(job.name, values, find, catalog=catalog, mistakes=mistakes)
    except JobErrors as error:
        sentences = [f"{each.message} ({each.hint})" if each.hint else each.message for each in error.mistakes]
        raise InvalidJob(str(job.name), sentences) from None


def _assembled(
    name: Any,
    values: dict[str, Any],
    find: Callable[[], TaskShape] | None,
    *,
    catalog: Catalog,
    mistakes: list[FieldError],
    place: Place | None = None,
) -> JobSpec:
    """Return the job of final values; raise JobMistakes with the mistakes that were and that turn up."""
    if not isinstance(name, str) or not JOB_NAME.fullmatch(name):
        message = (
            f"cannot use {name!r} as the name of a job; expected a letter or a digit, then letters, digits, '_', '-'"
        )
        mistakes.append(FieldError((), message, "63 characters at most" if len(str(name)) > 63 else "", at_key=True))
    values["join"] = _join_policy(values, mistakes)
    _check_runner(values.get("runner"), values, catalog, mistakes)
    _check_supervision(values, mistakes)
    shape, bound = _bound(find, values.get("params") or {}, mistakes)
    if mistakes or shape is None or bound is None:
        raise JobErrors(mistakes)
    values.setdefault("task", shape.name)
    values["params"] = bound[0]
    return JobSpec(name=name, place=place, binding=bound[1], **values)


def _installed(task: str, catalog: Catalog) -> TaskShape:
    return catalog.load(task).shape


def _given(task: object, catalog: Catalog) -> TaskShape:
    try:
        return catalog.shape_of(task)
    except ShapeError as error:
        raise NotATask(getattr(task, "__name__", type(task).__name__), "this program", str(error)) from None


def _join_policy(policies: Mapping[str, Any], mistakes: list[FieldError]) -> JoinPolicy:
    join: Join = policies.get("join", _DEFAULT_JOIN)
    is_daemon = policies.get("daemon", False)
    if join.otherwise is Otherwise.ABANDON and not is_daemon and not _is_doubtful("daemon", mistakes):
        message = "cannot abandon a job that is not a daemon: its thread would keep the process alive"
        mistakes.append(FieldError(("join", "otherwise"), message, "write daemon: true, or otherwise: exit"))
    return _shared_policy(join.within, join.otherwise or (Otherwise.ABANDON if is_daemon else Otherwise.EXIT))


def _is_doubtful(field: str, mistakes: list[FieldError]) -> bool:
    """Tell whether a field was written wrong, so that nobody knows what was meant."""
    return any(mistake.loc[:1] == (field,) for mistake in mistakes)


@lru_cache(maxsize=256)
def _shared_policy(within: float, otherwise: Otherwise) -> JoinPolicy:
    return JoinPolicy(within, otherwise)


def _own_name(name: object, values: Mapping[str, Any], written: Mapping[str, object]) -> list[FieldError]:
    """Return a mistake where a job waits for itself."""
    needs = written_needs(written["after"]) if "after" in values else ()
    return [FieldError(need.loc, "cannot start after itself", at_key=need.at_key) for need in needs if need.job == name]


def _check_supervision(values: Mapping[str, Any], mistakes: list[FieldError]) -> None:
    """Note where the fields of supervision contradict each other."""
    restart: RestartPolicy | None = values.get("restart")
    if restart is not None and restart.when is RestartWhen.ALWAYS and values.get("schedule") is not None:
        message = "cannot restart always beside a schedule, which says when the next run starts"
        mistakes.append(FieldError(("restart",), message, "write restart: on-failure, or leave it out"))


def _check_runner(
    runner: RunnerSpec | None, values: Mapping[str, Any], catalog: Catalog, mistakes: list[FieldError]
) -> None:
    if runner is None:
        return
    if runner.name == "thread":
        if runner.options.get("reuse") and not values.get("daemon", False) and not _is_doubtful("daemon", mistakes):
            message = "cannot reuse the threads of a job that is not a daemon: idle threads are daemon threads"
            mistakes.append(FieldError(("runner", "thread", "reuse"), message, "write daemon: true"))
        return
    try:
        catalog.load_runner(runner.name)
    except CatalogError as error:
        mistakes.append(FieldError(("runner",), str(error), _cure(error)))


def _cure(error: CatalogError) -> str:
    if isinstance(error, TaskNotFound):
        return suggest(error.near)
    if isinstance(error, TaskImportFailed):
        return f"for the traceback: taskloom {error.kind}s {error.name}"
    return ""


def _bound(
    find: Callable[[], TaskShape] | None, params: Mapping[str, Any], mistakes: list[FieldError]
) -> tuple[TaskShape, tuple[dict[str, Any], Binding]] | tuple[None, None]:
    """Return the task with the values of its params and what makes the runs' bodies; Nones when it adds mistakes."""
    if find is None:
        return None, None
    shape = None
    try:
        shape = find()
        return shape, shape.bind(params)
    except ParamErrors as errors:
        # What has no place of its own (a missing param) is shown at the key `params`, not over all its lines.
        mistakes += (
            each._replace(loc=("params", *each.loc), at_key=each.at_key or not each.loc) for each in errors.errors
        )
    except ShapeError as error:  # a type that pydantic cannot check
        where = shape.label if shape is not None else "?"
        mistakes.append(FieldError(("task",), f"cannot use the task at {where}: {error}"))
    except CatalogError as error:
        mistakes.append(FieldError(("task",), str(error), _cure(error)))
    return None, None
