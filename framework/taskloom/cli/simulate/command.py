"""`taskloom simulate`: run the jobs in virtual time, with the real scheduling decisions and fake runs."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from taskloom.cli.completion.known_names import complete_paths
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.cli.options import Seconds, env_file_option
from taskloom.cli.simulate.options import ReadBy, check_jobs, clock_step, fault, instant, share, span
from taskloom.cli.standard_streams import imports_on_stderr
from taskloom.errors import InternalError
from taskloom.observe.event_file import is_standard_output
from taskloom.text import to_json

if TYPE_CHECKING:
    from taskloom.cli.settings import Sources
    from taskloom.core.events import Event
    from taskloom.core.model import JobSpec, Reason
    from taskloom.simulation import ClockStep, Fault, Plan, Progress, SimulationResult, Span

__all__ = ["simulate"]

_BUG, _INTERRUPTED = 70, 130
# By the value of --check. Checking every step takes three times as long as the simulation itself.
_CHECKED_STEPS = {None: 100_000, True: None, False: 0}


@click.command(short_help="Show what the jobs would do in a week, in virtual time.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_paths)
@click.option("--for", "seconds", type=Seconds(is_positive=True), default="1d", show_default=True,
              metavar="DURATION", help="How much virtual time passes.")  # fmt: skip
@click.option("--at", "start", type=ReadBy(instant), metavar="INSTANT",
              help="When it begins, such as 2026-03-29T00:00 (default: now), in the machine's time zone unless it ends "
                   "with Z or an offset such as +02:00.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="The seed of all random numbers.")
@click.option("--work", type=ReadBy(span), multiple=True, metavar="JOB=SPAN",
              help="How long the runs of a job work: 5s, 1s..10s (random), or forever. JOB may be a pattern such as "
                   "'poll-*'; if several match, the last one counts. [default: 1s if the job has a schedule or other "
                   "jobs wait for its end, else forever]")  # fmt: skip
@click.option("--stops-in", type=ReadBy(span), multiple=True, metavar="JOB=SPAN",
              help="How long the runs of a job continue after they are asked to stop. [default: 0s]")  # fmt: skip
@click.option("--fail", type=ReadBy(share), multiple=True, metavar="[JOB=]PERCENT",
              help="The share of runs that fail, each at a random moment of its work.")  # fmt: skip
@click.option("--cut", type=ReadBy(share), multiple=True, metavar="[JOB=]PERCENT",
              help="The share of runs with runner: dask whose worker dies or is cut off, each at a random moment of "
                   "its work. Some are unreachable for a while, others are lost.")  # fmt: skip
@click.option("--crash", "crashes", type=ReadBy(fault), multiple=True, metavar="JOB@DURATION",
              help="Let the run that the job has at this time fail.")  # fmt: skip
@click.option("--hang", "hangs", type=ReadBy(fault), multiple=True, metavar="JOB@DURATION",
              help="Let the run that the job has at this time hang: it does not end, poll or stop.")  # fmt: skip
@click.option("--clock-step", "clock_steps", type=ReadBy(clock_step), multiple=True, metavar="STEP@DURATION",
              help="Set the wall clock; +1h@5h sets it forward by 1 hour after 5 hours.")  # fmt: skip
@click.option("--stop-within", type=Seconds(allows_forever=True), metavar="DURATION",
              help="The time limit of the stop at the end, or forever. [default: 30s]")  # fmt: skip
@env_file_option
@click.option("-l", "--label", "labels", multiple=True, metavar="LABEL",
              help="Only jobs with this label, and the jobs that they start after; may be repeated: jobs with any of "
                   "them.")  # fmt: skip
@click.option("--events", type=click.Path(), metavar="PATH",
              help="Write each event with its virtual time to this file, as JSON lines; - is standard output, and then "
                   "the table goes to standard error.")  # fmt: skip
@click.option("--check/--no-check", "is_checked", default=None,
              help="Check every step of the scheduler against its invariants, or none. "
                   "[default: the first 100,000]")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="text is a table; json has all data.")  # fmt: skip
def simulate(  # noqa: PLR0917 - click gives them by name
    paths: tuple[str, ...],
    seconds: float,
    start: float | None,
    seed: int,
    work: tuple[tuple[str, Span], ...],
    stops_in: tuple[tuple[str, Span], ...],
    fail: tuple[tuple[str, float], ...],
    cut: tuple[tuple[str, float], ...],
    crashes: tuple[Fault, ...],
    hangs: tuple[Fault, ...],
    clock_steps: tuple[tuple[float, ClockStep], ...],
    stop_within: float | None,
    env_files: tuple[str, ...],
    labels: tuple[str, ...],
    events: str | None,
    is_checked: bool | None,
    output: str,
) -> int:
    """Show what the jobs would do in a day or a week, in virtual time.

    Each PATH is a job file, a folder of job files, or -; without one it is taskloom.yaml, else jobs/. No task runs: the
    scheduler makes its real decisions over fake runs, so that a week takes seconds. A run works for 1 second and
    succeeds if its job has a schedule or other jobs wait for its end; all other runs work until they are stopped.
    --work changes that. As with `taskloom run`, the simulation ends early when no non-daemon job is running or going to
    start.

    The table counts, per job: FIRINGS, the instants of its schedule that came; OVERLAPS, those that were skipped
    because its run was still alive; MISSED, those that were missed for another reason; LONGEST STOP, from the request
    to stop to the end of the run. AT THE END is its state right before everything was stopped. The same options with
    the same seed give the same result; without --at, the same random numbers are used at other instants.

    \b
    Exit codes:
      0  simulated, whatever the result          2  job files or usage invalid
      70  an invariant was broken: a bug of Taskloom          130  Ctrl-C, after a report of what was simulated

    \b
    Examples:
      taskloom simulate jobs/ --for 7d --fail 5%
      taskloom simulate jobs/backup.yaml --at 2026-03-28T12:00 --work backup=50m..2h
      taskloom simulate jobs/ --for 3h --crash gateway@1h --hang poller@2h
    """
    from taskloom.cli.default_paths import chosen_paths
    from taskloom.cli.settings import Flag, Sources
    from taskloom.clock import wall
    from taskloom.simulation import Plan

    if output == "json" and is_standard_output(events):
        raise click.UsageError(
            f"cannot write both events (--events {events}) and the result (--output json) to standard output; "
            "expected --events PATH, or --output text"
        )
    sources = Sources({"stop_within": Flag("--stop-within", stop_within)}, os.environ)
    specs, stop_seconds = _load_jobs(chosen_paths(paths), labels, env_files, sources, start)
    now = wall() // 1  # whole seconds, so that instants are easy to read
    plan = Plan(
        seconds=seconds, start=now if start is None else start, seed=seed, stop_within=stop_seconds, work=work,
        stops_in=stops_in, fail=fail, cut=cut, crashes=crashes, hangs=hangs, clock_steps=clock_steps,
        checked_steps=_CHECKED_STEPS[is_checked],
    )  # fmt: skip
    check_jobs(plan, specs)
    try:
        result = _simulate(specs, plan, events, has_data=output == "json")
    except InternalError:
        echo_error(traceback.format_exc())
        echo_error(f"please report the lines above with your job file and --seed {seed}")
        return _BUG
    from taskloom.cli.simulate.report import as_data, as_text

    if output == "json":
        echo_json(as_data(result))
    else:
        answer = echo_error if is_standard_output(events) else echo
        answer(as_text(result))
    return _INTERRUPTED if result.is_interrupted else 0


def _load_jobs(
    paths: Sequence[str], labels: Sequence[str], env_files: Sequence[str], sources: Sources, start: float | None
) -> tuple[list[JobSpec], float]:
    """Load and check the jobs; return them, and the seconds that a stop may take. Raises JobFileError.

    Prints warnings to standard error.
    """
    from taskloom.cli.program.selection import JobFiles
    from taskloom.jobfile.render import render_all

    with imports_on_stderr():  # a plugin may print when it is imported
        selection = JobFiles(paths, labels=labels, env_files=env_files, sources=sources, now=start).read()
    for warning in sources.warnings:
        echo_error(f"warning: {warning}")
    if selection.warnings:
        echo_error(render_all(selection.warnings))
    return selection.specs, selection.settings["stop_within"].value


def _simulate(specs: Sequence[JobSpec], plan: Plan, events: str | None, *, has_data: bool) -> SimulationResult:
    """Run the simulation, show its progress, and end it at Ctrl-C. `has_data`: JSON goes to standard output."""
    from taskloom.cli.simulate.progress import Interrupt, ProgressLine, has_progress
    from taskloom.clock import mono
    from taskloom.core.events import as_dict
    from taskloom.simulation import simulate_jobs

    interrupt, line = Interrupt(), None
    stderr = sys.stderr
    if has_progress(stderr, shares_terminal=_is_on_terminal(events, has_data=has_data)):
        line = ProgressLine(plan.seconds, mono, stderr)

    def report(progress: Progress) -> Reason | None:
        if line is not None:
            line(progress)
        return interrupt.reason

    with contextlib.ExitStack() as stack:
        listeners = []
        if events is not None:
            file = stack.enter_context(_open(events))

            def write(event: Event) -> None:
                file.write(to_json(as_dict(event)) + "\n")

            listeners.append(write)
        if line is not None:
            stack.callback(line.erase)
        with interrupt.caught():
            return simulate_jobs(specs, plan, listeners, report)


def _is_on_terminal(events: str | None, *, has_data: bool) -> bool:
    """Return whether events or JSON are written to a terminal."""
    is_data_on_stdout = has_data or is_standard_output(events)
    if events is not None:
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.stat(events).st_mode) and events != os.devnull:  # noqa: PTH116 - /dev/fd/3 too
                return True
    return is_data_on_stdout and sys.stdout is not None and sys.stdout.isatty()


@contextlib.contextmanager
def _open(path: str) -> Iterator[TextIO]:
    """Open the file for the events and empty it. Raises click.UsageError if it cannot be written."""
    if is_standard_output(path):
        yield sys.stdout
        return
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 - /dev/fd/3 too
            yield file
    except OSError as error:
        raise click.UsageError(f"cannot write events to {path!r}: {error.strerror}") from None
