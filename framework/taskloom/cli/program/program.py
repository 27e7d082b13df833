"""What `taskloom run` does, from the first signal handler to the exit code.

The main thread only waits on one mailbox: for signal numbers, and for word from the scheduler. Signal handlers put
a number there and do nothing else; they are installed before anything that may take long, and before the first
thread. The watcher process is forked then too.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from enum import Enum

import click

from taskloom.cli.program.reload import NEEDED_WORDS, Reloading
from taskloom.cli.program.selection import JobFiles, Selection
from taskloom.cli.program.shutdown import close_listeners, hold_descriptors, leave
from taskloom.cli.program.signal_queue import SignalQueue
from taskloom.cli.program.signals import HURRY_SECONDS, SignalAction, SignalPolicy
from taskloom.cli.program.watcher import WATCHED, Watcher
from taskloom.clock import mono
from taskloom.core.model import JobSpec, Reason, ReasonKind
from taskloom.core.report import ExitCode, StopReport
from taskloom.observe.console import Console, ConsoleHandler
from taskloom.observe.event_file import EventFile
from taskloom.observe.output import Output
from taskloom.observe.streams import TextStream
from taskloom.observe.summary import summary, table
from taskloom.scheduler.facade import Listener, Scheduler

__all__ = ["Program"]


# A time after every other: the summary is the last of the lines.
_LAST = float("inf")


class _Word(Enum):
    WORK_OVER = "work over"
    STOPPED = "stopped"


class Program:
    """One `taskloom run`. `stop_within`: seconds for the whole stop, inf for no deadline."""

    def __init__(
        self,
        stop_within: float,
        *,
        events: str | None = None,
        labels: Sequence[str] = (),
        wants_json: bool = False,
        is_verbose: bool = False,
    ) -> None:
        self._stop_within = stop_within
        self._events_path = events
        self._labels = labels
        self._wants_json = wants_json
        self._is_verbose = is_verbose
        self._inbox: SignalQueue[int | _Word] = SignalQueue()
        self._signals = SignalPolicy(has_terminal=sys.stdin is not None and sys.stdin.isatty())
        self._scheduler = Scheduler(stop_within=stop_within, on_stopping=self._stop_begins)
        self._listeners: list[Listener] = []
        self._is_stop_wanted = False
        self._is_stopping = False
        self._hard_deadline = float("inf")

    def run(self, paths: Sequence[str]) -> int:
        """Do it all and return the exit code, or leave by a hard exit where threads are left behind."""
        hold_descriptors()
        for number in WATCHED:
            signal.signal(number, self._hear)
        self._watcher = Watcher(self._stop_within, has_terminal=self._signals.has_terminal)
        self._inbox.listen(self._watcher.echo)
        files = JobFiles(paths, labels=self._labels, stop_within=self._stop_within)
        try:
            selection = files.read()
            event_file = self._open_events()
        except BaseException:
            self._watcher.dismiss()
            raise
        self._set_up_output()
        self._listen(event_file)
        self._tell_of(selection, paths)
        self._reloading = Reloading(files, self._scheduler, self._console, self._show)
        self._scheduler.add_all(selection.specs)
        report = self._supervise()
        return self._finish(report)

    def _hear(self, number: int, _: object) -> None:
        """Take in a signal: the handler, which interrupts the main thread anywhere."""
        if self._signals.is_stop(number):
            self._is_stop_wanted = True
        self._inbox.put(number)

    # -- setting up

    def _open_events(self) -> EventFile | None:
        if self._events_path is None:
            return None
        try:
            return EventFile(self._events_path)
        except OSError as error:
            raise click.UsageError(f"cannot write events to {self._events_path!r}: {error.strerror}") from None

    def _set_up_output(self) -> None:
        # Either is None where the caller had closed it.
        is_colored = sys.stderr is not None and sys.stderr.isatty()
        is_colored = is_colored and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._output = Output()
        self._console = Console(self._output.line, is_colored=is_colored)
        sys.stdout = TextStream(self._output.data, 1)
        sys.stderr = TextStream(self._output.line, 2)
        root = logging.getLogger()
        root.addHandler(ConsoleHandler(self._console))
        root.setLevel(logging.DEBUG if self._is_verbose else logging.INFO)
        logging.raiseExceptions = False

    def _listen(self, event_file: EventFile | None) -> None:
        self._listeners.append(self._scheduler.listen(self._console))
        if event_file is not None:
            self._listeners.append(self._scheduler.listen(event_file))

    def _tell_of(self, selection: Selection, paths: Sequence[str]) -> None:
        if selection.warnings:
            from taskloom.jobfile.render import render_all

            self._show(f"{render_all(selection.warnings)}\n")
        self._console.say(_loaded(selection.specs, paths))
        if selection.needed:
            self._console.say(NEEDED_WORDS + ", ".join(selection.needed))

    def _show(self, text: str) -> None:
        """Write text as it is, between the lines of the log."""
        self._output.line(text.encode("utf-8", "backslashreplace"))

    # -- the main thread's life

    def _supervise(self) -> StopReport:
        if not self._is_stop_wanted:  # it may have come while the files were read: then nothing starts at all
            self._scheduler.start()
        threading.Thread(target=self._watch_scheduler, name="taskloom-conductor", daemon=True).start()
        while True:
            word = self._inbox.get()
            if word is _Word.STOPPED:
                return self._scheduler.stop()
            if word is _Word.WORK_OVER:
                finished = Reason(ReasonKind.FINISHED, "nothing keeps the program alive")
                self._stop(self._scheduler.stop_reason or finished)
            else:
                self._take_signal(word)

    def _watch_scheduler(self) -> None:
        self._scheduler.wait()
        self._inbox.put(_Word.WORK_OVER)
        self._scheduler.wait_stopped()
        self._inbox.put(_Word.STOPPED)

    def _take_signal(self, number: int) -> None:
        name = signal.Signals(number).name.removeprefix("SIG")
        step = self._signals.step(number, mono())
        if step is SignalAction.STOP:
            self._console.say(f"{name}: stopping; once more to leave only {HURRY_SECONDS:g} s", level="WARNING")
            self._stop(Reason(ReasonKind.SIGNAL, name, number))
        elif step is SignalAction.HURRY:
            self._console.say(
                f"{name} again: {HURRY_SECONDS:g} s more at most; once more to leave now", level="WARNING"
            )
            self._scheduler.hurry(HURRY_SECONDS)
            self._hard_deadline = min(self._hard_deadline, mono() + HURRY_SECONDS)
        elif step is SignalAction.LEAVE:
            os._exit(128 + number)
        elif step is SignalAction.STATUS:
            self._say_status()
        elif step is SignalAction.RELOAD:
            self._reload()

    def _reload(self) -> None:
        if self._is_stopping:
            self._console.say("HUP: everything is being stopped; nothing is reloaded", level="WARNING")
            return
        self._reloading.ask()

    def _stop(self, reason: Reason) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        self._hard_deadline = mono() + self._stop_within
        self._scheduler.request_stop(self._stop_within, reason=reason)
        self._say_awaited(reason)

    def _stop_begins(self) -> None:
        """Start the clocks of a stop that no signal began; called before any run is asked.

        Not later: the first run that is asked may never let go of the GIL again.
        """
        self._signals.stopping()
        self._watcher.stop_began()

    def _say_awaited(self, reason: Reason) -> None:
        awaited = [status.report.job for status in self._scheduler.status() if status.state == "stopping"]
        more = f" and {len(awaited) - 5} more" if len(awaited) > 5 else ""
        waiting = f": waiting for {', '.join(awaited[:5])}{more}" if awaited else ""
        if reason.kind is ReasonKind.ESSENTIAL:
            self._console.say(f"stopping ({reason}){waiting}", level="ERROR")
        elif awaited:
            self._console.say(f"stopping ({reason}){waiting}")

    def _say_status(self) -> None:
        statuses = self._scheduler.status()
        ages = {status.report.run: status.poll_age for status in statuses}
        lines = [table(statuses)]
        for run, stack in self._scheduler.stacks():
            age = ages.get(run.id)
            polled = "" if age is None else f", no poll for {age:.1f} s"
            lines.append(f"\n{run.id} stands at {stack.where or 'an unknown place'}{polled}\n{stack.text.rstrip()}")
        self._show("\n".join(lines) + "\n")

    # -- the end

    def _finish(self, report: StopReport) -> int:
        close_listeners(self._listeners, self._console)
        if self._wants_json:
            import json

            # The report was made when the stop ended; who came back late since then is in the status.
            statuses = [status.as_dict() for status in self._scheduler.status()]
            self._output.last_word((json.dumps(report.as_dict() | {"jobs": statuses}) + "\n").encode())
        else:
            text = summary(report, self._scheduler.status())
            self._output.line(text.encode("utf-8", "backslashreplace"), at=_LAST)
        code = report.exit_code
        bug = self._scheduler.bug
        if bug is not None:
            code = code or ExitCode.BUG
            self._console.say(f"{bug}; please report it", level="CRITICAL")
        return leave(
            report,
            code,
            console=self._console,
            output=self._output,
            watcher=self._watcher,
            deadline=self._hard_deadline,
        )


def _loaded(specs: Sequence[JobSpec], paths: Sequence[str]) -> str:
    names = [spec.name for spec in specs]
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"loaded {len(names)} job{'s' * (len(names) != 1)} from {', '.join(paths)}: {listed}"
