"""A recorder without a thread and a database: it notes what it gets, and answers as the test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskloom.core.events import Event
from taskloom.history.location import Target
from taskloom.history.model import ActionRow, HistoryState, Opened, RunGauges

__all__ = ["FakeRecorder"]


class FakeRecorder:
    """What the class has is given to each recorder that is made."""

    opens_with = Opened((), {})
    made: list[FakeRecorder] = []

    def __init__(self, target: Target, **options: Any) -> None:
        self.target, self.options = target, options
        self.found = HistoryState("on", url=target.shown)
        self.events: list[tuple[Event, RunGauges | None]] = []
        self.actions: list[ActionRow] = []
        self.instants: list[tuple[str, float]] = []
        self.waiting: list[Callable[[bool], object]] = []
        self.finished: list[tuple[Mapping[str, Any], int, float]] = []
        self.is_written = True
        self.calls: list[str] = []
        FakeRecorder.made.append(self)

    def open(self, within: float) -> Opened:
        self.calls.append("open")
        return FakeRecorder.opens_with

    def put(self, event: Event, gauges: RunGauges | None = None) -> None:
        self.events.append((event, gauges))

    def put_action(self, action: ActionRow, done: Callable[[bool], object] | None = None) -> None:
        self.actions.append(action)
        if done is not None:
            self.waiting.append(done)

    def record_instant(self, job: str, instant: float, done: Callable[[bool], object]) -> None:
        self.instants.append((job, instant))
        self.waiting.append(done)

    @property
    def state(self) -> HistoryState:
        return self.found

    def finish(self, report: Mapping[str, Any], exit_code: int, deadline: float) -> bool:
        self.finished.append((report, exit_code, deadline))
        return self.is_written

    def close(self) -> None:
        self.calls.append("close")

    def leave_behind(self) -> None:
        self.calls.append("leave_behind")
