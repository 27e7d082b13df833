"""The way out: flush what can be flushed, name who is left, and be gone on time with the right code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

from taskloom.cli.program.watcher import WATCHED as STOP_SIGNALS
from taskloom.cli.program.watcher import Watcher
from taskloom.clock import mono
from taskloom.core.report import ExitCode, StopReport
from taskloom.observe.console import Console
from taskloom.observe.output import Output
from taskloom.scheduler.facade import Listener

__all__ = ["close_listeners", "hold_descriptors", "leave"]

# Long enough for whatever is queued, short enough to end within the half second that the watcher grants.
FLUSH_SECONDS = 0.3


def hold_descriptors() -> None:
    """Open 0, 1 and 2 where the caller closed them, or the next socket would get that number, and our lines."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


def close_listeners(listeners: Sequence[Listener], console: Console) -> None:
    """Have the queued events delivered, for a moment; say what was lost."""
    for listener in listeners:
        listener.close(FLUSH_SECONDS)
        if listener.dropped or listener.failed:
            lost = listener.dropped + listener.failed
            because = f" ({listener.last_error})" if listener.last_error else ""
            console.say(f"{lost} events could not be delivered{because}", level="WARNING")


def leave(
    report: StopReport, code: ExitCode, *, console: Console, output: Output, watcher: Watcher, deadline: float
) -> int:
    """Return the code when the interpreter may end as usual; else leave by a hard exit here.

    Ending as usual with threads about is what it must not do: a daemon thread that holds a stream's lock aborts
    the interpreter (exit 134), and a thread that is no daemon holds it for ever.
    """
    _await_foreign_threads({survivor.job for survivor in report.survivors}, console, deadline)
    if output.dropped_lines:
        console.say(f"{output.dropped_lines} log lines were dropped: nobody took them fast enough", level="WARNING")
    output.close(FLUSH_SECONDS)
    # The code is settled. The interpreter would set our handlers back to the default while it ends, and one more
    # signal would then change how we ended.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    watcher.dismiss()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    if threading.active_count() > 1:
        os._exit(code)
    return int(code)


def _await_foreign_threads(survivors: set[str], console: Console, deadline: float) -> None:
    """Wait for threads that tasks or libraries left behind and that are no daemons; name them first."""
    foreign = [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread() and thread.name not in survivors
    ]
    if not foreign:
        return
    names = ", ".join(thread.name for thread in foreign)
    console.say(f"waiting for threads that are not ours and no daemons: {names}", level="WARNING")
    for thread in foreign:
        left = deadline - mono()
        thread.join(None if left == float("inf") else max(0.0, left))
