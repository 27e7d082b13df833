"""`taskloom signal`: send a signal to the processes of runs."""

from __future__ import annotations

from typing import Any

import click

from taskloom.cli.completion.known_names import complete_jobs_and_signals
from taskloom.cli.control.acting import Acted, Results, act
from taskloom.cli.control.common import (
    all_option,
    answers,
    choose_jobs,
    connect,
    label_option,
    output_option,
    program_options,
    reason_option,
    require_jobs,
)
from taskloom.cli.control.run_place import host_text
from taskloom.cli.control.waiting import JobResult
from taskloom.errors import UnknownSignal
from taskloom.signal_names import read_signal, require_signal, signal_name

__all__ = ["signal"]

# For all jobs, or for those with a label, the verb means those that can get a signal.
_PASSED_OVER = {"no-process": "without a process", "no-run": "without a run"}


@click.command(short_help="Send a signal to the processes of jobs.")
@click.argument("jobs", nargs=-1, metavar="JOB...", shell_complete=complete_jobs_and_signals)
@click.argument("written", metavar="SIGNAL")
@label_option
@all_option
@reason_option
@program_options
@output_option
@answers
def signal(*, jobs: tuple[str, ...], written: str, labels: tuple[str, ...], wants_all: bool, reason: dict[str, str],
           output: str, **program: Any) -> int:  # fmt: skip
    """Send SIGNAL to the process of the run of each JOB: to the worker, or to the main process of a command.

    JOB is a name, the name of a replicated job, or a pattern such as 'poll-*'. SIGNAL is a name, with or without SIG,
    or a number. Only a job with `runner: process`, or a command, has a process; --all and -l LABEL mean those. It is
    no request to stop: a run that the signal ends has failed. To end one, `stop` it.

    \b
    Exit codes:
      0  the signal was sent
      1  a job was refused: it has no run, or its run is in a thread
      2  unknown job or signal, or wrong usage; nothing was sent
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom signal web HUP
      taskloom signal 'worker-*' -l nightly USR1
    """
    require_jobs("signal", jobs, labels, wants_all=wants_all)
    sent = signal_name(_read(written, jobs))
    connection, results = connect(**program), Results(output)
    chosen = choose_jobs(connection, jobs, labels)
    body = {"signal": sent, **reason}
    for acted in act(connection, "signal", chosen, results, body, passes_over={} if jobs else _PASSED_OVER):
        results.add(_result(acted, sent))
    return results.finish()


def _read(written: str, jobs: tuple[str, ...]) -> int:
    try:
        return require_signal(written)
    except UnknownSignal as error:
        first = jobs[0] if jobs else ""
        hint = f"; the signal comes last: taskloom signal {written} {first}" if read_signal(first) is not None else ""
        raise click.UsageError(f"{error}{hint}") from None


def _result(acted: Acted, sent: str) -> JobResult:
    # As it was before: the signal may have ended the process.
    status, process = acted.status, acted.before.object("process")
    on = host_text(acted.before)
    to = f" to pid {process.count('pid')}{on}" if process.has("pid") else on
    return JobResult(status.text("job"), "signalled", f"sent {sent}{to}", run=acted.run)
