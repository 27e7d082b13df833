"""Keeps many long-running Python jobs in one process and stops every one of them on time.

The house, in the order in which data flows:
    jobfile/    text -> validated jobs        (reader is the only importer of yaml)
    catalog     entry points -> tasks, runners   (the only importer of stevedore); params: their parameters
    calendars/  cron expressions and instants -> when a schedule fires (the only importer of cronsim, zoneinfo)
    core/       decides: states, restarts, firings, deadlines, outcomes. No thread, no clock, no I/O
    scheduler   the shell around the core: hands it what happened, carries out what it says
    runners/    where a run executes          (thread)
    observe/    folds events into log lines, tables, files
    cli/        the command line; imports heavy parts only in the verb that needs them
    testing/    virtual clock, simulator, fake context: for our tests and for yours
    task        what the author of a task needs: start reading there
    token, waiting, clock, errors: cancellation, waits that it wakes, time, what can go wrong
"""

from __future__ import annotations

from importlib import import_module

# What type checkers take for True. To import `typing` for the name would cost more than all the rest here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from taskloom.core.events import Event, EventName
    from taskloom.core.model import JobState, Outcome, Reason, ReasonKind
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
    from taskloom.scheduler import Scheduler
    from taskloom.task import Context, Duration, Task, param

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Context",
    "Duration",
    "Event",
    "EventName",
    "Job",
    "JobFileError",
    "JobState",
    "Outcome",
    "PermanentFailure",
    "Reason",
    "ReasonKind",
    "Scheduler",
    "SchedulerStopped",
    "StopReport",
    "Task",
    "TaskFailure",
    "TaskloomError",
    "UsageError",
    "load",
    "param",
]

# A name is imported when it is first used, so that `import taskloom` costs next to nothing.
_HOME = {
    "Cancelled": "errors",
    "Context": "task",
    "Duration": "task",
    "Event": "core.events",
    "EventName": "core.events",
    "Job": "job",
    "JobFileError": "errors",
    "JobState": "core.model",
    "Outcome": "core.model",
    "PermanentFailure": "errors",
    "Reason": "core.model",
    "ReasonKind": "core.model",
    "Scheduler": "scheduler",
    "SchedulerStopped": "errors",
    "StopReport": "core.report",
    "Task": "task",
    "TaskFailure": "errors",
    "TaskloomError": "errors",
    "UsageError": "errors",
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
