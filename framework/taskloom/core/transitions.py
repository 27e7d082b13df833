"""The states of a job, as data: which trigger leads where.

Two rules: everything that changes a job's state looks here first, and a pair that is not here is refused and
changes nothing. A refused START is the caller's mistake and gets its own error (lifecycle); any other refused
pair is a bug of ours.

To add a policy is to add targets and triggers here, not flags elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.model import JobState

__all__ = ["TRANSITIONS", "Trigger", "mermaid"]


@plain_members
class Trigger(FastEnum):
    """What can happen to a job."""

    START = "start"
    """Somebody, or the scheduler's own start, wants a run now."""
    ARM = "arm"
    """The job is to start by itself: after its dependencies, after its delay, by its schedule."""
    NEEDS_MET = "needs met"
    """What it waited for in other jobs has come true."""
    NEEDS_LOST = "needs lost"
    """What it waited for in other jobs can no longer come true."""
    DELAY_OVER = "delay over"
    """The start delay is over."""
    BACKOFF_OVER = "backoff over"
    """The restart delay is over."""
    FIRED = "fired"
    """The schedule fires."""
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
    RELOADED = "reloaded"
    """Its declaration was replaced."""


def _to(*targets: JobState) -> tuple[JobState, ...]:
    return targets


_S = JobState
_T = Trigger

# What follows a run: nothing, or a wait for a restart, the next firing, or a start that comes at once.
_AFTER_A_RUN = _to(_S.FINISHED, _S.WAITING)
# Declared anew: waits for its start, or is switched off.
_DECLARED = _to(_S.WAITING, _S.DISABLED)
_AT_REST = {
    _T.START: _to(_S.RUNNING),
    _T.ARM: _to(_S.WAITING),
    _T.RELOADED: _DECLARED,
}

TRANSITIONS: Mapping[JobState, Mapping[Trigger, tuple[JobState, ...]]] = MappingProxyType(
    {
        _S.DISABLED: {_T.STOP: _to(_S.DISABLED), _T.RELOADED: _DECLARED},
        _S.WAITING: {
            **_AT_REST,
            # On to the next thing to wait for, or to a run.
            _T.NEEDS_MET: _to(_S.RUNNING, _S.WAITING),
            _T.NEEDS_LOST: _to(_S.SKIPPED),
            _T.DELAY_OVER: _to(_S.RUNNING, _S.WAITING),
            _T.BACKOFF_OVER: _to(_S.RUNNING),
            # Finished when no instant is left.
            _T.FIRED: _to(_S.RUNNING, _S.FINISHED),
            # When something was pending: skipped, or finished where it ran before. A job that only waits for a
            # person goes on waiting.
            _T.STOP: _to(_S.WAITING, _S.SKIPPED, _S.FINISHED),
        },
        _S.RUNNING: {
            _T.STARTED: _to(_S.RUNNING),
            _T.READY: _to(_S.RUNNING),
            _T.START_FAILED: _AFTER_A_RUN,
            _T.STOP: _to(_S.STOPPING),
            _T.ENDED: _AFTER_A_RUN,
        },
        _S.STOPPING: {
            _T.STARTED: _to(_S.STOPPING),
            _T.READY: _to(_S.STOPPING),
            _T.START_FAILED: _AFTER_A_RUN,
            _T.STOP: _to(_S.STOPPING),
            _T.ENDED: _AFTER_A_RUN,
            # Blocked when the run is abandoned; otherwise it is waited for, and marked overdue.
            _T.OVERDUE: _to(_S.STOPPING, _S.BLOCKED),
        },
        _S.BLOCKED: {
            # Late words of an abandoned thread are legal, and change nothing but the ledger.
            _T.STARTED: _to(_S.BLOCKED),
            _T.READY: _to(_S.BLOCKED),
            _T.STOP: _to(_S.BLOCKED),
            _T.LATE_EXIT: _AFTER_A_RUN,
        },
        _S.FINISHED: {**_AT_REST, _T.STOP: _to(_S.FINISHED)},
        _S.SKIPPED: {**_AT_REST, _T.STOP: _to(_S.SKIPPED)},
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
