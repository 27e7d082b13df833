"""The waits of `start`, `restart` and `stop`: for the run that was begun, or the end of the one that was stopped."""

from __future__ import annotations

from typing import Any

from taskloom.cli.control.common import ControlExit
from taskloom.cli.control.run_place import host_text
from taskloom.cli.control.waiting import JobResult, ProgramEnd, RunTimes, Wait, after, ending, error_of, place
from taskloom.control.reply_fields import Fields
from taskloom.text import measured

__all__ = ["RestartWait", "StartWait", "StopWait"]

_SUCCEEDED, _CANCELLED, _ABANDONED = "succeeded", "cancelled", "abandoned"
_READY, _KILL = "ready", "kill"


def _still(seconds: float | None) -> str:
    """Return that a run has not ended; `seconds` since it was asked to stop, None if that was not seen."""
    return "still stopping" if seconds is None else f"still running{after(seconds)} of stopping"


class StopWait(Wait):
    """Wait until the run that was asked to stop has ended, or has outlived its join policy.

    `before`: the status before the action, `status`: the one after it, which came after `seconds`.
    """

    def __init__(self, before: Fields, status: Fields, seconds: float | None = None) -> None:
        super().__init__(status.text("job"))
        self._times = RunTimes()
        self._run = status.text("run")
        self._is_abandoned = False
        # A late run is killed then, so that it ends soon.
        self._kills = status.text("otherwise") == _KILL
        state = status.text("state")
        if state == "stopping":
            return
        if state == "blocked":
            self._end("blocked", "cannot be stopped any further: the thread of its abandoned run is still alive",
                      ControlExit.STILL_STOPPING, run=self._run)  # fmt: skip
        elif before.text("state") in {"running", "stopping"}:
            self._judge(status, seconds)
        elif before.text("state") == "waiting" and before.text("waiting_for") != "start":
            self._end("stopped", "stopped; it had no run")
        else:
            self._end("not running", f"was not running ({state or 'unknown'})")

    def _see(self, event: Fields) -> None:
        if event.text("run") != self._run:
            return
        match event.text("event"):
            case "cancel_requested":
                self._times.begin(event)
            case "stop_overdue" if not self._kills:
                self._outlive(event.text("where"), self._times.until(event))
            case "ended" if event.text("outcome") == _ABANDONED and event.number("within") == 0:
                # With `join: 0s` no stop waits. The user of this verb does, for the thread.
                self._is_abandoned = True
            case "ended" if event.text("outcome") == _ABANDONED:
                self._outlive(event.text("where"), self._times.until(event))
            case "ended":
                self._stop(event.text("outcome"), error_of(event), self._times.until(event))
            case "late_exit" if self._is_abandoned:
                self._stop(_ABANDONED, "", self._times.until(event))

    def _check(self, status: Fields) -> None:
        self._judge(status, None)

    def _judge(self, status: Fields, seconds: float | None) -> None:
        if status.text("run") != self._run:
            self._end("stopped", "stopped, and another run has begun since", run=self._run)
        elif status.text("state") == "blocked":
            self._is_abandoned = True
        elif status.text("outcome"):
            self._stop(status.text("outcome"), status.text("error"), seconds)
        elif status.flag("overdue") and not self._kills:
            self._outlive("", seconds)

    def _stop(self, outcome: str, error: str, seconds: float | None) -> None:
        text = f"stopped{after(seconds)}, {ending(outcome, error)}"
        self._end("stopped", text, run=self._run, outcome=outcome, error=error, seconds=seconds)

    def _outlive(self, where: str, seconds: float | None) -> None:
        text = f"{_still(seconds)}{place(where)}"
        self._end("still stopping", text, ControlExit.STILL_STOPPING, run=self._run, seconds=seconds, where=where)

    def late(self, status: Fields, waited: float, where: str) -> None:
        """End the wait at its deadline."""
        self._outlive(where, waited)

    def end_unanswered(self, waited: float) -> None:
        """End the wait at its deadline: as far as is known, the run has not ended."""
        self._outlive("", waited)

    def end_with_program(self, end: ProgramEnd) -> None:
        """After an orderly stop no run is left, unless the program says so itself; nor is one without a process.

        A program ends by itself if a stop leaves nothing to run, and may be gone before it is followed.
        """
        if end in (ProgramEnd.STOPPED, ProgramEnd.GONE):
            self._end("stopped", "stopped with the whole program", run=self._run)
        else:
            super().end_with_program(end)

    def _see_removal(self) -> None:
        self._end("stopped", "stopped, and removed by a reload", run=self._run)


