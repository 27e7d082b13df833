"""Why a job is, or is not, running: the route's part."""

from __future__ import annotations

from taskloom.scheduler import Scheduler
from taskloom.scheduler.why import Why

__all__ = ["explain"]


def explain(scheduler: Scheduler, name: str) -> Why:
    """Return why a job is, or is not, running, as text and as facts. Raises UnknownJob."""
    return scheduler.job(name).why()
