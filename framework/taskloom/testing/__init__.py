"""The testing kit, for our tests and for yours: virtual time, fake runs, and a checker of what happened.

- `FakeContext`, `VirtualClock`: unit tests of a task, without a scheduler, a thread or a wait.
- `TaskConformance`: what every task has to do, as a pytest class to derive from.
- `simulate()`: the real lifecycle in virtual time, over jobs of `make_job` or of `taskloom.load`.
- `check()` and `check_events()` judge what happened, simulated or real; `explain()` says what is wrong with it.
"""

from __future__ import annotations

from taskloom.invariants.checker import Violation, check, check_events, explain
from taskloom.invariants.history import History, Step
from taskloom.simulation.script import At, ClockStep, Stall
from taskloom.testing.behaviour import Behaviour
from taskloom.testing.clock import VirtualClock
from taskloom.testing.conformance import TaskConformance
from taskloom.testing.context import FakeContext, ProgressCall
from taskloom.testing.jobs import make_job
from taskloom.testing.simulator import simulate

__all__ = [
    "At",
    "Behaviour",
    "ClockStep",
    "FakeContext",
    "History",
    "ProgressCall",
    "Stall",
    "Step",
    "TaskConformance",
    "Violation",
    "VirtualClock",
    "check",
    "check_events",
    "explain",
    "make_job",
    "simulate",
]
