"""The state that the handlers of all routes share: the scheduler, and all that the program has given to the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from weakref import ref

from taskloom.clock import mono
from taskloom.control.action_record import RECORD_SECONDS, Action, ActionRecord, NoRecord
from taskloom.control.event_ring import EventRing
from taskloom.control.exchange import Answer, Deferred, Reply, Request
from taskloom.control.liveness import Liveness
from taskloom.control.log_source import LogSource
from taskloom.control.program_info import CallerNames, ProgramInfo, RequestReload, RequestShutdown
from taskloom.control.refusals import Refusal
from taskloom.control.run_ring import RunRing
from taskloom.control.totals import Totals
from taskloom.core.events import Event, as_dict
from taskloom.core.report import JobReport
from taskloom.diagnostics import near_match, quoted
from taskloom.errors import UnknownJob
from taskloom.observe.masked_data import masked_data
from taskloom.scheduler.facade import Scheduler
from taskloom.scheduler.snapshots import Snapshot
from taskloom.text import printable, suggest

__all__ = ["ApiState", "Call", "Log", "choose_jobs", "is_glob", "matcher", "unknown"]

Log = Callable[[str, str], object]
"""Takes a line and its level. Never blocks: log handlers are called on another thread."""


class Call(NamedTuple):
    """One request to one route, with all that was read from it."""

    request: Request
    variables: Mapping[str, str]
    """The parts of the path that differ: `job`."""
    query: Mapping[str, Any]
    body: Mapping[str, Any]


@dataclass(slots=True)
class ApiState:
    """Shared by the handlers, on the server's thread, and on another one for GET routes that are slow."""

    scheduler: Scheduler
    program: ProgramInfo
    events: EventRing
    logs: LogSource | None
    reload: RequestReload | None
    shutdown: RequestShutdown | None
    mask: Callable[[str], str]
    """Replaces the secrets in a text."""
    log: Log
    history: ActionRecord = field(default_factory=NoRecord)
    notifications: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    """Returns how it goes with each receiver of notifications."""
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The replies that never change, by the name of their schema."""
    runs: RunRing = field(default_factory=RunRing)
    page: Mapping[str, str] | None = None
    """The URL of the web page and the file of its token; None if there is no page."""
    names: CallerNames = field(default_factory=CallerNames)
    waiting_for_report: list[ref[Deferred]] = field(default_factory=list)
    """Replies that wait for the report of the stop. The server drops those whose clients have gone."""
    report: Reply | None = None
    """The report of the stop, once it is known."""
    totals: Totals = field(default_factory=Totals)
    """The sums over the events so far."""
    liveness: Liveness = field(init=False)
    """Asks the scheduler without waiting for it."""

    def __post_init__(self) -> None:
        self.liveness = Liveness(self.scheduler)

    def wait_for_report(self, deferred: Deferred) -> None:
        """Complete the reply once the report of the stop is known. Called on the server's thread alone."""
        # A new list: `give_report` may be reading this one, on another thread.
        self.waiting_for_report = [each for each in self.waiting_for_report if each() is not None] + [ref(deferred)]
        if self.report is not None:  # it came meanwhile
            deferred.complete(self.report)

    def give_report(self, report: Reply) -> None:
        """Complete all replies that wait for the report of the stop; only the first report counts. Any thread."""
        if self.report is None:
            self.report = report
        for each in self.waiting_for_report:
            deferred = each()
            if deferred is not None:
                deferred.complete(self.report)

    def requested(self, call: Call) -> str:
        """Return who has requested something, and why: `requested by alice (uid 1000, pid 4242): disk full`."""
        text = printable(call.body.get("text") or "")
        who = f"requested by {self.names.describe(call.request.caller)}"
        return f"{who}: {text}" if text else who

    def reason(self, call: Call, verb: str) -> str:
        """Return why something is done, with who requested it: `stop, by alice (uid 1000, pid 4242): disk full`."""
        text = printable(call.body.get("text") or "")
        who = self.names.describe(call.request.caller)
        return f"{verb}, by {who}: {text}" if text else f"{verb}, by {who}"

    def note(self, call: Call, action: str) -> None:
        """Log an action and who requested it. Returns at once."""
        self.log(self.mask(f"{action}: {self.requested(call)}"), "INFO")

    def acted(self, call: Call, action: str, jobs: tuple[str, ...], reply: Reply, result: str = "") -> Answer:
        """Record an action that was carried out, and return its reply, which has `recorded`.

        The reply waits for that, at most RECORD_SECONDS, and meanwhile other requests are answered.
        """
        deferred = Deferred()
        self.complete_when_recorded(deferred, call, action, jobs, reply=reply, result=result)
        return deferred if deferred.reply is None else deferred.reply

    def complete_when_recorded(
        self, deferred: Deferred, call: Call, action: str, jobs: tuple[str, ...], *, reply: Reply, result: str = ""
    ) -> None:
        """Record an action, and complete its reply as `acted`. Any thread may call it."""

        def done(is_recorded: bool) -> None:
            deferred.complete(_with(reply, is_recorded=is_recorded))

        deferred.complete_by(mono() + RECORD_SECONDS, _with(reply, is_recorded=False))
        self.record(call, action, jobs, result, done)

    def record(
        self,
        call: Call,
        action: str,
        jobs: tuple[str, ...],
        result: str,
        done: Callable[[bool], object] = lambda _: None,
    ) -> None:
        """Have an action recorded; `done` is called as `ActionRecord.record` says."""
        reason = self.mask(str(call.body.get("text") or ""))
        self.history.record(Action(action, jobs, call.request.caller, reason, self.mask(result)), done)

    def event_data(self, event: Event) -> dict[str, Any]:
        """Return an event as JSON data, with its secrets masked."""
        masked: dict[str, Any] = masked_data(self.mask, as_dict(event))
        return masked


