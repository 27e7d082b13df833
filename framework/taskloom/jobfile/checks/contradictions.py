"""Errors in one job whose fields are valid each, and contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from taskloom.core.model import JoinPolicy, Otherwise, RunnerSpec
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.diagnostics import FieldError
from taskloom.errors import CatalogError, TaskImportFailed, TaskNotFound
from taskloom.jobfile.fields.after import written_dependencies
from taskloom.jobfile.fields.join import Join
from taskloom.text import suggest

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog

__all__ = ["catalog_hint", "check_restart", "check_runner", "check_self_dependency", "join_policy"]

_DEFAULT_JOIN = Join()
_shared_policy = lru_cache(maxsize=256)(JoinPolicy)


def join_policy(values: Mapping[str, Any], errors: list[FieldError]) -> JoinPolicy:
    """Return the final join policy, whose default depends on `daemon`."""
    join: Join = values.get("join", _DEFAULT_JOIN)
    is_daemon = values.get("daemon", False)
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


def check_runner(
    runner: RunnerSpec | None, values: Mapping[str, Any], catalog: Catalog, errors: list[FieldError]
) -> None:
    """Add an error if the runner is not installed, or cannot execute this job."""
    if runner is None:
        return
    if runner.name == "thread":
        if runner.options.get("reuse") and not values.get("daemon", False) and not _is_invalid("daemon", errors):
            message = "cannot reuse the threads of a job that is not a daemon: idle threads are daemon threads"
            errors.append(FieldError(("runner", "thread", "reuse"), message, "write daemon: true"))
        return
    try:
        catalog.load_runner(runner.name)
    except CatalogError as error:
        errors.append(FieldError(("runner",), str(error), catalog_hint(error)))


def catalog_hint(error: CatalogError) -> str:
    """Return how to fix an error of the catalog, or ""."""
    if isinstance(error, TaskNotFound):
        return suggest(error.near)
    if isinstance(error, TaskImportFailed) and not error.advice:
        return f"for the traceback: taskloom {error.kind}s {error.name}"
    return ""
