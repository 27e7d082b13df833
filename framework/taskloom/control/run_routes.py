"""The routes for views: the last runs, and the declaration of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom.control.api_state import ApiState, Call, choose_jobs
from taskloom.control.exchange import Answer, Reply
from taskloom.control.marks import instant_text, read_mark
from taskloom.control.refusals import Refusal
from taskloom.control.run_ring import PastRun
from taskloom.core.model import JobSpec
from taskloom.observe.job_data import job_as_json
from taskloom.observe.masked_data import masked_data
from taskloom.text import finite, plain

__all__ = ["MOST_RUNS_ASKED", "declaration", "run_data", "runs"]

MOST_RUNS_ASKED = 12_000


def runs(state: ApiState, call: Call) -> Answer:
    """Give the last runs of jobs, as far as the program keeps them in memory."""
    since = _instant_of(call.query["since"])
    names = frozenset(choose_jobs(state, call.query["job"])[1]) if call.query["job"] else None
    found = state.runs.read(names, since, call.query["count"])
    kept = state.runs.complete_since or state.program.since
    shown = [run_data(run) for run in found]
    return Reply(
        200,
        {"start": state.program.start, "from": instant_text(kept), "runs": masked_data(state.mask, shown)},
    )


def run_data(run: PastRun) -> dict[str, Any]:
    """Return a run as JSON data."""
    return {
        "job": run.job,
        "run": run.run,
        "attempt": run.attempt,
        "queued": instant_text(run.queued),
        "due": instant_text(run.due),
        "started": instant_text(run.started),
        "ended": instant_text(run.ended),
        "outcome": run.outcome,
        "seconds": finite(run.seconds),
        "error": run.error,
        "reason": run.reason,
    }


def declaration(state: ApiState, call: Call) -> Answer:
    """Give the declaration of a job: its fields in final form, its params with secrets masked, and its place."""
    spec = state.scheduler.job(call.variables["job"]).declaration()
    shown = masked_data(state.mask, job_as_json(spec))
    return Reply(200, {"start": state.program.start, "declaration": {**shown, "params": _params(state, spec)}})


def _params(state: ApiState, spec: JobSpec) -> dict[str, Any]:
    """Return the params with every text masked, whatever its name is; objects as their text."""

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return state.mask(str(value))
        if value is None or isinstance(value, bool | int | float):
            return plain(value)
        if isinstance(value, Mapping):
            return {state.mask(str(key)): shown(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [shown(each) for each in value]
        return state.mask(str(value))  # a SecretStr shows asterisks

    return {name: shown(value) for name, value in spec.params.items()}


def _instant_of(written: str | None) -> float:
    """Return the second since the epoch of `since`; 0 for none. Raises Refusal."""
    if written is None:
        return 0.0
    mark = read_mark(written)
    if mark.instant is None:
        raise Refusal(400, "invalid-query", f"cannot use {written!r} as since; expected an instant")
    return mark.instant
