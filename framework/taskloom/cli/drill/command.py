"""`taskloom drill`: does every job stop in time? Each is really run, alone, asked to stop, and timed."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from taskloom.cli.options import Seconds
from taskloom.text import did_you_mean

if TYPE_CHECKING:
    from taskloom.cli.drill.trial import Drilled
    from taskloom.core.model import JobSpec
    from taskloom.observe.console import Console

__all__ = ["drill"]

_FINE, _FAILED, _INTERRUPTED = 0, 1, 130
# What the lines of the tasks get to be written, before the answer is given.
FLUSH_SECONDS = 0.5
# How much longer than it may take at most a drill goes on, before C code that holds the interpreter is taken to be
# the cause: then no Python runs, and no limit of ours is looked at.
HELD_SECONDS = 10.0


@click.command(short_help="Run each job alone, and check that it stops in time.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-l", "--label", "labels", multiple=True, metavar="LABEL",
              help="Drill only the jobs that have this label; several: any of them.")  # fmt: skip
@click.option("--job", "names", multiple=True, metavar="NAME", help="Drill only this job; may be given again.")
@click.option("--budget", type=Seconds(is_positive=True), metavar="DURATION",
              help="What each job gets to stop in, instead of its own join policy's time.")  # fmt: skip
@click.option("--warm-up", type=Seconds(), default="1s", show_default=True, metavar="DURATION",
              help="How long a job runs, once it is ready, before it is asked to stop.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="json gives everything as data.")  # fmt: skip
def drill(  # noqa: PLR0917 - click gives them by name
    paths: tuple[str, ...],
    labels: tuple[str, ...],
    names: tuple[str, ...],
    budget: float | None,
    warm_up: float,
    output: str,
) -> int:
    """Start each job alone, ask it to stop, and time it; fail over budget.

    Each PATH is a job file or a folder of them. The tasks really run: they open their sockets and write their files.
    Each job has a single run, at once, whatever its schedule, dependencies, restart policy and replicas say. The run
    is asked to stop when it has been ready for the warm-up, or did not get ready in that time. One that is over
    before passes, unless it failed.

    The budget is the job's own `join`; with `join: wait` it is 30 seconds, and a job with `join: 0s`, which no stop
    ever waits for, passes. A job that does not stop is named with the line where it stands, and left behind.

    What tasks print and log goes to stderr; the table, or the JSON, to stdout. WORST GAP is the longest
    time without a poll of the cancellation.

    \b
    Exit codes:
      0  every job passes          1  some job failed, or was over budget
      2  job files or usage invalid, nothing started          130  stopped by Ctrl-C

    \b
    Examples:
      taskloom drill jobs/
      taskloom drill jobs/ --budget 500ms --label gateway
    """
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints when imported is no answer of ours
        specs = _chosen(paths, labels, names)
    drilled: list[Drilled] = []
    code = _INTERRUPTED
    try:
        with _tasks_on_stderr() as console:
            _drill_all(specs, budget, warm_up, console, drilled)
        code = _FINE if all(job.passes for job in drilled) else _FAILED
    except KeyboardInterrupt:
        pass
    from taskloom.cli.drill.report import as_json, as_text

    _leave(code, (as_json if output == "json" else as_text)(drilled, len(specs)))
    return code


def _chosen(paths: Sequence[str], labels: Sequence[str], names: Sequence[str]) -> list[JobSpec]:
    """Return the enabled jobs of the files that are asked for. Raises JobFileError, and UsageError where none is."""
    from taskloom.jobfile import load

    specs = load(*paths)
    for name in names:
        _demand_job(name, specs)
    wanted = [spec for spec in specs if not names or spec.name in names]
    if labels:
        wanted = [spec for spec in wanted if set(labels) & set(spec.labels)]
    chosen = [spec for spec in wanted if spec.enabled]
    if not chosen:
        asked = [*(f"label {label!r}" for label in labels), *(f"name {name!r}" for name in names)]
        which = f" with {' or '.join(asked)}" if asked else ""
        raise click.UsageError(f"cannot find an enabled job{which}: there is nothing to drill")
    return chosen


def _demand_job(name: str, specs: Sequence[JobSpec]) -> None:
    known = [spec.name for spec in specs]
    if name not in known:
        hint = did_you_mean(name, known, before="; ")
        raise click.UsageError(f"cannot find job {name!r}; jobs: {', '.join(known)}{hint}")


@contextlib.contextmanager
def _tasks_on_stderr() -> Iterator[Console]:
    """Have all that tasks print or log, and what happens to them, written to standard error meanwhile."""
    from taskloom.cli.program.shutdown import reserve_descriptors
    from taskloom.observe.console import Console, ConsoleHandler
    from taskloom.observe.output import Output
    from taskloom.observe.streams import TextStream

    reserve_descriptors()
    output = Output()
    console = Console(output.line, is_colored=False)
    root, handler = logging.getLogger(), ConsoleHandler(console)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    stream = TextStream(output.line, 2)
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            yield console
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        output.close(FLUSH_SECONDS)


def _drill_all(
    specs: Sequence[JobSpec], budget: float | None, warm_up: float, console: Console, drilled: list[Drilled]
) -> None:
    """Drill one job after the other; each result is in the list as soon as it is known."""
    from taskloom.cli.drill.trial import drill_job, patience_for
    from taskloom.observe.output import HOLD_SECONDS
    from taskloom.sync.latch import Latch

    for number, spec in enumerate(specs, start=1):
        console.log(f"drilling {spec.name} ({number} of {len(specs)})")
        # Lines are held for a moment. This one has to be out before C code might hold the interpreter.
        Latch().wait(2 * HOLD_SECONDS)
        with _interpreter_not_held(patience_for(spec, budget, warm_up) + HELD_SECONDS):
            result = drill_job(spec, budget=budget, warm_up=warm_up, listeners=[console])
        drilled.append(result)
        console.log(f"drilled {spec.name}: {result.verdict.value}", level="INFO" if result.passes else "ERROR")


@contextlib.contextmanager
def _interpreter_not_held(seconds: float) -> Iterator[None]:
    """Print all stacks and leave with code 1 when that takes longer: faulthandler needs no GIL for it."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _leave(code: int, answer: str) -> None:
    """Give the answer; where a run is left behind leave by a hard exit here, since its thread might hold ours up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the code is settled
    try:
        click.echo(answer)  # which flushes, and does nothing where the caller had closed the stream
    finally:
        if threading.active_count() > 1:
            os._exit(code)
