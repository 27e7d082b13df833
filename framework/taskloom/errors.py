"""Every error that Taskloom raises, as one tree.

The branches say what the reader has to do next: fix the job file (`JobFileError`), fix the call
(`UsageError`), mend an installed package (`CatalogError`) or report a bug (`InternalError`).
A class takes facts and builds its own sentence; tools read its attributes.

`Cancelled`, `TaskFailure` and `PermanentFailure` stand apart: tasks raise them, and no caller ever sees them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskloom.diagnostics import Problem, near_match
from taskloom.text import did_you_mean

__all__ = [
    "AlreadyRunning",
    "AmbiguousTask",
    "Cancelled",
    "CatalogError",
    "DependencyCycle",
    "DependencyUnmet",
    "DuplicateJob",
    "InternalError",
    "InvalidJob",
    "JobBlocked",
    "JobDisabled",
    "JobFileError",
    "JobStopping",
    "MissingExtra",
    "NotATask",
    "PermanentFailure",
    "Replicated",
    "SchedulerStopped",
    "SelfJoin",
    "TaskFailure",
    "TaskImportFailed",
    "TaskNotFound",
    "TaskloomError",
    "UnknownJob",
    "UsageError",
]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


class TaskloomError(Exception):
    """Is the base of everything that Taskloom raises on purpose."""


class JobFileError(TaskloomError):
    """Job files cannot be used. Fix the files: `problems` holds every mistake, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(TaskloomError):
    """A call cannot be carried out. Fix the call; nothing was changed by it."""


class InvalidJob(UsageError):
    """A job declared in code cannot be used. `reasons` holds every mistake, a sentence each."""

    def __init__(self, name: str, reasons: Sequence[str]) -> None:
        self.name, self.reasons = name, tuple(reasons)
        super().__init__(f"cannot add job {name!r}: {'; '.join(self.reasons)}")


class UnknownJob(UsageError):
    """No job of this name was added."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, tuple(known)
        hint = did_you_mean(name, self.known, before="; ")
        super().__init__(f"cannot find job {name!r}; known: {_listed(self.known)}{hint}")


class DuplicateJob(UsageError):
    """A job of this name was added before."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"cannot add job {name!r}: a job of this name exists")


class AlreadyRunning(UsageError):
    """A running job cannot be started a second time; its run goes on untouched."""

    def __init__(self, job: str, run: str) -> None:
        self.job, self.run = job, run
        super().__init__(f"cannot start job {job!r}: run {run} is still running")


class JobStopping(UsageError):
    """A job that is being stopped cannot be started; wait until its run has ended."""

    def __init__(self, job: str, run: str) -> None:
        self.job, self.run = job, run
        super().__init__(f"cannot start job {job!r}: run {run} is still stopping")


class JobBlocked(UsageError):
    """A job whose abandoned thread still lives cannot be started."""

    def __init__(self, job: str, run: str) -> None:
        self.job, self.run = job, run
        super().__init__(f"cannot start job {job!r}: the thread of its abandoned run {run} is still alive")


class DependencyUnmet(UsageError):
    """A job whose dependencies have not come true is not started; start it with `now`, or let it wait by `arm`."""

    def __init__(self, job: str, what: str, *, is_lost: bool) -> None:
        self.job, self.what, self.is_lost = job, what, is_lost
        super().__init__(f"cannot start job {job!r}: {what}" if is_lost else f"cannot start job {job!r}: needs {what}")


class DependencyCycle(UsageError):
    """Jobs that wait for each other in a circle can never start; take one of the dependencies away."""

    def __init__(self, circle: Sequence[str]) -> None:
        self.circle = tuple(circle)
        super().__init__(f"cannot order jobs that wait for each other: {' -> '.join(circle)}")


class Replicated(UsageError):
    """A job of several replicas is several jobs: add it with `add_all`."""

    def __init__(self, job: str, replicas: int) -> None:
        self.job, self.replicas = job, replicas
        super().__init__(f"cannot add job {job!r} as one: it has {replicas} replicas; use add_all")


class JobDisabled(UsageError):
    """A job with `enabled: false` cannot be started."""

    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(f"cannot start job {job!r}: it is disabled")


class SchedulerStopped(UsageError):
    """A scheduler that was asked to stop starts nothing and takes no more jobs."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(f"cannot {wanted}: the scheduler was stopped")


class SelfJoin(UsageError):
    """A run cannot wait for its own end."""

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(f"cannot join run {run} from its own thread: it would wait for itself")


class CatalogError(TaskloomError):
    """An installed package cannot be used as asked. Install or mend a package."""


class TaskNotFound(CatalogError):
    """No installed package offers this name in the entry-point group."""

    def __init__(self, name: str, installed: Iterable[str], kind: str = "task") -> None:
        self.name, self.installed, self.kind = name, tuple(sorted(installed)), kind
        self.near = near_match(name, self.installed)
        super().__init__(f"cannot find {kind} {name!r}; installed: {_listed(self.installed)}")


class TaskImportFailed(CatalogError):
    """A package offers the name, and importing it failed. `traceback` is the plugin's own."""

    def __init__(self, name: str, distribution: str, error: str, traceback: str, kind: str = "task") -> None:
        self.name, self.distribution, self.error, self.traceback, self.kind = name, distribution, error, traceback, kind
        super().__init__(f"cannot import {kind} {name!r} of {distribution}: {error}")


class NotATask(CatalogError):
    """A package offers the name, and what stands there is no task (or no runner)."""

    def __init__(self, name: str, distribution: str, why: str, kind: str = "task") -> None:
        self.name, self.distribution, self.why, self.kind = name, distribution, why, kind
        super().__init__(f"cannot use {kind} {name!r} of {distribution}: {why}")


class AmbiguousTask(CatalogError):
    """Two installed packages offer one name; `distributions` holds each as "name version"."""

    def __init__(self, name: str, distributions: Iterable[str], kind: str = "task") -> None:
        self.name, self.distributions, self.kind = name, tuple(sorted(distributions)), kind
        super().__init__(f"cannot choose {kind} {name!r}: offered by {' and by '.join(self.distributions)}")


class MissingExtra(CatalogError):
    """A feature needs an optional package."""

    def __init__(self, wanted: str, extra: str) -> None:
        self.wanted, self.extra = wanted, extra
        super().__init__(f"cannot use {wanted}: run: pip install 'taskloom[{extra}]'")


class InternalError(TaskloomError):
    """Taskloom broke one of its own rules. Please report it with the traceback."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(f"internal error: {rule}")


class Cancelled(BaseException):
    """Raised inside a task by `ctx.raise_if_cancelled()` and the cancel-aware waits.

    Derives from BaseException so that the `except Exception` of a task's retry loop lets it pass.
    """


class TaskFailure(Exception):
    """Raise it from a task for a failure that its message explains in full: the log shows no traceback of it."""


class PermanentFailure(TaskFailure):
    """Raise it from a task whose failure no restart can mend."""
