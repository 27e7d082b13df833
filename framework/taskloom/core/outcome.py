"""The outcome of a run, from how its body ended and why it was requested to stop."""

from __future__ import annotations

from taskloom.core.inputs import RunEnded
from taskloom.core.model import ErrorInfo, How, Outcome, Reason, ReasonKind

__all__ = ["decide_outcome"]

# The first cause decides: a run that was stopped for one of these has this outcome, however its body ended.
_OUTCOMES = {ReasonKind.DEADLINE: Outcome.TIMED_OUT, ReasonKind.WATCHDOG: Outcome.FAILED}


def decide_outcome(report: RunEnded, reason: Reason | None) -> tuple[Outcome, ErrorInfo | None]:
    """Return the outcome and the error to keep. `reason` is None if the body ended before a stop was requested.

    The type of an exception never decides alone: a task's own TimeoutError is a failure like any other. After a
    request to stop, an exception is attributed to the wake-up if there was one beside the waits of the context, such as
    a `terminate` that shut down a socket during a recv: the run is cancelled, and the error is kept. Otherwise the run
    has failed. A run that was killed is cancelled, and keeps the error that says how. A run that its runner has lost is
    lost, whatever was requested before.
    """
    if report.how is How.LOST:
        return Outcome.LOST, report.error
    if report.how is How.NOT_ENTERED:
        return (_OUTCOMES.get(reason.kind, Outcome.CANCELLED) if reason is not None else Outcome.CANCELLED), None
    if reason is None:
        return (Outcome.SUCCEEDED if report.how is How.RETURNED else Outcome.FAILED), report.error
    if reason.kind in _OUTCOMES:
        return _OUTCOMES[reason.kind], report.error
    if report.how is How.RETURNED or report.how is How.CANCELLED:
        return Outcome.CANCELLED, None
    return (Outcome.CANCELLED if report.callback_ran or report.how is How.KILLED else Outcome.FAILED), report.error
