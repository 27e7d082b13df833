"""What the lifecycle promises beyond its events: an independent reading of the design, held against each step.

It keeps its own books, computes every deadline for itself, and never looks into the lifecycle. A step is judged by
what it has to bring: an input *owes* events, time owes them at their *alarms*, and what comes unowed needs a cause.

- `walker` takes in steps; `books` is what is known of each job; `alarms` what is due when.
- `starts`, `needs`, `schedules`, `restarts`, `ends`: how runs come, and what follows them.
- `stops`, `limits`, `reloads`, `work`, `refusals`: the ladder, a run's deadlines, new declarations, the work's end.
"""

from __future__ import annotations

from taskloom.invariants.lifecycle.walker import LifecycleInvariants

__all__ = ["LifecycleInvariants"]
