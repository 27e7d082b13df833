"""Keep many long-running Python jobs in one process and stop every one of them on time.

A map, in the order in which data flows:
    jobfile/    text -> validated jobs: syntax/ (the only importer of yaml), fields/, checks/
    job         one job declared in Python
    catalog/    entry points -> tasks and runners (the only importer of stevedore), and their parameters
    calendars/  cron expressions and instants -> when a schedule fires (the only importer of cronsim, zoneinfo)
    core/       decides: states, restarts, firings, deadlines, outcomes. No thread, no clock, no I/O
    scheduler/  the engine around the core: hands it what happened and carries out its actions
    runners/    where a run executes: in a thread, or with runners/process/ in a process
    worker/     what executes in such a process: the supervisor of a run, and the worker that runs the task
    observe/    folds events into log lines, tables and files
    control/    other processes ask and steer a running program: HTTP over a unix socket (the only importer of h11)
    cli/        the command line; each verb imports its heavy parts only when called
    simulation/ the same core in virtual time, checked against invariants/
    testing/    virtual clock, fake context, simulator, conformance: for your tests
    task        what the author of a task needs: start reading there; program a program to start in its place
    waiting     waits that a cancellation ends; sync/ the thread primitives below them; clock the time
    errors      everything that can go wrong; diagnostics what is wrong and where; text how values are written,
                signal_names how signals are
"""

from __future__ import annotations

from importlib import import_module

# Type checkers treat this name as True. Importing `typing` for it would cost more than the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from taskloom.core.events import Event, EventName
    from taskloom.core.model import ErrorInfo, Hold, JobState, Outcome, Reason, ReasonKind
    from taskloom.core.reload import Change
    from taskloom.core.report import StopReport
    from taskloom.errors import (
        Cancelled,
        JobFileError,
        PermanentFailure,
        SchedulerStopped,
        TaskFailure,
        TaskloomError,
        UsageError,
    )
    from taskloom.job import Job
    from taskloom.jobfile import load
    from taskloom.program import Check, Program, Signal
    from taskloom.runners import ProcessInfo
    from taskloom.scheduler import Firing, JobHandle, JobStatus, Listener, Run, Scheduler, Snapshot
    from taskloom.scheduler.why import Why
    from taskloom.task import AsyncContext, Context, Duration, Task, param

__version__ = "0.1.0"

__all__ = [
    "AsyncContext",
    "Cancelled",
    "Change",
    "Check",
    "Context",
    "Duration",
    "ErrorInfo",
    "Event",
    "EventName",
    "Firing",
    "Hold",
    "Job",
    "JobFileError",
    "JobHandle",
    "JobState",
    "JobStatus",
    "Listener",
    "Outcome",
    "PermanentFailure",
    "ProcessInfo",
    "Program",
    "Reason",
    "ReasonKind",
    "Run",
    "Scheduler",
    "SchedulerStopped",
    "Signal",
    "Snapshot",
    "StopReport",
    "Task",
    "TaskFailure",
    "TaskloomError",
    "UsageError",
    "Why",
    "load",
    "param",
]

# A name is imported when it is first used, so that `import taskloom` costs next to nothing.
_HOME = {
    "AsyncContext": "task",
    "Cancelled": "errors",
    "Change": "core.reload",
    "Check": "program",
    "Context": "task",
    "Duration": "task",
    "ErrorInfo": "core.model",
    "Event": "core.events",
    "EventName": "core.events",
    "Firing": "scheduler",
    "Hold": "core.model",
    "Job": "job",
    "JobFileError": "errors",
    "JobHandle": "scheduler",
    "JobState": "core.model",
    "JobStatus": "scheduler",
    "Listener": "scheduler",
    "Outcome": "core.model",
    "PermanentFailure": "errors",
    "ProcessInfo": "runners",
    "Program": "program",
    "Reason": "core.model",
    "ReasonKind": "core.model",
    "Run": "scheduler",
    "Scheduler": "scheduler",
    "SchedulerStopped": "errors",
    "Signal": "program",
    "Snapshot": "scheduler",
    "StopReport": "core.report",
    "Task": "task",
    "TaskFailure": "errors",
    "TaskloomError": "errors",
    "UsageError": "errors",
    "Why": "scheduler.why",
    "load": "jobfile",
    "param": "task",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'taskloom' has no attribute {name!r}")
    value = getattr(import_module(f"taskloom.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
