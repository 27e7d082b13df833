"""The wait of `wait`: until a job is ready, or until it does not run by itself any more."""

from __future__ import annotations

from abc import abstractmethod

from taskloom.cli.control.common import ControlExit
from taskloom.cli.control.waiting import ProgramEnd, Wait, ending, place
from taskloom.control.reply_fields import Fields
from taskloom.text import measured

__all__ = ["FinishedWait", "ReadyWait", "runs_by_itself"]

# After these events the state of the job may be another one. A status that is newer than an end has what follows it.
_CHANGES = frozenset(
    {"ended", "skipped", "late_exit", "gave_up", "reset", "queued", "paused", "resumed", "scheduler_started"}
)


class _StateWait(Wait):
    """Wait for a state. `status`: where the job is when the wait begins."""

    goal = ""

    def __init__(self, status: Fields) -> None:
        super().__init__(status.text("job"))
        self._last = status
        self._check(status)

    def _see(self, event: Fields) -> None:
        if event.text("event") in _CHANGES:
            self.needs_status = True

    def _check(self, status: Fields) -> None:
        self._last = status
        self._judge(status)

    @abstractmethod
    def _judge(self, status: Fields) -> None:
        """End the wait if the status decides it."""

    def late(self, status: Fields, waited: float, where: str) -> None:
        """End the wait at its deadline."""
        state = _state(status)
        is_stopping = status.text("state") == "stopping"
        self._end(
            "late",
            f"not {self.goal} after {measured(waited)}: {state}{place(where if is_stopping else '')}",
            ControlExit.STILL_STOPPING if is_stopping else ControlExit.FAILED,
            run=status.text("run"),
            where=where,
        )

    def _over(self, status: Fields, state: str, *, is_good: bool) -> None:
        outcome, error = status.text("outcome"), status.text("error")
        code = ControlExit.DONE if is_good else ControlExit.FAILED
        self._end(state, _state(status), code, run=status.text("run"), outcome=outcome, error=error)


class ReadyWait(_StateWait):
    """Wait until the job has a run that is ready. A job that has succeeded already was ready before."""

    goal = "ready"

    def _see(self, event: Fields) -> None:
        if event.text("event") == "ready":
            self._end("ready", "ready", run=event.text("run"))
        else:
            super()._see(event)

    def _judge(self, status: Fields) -> None:
        if status.text("state") == "running":
            if "ready" in status.texts("marks"):
                self._end("ready", "ready", run=status.text("run"))
        elif not runs_by_itself(status):
            self._over(status, "ended", is_good=status.text("outcome") == "succeeded" and not status.flag("failed"))


class FinishedWait(_StateWait):
    """Wait until the job does not run by itself any more: it is over, skipped, disabled, or waits for a user."""

    goal = "finished"

    def _judge(self, status: Fields) -> None:
        if not runs_by_itself(status):
            is_good = status.text("state") != "skipped" and not status.flag("failed")
            self._over(status, "finished", is_good=is_good)

    def end_with_program(self, end: ProgramEnd) -> None:
        """Called when nothing runs any more; whether that is good depends on the last run that is known."""
        if end is not ProgramEnd.STOPPED or self._last.flag("failed"):
            super().end_with_program(end)
        else:
            self._end("finished", f"stopped with the whole program ({_state(self._last)})", run=self._last.text("run"))


def runs_by_itself(status: Fields) -> bool:
    """Return whether the job has a run, or may get one without a user."""
    match status.text("state"):
        case "finished" | "skipped" | "disabled":
            return False
        case "waiting":
            # An automatic job waits for its start only until the program has started all of them.
            return status.text("waiting_for") != "start" or (
                status.text("start") == "auto" and not status.count("runs")
            )
        case _:
            return True


def _state(status: Fields) -> str:
    """Return the state in words: `finished, failed: ValueError: boom`, or what it waits for."""
    state = status.text("state") or "unknown"
    if state == "waiting":
        return f"waiting for {status.text('waits_for') or status.text('waiting_for') or 'a start'}"
    if state == "skipped":
        return f"skipped ({status.text('reason')})" if status.text("reason") else state
    outcome = status.text("outcome")
    return f"{state}, {ending(outcome, status.text('error'))}" if outcome else state
