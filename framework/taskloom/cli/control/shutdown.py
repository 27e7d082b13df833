"""`taskloom shutdown`: stop a whole program, and show its report."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import click

from taskloom.cli.control.acting import INTERRUPTED
from taskloom.cli.control.common import (
    ControlExit,
    answers,
    connect,
    line_shape,
    output_option,
    program_options,
    reason_option,
)
from taskloom.cli.control.follow_waits import END_SECONDS, is_gone
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.cli.options import Seconds
from taskloom.clock import mono
from taskloom.control.client import Asked, Connection, ControlError, NoProgram
from taskloom.control.client_errors import ConnectionLost
from taskloom.control.reply_fields import Fields
from taskloom.text import duration, first_of, measured, printable

__all__ = ["shutdown"]

# Seconds between two looks at which jobs are awaited.
_LOOK_SECONDS = 1.0
# The program writes its report and leaves after the stop: left threads and output take a few seconds at most.
_MARGIN_SECONDS = 10.0
_MOST_NAMES = 5
# `--stop-within forever` may take any time. A poll can wait 24 days at most.
_LONGEST_SECONDS = 7 * 86_400.0
_ENDED = "ended without its stop report: it was killed, or it exited hard"


@click.command(short_help="Stop all jobs, and end the program.")
@click.option("--within", type=Seconds(), metavar="DURATION",
              help="How long stopping all jobs may take. [default: what the program was started with]")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Return at once.")
@reason_option
@program_options
@output_option
@answers
def shutdown(*, within: float | None, no_wait: bool, reason: dict[str, str], output: str, **program: Any) -> int:
    """Stop all jobs of the program as a TERM signal does, wait for its end, and show its summary.

    A second `shutdown` with a smaller --within hurries the first.

    \b
    Exit codes: those of `taskloom run`, such as
      0    no job had failed, and all stopped in time
      1    a job had failed
      3    a job did not stop in time; the summary says where it is
    and
      2    wrong usage
      4    no program is reachable, it does not answer, or it was killed meanwhile
      130  interrupted; the program goes on stopping

    \b
    Examples:
      taskloom shutdown
      taskloom shutdown --name gateway --within 5s
    """
    connection = connect(**program)
    body: dict[str, Any] = reason if within is None else {**reason, "within": within}
    begun = mono()
    # Before the request to stop: a program without jobs is gone a moment after it, with its report.
    report_to_come = None if no_wait else connection.request("/v1/stop", wait=True)
    try:
        answer = connection.fields(connection.post("/v1/shutdown", body))
    except (ConnectionLost, NoProgram):  # it was about to end
        if not is_gone(connection, END_SECONDS):
            raise
        if report_to_come is None:
            return _tell_ended(connection, _ENDED, begun)
        answer = connection.fields({})
    if report_to_come is None:
        if output == "json":
            echo_json(answer.data)
        else:
            echo(printable(f"{connection.who} is stopping ({answer.text('reason')})"))
        return ControlExit.DONE
    waiting = _Waiting(connection, report_to_come, is_quiet=output == "json")
    try:
        report = waiting.report()
    except (KeyboardInterrupt, click.Abort):
        echo_error(f"taskloom: interrupted; {connection.who} goes on stopping")
        return INTERRUPTED
    if report is None:
        return _tell_ended(connection, waiting.trouble, begun)
    return _show(report, output)


def _tell_ended(connection: Connection, how: str, begun: float) -> int:
    echo_error(printable(f"taskloom: {connection.who} {how} after {measured(mono() - begun)}"))
    return ControlExit.UNREACHABLE


class _Waiting:
    """The wait for the stop report of a program. It shows who is awaited, whenever that changes."""

    def __init__(self, connection: Connection, asked: Asked, *, is_quiet: bool) -> None:
        self._connection = connection
        self._asked = asked
        self._is_quiet = is_quiet
        self._answers: queue.SimpleQueue[Mapping[str, Any] | BaseException] = queue.SimpleQueue()
        self._shown: Sequence[str] = ()
        self._deadline = float("inf")
        self.trouble = _ENDED
        """Why there is no report, if there is none."""

    def report(self) -> Fields | None:
        """Return the report; None if the program has ended without one, or does not come to its end."""
        # Only one thread can read the answer that comes last; a daemon thread, since Ctrl-C does not wait for it.
        threading.Thread(target=self._ask, name="taskloom-shutdown", daemon=True).start()
        while True:
            try:
                answer = self._answers.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                self._look()
                if mono() >= self._deadline:
                    self.trouble = "has not ended"
                    return None
                continue
            if not isinstance(answer, BaseException):
                return self._connection.fields(answer)
            if not isinstance(answer, ControlError):
                raise answer
            if isinstance(answer, NoProgram) or is_gone(self._connection, END_SECONDS) or mono() >= self._deadline:
                return None
            self.trouble = f"does not say how it stops: {answer}"
            return None

    def _ask(self) -> None:
        try:
            self._answers.put(self._asked.answer(_LONGEST_SECONDS))
        except BaseException as error:  # noqa: BLE001 - the main thread waits for it
            self._answers.put(error)

    def _look(self) -> None:
        try:
            program = self._connection.fields(self._connection.get("/v1/program", timeout=_LOOK_SECONDS))
        except ControlError:
            return  # it may be busy, or at its end: the report, or the end of the connection, says so
        stop = program.object("stop")
        left, awaited = stop.number("seconds_left"), stop.texts("awaited")
        self._deadline = float("inf") if left is None else min(self._deadline, mono() + left + _MARGIN_SECONDS)
        if awaited and awaited != self._shown and not self._is_quiet:
            within = "" if left is None else f", at most {duration(max(0.0, left), is_rounded=True)}"
            echo_error(printable(f"waiting for {first_of(awaited, _MOST_NAMES)}{within}"))
        self._shown = awaited


def _show(report: Fields, output: str) -> int:
    if output == "json":
        echo_json(report.data)
    else:
        from taskloom.control.report_data import statuses_of, stop_report_of
        from taskloom.observe.summary import summary

        echo(summary(stop_report_of(report), statuses_of(report), *line_shape()).rstrip("\n"))
    return report.count("exit_code")
