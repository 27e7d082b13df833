"""The states of a job, as data: which trigger leads where.

Two rules: everything that changes a job's state looks here first, and a pair that is not here is refused and
changes nothing. A refused START is the caller's mistake and gets its own error (lifecycle); any other refused
pair is a bug of ours.

To add a policy (restart, schedule, dependency) is to add targets and triggers here, not flags elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from taskloom.core.model import JobState
from taskloom.core.words import Word, direct

__all__ = ["TRANSITIONS", "Trigger", "mermaid"]


@direct
class Trigger(Word):
    """What can happen to a job."""

    START = "start"
    """Somebody, or the scheduler's own start, wants a run."""
    ARM = "arm"
    """The scheduler's own start begins the job's start delay."""
    DELAY_OVER = "delay over"
    """The start delay is over."""
    STOP = "stop"
    """Somebody wants no run: by name, or because everything stops."""
    START_FAILED = "start failed"
    """The runner could not begin the run."""
    STARTED = "started"
    """The runner began the run."""
    READY = "ready"
    """The run says that it does its work now."""
    ENDED = "ended"
    """The run's body came back."""
    OVERDUE = "overdue"
    """The run outlived its `within`, and was named; the join policy decides."""
    LATE_EXIT = "late exit"
    """The thread of an abandoned run ended after all."""


def _to(*targets: JobState) -> tuple[JobState, ...]:
    return targets


_S = JobState
_T = Trigger

TRANSITIONS: Mapping[JobState, Mapping[Trigger, tuple[JobState, ...]]] = MappingProxyType(
    {
        _S.DISABLED: {_T.STOP: _to(_S.DISABLED)},
        _S.WAITING: {
            _T.START: _to(_S.RUNNING),
            _T.ARM: _to(_S.WAITING),
            _T.DELAY_OVER: _to(_S.RUNNING),
            # Skipped when something was pending; a job that only waits for a person goes on waiting.
            _T.STOP: _to(_S.WAITING, _S.SKIPPED),
        },
        _S.RUNNING: {
            _T.STARTED: _to(_S.RUNNING),
            _T.READY: _to(_S.RUNNING),
            _T.START_FAILED: _to(_S.FINISHED),
            _T.STOP: _to(_S.STOPPING),
            _T.ENDED: _to(_S.FINISHED),
        },
        _S.STOPPING: {
            _T.STARTED: _to(_S.STOPPING),
            _T.READY: _to(_S.STOPPING),
            _T.START_FAILED: _to(_S.FINISHED),
            _T.STOP: _to(_S.STOPPING),
            _T.ENDED: _to(_S.FINISHED),
            # Blocked when the run is abandoned; otherwise it is waited for, and marked overdue.
            _T.OVERDUE: _to(_S.STOPPING, _S.BLOCKED),
        },
        _S.BLOCKED: {
            # Late words of an abandoned thread are legal, and change nothing but the ledger.
            _T.STARTED: _to(_S.BLOCKED),
            _T.READY: _to(_S.BLOCKED),
            _T.STOP: _to(_S.BLOCKED),
            _T.LATE_EXIT: _to(_S.FINISHED),
        },
        _S.FINISHED: {_T.START: _to(_S.RUNNING), _T.STOP: _to(_S.FINISHED)},
        _S.SKIPPED: {_T.START: _to(_S.RUNNING), _T.STOP: _to(_S.SKIPPED)},
    }
)


def mermaid() -> str:
    """Draw the table as a mermaid state diagram: the picture in the docs is made by this."""
    lines = ["stateDiagram-v2", "    [*] --> waiting", "    [*] --> disabled"]
    for state, row in TRANSITIONS.items():
        for target in dict.fromkeys(target for targets in row.values() for target in targets):
            if target is not state:
                triggers = " / ".join(trigger.value for trigger, targets in row.items() if target in targets)
                lines.append(f"    {state.value} --> {target.value}: {triggers}")
    return "\n".join(lines)
