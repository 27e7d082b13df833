"""Makes a stop report of the JSON data that a program sends, so that it is shown as `taskloom run` shows it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import TypeVar

from taskloom.control.client_errors import BadReply
from taskloom.control.reply_fields import Fields
from taskloom.core.model import ErrorInfo, Hold, JobState, Otherwise, Outcome, Reason, ReasonKind, WaitingFor
from taskloom.core.report import JobReport, Killed, Lost, StopReport, Survivor
from taskloom.core.run_reports import Whereabouts
from taskloom.runners import ProcessInfo
from taskloom.scheduler.handles import JobStatus

__all__ = ["statuses_of", "stop_report_of"]

Member = TypeVar("Member", bound=Enum)


def stop_report_of(data: Fields) -> StopReport:
    """Return the report of a whole stop. Raises BadReply if it is none."""
    reason = data.object("reason")
    return StopReport(
        reason=Reason(_member(ReasonKind, reason.text("kind")), reason.text("text")),
        seconds=data.number("seconds") or 0.0,
        jobs=tuple(status.report for status in statuses_of(data)),
        survivors=tuple(map(_survivor, data.objects("survivors"))),
        killed=tuple(map(_killed, data.objects("killed"))),
        lost=tuple(map(_lost, data.objects("lost"))) if data.has("lost") else (),
    )


def statuses_of(data: Fields) -> list[JobStatus]:
    """Return the status of each job in an answer. Raises BadReply for one that cannot be read."""
    return [_status(job) for job in data.objects("jobs")]


def _status(job: Fields) -> JobStatus:
    return JobStatus(
        report=_job_report(job),
        poll_age=job.number("poll_age"),
        worst_gap=job.number("worst_gap") or 0.0,
        is_wakeable=job.flag("wakeable"),
        counts=dict(job.counts("counts")),
        progress=None,
        would_meet_join=job.flag("would_meet_join") if job.has("would_meet_join") else None,
        runner=job.text("runner") or "thread",
        otherwise=_member(Otherwise, job.text("otherwise")) if job.has("otherwise") else Otherwise.EXIT,
        process=_process(job.object("process")) if job.has("process") else None,
    )


def _process(data: Fields) -> ProcessInfo:
    return ProcessInfo(
        pid=data.count("pid"),
        processes=data.count("processes"),
        memory=data.count("memory"),
        cpu=data.number("cpu") or 0.0,
        state=data.text("state"),
    )


def _job_report(job: Fields) -> JobReport:
    marks = job.texts("marks")
    return JobReport(
        job=job.text("job"),
        task=job.text("task"),
        daemon=job.flag("daemon"),
        state=_member(JobState, job.text("state")),
        waiting_for=_member(WaitingFor, job.text("waiting_for")) if job.has("waiting_for") else None,
        runs=job.count("runs"),
        outcome=_member(Outcome, job.text("outcome")) if job.has("outcome") else None,
        seconds=job.number("seconds") or 0.0,
        reason=_reason(job.text("reason")),
        # The text of an error is its class and message already.
        error=ErrorInfo(job.text("error"), "", "") if job.has("error") else None,
        is_overdue=job.flag("overdue"),
        run=job.text("run") or None,
        attempt=job.count("attempt"),
        restarts=job.count("restarts"),
        missed=job.count("missed"),
        waits_for=job.text("waits_for"),
        due_in=job.number("due_in"),
        next_firing=_instant(job.text("next_firing")),
        has_failed=job.flag("failed"),
        has_given_up="gave up" in marks,
        is_ready="ready" in marks,
        is_flapping="flapping" in marks,
        is_unresponsive="unresponsive" in marks,
        replica=job.count("replica"),
        labels=tuple(job.texts("labels")),
        holds=_holds(job),
        paused_since=_instant(job.text("paused_since")),
        whereabouts=_whereabouts(job.object("whereabouts")) if job.has("whereabouts") else None,
        unreachable_since=_instant(job.text("unreachable_since")),
        blocked_until=_instant(job.text("blocked_until")),
        stopping_for=job.number("stopping_for"),
        stop_left=job.number("stop_left"),
    )


def _holds(job: Fields) -> dict[Hold, Reason]:
    """Return how users held the job back, with the reason of the hold that `held` tells."""
    held, marks = job.text("held"), job.texts("marks")
    found: dict[Hold, Reason] = {}
    for hold, mark, verb in ((Hold.STOPPED, "stopped by user", "stop"), (Hold.PAUSED, "paused", "pause")):
        if mark in marks or held.startswith(hold.value):
            # `stopped by alice` of the text `stop, by alice`, and `stopped: enough` of `enough`.
            why = held.removeprefix(hold.value) if held.startswith(hold.value) else ""
            text = why[2:] if why.startswith(": ") else f"{verb},{why}" if why else ""
            found[hold] = Reason(ReasonKind.USER, text)
    return found


def _survivor(data: Fields) -> Survivor:
    return Survivor(
        job=data.text("job"),
        run=data.text("run"),
        where=data.text("where"),
        stack=data.text("stack"),
        poll_age=data.number("poll_age"),
        within=float("inf") if data.number("within") is None else data.number("within") or 0.0,
        waited=data.number("waited") or 0.0,
        otherwise=_member(Otherwise, data.text("otherwise")),
        callbacks=tuple(data.texts("callbacks")),
        host=data.text("host"),
    )


def _killed(data: Fields) -> Killed:
    return Killed(data.text("job"), data.text("run"), data.text("how"))


def _lost(data: Fields) -> Lost:
    return Lost(
        data.text("job"), data.text("run"), data.text("host"), data.text("worker"), data.number("seconds") or 0.0
    )


def _whereabouts(data: Fields) -> Whereabouts:
    return Whereabouts(data.text("host"), data.text("worker"), data.count("pid"))


def _reason(text: str) -> Reason | None:
    kind, _, rest = text.partition(": ")
    return Reason(_member(ReasonKind, kind), rest) if text else None


def _instant(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError) as error:
        raise BadReply("the program", f"next_firing is {text!r}, expected an instant") from error


def _member(members: type[Member], text: str) -> Member:
    try:
        return members(text)
    except ValueError as error:
        values: Iterable[str] = (str(each.value) for each in members)
        raise BadReply("the program", f"it has {text!r}, expected one of {', '.join(values)}") from error
