"""The routes for views: the last runs, and the declaration of a job."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from taskloom.control.action_record import RecordedRuns
from taskloom.control.api_state import ApiState, Call, choose_jobs
from taskloom.control.exchange import Answer, Reply
from taskloom.control.marks import instant_text, read_mark
from taskloom.control.refusals import Refusal
from taskloom.control.run_ring import PastRun
from taskloom.core.model import JobSpec
from taskloom.observe.job_data import job_as_json
from taskloom.observe.masked_data import masked_data
from taskloom.sync.latch import Latch
from taskloom.text import finite, plain

__all__ = ["MOST_RUNS_ASKED", "declaration", "run_data", "runs"]

MOST_RUNS_ASKED = 12_000
# A day of ten jobs that run every five minutes. The thread that writes the history reads them in some 100 ms.
MOST_RECORDED_RUNS = 3_000
# The history is on a disk, or a server, that may not answer; other long replies wait meanwhile.
HISTORY_SECONDS = 1.0


def runs(state: ApiState, call: Call) -> Answer:
    """Give the last runs of jobs, as far as the program keeps them in memory; on request also those of the history."""
    since, count = _instant_of(call.query["since"]), call.query["count"]
    names = frozenset(choose_jobs(state, call.query["job"])[1]) if call.query["job"] else None
    found = state.runs.read(names, since, count)
    kept = state.runs.complete_since or state.program.since
    if len(found) >= count:  # perhaps not all that are kept
        kept = max(kept, min((run.ended for run in found if run.ended is not None), default=kept))
    source = None
    if call.query["history"]:
        source, recorded = _recorded(state, since, count)
        if recorded is not None:
            found, of_both = _merged(state, found, recorded, names, since)
            kept = of_both if recorded.is_whole else min(kept, of_both)  # the memory may reach back further
    if len(found) > count:
        latest = sorted(found, key=lambda run: run.ended is None)[-count:]  # those that have not ended stay
        found = sorted(latest, key=lambda run: run.queued)
        kept = max(kept, min((run.queued for run in found if run.ended is not None), default=kept))
    shown = [run_data(run, state.program.start) for run in found]
    return Reply(
        200,
        {
            "start": state.program.start,
            "from": instant_text(kept),
            "history": source,
            "runs": masked_data(state.mask, shown),
        },
    )


def _recorded(state: ApiState, since: float, count: int) -> tuple[str, RecordedRuns | None]:
    """Return the runs of the history, or None; and which of both: `read`, `off`, or `unread` if it is not in time."""
    if state.history.status().state == "off":
        return "off", None
    answers: list[RecordedRuns | None] = []
    is_answered = Latch()

    def answered(found: RecordedRuns | None) -> None:
        answers.append(found)
        is_answered.open()

    state.history.read_runs(since, min(count, MOST_RECORDED_RUNS), answered)
    is_answered.wait(HISTORY_SECONDS)
    recorded = answers[0] if answers else None
    return ("unread" if recorded is None else "read"), recorded


def _merged(
    state: ApiState, own: Sequence[PastRun], recorded: RecordedRuns, names: Collection[str] | None, since: float
) -> tuple[list[PastRun], float]:
    """Return the runs of both, the oldest first, and the second since the epoch from which on they are complete."""
    start, known = state.program.start, {run.run for run in own}
    others = [
        run
        for run in recorded.runs
        if run.ended is not None
        and (names is None or run.job in names)
        and not (run.start == start and run.run in known)
    ]
    oldest = recorded.runs[0].queued if recorded.runs else state.program.since
    kept = since if recorded.is_whole and since else min(oldest, state.program.since)
    return sorted([*others, *own], key=lambda run: run.queued), kept if recorded.is_whole else oldest


def run_data(run: PastRun, start: str) -> dict[str, Any]:
    """Return a run as JSON data. `start`: the id of this start of the program."""
    return {
        "start": run.start or start,
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
        "whereabouts": None if run.whereabouts is None else run.whereabouts._asdict(),
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
