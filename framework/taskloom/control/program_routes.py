"""The routes about the whole program: what it is, its reload and its stop."""

from __future__ import annotations

import platform
from typing import Any

from taskloom import __version__
from taskloom.clock import wall
from taskloom.control.api_state import ApiState, Call
from taskloom.control.exchange import Answer, Deferred, Reply
from taskloom.control.job_view import is_wrong
from taskloom.control.marks import instant_text
from taskloom.control.program_info import ReloadOutcome, problem_data
from taskloom.control.refusals import Refusal, error_reply
from taskloom.core.model import JobState, Phase, Reason, ReasonKind
from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.errors import SchedulerBusy
from taskloom.observe.masked_data import masked_data
from taskloom.text import duration, finite

__all__ = ["program", "reload", "shutdown", "stop_report"]

# A stop waits no longer to learn whether one is under way.
_REASON_SECONDS = 0.2
_PYTHON = platform.python_version()
_STATES = {Phase.OPEN: "running", Phase.STOPPING: "stopping", Phase.STOPPED: "stopped"}


def program(state: ApiState, _: Call) -> Answer:
    """Describe the program, its state, and how its stop goes."""
    info, view = state.program, state.scheduler.snapshot()
    by_state: dict[str, int] = {}
    for status in view.jobs:
        by_state[status.state] = by_state.get(status.state, 0) + 1
    wrong = sum(is_wrong(status) for status in view.jobs)
    reason = view.stop_reason
    stop = None
    if reason is not None:
        awaited = [status.report.job for status in view.jobs if status.report.state is JobState.STOPPING]
        stop = {"reason": state.mask(str(reason)), "seconds_left": finite(view.stop_left), "awaited": awaited}
    return Reply(
        200,
        {
            "name": info.name,
            "label": info.label,
            "pid": info.pid,
            "uid": info.uid,
            "version": __version__,
            "python": _PYTHON,
            "start": info.start,
            "since": instant_text(info.since),
            "now": instant_text(wall()),
            "paths": list(info.paths),
            "cwd": info.cwd,
            "command": masked_data(state.mask, list(info.command)),
            "state": _STATES[view.phase],
            "stop": stop,
            "jobs": {"total": len(view.jobs), "by_state": by_state, "wrong": wrong},
            "seq": view.seq,
            "log": {
                "from": instant_text(state.logs.since()) if state.logs is not None else None,
                "dir": state.logs.folder if state.logs is not None else None,
                "problem": state.mask(state.logs.problem) or None if state.logs is not None else None,
            },
            "history": _history_data(state),
            "page": state.page,
            "notifications": masked_data(state.mask, list(state.notifications())),
        },
    )


def _history_data(state: ApiState) -> dict[str, Any]:
    found = state.history.status()
    return {
        "state": found.state,
        "reason": state.mask(found.reason) or None,
        "since": instant_text(found.since) if found.state == "degraded" else None,
        "url": state.mask(found.url) or None,
        "queued": found.queued,
        "dropped": found.dropped,
    }


# -- the reload


def reload(state: ApiState, call: Call) -> Answer:
    """Have the job files read again, on the thread of the reload; the reply comes when that is done."""
    if state.reload is None:
        raise Refusal(409, "no-job-files", "cannot reload: this program was not started from job files")
    if state.scheduler.stop_reason is not None:
        raise Refusal(409, "scheduler-stopped", "cannot reload: the program is stopping")
    is_preview = call.body["preview"]
    deferred = Deferred()

    def done(outcome: ReloadOutcome) -> None:
        reply = _reload_reply(state, outcome)
        if is_preview:
            deferred.complete(reply)
        elif outcome.error is not None:
            state.record(call, "reload", (), outcome.error)
            deferred.complete(reply)
        else:
            state.complete_when_recorded(deferred, call, "reload", (), reply=reply, result=outcome.sum)

    if not is_preview:
        state.note(call, "reload")
    state.reload(is_preview=is_preview, done=done)
    return deferred


def _reload_reply(state: ApiState, outcome: ReloadOutcome) -> Reply:
    if outcome.error is not None:
        more: dict[str, Any] = {}
        status = 409
        if outcome.problems:
            status = 422
            more = {
                "problems": masked_data(state.mask, [problem_data(each) for each in outcome.problems]),
                "text": state.mask(outcome.text),
            }
        return error_reply(Refusal(status, outcome.code, state.mask(outcome.error), more=more))
    return Reply(
        200,
        {
            "changes": [
                {"job": change.job, "action": change.action.value, "fields": list(change.fields)}
                for change in outcome.changes
            ],
            "sum": outcome.sum,
            "warnings": masked_data(state.mask, [problem_data(each) for each in outcome.warnings]),
            "text": state.mask(outcome.text),
        },
    )


# -- the stop


def shutdown(state: ApiState, call: Call) -> Answer:
    """Begin to stop the program, or allow the stop that is under way less time; the reply comes at once."""
    within = call.body["within"]
    reason = Reason(ReasonKind.SHUTDOWN, state.requested(call))
    seq = state.scheduler.last_seq
    state.note(call, "shutdown")
    if state.shutdown is not None:
        state.shutdown(within, reason)
        shown = _stop_reason(state) or reason
    else:
        before = _stop_reason(state)
        # Only the first request counts. It needs no answer of the scheduler's thread, which may be busy.
        state.scheduler.request_stop(STOP_WITHIN_SECONDS if within is None else within, reason=reason)
        if before is not None and within is not None:
            state.scheduler.hurry(within)
        shown = before or reason
    reply = Reply(202, {"start": state.program.start, "seq": seq, "reason": state.mask(str(shown))})
    return state.acted(call, "shutdown", (), reply, "" if within is None else f"within {duration(within)}")


def _stop_reason(state: ApiState) -> Reason | None:
    """Return why everything is stopping; None before a stop, or if the scheduler's thread does not answer soon."""
    try:
        with state.scheduler.answers_within(_REASON_SECONDS):
            return state.scheduler.stop_reason
    except SchedulerBusy:
        return None


def stop_report(state: ApiState, call: Call) -> Answer:
    """Give the report of the stop, as soon as it is known; with `wait` also of a stop that has not begun."""
    if state.report is not None:
        return state.report
    if not call.query["wait"] and state.scheduler.stop_reason is None:
        raise Refusal(409, "not-stopping", "cannot report a stop: the program is not stopping; use wait=true to wait")
    deferred = Deferred()
    state.wait_for_report(deferred)
    return deferred
