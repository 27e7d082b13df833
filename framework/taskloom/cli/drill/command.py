"""`taskloom drill`: does every job stop in time? Each one really runs, alone, is asked to stop, and is timed."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from taskloom.cli.completion.known_names import complete_jobs_of_files, complete_paths
from taskloom.cli.echo import echo, echo_json
from taskloom.cli.options import Seconds, env_file_option
from taskloom.cli.standard_streams import final_code, imports_on_stderr
from taskloom.errors import JobFileError
from taskloom.text import did_you_mean

if TYPE_CHECKING:
    from taskloom.cli.drill.trial import DrilledJob
    from taskloom.cli.program.shared_process import SharedProcess
    from taskloom.core.model import JobSpec
    from taskloom.observe.masking import Masker
    from taskloom.observe.program_output import ProgramOutput

__all__ = ["drill"]

_PASSED, _FAILED, _INTERRUPTED = 0, 1, 130
# Time for the log lines of the tasks to be written before the result is printed.
FLUSH_SECONDS = 0.5
# If a drill exceeds its longest possible time by this much, C code probably holds the GIL: then no Python code runs,
# and no other time limit can act.
STUCK_SECONDS = 10.0


@click.command(short_help="Run each job alone, and check that it stops in time.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_paths)
@click.option("-l", "--label", "labels", multiple=True, metavar="LABEL",
              help="Drill only jobs with this label; may be repeated: jobs with any of them.")  # fmt: skip
@click.option("--job", "names", multiple=True, metavar="NAME", help="Drill only this job; may be repeated.",
              shell_complete=complete_jobs_of_files)  # fmt: skip
@env_file_option
@click.option("--budget", type=Seconds(is_positive=True), metavar="DURATION",
              help="The time that each job has to stop, instead of its own join policy's.")  # fmt: skip
@click.option("--warm-up", type=Seconds(), default="1s", show_default=True, metavar="DURATION",
              help="How long a job runs after it is ready before it is asked to stop.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="text is a table; json has all data.")  # fmt: skip
def drill(  # noqa: PLR0917 - click gives them by name
    paths: tuple[str, ...],
    labels: tuple[str, ...],
    names: tuple[str, ...],
    env_files: tuple[str, ...],
    budget: float | None,
    warm_up: float,
    output: str,
) -> int:
    """Start each job alone, ask it to stop, and time it; fail over budget.

    Each PATH is a job file, a folder of job files, or -; without one it is taskloom.yaml, else jobs/. The tasks really
    run: they open their sockets and write their files. Each job has one run, which starts at once; schedule,
    dependencies, restart policy and replicas are ignored. The run is asked to stop when it has been ready for the
    warm-up time, or if it is not ready within that time. A run that ends before passes, unless it failed. A run on a
    cluster has its time from when a worker begins it.

    The budget is the job's own `join`. With `join: wait` it is 30 seconds. No stop waits for a job with `join: 0s`, so
    without --budget it passes however long it takes to stop. For a job that does not stop in time, the drill prints
    the line where it is, and leaves its thread behind.

    Output and log lines of tasks go to stderr; the table, or the JSON, goes to stdout. WORST GAP is the longest
    time without a poll of the cancellation.

    \b
    Exit codes:
      0  every job passed          1  some job failed or was over budget
      2  job files or usage invalid, nothing started          130  stopped by Ctrl-C

    \b
    Examples:
      taskloom drill jobs/
      taskloom drill jobs/ --budget 500ms --label gateway
    """
    from taskloom.cli.default_paths import chosen_paths
    from taskloom.cli.program.shared_process import SharedProcess
    from taskloom.observe.masking import Masker

    process = SharedProcess()
    process.watch_forks()
    with imports_on_stderr():  # a plugin may print when it is imported
        specs, secrets = _select_jobs(chosen_paths(paths), labels, names, env_files)
    masker = Masker(secrets)
    drilled: list[DrilledJob] = []
    code = _INTERRUPTED
    try:
        with _tasks_on_stderr(process, masker) as shown:
            _drill_all(specs, budget, warm_up, shown, drilled)
        code = _PASSED if all(job.passes for job in drilled) else _FAILED
    except KeyboardInterrupt:
        pass
    from taskloom.cli.drill.report import as_data, as_text

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exit code is already decided
    if output == "json":
        echo_json(masker.mask_data(as_data(drilled, len(specs))))
    else:
        echo(masker.mask(as_text(drilled, len(specs))))
    return _end(final_code(code), process, masker)


def _select_jobs(
    paths: Sequence[str], labels: Sequence[str], names: Sequence[str], env_files: Sequence[str]
) -> tuple[list[JobSpec], frozenset[str]]:
    """Return the selected enabled jobs, and all secrets. Raises JobFileError, and UsageError if there are none."""
    from taskloom.jobfile import check
    from taskloom.jobfile.env_file import environ_with, read_env_files

    result = check(*paths, environ=environ_with(read_env_files(env_files), os.environ))
    if result.errors:
        raise JobFileError(result.errors)
    specs = result.jobs
    known = [spec.name for spec in specs]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, before="; ")
            raise click.UsageError(f"cannot find job {name!r}; jobs: {', '.join(known)}{hint}")
    wanted = [spec for spec in specs if not names or spec.name in names]
    if labels:
        wanted = [spec for spec in wanted if set(labels) & set(spec.labels)]
    chosen = [spec for spec in wanted if spec.enabled]
    if not chosen:
        criteria = [*(f"label {label!r}" for label in labels), *(f"name {name!r}" for name in names)]
        which = f" with {' or '.join(criteria)}" if criteria else ""
        raise click.UsageError(f"cannot find an enabled job{which}: there is nothing to drill")
    return chosen, result.secrets


@contextlib.contextmanager
def _tasks_on_stderr(process: SharedProcess, masker: Masker) -> Iterator[ProgramOutput]:
    """Write the output and log lines of tasks, and the events, to standard error inside the block."""
    from taskloom.observe.program_output import ProgramOutput

    shown = ProgramOutput(data_to_log=True, masker=masker)
    shown.install()
    process.use(shown.detach, shown.console, shown.streams)
    try:
        yield shown
    finally:
        shown.remove()
        shown.output.close(FLUSH_SECONDS)


def _drill_all(
    specs: Sequence[JobSpec], budget: float | None, warm_up: float, shown: ProgramOutput, drilled: list[DrilledJob]
) -> None:
    """Drill one job after the other, and append each result to `drilled` as soon as it is known."""
    from taskloom.cli.drill.elsewhere import shared_runners
    from taskloom.cli.drill.trial import drill_job, max_drill_seconds
    from taskloom.observe.name_column import longest_name
    from taskloom.observe.output import HOLD_SECONDS
    from taskloom.sync.latch import Latch

    shown.console.names.fit(longest_name(specs))
    with shared_runners(specs) as runners:
        for number, spec in enumerate(specs, start=1):
            shown.console.log(f"drilling {spec.name} ({number} of {len(specs)})")
            # The console holds lines back for a moment. This one must be written before C code can hold the GIL.
            Latch().wait(2 * HOLD_SECONDS)
            # After this time print all stacks and exit with code 1: faulthandler does not need the GIL for that.
            limit = max_drill_seconds(spec, budget, warm_up) + STUCK_SECONDS
            faulthandler.dump_traceback_later(limit, exit=True, file=sys.__stderr__ or 2)
            try:
                result = drill_job(spec, budget=budget, warm_up=warm_up, listeners=[shown], runners=runners)
            finally:
                faulthandler.cancel_dump_traceback_later()
            drilled.append(result)
            shown.console.log(
                f"drilled {spec.name}: {result.verdict.value}", level="INFO" if result.passes else "ERROR"
            )


def _end(code: int, process: SharedProcess, masker: Masker) -> int:
    """End what is left, as `taskloom run` does, and return the code or exit with it."""
    from taskloom.cli.program.end_helper import EndHelper
    from taskloom.cli.program.shutdown import Ending
    from taskloom.observe.program_output import ProgramOutput

    shown = ProgramOutput(data_to_log=True, masker=masker)
    left = process.left_children()
    ending = Ending(
        code,
        console=shown.console,
        output=shown.output,
        children=left,
        forks=process.forks,
        watcher=None,
        deadline=float("inf"),
    )
    return ending.leave(left.find(), EndHelper())
