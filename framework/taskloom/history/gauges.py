"""The reports of runs beside their events: progress, counters, and when they last polled."""

from __future__ import annotations

from collections.abc import Mapping

from taskloom.clock import mono, wall
from taskloom.core.events import Event, EventName
from taskloom.history.model import RunGauges
from taskloom.scheduler.facade import Scheduler

__all__ = ["gauges_at_end", "gauges_of"]


def gauges_at_end(event: Event) -> RunGauges | None:
    """Return what a run has reported that has ended; None for another event, or if it has reported nothing."""
    if event.event is not EventName.ENDED or not event.data:
        return None
    return RunGauges(None, event.data.get("counts"), event.data.get("progress"))


def gauges_of(scheduler: Scheduler) -> Mapping[str, RunGauges]:
    """Return what each live run has reported, and when it last polled. Never waits; any thread may call it."""
    ahead = wall() - mono()
    return {
        each.run: RunGauges(
            None if each.polled_at is None else each.polled_at + ahead,
            each.reported.get("counts"),
            each.reported.get("progress"),
        )
        for each in scheduler.gauges()
    }
