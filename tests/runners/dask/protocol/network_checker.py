"""Judges the history of a random network by the rules of the protocol, and knows nothing of the machines' insides.

`violations(history)` returns each broken rule in words. Times in a history are real seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import inf
from typing import Any

from tests.runners.dask.protocol.random_network import LATENESS, History, Seen

from taskloom.runners.dask.protocol import agent_io, placement_io
from taskloom.runners.dask.protocol.messages import CommandKind

__all__ = ["violations"]

# What a supervisor may be later than the agent, and an input later than its moment.
SLACK = 0.1 + 2 * LATENESS
LARGEST_REPLY = 300 * 1024
MOST_IN_FLIGHT = 4
ENDS = (placement_io.Ended, placement_io.Lost, placement_io.StartFailed)


def violations(history: History) -> list[str]:
    """Return every broken rule."""
    return [f"{rule.__name__}: {found}" for rule in RULES for found in rule(history)]


def actions(history: History, *kinds: type) -> Iterator[tuple[float, Any]]:
    """Yield each action of the program of these kinds, with its moment."""
    return ((seen.at, seen.data) for seen in history.seen if seen.kind == "action" and isinstance(seen.data, kinds))


def of(history: History, *kinds: str) -> Iterator[Seen]:
    return (seen for seen in history.seen if seen.kind in kinds)


def ends(history: History) -> dict[str, tuple[float, Any]]:
    """Return how the program has seen each run end, and when."""
    return {action.run: (at, action) for at, action in actions(history, *ENDS)}


def executing(history: History) -> dict[str, tuple[float, float]]:
    """Return when each run began to execute, and when it stopped."""
    found = {seen.run: (seen.at, inf) for seen in of(history, "start")}
    for seen in of(history, "stop"):
        found[seen.run] = (found[seen.run][0], seen.at)
    return found


def grants(history: History) -> Iterator[tuple[float, str]]:
    for at, sent in actions(history, placement_io.SendRequest):
        for command in sent.request.commands:
            if command.kind == CommandKind.GRANT:
                yield at, command.execution


# -- rules


def a_run_starts_once(history: History) -> Iterator[str]:
    for run, count in Counter(seen.run for seen in of(history, "start")).items():
        if count > 1 or not run:
            yield f"{run!r} was started {count} times"


def only_what_was_granted_starts(history: History) -> Iterator[str]:
    granted: dict[str, float] = {}
    for at, execution in grants(history):
        granted.setdefault(execution, at)
    for seen in of(history, "start"):
        if granted.get(seen.execution, inf) > seen.at:
            yield f"{seen.execution} of {seen.run} was started without a grant"
        if seen.data[0] <= seen.at:
            yield f"{seen.execution} of {seen.run} was started after the end of the lease"
        if seen.data[1] != {"run": seen.run}:
            yield f"{seen.execution} of {seen.run} was started with the spec {seen.data[1]}"


def each_run_ends_once(history: History) -> Iterator[str]:
    counts = Counter(action.run for _, action in actions(history, *ENDS))
    placed = {seen.run for seen in of(history, "place") if seen.at < history.died_at}
    for run in sorted(placed | set(counts)):
        if counts[run] != 1 and (counts[run] > 1 or history.died_at == inf):
            yield f"{run} has ended {counts[run]} times"


def nothing_is_reported_after_the_end(history: History) -> Iterator[str]:
    over: set[str] = set()
    released: set[str] = set()
    for _, action in actions(history, object):
        run = getattr(action, "run", "")
        if isinstance(action, placement_io.Released):
            if run in released:
                yield f"{run} was released twice"
            released.add(run)
        elif run in over:
            yield f"{action} has come after the end of {run}"
        elif isinstance(action, ENDS):
            over.add(run)


def an_end_is_true(history: History) -> Iterator[str]:
    spans = executing(history)
    for run, (at, action) in ends(history).items():
        start, stop = spans.get(run, (inf, -inf))
        if isinstance(action, placement_io.Lost):
            by = action.stopped_by - history.program_offset
            if stop > by + 0.001 or (inf > start > by):
                yield f"{run} was lost, to stop by {by:.2f}, and stopped at {stop:.2f}"
            if by < at - 0.001:
                yield f"{run} was lost at {at:.2f}, and its bound {by:.2f} is in the past"
            if by > at + history.lease.ttl + history.lease.grace + 1.001:
                yield f"{run} was lost at {at:.2f}, and its bound {by:.2f} is too late"
        elif stop > at or (inf > start > at):
            yield f"{run} has ended at {at:.2f} for the program, and really at {stop:.2f}"
        if isinstance(action, placement_io.Ended) and action.entered != (run in spans):
            yield f"{run}: {action}, executing {spans.get(run)}"
        if isinstance(action, placement_io.StartFailed) and run in spans:
            yield f"{run}: {action}, executing {spans[run]}"


def a_release_is_true(history: History) -> Iterator[str]:
    spans, over = executing(history), ends(history)
    for at, action in actions(history, placement_io.Released):
        start, stop = spans.get(action.run, (inf, -inf))
        if stop > at or (inf > start > at):
            yield f"{action.run} was released at {at:.2f} and stopped at {stop:.2f}"
        if not isinstance(over.get(action.run, (0, None))[1], placement_io.Lost):
            yield f"{action.run} was released and is not lost"
        elif at + history.program_offset > over[action.run][1].stopped_by + SLACK:
            yield f"{action.run} was released after its bound"


def reports_come_once_and_in_order(history: History) -> Iterator[str]:
    reports = defaultdict(list)
    for _, action in actions(history, placement_io.Reported):
        reports[action.run].append(action.data)
    over = ends(history)
    for run, data in reports.items():
        lines = [each["log"]["message"] for each in data if "log" in each]
        if lines != list(range(1, len(lines) + 1)):
            yield f"{run} has reported the lines {lines}"
        progress = [each["progress"][0] for each in data if "progress" in each]
        if progress != sorted(set(progress)):
            yield f"{run} has reported the progress {progress}"
        names = [next(iter(each)) for each in data]
        if any(names.count(name) > 1 for name in ("started", "ended", "process")):
            yield f"{run} has reported {names}"
        if isinstance(over.get(run, (0, None))[1], placement_io.Ended):
            if names[-1] != "ended" or data[-1]["lines"] != len(lines):
                yield f"{run} has ended, and has reported {names}, {data[-1]}"
            # A kill may come between a line and its progress.
            if progress[-1:] != lines[-1:] and (data[-1]["ended"] != "killed" or progress[-1:] != lines[-2:-1]):
                yield f"{run} has ended with the progress {progress[-1:]} after the lines {lines[-1:]}"


def no_line_is_dropped(history: History) -> Iterator[str]:
    for at, action in actions(history, placement_io.LinesDropped):
        yield f"{action} at {at:.2f}: few lines were written"


def places_are_true(history: History) -> Iterator[str]:
    granted = {}
    for _, action in actions(history, placement_io.Placed):
        if action.pid:
            granted[action.run] = action.pid
    for _, action in actions(history, placement_io.Reported):
        if "process" in action.data and granted.get(action.run) != action.data["process"]["pid"]:
            yield f"{action.run}: placed at {granted.get(action.run)}, {action.data}"


def marks_alternate(history: History) -> Iterator[str]:
    marked: set[str] = set()
    for at, action in actions(history, placement_io.Unreachable, placement_io.Reachable):
        is_marked = isinstance(action, placement_io.Unreachable)
        if is_marked == (action.run in marked):
            yield f"{action} at {at:.2f}"
        if is_marked:
            marked.add(action.run)
            since = action.since - history.program_offset
            if not history.lease.ttl - 0.001 <= at - since <= history.lease.ttl + SLACK + 40:
                yield f"{action.run} is unreachable at {at:.2f} since {since:.2f}"
        else:
            marked.discard(action.run)


def nothing_is_stopped_without_need(history: History) -> Iterator[str]:
    over = ends(history)
    closed = min((seen.at for seen in of(history, "closed")), default=inf)
    closing = any(True for _ in of(history, "closing"))
    cancelled = {seen.run for seen in of(history, "cancel")}
    killed = {seen.run for seen in of(history, "command") if seen.data[0] == CommandKind.KILL}
    for seen in of(history, "child command"):
        command, stamp_at = seen.data
        if command.kind != CommandKind.CANCEL or not seen.run:
            continue
        text = command.reason.text
        if "expects" in text and not (over.get(seen.run, (inf,))[0] <= seen.at or closed <= seen.at):
            yield f"{seen.run} was stopped at {seen.at:.2f}, and its program expects it"
        if "lease" in text and stamp_at + history.lease.ttl > seen.at + 0.001:
            yield f"{seen.run} was stopped at {seen.at:.2f}, and its lease is of {stamp_at:.2f}"
        if "closing" in text and not closing:
            yield f"{seen.run} was stopped by a worker that does not close"
        if text == "enough" and seen.run not in cancelled:
            yield f"{seen.run} was cancelled without a request"
    for seen in of(history, "agent action"):
        is_kill = isinstance(seen.data, agent_io.KillChild) and seen.data.why.startswith("the program has killed")
        if is_kill and seen.run not in killed:
            yield f"{seen.run} was killed without a request"


def each_caller_returns_after_its_execution(history: History) -> Iterator[str]:
    executing_now: set[str] = set()
    started: set[str] = set()
    returned: set[str] = set()
    for seen in of(history, "start", "stop", "return"):
        if seen.kind == "start":
            executing_now.add(seen.execution)
            started.add(seen.execution)
        elif seen.kind == "stop":
            executing_now.discard(seen.execution)
        else:
            if seen.execution in executing_now or seen.execution in returned:
                yield f"{seen.execution} of {seen.run} has returned {seen.data} too early or again"
            if (seen.data == "ended") != (seen.execution in started):
                yield f"{seen.execution} of {seen.run} has returned {seen.data}"
            returned.add(seen.execution)


def a_dead_program_leaves_nothing(history: History) -> Iterator[str]:
    last = history.died_at + history.lease.ttl + history.lease.grace + SLACK
    for run, (start, stop) in executing(history).items():
        if stop == inf or stop > last or inf > start > last:
            yield f"{run} was executing until {stop:.2f}; the program died at {history.died_at:.2f}"


def calm_scenarios_are_calm(history: History) -> Iterator[str]:
    if not history.faults.is_calm:
        return
    for at, action in actions(history, placement_io.Lost, placement_io.Unreachable, placement_io.StartFailed):
        yield f"{action} at {at:.2f} without a fault"
    cancels = {seen.run: seen.at for seen in of(history, "cancel")}
    for seen in of(history, "child command"):
        command = seen.data[0]
        asked = cancels.get(seen.run, inf)
        is_late = command.kind == CommandKind.CANCEL and seen.at - asked > 0.1 + 2 * LATENESS
        if is_late and executing(history)[seen.run][0] < asked:
            yield f"{seen.run} was told of its cancel after {seen.at - asked:.2f} s"
    in_flight: set[str] = set()
    for _, action in actions(history, placement_io.SubmitTask, *ENDS):
        in_flight ^= {action.run} if isinstance(action, placement_io.SubmitTask) or action.run in in_flight else set()
        if len(in_flight) > history.slots:
            yield f"{len(in_flight)} runs are in flight on {history.slots} slots"


def requests_are_bounded(history: History) -> Iterator[str]:
    in_flight: dict[str, set[int]] = defaultdict(set)
    last = 0
    for seen in history.seen:
        data = seen.data
        if seen.kind == "input" and isinstance(data, placement_io.Replied | placement_io.RequestFailed):
            in_flight[data.address].discard(data.seq)
        elif seen.kind == "input" and isinstance(data, placement_io.WorkerLeft):
            in_flight[data.address].clear()
        elif seen.kind == "action" and isinstance(data, placement_io.SendRequest):
            flying = in_flight[data.address]
            flying.add(data.request.seq)
            if len(flying) > MOST_IN_FLIGHT:
                yield f"{len(flying)} requests are in flight to {data.address}"
            if data.request.seq <= last:
                yield f"the request {data.request.seq} follows {last}"
            last = data.request.seq
        elif seen.kind == "reply" and data > LARGEST_REPLY:
            yield f"a reply of {data} bytes"


def keys_are_used_once(history: History) -> Iterator[str]:
    keys = Counter(action.key for _, action in actions(history, placement_io.SubmitTask))
    held = set(keys)
    for _, action in actions(history, placement_io.WithdrawTask, placement_io.DropTask):
        held.discard(action.key)
    for key, count in keys.items():
        if count > 1:
            yield f"{key} was submitted {count} times"
    if history.died_at == inf and held:
        yield f"{sorted(held)} were never given back"


def the_machines_do_not_spin(history: History) -> Iterator[str]:
    if any(True for _ in of(history, "endless")):
        yield "the scenario does not end"
    past = Counter((seen.at, seen.data) for seen in of(history, "past deadline"))
    for (at, machine), count in past.items():
        if count > 3:
            yield f"the {machine} has a deadline in the past {count} times at {at:.2f}"


RULES = (
    a_run_starts_once, only_what_was_granted_starts, each_run_ends_once, nothing_is_reported_after_the_end,
    an_end_is_true, a_release_is_true, reports_come_once_and_in_order, no_line_is_dropped, places_are_true,
    marks_alternate, nothing_is_stopped_without_need, each_caller_returns_after_its_execution,
    a_dead_program_leaves_nothing, calm_scenarios_are_calm, requests_are_bounded, keys_are_used_once,
    the_machines_do_not_spin,
)  # fmt: skip
