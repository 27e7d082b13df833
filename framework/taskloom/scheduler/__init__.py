"""The scheduler: joins the pure core with threads, clocks, runners and listeners."""

from __future__ import annotations

from taskloom.scheduler.facade import STOP_WITHIN_SECONDS, Scheduler
from taskloom.scheduler.firings import Firing
from taskloom.scheduler.handles import JobHandle, JobStatus, Run
from taskloom.scheduler.snapshots import Snapshot
from taskloom.scheduler.subscribers import Listener

__all__ = ["STOP_WITHIN_SECONDS", "Firing", "JobHandle", "JobStatus", "Listener", "Run", "Scheduler", "Snapshot"]
