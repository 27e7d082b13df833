"""The rules of the lifecycle that need more than its events: an independent reading of the design.

It keeps its own model of all jobs, computes every deadline itself, and never reads the lifecycle's state. Each step of
a history is checked: an input makes events *expected*, time makes them expected at their *deadlines*, and an event
that was not expected needs another cause.

- `lifecycle_invariants` checks the steps; `model` holds the jobs, `expected_deadlines` the due times.
- `commands` and `reloads` read the commands, `job_events` the events, `actions` the other actions.
- `starts`, `schedules`, `instants`, `restarts`, `run_ends`: the causes and the follow-ups of runs.
- `stops`, `run_limits`: the stop sequence and the deadlines of a run.
"""

from __future__ import annotations

from taskloom.invariants.lifecycle.lifecycle_invariants import LifecycleInvariants

__all__ = ["LifecycleInvariants"]
