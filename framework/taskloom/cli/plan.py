"""`taskloom validate --plan`: which jobs would start, in which order, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.core.graph import stop_levels
from taskloom.core.model import JobSpec, StartMode
from taskloom.observe.job_data import format_restart, format_start
from taskloom.text import finite, printable, table

if TYPE_CHECKING:
    from taskloom.cli.settings import Given
    from taskloom.jobfile import CheckResult
    from taskloom.jobfile.checks.origins import Origin

__all__ = ["NotStarted", "Plan", "Start", "as_json", "as_text", "plan_of"]

Cells = tuple[str, ...]


class Start(NamedTuple):
    """A job that starts by itself."""

    level: int
    """From 1; a job waits only for jobs of lower levels."""
    job: JobSpec


class NotStarted(NamedTuple):
    """A job that does not start by itself, and why."""

    job: JobSpec
    why: str


class Plan(NamedTuple):
    """The result of starting all jobs."""

    starts: tuple[Start, ...]
    """Ordered by level, and within a level as in the files."""
    not_started: tuple[NotStarted, ...]


class _Section(NamedTuple):
    """One section of the output, with a table."""

    title: str
    head: Cells
    rows: list[Cells]


def plan_of(jobs: Sequence[JobSpec]) -> Plan:
    """Return which jobs start, and which do not. The jobs come from files without errors."""
    starts: list[Start] = []
    not_started: dict[str, NotStarted] = {}
    for level in _start_levels(jobs):
        for job in level:
            why = _why_not(job, not_started)
            if why:
                not_started[job.name] = NotStarted(job, why)
    for number, level in enumerate(_start_levels([job for job in jobs if job.name not in not_started]), 1):
        starts += [Start(number, job) for job in level]
    order = {job.name: place for place, job in enumerate(jobs)}
    return Plan(tuple(starts), tuple(sorted(not_started.values(), key=lambda one: order[one.job.name])))


def _start_levels(jobs: Sequence[JobSpec]) -> Iterator[list[JobSpec]]:
    """Yield the levels of the jobs: each job after its dependencies, and within a level in the order of the files."""
    found = {job.name: job for job in jobs}
    dependents: dict[str, list[str]] = {name: [] for name in found}
    for job in jobs:
        for dependency in job.after:
            if dependency.job in found:
                dependents[dependency.job].append(job.name)
    order = {name: place for place, name in enumerate(found)}
    for level in stop_levels(dependents):  # what is stopped last starts first: the same levels in reverse
        yield [found[name] for name in sorted(level, key=order.__getitem__)]


def _why_not(job: JobSpec, not_started: Mapping[str, NotStarted]) -> str:
    if not job.enabled:
        return "disabled"
    if job.start.mode is StartMode.MANUAL:
        return "starts only by hand"
    missing = [dependency.job for dependency in job.after if dependency.job in not_started]
    return f"waits for {missing[0]}, which does not start by itself" if missing else ""


def as_json(result: CheckResult, settings: Mapping[str, Given]) -> dict[str, Any]:
    """Return the plan as JSON data."""
    from taskloom.cli.settings import as_json as settings_as_json

    plan = plan_of(result.jobs)
    return {
        "starts": [
            {"level": level, "job": job.name, "when": format_start(job), "restart": format_restart(job.restart)}
            for level, job in plan.starts
        ],
        "stays": [{"job": job.name, "why": why} for job, why in plan.not_started],
        "values": {
            job: {field: _origin_as_json(origin) for field, origin in origins.items()}
            for job, origins in result.origins.items()
        },
        "settings": settings_as_json(settings),
        "worst_stop": {
            "seconds": finite(result.worst_stop_seconds),
            "chain": [{"job": slow.job, "seconds": finite(slow.seconds)} for slow in result.stop_chain],
        },
    }


def _origin_as_json(origin: Origin) -> dict[str, Any]:
    place = {} if origin.place is None else {"path": origin.place.path, "line": origin.place.line}
    return {"written": origin.written, "from": origin.source, **place}


def as_text(result: CheckResult, settings: Mapping[str, Given], *, is_terminal: bool) -> str:
    """Return the plan as tables; on a terminal they fit its width and have colours, if it shows any."""
    show = _for_terminal if is_terminal else _for_pipe
    shown = [show(each) for each in _sections(result) if each.rows]
    shown += [_rest(result), show(_settings_section(settings))]
    if result.stop_chain:
        from taskloom.jobfile.checks.worst_stop import WorstStop

        shown.append(f"Longest stop: {WorstStop(result.worst_stop_seconds, result.stop_chain)}\n")
    return "\n".join(shown)


def _sections(result: CheckResult) -> Iterator[_Section]:
    plan = plan_of(result.jobs)
    starts = [(str(start.level), *_start_cells(start.job)) for start in plan.starts]
    yield _Section("Jobs that start, in this order", ("level", "job", "starts", "restarts"), starts)
    reasons: list[Cells] = [(one.job.name, _reason_cell(one, result)) for one in plan.not_started]
    yield _Section("Jobs that do not start by themselves", ("job", "why"), reasons)
    yield _Section("Where the values come from", ("job", "field", "value", "from"), list(_value_cells(result)))


def _settings_section(settings: Mapping[str, Given]) -> _Section:
    rows: list[Cells] = [(name, given.written or "-", str(given)) for name, given in settings.items()]
    return _Section("The settings of the program", ("setting", "value", "from"), rows)


def _start_cells(job: JobSpec) -> Cells:
    marks = [f"{job.replicas} replicas"] if job.replicas > 1 else []
    marks += [mark for mark, is_so in (("daemon", job.daemon), ("essential", job.essential)) if is_so]
    name = f"{job.name} ({', '.join(marks)})" if marks else job.name
    return name, format_start(job), format_restart(job.restart)


def _reason_cell(one: NotStarted, result: CheckResult) -> str:
    field = "start" if one.job.enabled else "enabled"
    origin = result.origins[one.job.name][field]
    is_its_own = one.job.start.mode is StartMode.MANUAL or not one.job.enabled
    return f"{one.why} ({origin})" if is_its_own else one.why


def _value_cells(result: CheckResult) -> Iterator[Cells]:
    from taskloom.jobfile.render import escape

    for job, origins in result.origins.items():
        for field, origin in origins.items():
            if origin.source != "default":
                yield job, field, escape(origin.written), str(origin)


def _rest(result: CheckResult) -> str:
    """Return the line with the defaults of all fields that are not written in any file."""
    from taskloom.jobfile.fields.registry import FIELDS

    found = [pair for origins in result.origins.values() for pair in origins.items()]
    unwritten = {field for field, origin in found if origin.source == "default"}
    values = [f"{name} {FIELDS[name].default}" for name in FIELDS if name in unwritten and FIELDS[name].default]
    return f"All other values are defaults: {', '.join(values)}\n"


def _for_pipe(section: _Section) -> str:
    rows = [tuple(each.upper() for each in section.head), *section.rows]
    return "\n".join([section.title, table(rows), ""])


def _for_terminal(section: _Section) -> str:
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    from taskloom.cli.rich_table import render_table

    columns = [Column(name, overflow="fold") for name in section.head]  # nothing is left out
    shown = Table(*columns, box=box.SIMPLE, pad_edge=False, header_style="bold cyan")
    shown.title, shown.title_justify, shown.title_style = section.title, "left", "bold"
    for row in section.rows:
        shown.add_row(*map(Text, map(printable, row)))  # as Text, since rich would read brackets as markup
    return render_table(shown)
