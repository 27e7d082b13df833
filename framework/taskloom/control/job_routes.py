"""The routes about jobs: their status, and the actions on one of them. An action returns at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.control.api_state import ApiState, Call, choose_jobs
from taskloom.control.exchange import Answer, Reply
from taskloom.control.job_view import status_data
from taskloom.control.refusals import Refusal
from taskloom.errors import SchedulerBusy, UnknownJob
from taskloom.scheduler.handles import JobHandle
from taskloom.sync.gc_pause import paused_gc

__all__ = ["jobs", "one_job", "pause", "reset", "restart", "resume", "signal", "start", "stop"]


def jobs(state: ApiState, call: Call) -> Answer:
    """List the status of the jobs."""
    view, names = choose_jobs(state, call.query["job"], call.query["label"])
    chosen = set(names)
    with paused_gc():  # many new objects, and none is garbage
        shown = [status_data(status, state.mask) for status in view.jobs if status.report.job in chosen]
    return Reply(200, {"start": state.program.start, "seq": view.seq, "jobs": shown})


def one_job(state: ApiState, call: Call) -> Answer:
    """Give the status of one job."""
    return Reply(200, _job_data(state, call.variables["job"]))


def _job_data(state: ApiState, name: str) -> dict[str, Any]:
    view = state.scheduler.snapshot([name])
    return {"start": state.program.start, "seq": view.seq, "job": status_data(view.jobs[0], state.mask)}


# -- actions


def start(state: ApiState, call: Call) -> Answer:
    """Start a run of the job now: for a scheduled job it is an extra one."""
    return _act(state, call, "start", lambda job, text: job.start(now=call.body["now"], text=text, timeout=0))


def stop(state: ApiState, call: Call) -> Answer:
    """Request the job's run to stop, by its join policy, and hold the job until it is started or resumed."""
    return _act(state, call, "stop", lambda job, text: job.stop(text, timeout=0))


def restart(state: ApiState, call: Call) -> Answer:
    """Stop the job's run, if it has one, and start another once it has ended."""
    return _act(state, call, "restart", lambda job, text: job.restart(text, now=call.body["now"]))


def reset(state: ApiState, call: Call) -> Answer:
    """Forget the failures of the job."""
    return _act(state, call, "reset", lambda job, text: job.reset(text))


def pause(state: ApiState, call: Call) -> Answer:
    """Pause the job's schedule: each firing is missed until it is resumed."""
    return _act(state, call, "pause", lambda job, text: job.pause(text))


def resume(state: ApiState, call: Call) -> Answer:
    """Resume the job's schedule after a pause or a stop; nothing runs at once."""
    return _act(state, call, "resume", lambda job, text: job.resume(text))


def signal(state: ApiState, call: Call) -> Answer:
    """Send a signal to the process of the job's run."""
    # Imported here: a program whose jobs are all threads does not pay for it.
    from taskloom.signal_names import require_signal, signal_name

    number = require_signal(call.body["signal"])
    return _act(state, call, "signal", lambda job, _: job.signal(number), f" with {signal_name(number)}")


def _act(state: ApiState, call: Call, verb: str, act: Callable[[JobHandle, str], object], how: str = "") -> Answer:
    name = call.variables["job"]
    handle = state.scheduler.job(name)
    seq = state.scheduler.last_seq  # first: the events of the action have greater numbers
    try:
        act(handle, state.reason(call, verb))
    except SchedulerBusy as error:
        if not error.is_undone:
            state.note(call, f"{verb} {name}{how}")
            state.record(call, verb, (name,), f"not confirmed in time{how}")
        raise
    state.note(call, f"{verb} {name}{how}")
    run = handle.run
    try:
        # The status is later than the action, `seq` is not: a client that follows from there misses nothing.
        reply = Reply(200, {**_job_data(state, name), "seq": seq, "run": run.id if run is not None else None})
    except (SchedulerBusy, UnknownJob) as error:
        state.record(call, verb, (name,), how.strip())
        if isinstance(error, SchedulerBusy):
            message = f"cannot read the status of job {name!r} in time; {verb} was carried out"
            raise Refusal(503, "busy", message) from None
        # A reload removes it, and had waited for the end of its run.
        raise Refusal(404, "unknown-job", f"cannot find job {name!r} any more; {verb} was carried out") from None
    return state.acted(call, verb, (name,), reply, how.strip())
