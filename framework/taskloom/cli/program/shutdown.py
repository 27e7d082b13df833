"""The end of the program: what is left is named and ended, the output is flushed, and the exit code is the right one.

After the jobs have been stopped, and after the threads that they left have had their time:

1. Child processes that are left get SIGTERM.
2. The handlers of `atexit` are called, on the main thread.
3. Python's open files are flushed.
4. Child processes that are still there get SIGKILL.
5. Queued output is written, and the process exits.

All of this takes two seconds at most, and ends at the deadline of the stop. A helper thread enforces that: an exit
handler may block for ever, and then the helper does the steps that are missing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from _thread import allocate_lock
from collections.abc import Sequence
from typing import Protocol

from taskloom.cli.program.children import LeftChild, LeftChildren, names_of
from taskloom.cli.program.end_helper import EndHelper
from taskloom.cli.program.exit_handlers import call_exit_handlers, flush_files, place_of_main_thread
from taskloom.cli.program.forks import ForkedChildren
from taskloom.cli.program.watcher import WATCHED
from taskloom.clock import mono
from taskloom.observe.console import Console
from taskloom.observe.event_file import EventSink
from taskloom.observe.output import Output
from taskloom.scheduler.facade import Listener
from taskloom.sync.latch import Latch
from taskloom.text import measured, plural

__all__ = ["Ending", "close_listeners"]

# Enough for what is queued, and less than the half second after which the watcher kills the program.
FLUSH_SECONDS = 0.3
# More than a busy machine needs for the events of a thousand jobs; a listener that is stuck delays the end by no more.
DELIVERY_SECONDS = 2.0
# The part of that time in which a slow reader of the events may still take some. The rest is for counting the others.
END_SHARE = 0.8
# The time for the exit handlers and the children together.
END_SECONDS = 2.0
# If the deadline of the stop is over already: enough for exit handlers that do not wait, and for files on a fast disk.
LEAST_SECONDS = 0.1
# The part of the time after which children are killed: an exit handler may be waiting for one that ignores SIGTERM.
KILL_AT = 0.75


def close_listeners(
    listeners: Sequence[Listener], console: Console, until: float, event_sink: EventSink | None = None
) -> None:
    """Deliver the queued events, and log how many were lost. `event_sink`: what may wait for its file.

    Takes FLUSH_SECONDS at most, or DELIVERY_SECONDS if the program has time until the monotonic second `until`: of a
    thousand jobs that end at once, the last events are late.
    """
    end = mono() + max(FLUSH_SECONDS, min(DELIVERY_SECONDS, until - mono()))
    if event_sink is not None:
        event_sink.finish(END_SHARE * (end - mono()))
    for listener in listeners:
        is_done = listener.close(max(0.0, end - mono()))
        late = 0 if is_done else listener.undelivered
        lost = listener.dropped + listener.failed + late
        if lost:
            because = f" ({listener.last_error})" if listener.last_error else " in time" if late else ""
            console.log(f"{plural(lost, 'event')} could not be delivered{because}", level="WARNING")


class _Watcher(Protocol):
    def limit(self, seconds: float) -> None:
        """Have the program ended in this many seconds, unless it has ended by then."""

    def dismiss(self) -> None:
        """End it."""


class Ending:
    """The last two seconds of the process. `deadline`: the monotonic second at which the stop has to be over."""

    def __init__(
        self,
        code: int,
        *,
        console: Console,
        output: Output,
        children: LeftChildren,
        forks: ForkedChildren,
        watcher: _Watcher | None,
        deadline: float,
    ) -> None:
        self._code = code
        self._console = console
        self._output = output
        self._children = children
        self._forks = forks
        self._watcher = watcher
        self._began = mono()
        self._seconds = max(LEAST_SECONDS, min(END_SECONDS, deadline - self._began))
        # Opened when the main thread has done all steps.
        self._is_done = Latch()
        self._once = allocate_lock()
        # Whether the helper ends the process, not the main thread.
        self._is_enforcing = False

    def leave(self, left: Sequence[LeftChild], helper: EndHelper) -> int:
        """End the process, or return the exit code if the interpreter can end as usual. Called on the main thread.

        The interpreter must not end as usual while threads are left: a daemon thread that holds a stream's lock aborts
        it (exit code 134), and it waits for ever for a thread that is not a daemon.
        """
        self._log_children(left)
        helper.do(self._enforce)
        if self._watcher is not None:  # for a handler that holds the GIL, so that the helper cannot act
            self._watcher.limit(self._seconds + FLUSH_SECONDS + LEAST_SECONDS)
        self._children.terminate(daemons_too=False)
        call_exit_handlers()
        self._children.terminate()
        flush_files()
        self._children.wait(self._began + KILL_AT * self._seconds)
        if self._once.acquire(blocking=False):
            self._is_done.open()
            self._finish()
            self._disarm()
            helper.close()
            if threading.active_count() == 1:
                self._forks.close()
                self._forks.allow()
                return self._code
            os._exit(self._code)
        Latch().wait()  # the helper is about to exit the process
        return self._code

    def _enforce(self) -> None:
        """Kill the children when most of the time is over, and exit when all of it is. On the helper thread."""
        if self._is_done.wait(KILL_AT * self._seconds):
            return
        self._kill_children()
        if self._is_done.wait(self._began + self._seconds - mono()):
            return
        # On one line: the helper calls this method again if it raised.
        self._is_enforcing = self._is_enforcing or self._once.acquire(blocking=False)
        if not self._is_enforcing:
            return
        try:
            took = f"exit handlers and child processes took longer than {measured(self._seconds)}"
            place = place_of_main_thread()
            self._console.log(f"{took}; exiting now{place and f', at {place}'}", level="WARNING")
            _flush_files_for(LEAST_SECONDS)
            self._finish()
        finally:
            os._exit(self._code)

    def _finish(self) -> None:
        self._kill_children()
        if self._output.dropped_lines:
            lines = plural(self._output.dropped_lines, "log line")
            self._console.log(f"{lines} dropped: standard error was not read fast enough", level="WARNING")
        self._output.close(FLUSH_SECONDS, self._began + self._seconds + FLUSH_SECONDS)

    def _disarm(self) -> None:
        """Take back the signals and the streams. On the main thread."""
        # While the interpreter ends it restores the default handlers: one more signal would change the exit code.
        for number in WATCHED:
            signal.signal(number, signal.SIG_IGN)
        if self._watcher is not None:
            self._watcher.dismiss()  # after a hard exit it ends by itself
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__

    def _kill_children(self) -> None:
        self._forks.refuse()
        self._children.kill()

    def _log_children(self, left: Sequence[LeftChild]) -> None:
        spared = [child for child in left if child.spared]
        ended = [child for child in left if not child.spared]
        if ended:
            self._console.log(f"ending child processes that are left: {names_of(ended)}", level="WARNING")
        for child in spared:
            self._console.log(f"left alone: {child}, {child.spared}", level="WARNING")


def _flush_files_for(seconds: float) -> None:
    """Flush the open files on another thread, since a file may block, and wait `seconds` at most."""
    is_flushed = Latch()

    def flush() -> None:
        flush_files()
        is_flushed.open()

    try:
        threading.Thread(target=flush, name="taskloom-flusher", daemon=True).start()
    except RuntimeError:
        return  # no thread can be started, and a file that blocks would prevent the exit
    is_flushed.wait(seconds)
