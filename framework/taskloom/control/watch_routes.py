"""The routes that watch: why a job is as it is, its coming firings, its stack, its events and its log lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskloom.clock import wall
from taskloom.control.api_state import ApiState, Call, choose_jobs, is_glob, matcher, unknown
from taskloom.control.event_pages import EventPage, read_events
from taskloom.control.exchange import Answer, Reply
from taskloom.control.log_source import LogLine, LogSource
from taskloom.control.marks import Mark, instant_text, mark_id, read_mark
from taskloom.control.refusals import Refusal
from taskloom.control.streams import EventStream, LogStream, gap, line_data, line_event
from taskloom.core.events import Event
from taskloom.errors import UnknownJob
from taskloom.observe.masked_data import masked_data
from taskloom.scheduler.handles import JobStatus, Run, process_data
from taskloom.text import finite

__all__ = ["LEVELS", "MOST_EVENTS_ASKED", "MOST_LINES", "events", "logs", "next_firings", "processes", "stacks", "why"]

LEVELS = ("debug", "info", "warning", "error", "critical")
MOST_EVENTS_ASKED = 10_000
MOST_LINES = 10_000
_LINES = 100
_EVENTS = 1000
# The lines of the source files are read for at most this long: they may be on a disk that does not answer.
_STACK_SECONDS = 0.3
# The end of the year 9999: RFC 3339 has four digits for a year.
_LAST_INSTANT = 253_402_300_800.0


def why(state: ApiState, call: Call) -> Answer:
    """Explain in one paragraph why a job is, or is not, running."""
    seq = state.scheduler.last_seq
    found = state.scheduler.job(call.variables["job"]).why()
    return Reply(200, {"start": state.program.start, "seq": seq, **masked_data(state.mask, found.as_dict())})


def next_firings(state: ApiState, call: Call) -> Answer:
    """List the coming firings of the schedules, soonest first."""
    jobs = _chosen_jobs(state, call.query["job"])
    now = wall()
    firings = state.scheduler.next_firings(call.query["count"], jobs)
    shown = [
        {
            "job": firing.job,
            "at": instant_text(firing.at),
            "in": finite(max(0.0, firing.at - now)),
            "schedule": firing.schedule,
            "paused": firing.is_paused,
        }
        for firing in firings
        if firing.at < _LAST_INSTANT
    ]
    return Reply(200, {"firings": shown})


def stacks(state: ApiState, call: Call) -> Answer:
    """Say where each run currently is."""
    patterns = call.query["job"]
    snapshot, names = choose_jobs(state, patterns) if patterns else (None, [])
    found = [
        (run, stack)
        for run, stack in state.scheduler.stacks(timeout=_STACK_SECONDS)
        if snapshot is None or run.job in names
    ]
    if snapshot is None:
        try:
            snapshot = state.scheduler.snapshot({run.job for run, _ in found})
        except UnknownJob:  # a reload has removed the job of an abandoned run
            snapshot = state.scheduler.snapshot()
    statuses = {status.report.run: status for status in snapshot.jobs}
    shown = [
        {
            "job": run.job,
            "run": run.id,
            "where": state.mask(stack.where) or None,
            "poll_age": finite(statuses[run.id].poll_age) if run.id in statuses else None,
            "runner": run.runner,
            "pid": _pid_of(run, statuses.get(run.id)),
            **_place_of(run),
            "text": state.mask(stack.text),
        }
        for run, stack in found
    ]
    return Reply(200, {"stacks": shown})


def _pid_of(run: Run, status: JobStatus | None) -> int | None:
    if status is not None and status.process is not None:
        return status.process.pid
    return (run.whereabouts.pid or None) if run.whereabouts is not None else None


def _place_of(run: Run) -> dict[str, str | None]:
    """Return the host and the worker of a run that is elsewhere; null for one that is here."""
    place = run.whereabouts
    return {"host": None, "worker": None} if place is None else {"host": place.host, "worker": place.worker}


def processes(state: ApiState, call: Call) -> Answer:
    """List the runs that are in processes of their own."""
    chosen = _chosen_jobs(state, call.query["job"])
    shown = [
        {"job": run.job, "run": run.id, "runner": run.runner, **_place_of(run), **(process_data(found) or {})}
        for run, found in state.scheduler.processes()
        if chosen is None or run.job in chosen
    ]
    return Reply(200, {"processes": shown})


# -- events


def events(state: ApiState, call: Call) -> Answer:
    """Give the events after a place, once or as a stream."""
    mark, count = _mark_of(call), call.query["count"]
    if mark is not None and mark.start == state.program.start and mark.number > state.scheduler.last_seq:
        message = f"cannot use {mark.written!r} as since: the last event is {state.scheduler.last_seq}"
        raise Refusal(400, "invalid-query", message)
    wants = _wanted_events(state, call)
    if not call.query["follow"]:
        count = _EVENTS if count is None else count
        page = read_events(state.events, state.program.start, mark, count, wants)
        shown = [state.event_data(event) for event in page.events]
        return Reply(200, {"start": state.program.start, "seq": page.seq, "gap": page.gap is not None, "events": shown})
    page = _first_events(state, mark, count or 0, wants)
    return EventStream(
        state.events,
        state.program.start,
        page.position,
        after=page.after,
        wants=wants,
        show=state.event_data,
        first=[] if page.gap is None else [page.gap],
    )


def _first_events(state: ApiState, mark: Mark | None, count: int, wants: Callable[[Event], bool]) -> EventPage:
    """Return where a stream begins: after the mark, or `count` wanted events before now."""
    if mark is not None:
        return read_events(state.events, state.program.start, mark, 0, wants)
    page = read_events(state.events, state.program.start, None, count, wants)
    if page.events:
        begin = page.events[0].seq - 1
        return page._replace(position=state.events.position_after(lambda event: event.seq <= begin), after=begin)
    return page


def _wanted_events(state: ApiState, call: Call) -> Callable[[Event], bool]:
    patterns, names = call.query["job"], frozenset(call.query["event"])
    plain = [pattern for pattern in patterns if not is_glob(pattern)]
    if plain:
        _refuse_unknown_jobs(state, plain)
    matches = matcher(patterns)

    def wants(event: Event) -> bool:
        return (not names or event.event.value in names) and (
            matches is None or (event.job is not None and matches(event.job))
        )

    return wants


def _refuse_unknown_jobs(state: ApiState, names: Sequence[str]) -> None:
    """Raise Refusal for a name that no job has, and no event: a job that a reload has removed has events, too."""
    try:
        choose_jobs(state, names)
    except Refusal:
        known = dict.fromkeys(event.job for event in state.events.read(0, MOST_EVENTS_ASKED).events if event.job)
        known.update(dict.fromkeys(status.report.job for status in state.scheduler.snapshot().jobs))
        for name in names:
            matches = matcher([name])
            if matches is None or not any(map(matches, known)):
                raise unknown("job", name, list(known)) from None


# -- log lines


def logs(state: ApiState, call: Call) -> Answer:
    """Give the last lines of the jobs, once or as a stream."""
    source = state.logs
    if source is None:
        raise Refusal(409, "no-logs", "cannot show log lines: this program keeps none")
    mark, count = _mark_of(call), call.query["lines"]
    jobs = _chosen_jobs(state, call.query["job"])
    wants = _wanted_lines(call)
    last = source.last
    if mark is not None and mark.start == state.program.start and mark.number > last:
        raise Refusal(400, "invalid-query", f"cannot use {mark.written!r} as since: the last line is {last}")
    number = _number_of(state, source, mark)
    if count is None:
        count = _LINES if mark is None else MOST_LINES
    if call.query["follow"] and mark is not None:
        first = []
        if mark.instant is None and mark.start != state.program.start:
            first = [gap(mark.written, mark_id(state.program.start, number), "restart")]
        return LogStream(source, state.program.start, number, jobs=jobs, wants=wants, events=state.events, first=first)
    lines = source.newest(count, jobs, lambda line: number < line.seq <= last and wants(line))
    if call.query["follow"]:
        shown = [line_event(state.program.start, line) for line in lines]
        return LogStream(source, state.program.start, last, jobs=jobs, wants=wants, events=state.events, first=shown)
    return Reply(200, {"from": instant_text(source.since(jobs)), "lines": [line_data(line) for line in lines]})


def _number_of(state: ApiState, source: LogSource, mark: Mark | None) -> int:
    """Return the number of the line after which lines are wanted."""
    if mark is None:
        return 0
    if mark.instant is not None:
        return source.number_before(mark.instant)
    return mark.number if mark.start == state.program.start else 0


def _wanted_lines(call: Call) -> Callable[[LogLine], bool]:
    level, grep = call.query["level"], call.query["grep"]
    levels = LEVELS[LEVELS.index(level) :] if level else LEVELS
    # Not a regular expression: one that takes for ever would hold the GIL for ever.
    is_folded = grep is not None and grep == grep.lower()

    def wants(line: LogLine) -> bool:
        if line.level in LEVELS and line.level not in levels:
            return False
        return grep is None or grep in (line.text.lower() if is_folded else line.text)

    return wants


# -- both


def _mark_of(call: Call) -> Mark | None:
    written = call.query["since"]
    if call.query["follow"]:
        written = call.request.headers.get("last-event-id") or written
    return None if written is None else read_mark(written)


def _chosen_jobs(state: ApiState, patterns: Sequence[str]) -> list[str] | None:
    """Return the names of the jobs that match one of the patterns; None, for all, if there is no pattern."""
    if not patterns:
        return None
    return choose_jobs(state, patterns)[1]
