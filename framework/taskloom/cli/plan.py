"""`taskloom validate --plan`: what would start, in which order, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.cli.format_job import finite, restart_words, start_words
from taskloom.core.graph import stop_levels
from taskloom.core.model import JobSpec, StartMode

if TYPE_CHECKING:
    from taskloom.jobfile import CheckResult
    from taskloom.jobfile.checks.origins import Origin

__all__ = ["Plan", "Start", "Stay", "as_json", "as_text", "plan_of"]

Cells = tuple[str, ...]


class Start(NamedTuple):
    """A job that starts by itself."""

    level: int
    """From 1: jobs of one level wait for jobs of lower levels alone."""
    job: JobSpec


class Stay(NamedTuple):
    """A job that does not start by itself, and why."""

    job: JobSpec
    why: str


class Plan(NamedTuple):
    """What a start of all jobs would do."""

    starts: tuple[Start, ...]
    """By level, and in each level in the order of the files."""
    stays: tuple[Stay, ...]


class _Table(NamedTuple):
    """One section of the answer."""

    title: str
    head: Cells
    rows: list[Cells]


def plan_of(jobs: Sequence[JobSpec]) -> Plan:
    """Return what starts, and what does not. The jobs are those of files without errors."""
    starts: list[Start] = []
    stays: dict[str, Stay] = {}
    for level in _start_levels(jobs):
        for job in level:
            why = _why_not(job, stays)
            if why:
                stays[job.name] = Stay(job, why)
    for number, level in enumerate(_start_levels([job for job in jobs if job.name not in stays]), 1):
        starts += [Start(number, job) for job in level]
    order = {job.name: place for place, job in enumerate(jobs)}
    return Plan(tuple(starts), tuple(sorted(stays.values(), key=lambda stay: order[stay.job.name])))


def _start_levels(jobs: Sequence[JobSpec]) -> Iterator[list[JobSpec]]:
    """Yield the jobs in levels, each job after all that it waits for, in the order of the files inside a level."""
    found = {job.name: job for job in jobs}
    dependents: dict[str, list[str]] = {name: [] for name in found}
    for job in jobs:
        for need in job.after:
            if need.job in found:
                dependents[need.job].append(job.name)
    order = {name: place for place, name in enumerate(found)}
    for level in stop_levels(dependents):  # who is stopped last starts first: the same levels, read the other way
        yield [found[name] for name in sorted(level, key=order.__getitem__)]


def _why_not(job: JobSpec, stays: Mapping[str, Stay]) -> str:
    if not job.enabled:
        return "disabled"
    if job.start.mode is StartMode.MANUAL:
        return "waits until somebody starts it"
    lost = [need.job for need in job.after if need.job in stays]
    return f"waits for {lost[0]}, which does not start by itself" if lost else ""


def as_json(result: CheckResult) -> dict[str, Any]:
    """Return the plan as data."""
    plan = plan_of(result.jobs)
    return {
        "starts": [
            {
                "level": start.level,
                "job": start.job.name,
                "when": start_words(start.job),
                "restart": restart_words(start.job.restart),
            }
            for start in plan.starts
        ],
        "stays": [{"job": stay.job.name, "why": stay.why} for stay in plan.stays],
        "values": {
            job: {field: _origin_as_json(origin) for field, origin in origins.items()}
            for job, origins in result.origins.items()
        },
        "worst_stop": {
            "seconds": finite(result.worst_stop_seconds),
            "chain": [{"job": slow.job, "seconds": finite(slow.seconds)} for slow in result.stop_chain],
        },
    }


def _origin_as_json(origin: Origin) -> dict[str, Any]:
    place = {} if origin.place is None else {"path": origin.place.path, "line": origin.place.line}
    return {"written": origin.written, "from": origin.source, **place}


def as_text(result: CheckResult, *, is_terminal: bool) -> str:
    """Return the plan as tables; on a terminal they are as wide as it is, and coloured unless NO_COLOR says no."""
    sections = [each for each in _tables(result) if each.rows]
    shown = [(_for_terminal if is_terminal else _for_pipe)(each) for each in sections]
    shown += [_rest(result), *_stop(result)]
    return "\n".join(shown)


def _tables(result: CheckResult) -> Iterator[_Table]:
    plan = plan_of(result.jobs)
    starts = [(str(start.level), *_start_cells(start.job)) for start in plan.starts]
    yield _Table("What starts, in this order", ("level", "job", "starts", "restarts"), starts)
    yield _Table("What does not", ("job", "why"), [(stay.job.name, _stay_words(stay, result)) for stay in plan.stays])
    yield _Table("Where the values come from", ("job", "field", "value", "from"), list(_value_cells(result)))


def _start_cells(job: JobSpec) -> Cells:
    marks = [f"{job.replicas} replicas"] if job.replicas > 1 else []
    marks += [mark for mark, is_so in (("daemon", job.daemon), ("essential", job.essential)) if is_so]
    name = f"{job.name} ({', '.join(marks)})" if marks else job.name
    return name, start_words(job), restart_words(job.restart)


def _stay_words(stay: Stay, result: CheckResult) -> str:
    field = "start" if stay.job.enabled else "enabled"
    origin = result.origins[stay.job.name][field]
    is_its_own = stay.job.start.mode is StartMode.MANUAL or not stay.job.enabled
    return f"{stay.why} ({origin})" if is_its_own else stay.why


def _value_cells(result: CheckResult) -> Iterator[Cells]:
    from taskloom.jobfile.render import escape

    for job, origins in result.origins.items():
        for field, origin in origins.items():
            if origin.source != "default":
                yield job, field, escape(origin.written), str(origin)


def _rest(result: CheckResult) -> str:
    """Return the values that stand behind every field that nobody wrote."""
    from taskloom.jobfile.fields.registry import FIELDS

    unwritten = {
        field for origins in result.origins.values() for field, origin in origins.items() if origin.source == "default"
    }
    values = [f"{name} {FIELDS[name].default}" for name in FIELDS if name in unwritten and FIELDS[name].default]
    return f"All other values are the defaults: {', '.join(values)}\n"


def _stop(result: CheckResult) -> Iterable[str]:
    if result.stop_chain:
        from taskloom.jobfile.checks.worst_stop import WorstStop

        yield f"The longest stop: {WorstStop(result.worst_stop_seconds, result.stop_chain)}\n"


def _for_pipe(table: _Table) -> str:
    rows = [tuple(each.upper() for each in table.head), *table.rows]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([table.title, *lines, ""])


def _for_terminal(table: _Table) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*table.head, box=box.SIMPLE, pad_edge=False, header_style="bold cyan")
    shown.title, shown.title_justify, shown.title_style = table.title, "left", "bold"
    for row in table.rows:
        shown.add_row(*map(Text, row))  # as Text, so that brackets are no markup
    console = Console()
    with console.capture() as captured:
        console.print(shown)
    return captured.get()
