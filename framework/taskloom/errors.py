"""Every error that Taskloom raises, as one tree.

Each branch is about what to do next: fix the job file (`JobFileError`), fix the call (`UsageError`), install or
repair a package (`CatalogError`) or report a bug (`InternalError`). A class takes facts and builds its own message;
tools read its attributes.

`Cancelled`, `TaskFailure` and `PermanentFailure` are not part of the tree: tasks raise them, and they never reach a
caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskloom.diagnostics import Place, Problem, Related, near_match, quoted
from taskloom.text import did_you_mean, first_of, measured, normalised, suggest

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
    "NoProcess",
    "NoRun",
    "NotATask",
    "NotScheduled",
    "OnSchedulerThread",
    "PermanentFailure",
    "Place",
    "Problem",
    "ProgramRunning",
    "Related",
    "Replicated",
    "SchedulerBusy",
    "SchedulerForked",
    "SchedulerStopped",
    "SelfJoin",
    "TaskFailure",
    "TaskImportFailed",
    "TaskNotFound",
    "TaskloomError",
    "UnknownJob",
    "UnknownSignal",
    "UsageError",
    "near_match",
]


# More known names than this do not help to correct one.
_MOST_LISTED = 100
_MOST_IN_CIRCLE = 20
_MOST_BROKEN = 3


def _listed(names: Iterable[str]) -> str:
    return first_of(sorted(names), _MOST_LISTED) or "none"


class TaskloomError(Exception):
    """Base class of the errors that Taskloom raises on purpose."""


class JobFileError(TaskloomError):
    """Job files cannot be used. Fix the files: `problems` holds every error, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(TaskloomError):
    """A call cannot be carried out. Fix the call; nothing was changed by it."""


class InvalidJob(UsageError):
    """A job declared in Python cannot be used. `reasons` holds one sentence for each error."""

    def __init__(self, name: str, reasons: Sequence[str]) -> None:
        self.name, self.reasons = name, tuple(reasons)
        super().__init__(f"cannot add job {quoted(name)}: {'; '.join(self.reasons)}")


class UnknownJob(UsageError):
    """No job with this name was added."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(name)

    def __str__(self) -> str:
        # Built when it is read: the error is raised inside the core, and the search for a near match takes time.
        hint = did_you_mean(self.name, self.known, before="; ")
        return f"cannot find job {quoted(self.name)}; known: {_listed(self.known)}{hint}"


class DuplicateJob(UsageError):
    """A job with this name was added before."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"cannot add job {name!r}: a job with this name exists")


class AlreadyRunning(UsageError):
    """A running job cannot be started again; its run continues unchanged."""

    def __init__(self, job: str, run: str) -> None:
        self.job, self.run = job, run
        super().__init__(f"cannot start job {job!r}: run {run} is still running")


class JobStopping(UsageError):
    """A job that is being stopped cannot be started; wait until its run has ended."""

    def __init__(self, job: str, run: str) -> None:
        self.job, self.run = job, run
        super().__init__(f"cannot start job {job!r}: run {run} is still stopping")


class JobBlocked(UsageError):
    """A job cannot be started while the thread of its abandoned run is alive, or its lost run may be executing."""

    def __init__(self, job: str, run: str, seconds: float | None = None) -> None:
        self.job, self.run, self.seconds = job, run, seconds
        why = f"the thread of its abandoned run {run} is still alive"
        if seconds is not None:
            why = f"its lost run {run} may still be executing for {measured(seconds)}"
        super().__init__(f"cannot start job {job!r}: {why}")


class DependencyUnmet(UsageError):
    """A job with unsatisfied dependencies is not started. Start it with `now`, or let it wait with `arm`."""

    def __init__(self, job: str, what: str, *, is_lost: bool, request: str = "start") -> None:
        self.job, self.what, self.is_lost = job, what, is_lost
        super().__init__(f"cannot {request} job {job!r}: {what if is_lost else f'needs {what}'}")


