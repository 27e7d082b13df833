"""A record of actions that the test commits when it likes, in the place of the history of a program."""

from __future__ import annotations

from collections.abc import Callable

from taskloom.control.action_record import Action, HistoryStatus, RecordedRuns

__all__ = ["HeldRecord"]


class HeldRecord:
    """Keeps each action; commits it at once, or only when the test calls `commit_all`."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.actions: list[Action] = []
        self.found = HistoryStatus("on", url="/state/jobs.sqlite")
        self._is_held = is_held
        self._waiting: list[Callable[[bool], object]] = []
        self.recorded: RecordedRuns | None = RecordedRuns([], True)
        self.asked: list[tuple[float, int]] = []

    def status(self) -> HistoryStatus:
        return self.found

    def record(self, action: Action, done: Callable[[bool], object]) -> None:
        self.actions.append(action)
        if self._is_held:
            self._waiting.append(done)
        else:
            done(True)

    def read_runs(self, since: float, most: int, found: Callable[[RecordedRuns | None], object]) -> None:
        self.asked.append((since, most))
        if not self._is_held:
            found(self.recorded)

    def commit_all(self) -> None:
        while self._waiting:
            self._waiting.pop(0)(True)
