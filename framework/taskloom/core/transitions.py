"""The states of a job, as data: which decision leads where.

Two rules: every change of a job's state is looked up here first, and a pair that is not here is illegal and changes
nothing. A refused START is a mistake of the caller and has its own errors (`JobRecord.refused_start`); any other
illegal pair is a bug in Taskloom.

A decision has one target, whatever caused it. To add a policy, add decisions here, not flags elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.model import JobState

__all__ = ["TRANSITIONS", "Decision", "mermaid"]


@plain_members
class Decision(FastEnum):
    """A decision of the lifecycle about one job."""

    RUN = "run"
    """Queue a run: a user starts the job, a wait is over, or a run that ended is followed by another at once."""
    WAIT = "wait"
    """Wait for a start, other jobs, the start delay, the restart delay or the next firing."""
    SKIP = "skip"
    """Give up a wait before the first run: a dependency has become impossible, or the job was stopped."""
    REQUEST_STOP = "request stop"
    """Request the run to stop: because of a command, a limit, the watchdog, a firing, a reload or a shutdown."""
    ABANDON = "abandon"
    """Give up a run that outlived its `within`, and could not be killed or is not to be; it may still be alive."""
    LOSE = "lose"
    """Record that the runner has lost the run, and that something of it may still be executing for a known time."""
    FINISH = "finish"
    """Expect no further run: none follows the last one, a wait was stopped, or the schedule has no further firings."""
    DISABLE = "disable"
    """Apply `enabled: false` to a job that has no run."""
    ENABLE = "enable"
    """Apply `enabled: true`; the job then waits for its start."""


_S = JobState
_D = Decision

_WITHOUT_RUN = {_D.RUN: _S.RUNNING, _D.WAIT: _S.WAITING, _D.DISABLE: _S.DISABLED}
# After a run: wait for a restart, the next firing or an immediate start; or nothing follows.
_AFTER_RUN = {_D.WAIT: _S.WAITING, _D.FINISH: _S.FINISHED}

TRANSITIONS: Mapping[JobState, Mapping[Decision, JobState]] = MappingProxyType(
    {
        _S.DISABLED: {_D.ENABLE: _S.WAITING},
        # From one wait to the next, to a run, or to the end of waiting.
        _S.WAITING: {**_WITHOUT_RUN, _D.SKIP: _S.SKIPPED, _D.FINISH: _S.FINISHED},
        _S.RUNNING: {**_AFTER_RUN, _D.REQUEST_STOP: _S.STOPPING, _D.LOSE: _S.BLOCKED},
        _S.STOPPING: {**_AFTER_RUN, _D.ABANDON: _S.BLOCKED, _D.LOSE: _S.BLOCKED},
        # Left when the thread of the abandoned run exits, or nothing can be left of the lost one.
        _S.BLOCKED: _AFTER_RUN,
        _S.FINISHED: _WITHOUT_RUN,
        _S.SKIPPED: _WITHOUT_RUN,
    }
)


def mermaid() -> str:
    """Return the table as a mermaid state diagram, as the docs show it."""
    lines = ["stateDiagram-v2", "    [*] --> waiting", "    [*] --> disabled"]
    for state, row in TRANSITIONS.items():
        for decision, target in row.items():
            if target is not state:
                lines.append(f"    {state.value} --> {target.value}: {decision.value}")
    return "\n".join(lines)