class StartWait(Wait):
    """Wait until a run is ready or has ended. A task that does not announce it is ready once it has started, for now.

    `run` is its id, `status` the one after the action, which came after `seconds`.
    """

    def __init__(self, run: str, status: Fields, seconds: float | None = None) -> None:
        super().__init__(status.text("job"))
        self._run = run
        self._times = RunTimes()
        self._why = ""
        self._started: float | None = None
        self._is_announced = False
        # Its events do not have the number of its process: the status does.
        self._is_in_process = status.text("runner") not in ("", "thread")
        if run and status.text("run") == run:
            self._judge(status, seconds)

    def _see(self, event: Fields) -> None:
        if event.text("run") != self._run:
            return
        match event.text("event"):
            case "queued":
                self._times.begin(event)
            case "started":
                self._started = event.number("mono")
            case "ready":
                # One that announces it is ready later than it has started.
                self._is_announced = self._started is not None and event.number("mono") != self._started
                # A run in a process is dated back to the start of its interpreter.
                self._be_ready(None if self._is_in_process else self._times.until(event))
                self.needs_status = self._is_in_process
            case "cancel_requested":
                self._why = event.object("reason").text("text") or event.object("reason").text("kind")
            case "ended":
                self._over(event.text("outcome"), error_of(event), self._times.until(event))

    def _check(self, status: Fields) -> None:
        self._judge(status, None)

    def _judge(self, status: Fields, seconds: float | None) -> None:
        if status.text("run") != self._run:
            self._end("ended", "ended, and another run has begun since", ControlExit.FAILED, run=self._run)
        elif status.text("outcome"):
            self._why = self._why or status.text("reason")
            self._over(status.text("outcome"), status.text("error"), status.number("seconds"))
        elif _READY in status.texts("marks"):
            self._be_ready(None if self._is_in_process else seconds)
            self._name_process(status)

    def _be_ready(self, seconds: float | None) -> None:
        if self.provisional is None:
            self.provisional = JobResult(self.job, "ready", f"ready{after(seconds)}", run=self._run, seconds=seconds)
        if self._is_announced and not self._is_in_process:
            self.accept_provisional()

    def _name_process(self, status: Fields) -> None:
        """Add the number of the process to the result, and its host if that is another one."""
        process = status.object("process")
        if self.provisional is not None and process.has("pid") and self._is_in_process:
            self._is_in_process = False
            text = f"{self.provisional.text}, in process {process.count('pid')}{host_text(status)}"
            self.provisional = self.provisional._replace(text=text)
        if self._is_announced:
            self.accept_provisional()

    def _over(self, outcome: str, error: str, seconds: float | None) -> None:
        details: dict[str, Any] = {"run": self._run, "outcome": outcome, "error": error, "seconds": seconds}
        if outcome == _SUCCEEDED:
            self._end("ended", f"ended{after(seconds)}, succeeded", **details)
        elif outcome == _CANCELLED:
            why = f" ({self._why})" if self._why else ""
            when = "at once after its start" if self.provisional else "before it was ready"
            self._end("stopped", f"stopped {when}{why}", ControlExit.FAILED, **details)
        else:
            text = f"{outcome}{after(seconds)}" + (f": {error.split(chr(10), 1)[0]}" if error else "")
            self._end("failed", text, ControlExit.FAILED, **details)

    def late(self, status: Fields, waited: float, where: str) -> None:
        """End the wait at its deadline."""
        state = status.text("state") or "unknown"
        text = f"not ready after {measured(waited)}: {state}{place(where)}"
        self._end("late", text, ControlExit.FAILED, run=self._run, where=where)


class RestartWait(StartWait):
    """Wait until the old run has ended, and the one that follows it is ready or has ended. `status`: after the action.

    `before`: the status before the action, with the run that ends.
    """

    def __init__(self, before: Fields, status: Fields, seconds: float | None = None) -> None:
        self._old, self._kills = "", status.text("otherwise") == _KILL
        if status.text("state") == "stopping":
            self._old = status.text("run")
        elif before.text("state") in {"running", "stopping"} and status.text("run") == before.text("run"):
            self._old = before.text("run")
        super().__init__("" if self._old else status.text("run"), status, seconds)
        self._stop_times = RunTimes()

    def _see(self, event: Fields) -> None:
        name, run = event.text("event"), event.text("run")
        if not self._old or self._run:
            super()._see(event)
        elif run == self._old:
            self._see_old(name, event)
        elif name == "queued":
            self._run, self.needs_status = run, False
            super()._see(event)

    def _see_old(self, name: str, event: Fields) -> None:
        if name == "cancel_requested":
            self._stop_times.begin(event)
        elif (name == "stop_overdue" and not self._kills) or (name == "ended" and event.text("outcome") == _ABANDONED):
            self._outlive(event.text("where"), self._stop_times.until(event))
        elif name == "ended":
            self.needs_status = True  # the next run is queued at once, unless another command has prevented it

    def _check(self, status: Fields) -> None:
        if self._run:
            super()._check(status)
        elif status.text("run") != self._old:
            self._run = status.text("run")
            super()._check(status)
        elif (status.flag("overdue") and not self._kills) or status.text("state") == "blocked":
            self._outlive("", None)
        elif status.text("outcome"):
            why = status.text("held") or status.text("reason") or status.text("state")
            self._end(
                "ended", f"its run has ended, and no other one has begun ({why})", ControlExit.FAILED, run=self._old
            )

    def _outlive(self, where: str, seconds: float | None) -> None:
        text = f"its old run is {_still(seconds)}{place(where)}; the new one follows its end"
        self._end("still stopping", text, ControlExit.STILL_STOPPING, run=self._old, seconds=seconds, where=where)

    def late(self, status: Fields, waited: float, where: str) -> None:
        """End the wait at its deadline."""
        if self._run:
            super().late(status, waited, where)
        else:
            self._outlive(where, waited)

    def end_unanswered(self, waited: float) -> None:
        """End the wait at its deadline: as far as is known, the old run has not ended."""
        if self._run:
            super().end_unanswered(waited)
        else:
            self._outlive("", waited)
