"""The reactions of the program to the signals that count. On the main thread alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from taskloom.cli.program.final_report import FinalReport
from taskloom.cli.program.hard_exit import exit_at_once
from taskloom.cli.program.history import ProgramHistory
from taskloom.cli.program.reload import Reloader
from taskloom.cli.program.signals import Signal, SignalAction
from taskloom.cli.program.stopping import HURRY, Stopping
from taskloom.control.program_info import ReloadOutcome
from taskloom.observe.console import Console

__all__ = ["SignalReactions"]


class SignalReactions(NamedTuple):
    """All that signals act on. Each action is recorded in the history."""

    stopping: Stopping
    reloader: Reloader
    final: FinalReport
    console: Console
    history: ProgramHistory
    show_status: Callable[[], object]
    write: Callable[[float], object]
    """Writes the log before an exit at once, within this many seconds."""

    def react(self, arrived: Signal, action: SignalAction) -> None:
        """Do it; for SignalAction.EXIT this exits the process."""
        number = arrived.number
        if action is SignalAction.STOP:
            self.stopping.begin_by_signal(arrived)
            self.history.note_signal(arrived, "shutdown")
        elif action is SignalAction.HURRY:
            self.stopping.hurry(arrived)
            self.history.note_signal(arrived, "shutdown", f"at most {HURRY}")
        elif action is SignalAction.EXIT:
            exit_at_once(128 + number, partial(self.final.say_left, number), partial(self._write_at_once, arrived))
        elif action is SignalAction.STATUS:
            self.show_status()
        elif action is SignalAction.RELOAD and self.stopping.is_under_way:
            self.console.log("SIGHUP: the program is stopping; nothing is reloaded", level="WARNING")
        elif action is SignalAction.RELOAD:
            self.reloader.request(done=partial(self._note_reload, arrived))

    def _note_reload(self, arrived: Signal, outcome: ReloadOutcome) -> None:
        self.history.note_signal(arrived, "reload", outcome.sum if outcome.error is None else outcome.error)

    def _write_at_once(self, arrived: Signal, seconds: float) -> None:
        """Write the last line of the log, and then what a fast disk takes of the history."""
        self.write(seconds)
        self.history.note_signal(arrived, "exit")
        self.history.finish_at_once(128 + arrived.number, seconds)