class DependencyCycle(UsageError):
    """Jobs that wait for each other in a cycle can never start. Remove one of the dependencies."""

    def __init__(self, circle: Sequence[str]) -> None:
        self.circle = tuple(circle)
        super().__init__(self.circle[0] if circle else "")

    def __str__(self) -> str:
        names, left = self.circle, len(self.circle) - _MOST_IN_CIRCLE
        if left > 0:
            half = _MOST_IN_CIRCLE // 2
            names = (*names[:half], f"... {left:,} more ...", *names[-half:])
        return f"cannot order jobs that wait for each other: {' -> '.join(names)}"


class Replicated(UsageError):
    """A job with several replicas is several jobs. Add it with `add_all`."""

    def __init__(self, job: str, replicas: int) -> None:
        self.job, self.replicas = job, replicas
        super().__init__(f"cannot add job {job!r} as one: it has {replicas} replicas; use add_all")


class JobDisabled(UsageError):
    """A job with `enabled: false` cannot be started."""

    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(f"cannot start job {job!r}: it is disabled")


class NotScheduled(UsageError):
    """A job without a schedule cannot be paused or resumed. Call `instead`: stop it, or start it."""

    def __init__(self, request: str, job: str, instead: str) -> None:
        self.request, self.job, self.instead = request, job, instead
        super().__init__(f"cannot {request} job {job!r}: it has no schedule; {instead} it instead")


class NoRun(UsageError):
    """The job has no run to do this to. Start it first."""

    def __init__(self, request: str, job: str, state: str) -> None:
        self.request, self.job, self.state = request, job, state
        super().__init__(f"cannot {request} job {job!r}: it has no run ({state})")


class NoProcess(UsageError):
    """The job's run is not in a process of its own. Declare the job with `runner: process`.

    `runner` is the one that executes it; "" if that is a runner with processes, and this run has none at the moment.
    """

    def __init__(self, request: str, job: str, run: str, runner: str) -> None:
        self.request, self.job, self.run, self.runner = request, job, run, runner
        why = f"is not in a process of its own (runner: {runner}); it can be if the job has runner: process"
        super().__init__(f"cannot {request} job {job!r}: run {run} {why if runner else 'has no process at the moment'}")


class UnknownSignal(UsageError):
    """There is no such signal. Write its name, or its number. `near`: the name that is most likely meant, or None."""

    def __init__(self, written: object, near: str | None) -> None:
        self.written, self.near = written, near
        legal = "expected a name such as HUP or SIGTERM, or a number"
        super().__init__(f"cannot use {quoted(written)} as a signal; {legal}{suggest(near, before='; ')}")


class SchedulerStopped(UsageError):
    """A scheduler that is stopping or stopped starts nothing and accepts no more jobs."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(f"cannot {wanted}: the scheduler was stopped")


class SchedulerBusy(UsageError):
    """The scheduler's thread gave no answer in time. `is_undone`: whether the command will never be carried out."""

    def __init__(self, *, is_undone: bool) -> None:
        self.is_undone = is_undone
        then = "nothing was changed" if is_undone else "the command may still take effect"
        super().__init__(
            f"cannot get an answer in time: the scheduler's thread is busy, or a task is holding the GIL; {then}"
        )


class SchedulerForked(UsageError):
    """A scheduler lives in the process that made it. Make one in the child process, after the fork."""

    def __init__(self, parent: int, child: int) -> None:
        self.parent, self.child = parent, child
        super().__init__(
            f"cannot use the scheduler of process {parent} in process {child}, which was forked from it: "
            "make a Scheduler after the fork"
        )


class SelfJoin(UsageError):
    """A run cannot wait for its own end."""

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(f"cannot join run {run} from its own thread: it would wait for itself")


class OnSchedulerThread(UsageError):
    """The scheduler's own thread cannot wait for itself: a finalizer or a clock called the scheduler on that thread.

    Or a finalizer was called while its thread started or ended a thread, and so holds the lock of `threading`: the
    scheduler's thread would wait for it (`starts_thread`).
    """

    def __init__(self, wanted: str, *, starts_thread: bool = False) -> None:
        self.wanted = wanted
        where = "on the scheduler's own thread, which would wait for itself"
        if starts_thread:
            where = "in a finalizer while this thread starts or ends a thread: the scheduler could start none meanwhile"
        super().__init__(f"cannot {wanted} {where}")


