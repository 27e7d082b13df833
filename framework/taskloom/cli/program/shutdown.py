"""The end of the program: flush the output, name the threads that are left, and exit on time with the right code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

from taskloom.cli.program.watcher import WATCHED, Watcher
from taskloom.clock import mono
from taskloom.core.report import ExitCode, StopReport
from taskloom.observe.console import Console
from taskloom.observe.output import Output
from taskloom.scheduler.facade import Listener
from taskloom.text import plural

__all__ = ["close_listeners", "finish"]

# Enough for what is queued, and less than the half second after which the watcher kills the program.
FLUSH_SECONDS = 0.3
# More than a busy machine needs for the events of a thousand jobs; a listener that is stuck delays the end by no more.
DELIVERY_SECONDS = 2.0


def close_listeners(listeners: Sequence[Listener], console: Console, until: float) -> None:
    """Deliver the queued events, and log how many were lost.

    Takes FLUSH_SECONDS at most, or DELIVERY_SECONDS if the program has time until the monotonic second `until`: of a
    thousand jobs that end at once, the last events are late.
    """
    end = mono() + max(FLUSH_SECONDS, min(DELIVERY_SECONDS, until - mono()))
    for listener in listeners:
        is_done = listener.close(max(0.0, end - mono()))
        if listener.dropped or listener.failed:
            lost = plural(listener.dropped + listener.failed, "event")
            because = f" ({listener.last_error})" if listener.last_error else ""
            console.log(f"{lost} could not be delivered{because}", level="WARNING")
        elif not is_done:
            console.log("the last events could not be delivered in time", level="WARNING")


def finish(
    report: StopReport, code: ExitCode, console: Console, output: Output, *, watcher: Watcher, deadline: float
) -> int:
    """Return the code if the interpreter can end as usual; otherwise exit the process here.

    The interpreter must not end as usual while threads are left: a daemon thread that holds a stream's lock aborts it
    (exit code 134), and it waits forever for a thread that is not a daemon.
    """
    _join_other_threads({survivor.job for survivor in report.survivors}, console, deadline)
    if output.dropped_lines:
        lines = plural(output.dropped_lines, "log line")
        console.log(f"{lines} dropped: standard error was not read fast enough", level="WARNING")
    output.close(FLUSH_SECONDS)
    # While the interpreter ends it restores the default handlers, and one more signal would then change the exit code.
    for number in WATCHED:
        signal.signal(number, signal.SIG_IGN)
    watcher.dismiss()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    if threading.active_count() > 1:
        os._exit(code)
    return int(code)


def _join_other_threads(survivors: set[str], console: Console, deadline: float) -> None:
    """Name the non-daemon threads that tasks or libraries have left running, and wait for them."""
    others = [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread() and thread.name not in survivors
    ]
    if not others:
        return
    names = ", ".join(thread.name for thread in others)
    console.log(f"waiting for non-daemon threads that tasks or libraries started: {names}", level="WARNING")
    for thread in others:
        left = deadline - mono()
        thread.join(None if left == float("inf") else max(0.0, left))
