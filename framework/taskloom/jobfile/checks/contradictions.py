"""Errors in one job whose fields are valid each, and contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.core.model import JoinPolicy, Otherwise, RunnerSpec
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.diagnostics import FieldError, quoted
from taskloom.errors import CatalogError, TaskImportFailed, TaskNotFound
from taskloom.jobfile.fields.after import written_dependencies
from taskloom.jobfile.fields.join import Join
from taskloom.text import error_text, suggest

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog, LoadedRunner

__all__ = [
    "RunnerAbilities",
    "catalog_hint",
    "check_restart",
    "check_runner",
    "check_self_dependency",
    "join_policy",
]

_DEFAULT_JOIN = Join()
_shared_policy = lru_cache(maxsize=256)(JoinPolicy)


def join_policy(values: Mapping[str, Any], runner: RunnerAbilities | None, errors: list[FieldError]) -> JoinPolicy:
    """Return the final join policy, whose default depends on `daemon` and on the runner, None if that is not known."""
    join: Join = values.get("join", _DEFAULT_JOIN)
    is_daemon = values.get("daemon", False)
    if runner is not None and runner.kills:
        if join.otherwise not in (None, Otherwise.KILL):
            message = f"cannot {join.otherwise.value} with runner {runner.name}: its runs are killed instead"
            errors.append(FieldError(("join", "otherwise"), message, "leave it out: kill is the default there"))
        return _shared_policy(join.within, Otherwise.KILL)
    if join.otherwise is Otherwise.KILL and runner is not None:
        what = "a thread cannot be killed" if runner.name == "thread" else "it does not kill its runs"
        message = f"cannot kill with runner {runner.name}: {what}"
        errors.append(FieldError(("join", "otherwise"), message, "write runner: process, whose runs can be killed"))
    if join.otherwise is Otherwise.ABANDON and not is_daemon and not _is_invalid("daemon", errors):
        message = "cannot abandon a job that is not a daemon: its thread would keep the process alive"
        errors.append(FieldError(("join", "otherwise"), message, "write daemon: true, or otherwise: exit"))
    return _shared_policy(join.within, join.otherwise or (Otherwise.ABANDON if is_daemon else Otherwise.EXIT))


def _is_invalid(field: str, errors: list[FieldError]) -> bool:
    """Return whether a field is written and invalid, so that its intended value is unknown."""
    return any(error.loc[:1] == (field,) for error in errors)


def check_self_dependency(name: object, written: object, errors: list[FieldError]) -> None:
    """Add an error if the job waits for itself. `written` is the value of `after`, which must be valid."""
    errors += (
        FieldError(dependency.loc, "cannot start after itself", at_key=dependency.at_key)
        for dependency in written_dependencies(written)
        if dependency.job == name
    )


def check_restart(values: Mapping[str, Any], errors: list[FieldError]) -> None:
    """Add an error if both `restart` and `schedule` would decide when the next run starts."""
    restart: RestartPolicy | None = values.get("restart")
    if restart is not None and restart.when is RestartWhen.ALWAYS and values.get("schedule") is not None:
        message = "cannot use restart: always with a schedule, which decides when the next run starts"
        errors.append(FieldError(("restart",), message, "write restart: on-failure, or leave it out"))


class RunnerAbilities(NamedTuple):
    """The abilities of the runner of a job."""

    name: str
    kills: bool = False
    needs_reference: bool = False
    starts_programs: bool = False


_THREAD = RunnerAbilities("thread")
_PROCESS = RunnerAbilities("process", kills=True, needs_reference=True, starts_programs=True)
_DASK = RunnerAbilities("dask", kills=True, needs_reference=True)


def check_runner(
    values: Mapping[str, Any], catalog: Catalog, errors: list[FieldError], *, is_program: bool | None
) -> RunnerAbilities | None:
    """Return the runner of a job; None if it is not known. Adds an error if it cannot execute this job.

    `is_program`: whether the task describes a program; None if the task could not be found.
    """
    # The value of `defaults:` does not stand in for one that is invalid.
    written: RunnerSpec | None = None if _is_invalid("runner", errors) else values.get("runner")
    if written is None:
        # The fields of an unknown task may fit the runner that is its default.
        is_known = is_program is not None and not _is_invalid("runner", errors)
        if is_known and is_program:
            return _process_runner({}, errors)
        return _THREAD if is_known else None
    runner = _runner_of(written, values, catalog, errors)
    if is_program and runner is not None and not runner.starts_programs:
        message = f"cannot start a program with runner {runner.name}, and the task of this job is one"
        errors.append(FieldError(("runner",), message, "write runner: process, or leave it out"))
    return runner


def _process_runner(options: Mapping[str, Any], errors: list[FieldError]) -> RunnerAbilities:
    from taskloom.jobfile.checks.process_runner import errors_on_this_machine

    errors += errors_on_this_machine(options)
    return _PROCESS


def _runner_of(
    written: RunnerSpec, values: Mapping[str, Any], catalog: Catalog, errors: list[FieldError]
) -> RunnerAbilities | None:
    name, options = written.name, written.options
    if name == "thread":
        if options.get("reuse") and not values.get("daemon", False) and not _is_invalid("daemon", errors):
            message = "cannot reuse the threads of a job that is not a daemon: idle threads are daemon threads"
            errors.append(FieldError(("runner", "thread", "reuse"), message, "write daemon: true"))
        return _THREAD
    if name == "process":
        return _process_runner(options, errors)
    if name == "dask":
        from taskloom.jobfile.checks.dask_runner import errors_for_cluster

        errors += errors_for_cluster(options)
        return _DASK
    try:
        loaded = catalog.load_runner(name)
    except CatalogError as error:
        errors.append(FieldError(("runner",), str(error), catalog_hint(error)))
        return None
    errors += _errors_in_options(loaded, options)
    return RunnerAbilities(name, loaded.kills, loaded.needs_reference, loaded.starts_programs)


def _errors_in_options(runner: LoadedRunner, options: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield what a runner of another package says about its options."""
    if not options:
        return
    base = ("runner", runner.name)
    if runner.check_options is None:
        for option in options:
            message = f"cannot use option {quoted(option)}: runner {runner.name!r} takes no options"
            yield FieldError((*base, str(option)), message, at_key=True)
        return
    try:
        found = [FieldError(*error) for error in runner.check_options(MappingProxyType(options)) or ()]
        yield from [error._replace(loc=(*base, *error.loc)) for error in found]
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - code of the package
        message = f"cannot check the options of runner {runner.name!r}: it raised {error_text(error)}"
        yield FieldError(base, message, at_key=True)


def catalog_hint(error: CatalogError) -> str:
    """Return how to fix an error of the catalog, or ""."""
    if isinstance(error, TaskNotFound):
        return suggest(error.near)
    if isinstance(error, TaskImportFailed) and not error.advice:
        return f"for the traceback: taskloom {error.kind}s {error.name}"
    return ""
