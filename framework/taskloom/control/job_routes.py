"""The routes about jobs: their status, and the actions on one of them. An action returns at once."""

from __future__ import annotations

from collections.abc import Callable

from taskloom.control.api_state import ApiState, Call, find_jobs
from taskloom.control.exchange import Answer, Reply
from taskloom.control.job_view import look, status_data
from taskloom.control.marks import instant_text
from taskloom.scheduler.handles import JobHandle

__all__ = ["jobs", "next_firings", "one_job", "pause", "reset", "restart", "resume", "start", "stop"]


def jobs(state: ApiState, call: Call) -> Answer:
    """List the status of the jobs."""
    view = look(state)
    known = {status.report.job: status.report.labels for status in view.statuses}
    chosen = set(find_jobs(call.query["job"], call.query["label"], known))
    shown = [status_data(status, state.mask) for status in view.statuses if status.report.job in chosen]
    return Reply(200, {"start": state.program.start, "seq": view.seq, "jobs": shown})


def one_job(state: ApiState, call: Call) -> Answer:
    """Give the status of one job."""
    seq = state.events.last_seq
    status = state.scheduler.job(call.variables["job"]).status()
    return Reply(200, {"start": state.program.start, "seq": seq, "job": status_data(status, state.mask)})


# -- actions


def start(state: ApiState, call: Call) -> Answer:
    """Start a run of the job now: for a scheduled job it is an extra one."""
    return _act(state, call, "start", lambda job: job.start(now=call.body["now"], timeout=0))


def stop(state: ApiState, call: Call) -> Answer:
    """Request the job's run to stop, by its join policy, and hold the job until it is started or resumed."""
    return _act(state, call, "stop", lambda job: job.stop(state.reason(call, "stop").text, timeout=0))


def restart(state: ApiState, call: Call) -> Answer:
    """Stop the job's run, if it has one, and start another once it has ended."""
    text = state.reason(call, "restart").text
    return _act(state, call, "restart", lambda job: job.restart(text, now=call.body["now"]))


def reset(state: ApiState, call: Call) -> Answer:
    """Forget the failures of the job."""
    return _act(state, call, "reset", lambda job: job.reset(state.reason(call, "reset").text))


def _act(state: ApiState, call: Call, verb: str, act: Callable[[JobHandle], object]) -> Answer:
    name = call.variables["job"]
    handle = state.scheduler.job(name)
    seq = look(state).seq
    act(handle)
    state.note(call, f"{verb} {name}")
    run = handle.run
    body = {
        "start": state.program.start,
        "seq": seq,
        "run": run.id if run is not None else None,
        "job": status_data(handle.status(), state.mask),
    }
    return Reply(200, body)
