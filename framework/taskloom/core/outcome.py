"""How a run ended, from how its body came back and why it was asked to stop."""

from __future__ import annotations

from taskloom.core.inputs import RunEnded
from taskloom.core.model import ErrorInfo, How, Outcome, Reason, ReasonKind

__all__ = ["decide_outcome"]

# First cause wins: a run stopped for one of these has ended so, however its body came back.
_OUTCOMES = {ReasonKind.DEADLINE: Outcome.TIMED_OUT, ReasonKind.WATCHDOG: Outcome.FAILED}


def decide_outcome(report: RunEnded, reason: Reason | None) -> tuple[Outcome, ErrorInfo | None]:
    """Return the outcome and the error to keep. `reason` is None when nobody had asked before the body came back.

    An exception type never decides alone: a task's own TimeoutError is a failure like any other. After the
    ask, an exception is the wake-up's doing where `terminate` or a callback ran (a socket shut down under a
    recv): cancelled, with the error kept. Where nothing woke it, it failed on its own account.
    """
    if report.how is How.NOT_ENTERED:
        return (_OUTCOMES.get(reason.kind, Outcome.CANCELLED) if reason is not None else Outcome.CANCELLED), None
    if reason is None:
        return (Outcome.SUCCEEDED if report.how is How.RETURNED else Outcome.FAILED), report.error
    if reason.kind in _OUTCOMES:
        return _OUTCOMES[reason.kind], report.error
    if report.how is How.RETURNED or report.how is How.CANCELLED:
        return Outcome.CANCELLED, None
    return (Outcome.CANCELLED if report.callback_ran else Outcome.FAILED), report.error