class ProgramRunning(UsageError):
    """Another program of this user has the name, or runs the same jobs. Stop it, or choose another name.

    `name` is its name; `path`: what it runs, "" if that is not known; `is_same`: whether this program would run it too.
    """

    def __init__(self, name: str, pid: int, path: str, *, is_same: bool = False) -> None:
        self.name, self.pid, self.path = name, pid, path
        stop = f"stop it with taskloom shutdown --name {name}, or choose another name with --name"
        if is_same:
            super().__init__(f"cannot run {quoted(path)}: pid {pid} runs it already, as {name}; {stop}")
        else:
            runs = f" and runs {quoted(path)}" if path else ""
            super().__init__(f"cannot use the name {name!r}: pid {pid} has it{runs}; {stop}")


class CatalogError(TaskloomError):
    """An installed package cannot be used as requested. Install or repair a package."""


class TaskNotFound(CatalogError):
    """No installed package offers this name in the entry-point group."""

    def __init__(
        self,
        name: str,
        installed: Iterable[str],
        kind: str = "task",
        *,
        broken: Iterable[str] = (),
        advice: str = "",
    ) -> None:
        self.name, self.installed, self.kind = name, tuple(sorted(installed)), kind
        self.broken = tuple(broken)
        """A line for each part of an installed package that cannot be read: it may be what offers the name."""
        self.advice = advice
        """The way to fix it, if that is known; or ""."""
        super().__init__(name)

    @property
    def near(self) -> str | None:
        """The installed name that is most likely meant, or None."""
        own = self.name.rpartition("/")[2]
        same = [each for each in self.installed if "/" in self.name and each.rpartition("/")[2] == own]
        return near_match(self.name, self.installed) or (same[0] if len(same) == 1 else None)

    def __str__(self) -> str:
        text = f"cannot find {self.kind} {quoted(self.name)}; installed: {_listed(self.installed)}"
        if self.broken:
            text += f"; broken packages: {first_of(self.broken, _MOST_BROKEN)}"
        return f"{text}; {self.advice}" if self.advice else text


class TaskImportFailed(CatalogError):
    """A package offers the name, but importing it failed. `traceback` is the plugin's own."""

    def __init__(
        self, name: str, distribution: str, error: str, traceback: str, kind: str = "task", *, advice: str = ""
    ) -> None:
        self.name, self.distribution, self.error, self.traceback, self.kind = name, distribution, error, traceback, kind
        self.advice = advice
        """The way to fix it, if that is known; or ""."""
        text = f"cannot import {kind} {name!r} of {distribution}: {error}"
        super().__init__(f"{text}; {advice}" if advice else text)


class NotATask(CatalogError):
    """A package offers the name, but the object is not a task (or not a runner)."""

    def __init__(self, name: str, distribution: str, why: str, kind: str = "task") -> None:
        self.name, self.distribution, self.why, self.kind = name, distribution, why, kind
        super().__init__(f"cannot use {kind} {name!r} of {distribution}: {why}")


class AmbiguousTask(CatalogError):
    """Two installed packages offer one name; `distributions` holds each as "name version".

    Write one of `choices` in place of the name: each has the package before it.
    """

    def __init__(self, name: str, distributions: Iterable[str], kind: str = "task") -> None:
        self.name, self.distributions, self.kind = name, tuple(sorted(distributions)), kind
        packages = dict.fromkeys(each.partition(" ")[0] for each in self.distributions)
        self.choices = tuple(f"{normalised(package)}/{name}" for package in packages)
        offered = " and by ".join(self.distributions)
        super().__init__(f"cannot choose {kind} {name!r}: offered by {offered}; write {' or '.join(self.choices)}")


class InternalError(TaskloomError):
    """Taskloom broke one of its own rules. Report it with the traceback."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(f"internal error: {rule}")


class Cancelled(BaseException):
    """Raised inside a task by `ctx.raise_if_cancelled()` and the cancel-aware waits.

    Derives from BaseException so that a task's `except Exception` does not catch it.
    """


class TaskFailure(Exception):
    """Raise it from a task for a failure that its message explains in full: the log shows no traceback."""


class PermanentFailure(TaskFailure):
    """Raise it from a task for a failure that no restart can fix."""
