"""Shared by the verbs that change something: which jobs are meant, what is done to each, and one line for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from taskloom.cli.control.common import ControlExit, explain
from taskloom.cli.control.follow_waits import END_SECONDS, is_gone, wait_until_over
from taskloom.cli.control.run_waits import StopWait
from taskloom.cli.control.waiting import JobResult, ProgramEnd, Wait, worst
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.clock import mono
from taskloom.control.client import Connection, ControlError, Refused, job_path
from taskloom.control.reply_fields import Fields
from taskloom.text import first_of, plural, printable

__all__ = ["INTERRUPTED", "Acted", "Results", "act", "act_and_wait", "wait_for_all"]

INTERRUPTED = 130
_UNMET = "dependency-unmet"
_WITH_NOW = ("start", "restart")
_MOST_NAMES = 5


class Acted(NamedTuple):
    """An action that was carried out."""

    before: Fields
    """The status of the job before it."""
    status: Fields
    """The status after it."""
    run: str
    """The run that the program names in its answer; or ""."""
    since: str
    """The id of the last event before it."""
    seconds: float
    """From the request to the answer: for what was over by then."""


class Results:
    """The results of one verb, one for each job: lines as they come, or one JSON object at the end."""

    def __init__(self, output: str) -> None:
        self._is_json = output == "json"
        self._results: list[JobResult] = []
        self._passed_over: dict[str, list[str]] = {}

    def add(self, result: JobResult) -> None:
        """Take a result; a refused or failed job is a line on standard error."""
        self._results.append(result)
        if self._is_json:
            return
        if result.exit is ControlExit.DONE:
            echo(printable(str(result)))
        else:
            echo_error(printable(str(result)))

    def pass_over(self, job: str, state: str, why: str) -> None:
        """Take a job to which the verb does not apply, and which was not named: that is not a failure."""
        self._results.append(JobResult(job, state, state))
        self._passed_over.setdefault(why, []).append(job)

    def finish(self) -> int:
        """Write what is left to write, and return the exit code."""
        for why, jobs in self._passed_over.items() if not self._is_json else ():
            echo(printable(f"{plural(len(jobs), 'job')} {why}: {first_of(jobs, _MOST_NAMES)}"))
        code = worst([result.exit for result in self._results])
        if self._is_json:
            echo_json({"exit_code": int(code), "jobs": [result.as_dict() for result in self._results]})
        return int(code)


def act(
    connection: Connection,
    verb: str,
    chosen: Sequence[Fields],
    results: Results,
    body: Mapping[str, Any] | None = None,
    *,
    passes_over: Mapping[str, str] = MappingProxyType({}),
) -> list[Acted]:
    """Do it to each job, and return what was done. A refused job is a result, and the others go on.

    A job that is refused with a code of `passes_over` is passed over, with these words: `without a schedule`.
    """
    done: list[Acted] = []
    for number, before in enumerate(chosen):
        job = before.text("job")
        begun = mono()
        try:
            answer = connection.fields(connection.post(job_path(job, verb), body))
        except Refused as error:
            if error.code in passes_over:
                results.pass_over(job, error.code.replace("-", " "), passes_over[error.code])
                continue
            text = f"cannot {verb}: {_why(error, verb, job)}"
            results.add(JobResult(job, "refused", text, ControlExit.FAILED, error=error.message))
            continue
        except ControlError:
            if verb == "stop" and done and is_gone(connection, END_SECONDS):
                # A program ends by itself when a stop leaves nothing to run.
                _stop_with_program(chosen[number:], results)
                break
            if done:
                names = first_of([each.before.text("job") for each in done], _MOST_NAMES)
                echo_error(printable(f"taskloom: {verb}: done before that: {names}"))
            raise
        except (KeyboardInterrupt, click.Abort):
            # The request for the current job may have arrived.
            _tell_interrupted(verb, [*(each.before.text("job") for each in done), job])
            raise click.exceptions.Exit(INTERRUPTED) from None
        since = f"{answer.text('start')}.{answer.count('seq')}"
        done.append(Acted(before, answer.object("job"), answer.text("run"), since, mono() - begun))
    return done


def _stop_with_program(left: Sequence[Fields], results: Results) -> None:
    """Add the results of jobs whose program has ended before it was asked to stop them."""
    for before in left:
        wait = StopWait(before, before)
        if wait.result is None:
            wait.end_with_program(ProgramEnd.GONE)
        assert wait.result is not None
        results.add(wait.result)


def _why(error: Refused, verb: str, job: str) -> str:
    """Return the cause of a refusal, without the words that the line has already."""
    intended, sign, cause = error.message.partition(f" job {job!r}: ")
    why = cause if sign and intended.startswith("cannot ") else error.message
    return f"{why}; --now starts it all the same" if error.code == _UNMET and verb in _WITH_NOW else why


def _tell_interrupted(verb: str, jobs: Sequence[str]) -> None:
    names = first_of(jobs, _MOST_NAMES)
    effect = "nothing has changed for" if verb == "wait" else f"the program goes on with the {verb}:"
    echo_error(printable(f"taskloom: interrupted; {effect} {names}"))


def wait_for_all(
    connection: Connection, verb: str, waits: Sequence[Wait], results: Results, *, since: str, deadline: float
) -> int:
    """Wait for all jobs, and return the exit code."""
    try:
        silence = wait_until_over(connection, waits, since=since, deadline=deadline, on_result=results.add)
    except (KeyboardInterrupt, click.Abort):
        left = [wait.job for wait in waits if wait.result is None]
        _tell_interrupted(verb, left)
        return INTERRUPTED
    if silence is not None:
        explain(silence)
    return results.finish()


def act_and_wait(
    connection: Connection,
    verb: str,
    chosen: Sequence[Fields],
    results: Results,
    *,
    body: Mapping[str, Any] | None = None,
    deadline: float,
    wait_for: Callable[[Acted], Wait] | None,
) -> int:
    """Do it to all jobs first, then wait for all of them under one deadline. Return the exit code.

    `wait_for` makes the wait of a job; None: do not wait.
    """
    done = act(connection, verb, chosen, results, body)
    if wait_for is None:
        for each in done:
            state = each.status.text("state") or "unknown"
            results.add(JobResult(each.status.text("job"), "requested", f"{verb} requested; {state}", run=each.run))
        return results.finish()
    if not done:
        return results.finish()
    waits = [wait_for(each) for each in done]
    return wait_for_all(connection, verb, waits, results, since=done[0].since, deadline=deadline)