def _with(reply: Reply, *, is_recorded: bool) -> Reply:
    return reply._replace(body={**reply.body, "recorded": is_recorded})


def choose_jobs(state: ApiState, patterns: Sequence[str], labels: Sequence[str] = ()) -> tuple[Snapshot, list[str]]:
    """Return a snapshot, and the names of the jobs in it that match one of the patterns and have one of the labels.

    A pattern is a name, the name of a job with replicas, or a glob. No patterns or no labels: all jobs match. Raises
    Refusal for a pattern or a label that no job has.
    """
    if patterns and not labels and not any(map(is_glob, patterns)):
        try:
            # The scheduler's thread makes the status of these alone.
            snapshot = state.scheduler.snapshot(patterns)
            return snapshot, [status.report.job for status in snapshot.jobs]
        except UnknownJob:
            pass  # it may be the name of a job with replicas
    snapshot = state.scheduler.snapshot()
    reports = [status.report for status in snapshot.jobs]
    chosen = {report.job for report in reports} if not patterns else set[str]()
    for pattern in patterns:
        chosen.update(_matching(pattern, reports))
    if labels:
        known = {label for report in reports for label in report.labels}
        for label in labels:
            if label not in known:
                raise unknown("label", label, sorted(known))
    wanted = set(labels)
    return snapshot, [
        report.job
        for report in reports
        if report.job in chosen and (not wanted or not wanted.isdisjoint(report.labels))
    ]


def is_glob(pattern: str) -> bool:
    """Return whether a pattern is more than a name."""
    return any(mark in pattern for mark in "*?[")


def matcher(patterns: Sequence[str]) -> Callable[[str], bool] | None:
    """Return a predicate: a job's name matches one of the patterns. None if there is no pattern."""
    if not patterns:
        return None
    # The same names come again and again, and a program has a bounded number of jobs.
    known: dict[str, bool] = {}

    def matches(name: str) -> bool:
        found = known.get(name)
        if found is None:
            found = known[name] = any(_is_meant(name, each) for each in patterns)
        return found

    return matches


def _is_meant(name: str, pattern: str) -> bool:
    family, dot, number = name.rpartition(".")
    return name == pattern or (bool(dot) and number.isdigit() and family == pattern) or fnmatchcase(name, pattern)


def _matching(pattern: str, reports: Sequence[JobReport]) -> list[str]:
    found = [report.job for report in reports if pattern in (report.job, report.family)]
    if not found and is_glob(pattern):
        found = [report.job for report in reports if fnmatchcase(report.job, pattern)]
    if not found:
        raise unknown(
            "job", pattern, list(dict.fromkeys(name for report in reports for name in (report.family, report.job)))
        )
    return found


def unknown(what: str, name: str, known: Sequence[str]) -> Refusal:
    """Return the refusal of a name that does not exist, with a near match."""
    near = near_match(name, known)
    message = f"cannot find {what} {quoted(name)}{suggest(near, before='; ')}"
    return Refusal(404, f"unknown-{what}", message, near=() if near is None else (near,))
