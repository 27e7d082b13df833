"""A core whose cron jobs run for no time at all, and a wall clock that a test sets."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support.hand_driven_core import HandDrivenCore

from taskloom.calendars import cron_calendar
from taskloom.core.actions import StartRun
from taskloom.core.inputs import Tick
from taskloom.core.policies import Schedule
from taskloom.testing import VirtualClock, make_job

__all__ = ["DAY", "HOUR", "MINUTE", "NOON", "START", "Began", "CronCore", "cron", "shown", "time_of_day"]

MINUTE, HOUR, DAY = 60, 3600, 86_400
NOON = 1_767_614_400
"""A Monday, in UTC."""
START = NOON + 10


class Began(NamedTuple):
    """When a run began."""

    second: float
    """Since the start, on the monotonic clock."""
    shown: str
    """The time of day by the wall clock."""


class CronCore:
    """A core whose jobs run for no time at all, and a clock that can be set."""

    def __init__(self, *schedules: Schedule, **policies: Any) -> None:
        self.core = HandDrivenCore(VirtualClock(0, START))
        for number, schedule in enumerate(schedules):
            self.core.add(make_job(f"j{number}", schedule=schedule, **policies))
        self.core.start_all()

    def pass_time(self, seconds: float) -> list[Began]:
        """Let time pass, and return when runs began."""
        clock, end, began = self.core.clock, self.core.clock.now().mono + seconds, []
        while (due := self.core.lifecycle.next_deadline()) is not None and due <= end:
            clock.advance_to(max(due, clock.now().mono))
            for action in self.core.send(Tick()):
                if isinstance(action, StartRun):
                    began.append(Began(clock.now().mono, time_of_day(clock.now().wall)))
                    self.core.started(action.run)
                    self.core.ended(action.run)
        clock.advance_to(end)
        return began

    def step(self, seconds: float) -> None:
        self.core.clock.step_wall(seconds)

    @property
    def missed(self) -> int:
        return sum(job.missed for job in self.core.lifecycle.jobs.values())


def cron(expression: str, **policies: Any) -> Schedule:
    return Schedule(calendar=cron_calendar(expression, "UTC"), **policies)


def time_of_day(wall: float) -> str:
    seconds = round(wall) % DAY
    return f"{seconds // HOUR:02d}:{seconds // MINUTE % 60:02d}:{seconds % MINUTE:02d}"


def shown(began: list[Began]) -> list[str]:
    return [one.shown for one in began]
