"""`taskloom simulate`: what would happen? The same core in virtual time, with runs that only pretend to work."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from taskloom.cli.options import Seconds
from taskloom.cli.simulate.options import AtTime, ClockChange, Instant, Share, SpanOfJob, check_jobs
from taskloom.errors import InternalError

if TYPE_CHECKING:
    from taskloom.core.events import Event
    from taskloom.core.model import JobSpec
    from taskloom.simulation import ClockStep, Fault, Plan, SimulationResult, Span

__all__ = ["simulate"]

_BUG = 70
# By --check: a whole check takes three times as long as the simulation.
_CHECKED_STEPS = {None: 100_000, True: None, False: 0}


@click.command(short_help="Show what the jobs would do in a week, in virtual time.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--for", "seconds", type=Seconds(is_positive=True), default="1d", show_default=True,
              metavar="DURATION", help="How much time passes.")  # fmt: skip
@click.option("--at", "start", type=Instant(), metavar="INSTANT",
              help="When it begins, such as 2026-03-29T00:00 (default: now); the zone is the machine's unless it says "
                   "Z or +02:00.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="What chance draws from.")
@click.option("--work", type=SpanOfJob(), multiple=True, metavar="JOB=SPAN",
              help="How long the runs of a job work: 5s, 1s..10s (drawn), forever. JOB may be a pattern such as "
                   "'poll-*'; the last that fits counts. [default: 1s with a schedule, or where others wait for its "
                   "end; else forever]")  # fmt: skip
@click.option("--stops-in", type=SpanOfJob(), multiple=True, metavar="JOB=SPAN",
              help="How long its runs go on once they are asked to stop. [default: 0s]")  # fmt: skip
@click.option("--fail", type=Share(), multiple=True, metavar="[JOB=]PERCENT",
              help="The share of the runs that fail, each at a drawn moment of its work.")  # fmt: skip
@click.option("--crash", "crashes", type=AtTime(), multiple=True, metavar="JOB@DURATION",
              help="Have the run that the job has then fail.")  # fmt: skip
@click.option("--hang", "hangs", type=AtTime(), multiple=True, metavar="JOB@DURATION",
              help="Have the run that the job has then neither end, nor poll, nor stop.")  # fmt: skip
@click.option("--clock-step", "clock_steps", type=ClockChange(), multiple=True, metavar="STEP@DURATION",
              help="Set the wall clock: +1h@5h by an hour forward, after five.")  # fmt: skip
@click.option("--stop-within", type=Seconds(allows_forever=True), default="30s", show_default=True, metavar="DURATION",
              help="The time that the stop at the end gets, or forever.")  # fmt: skip
@click.option("-l", "--label", "labels", multiple=True, metavar="LABEL",
              help="Only the jobs that have this label, and what they start after; several: any of them.")  # fmt: skip
@click.option("--events", metavar="PATH", help="Write every event as a JSON line to this file, with virtual times.")
@click.option("--check/--no-check", "is_checked", default=None,
              help="Hold every step of the scheduler against what it promises, or none. "
                   "[default: the first 100,000]")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="json gives everything as data.")  # fmt: skip
def simulate(  # noqa: PLR0917 - click gives them by name
    paths: tuple[str, ...],
    seconds: float,
    start: float | None,
    seed: int,
    work: tuple[tuple[str, Span], ...],
    stops_in: tuple[tuple[str, Span], ...],
    fail: tuple[tuple[str, float], ...],
    crashes: tuple[Fault, ...],
    hangs: tuple[Fault, ...],
    clock_steps: tuple[ClockStep, ...],
    stop_within: float,
    labels: tuple[str, ...],
    events: str | None,
    is_checked: bool | None,
    output: str,
) -> int:
    """Show what the jobs would do in a day or a week, in virtual time.

    Each PATH is a job file or a folder of them. Nothing is run: the scheduler's own decisions are carried out on
    runs that only pretend to work, so that a week takes seconds. A run works for 1 second and succeeds where
    its job has a schedule, or others wait for its end; else until it is stopped. Say otherwise with --work. The end
    is that of `taskloom run`: it comes early when nothing keeps the program alive.

    The table counts, per job: FIRINGS, the instants of its schedule that came; OVERLAPS, those that found its run
    alive and were skipped; MISSED, those that passed for another reason; LONGEST STOP, from an ask to stop to the
    end of the run. AT THE END is where it stood when everything was stopped. The same words with the same seed
    give the same answer; without --at, the seed still draws the same, at other instants.

    \b
    Exit codes:
      0  simulated, whatever came of it          2  job files or usage invalid
      70  a rule was broken: a bug of ours          130  stopped by Ctrl-C

    \b
    Examples:
      taskloom simulate jobs/ --for 7d --fail 5%
      taskloom simulate jobs/backup.yaml --at 2026-03-28T12:00 --work backup=50m..2h
      taskloom simulate jobs/ --for 3h --crash gateway@1h --hang poller@2h
    """
    from taskloom.simulation import Plan

    specs = _load(paths, labels, stop_within)
    plan = Plan(
        seconds=seconds, start=_now() if start is None else start, seed=seed, stop_within=stop_within, work=work,
        stops_in=stops_in, fail=fail, crashes=crashes, hangs=hangs, clock_steps=clock_steps,
        checked_steps=_CHECKED_STEPS[is_checked],
    )  # fmt: skip
    check_jobs(plan, specs)
    try:
        result = _simulate(specs, plan, events)
    except InternalError:
        click.echo(traceback.format_exc(), err=True, nl=False)
        click.echo(f"please report the lines above with your job file and --seed {seed}", err=True)
        return _BUG
    from taskloom.cli.simulate.report import as_json, as_text

    click.echo((as_json if output == "json" else as_text)(result))
    return 0


def _load(paths: Sequence[str], labels: Sequence[str], stop_within: float) -> list[JobSpec]:
    """Return the jobs, with all checks; warnings go to standard error. Raises JobFileError."""
    from taskloom.cli.program.selection import JobFiles
    from taskloom.jobfile.render import render_all

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints when imported is no answer of ours
        selection = JobFiles(paths, labels=labels, stop_within=stop_within).read()
    if selection.warnings:
        click.echo(render_all(selection.warnings), err=True)
    return selection.specs


def _now() -> float:
    """Return the second that it is: a whole one, so that instants read well."""
    from taskloom.clock import wall

    return wall() // 1


def _simulate(specs: Sequence[JobSpec], plan: Plan, events: str | None) -> SimulationResult:
    from taskloom.simulation import simulate_jobs

    if events is None:
        return simulate_jobs(specs, plan)
    with _open(events) as file:
        return simulate_jobs(specs, plan, [_EventLines(file)])


@contextlib.contextmanager
def _open(path: str) -> Iterator[TextIO]:
    """Open the file for the events, anew. Raises click.UsageError for one that cannot be written."""
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 - /dev/fd/3 too
            yield file
    except OSError as error:
        raise click.UsageError(f"cannot write events to {path!r}: {error.strerror}") from None


class _EventLines:
    """Writes events as JSON lines."""

    def __init__(self, file: TextIO) -> None:
        import json

        from taskloom.core.events import as_dict

        self._write, self._dumps, self._as_dict = file.write, json.dumps, as_dict

    def __call__(self, event: Event) -> None:
        self._write(self._dumps(self._as_dict(event), ensure_ascii=False) + "\n")
