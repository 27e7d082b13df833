"""The testing kit: virtual time, fake runs, and a checker of recorded histories. Taskloom's own tests use it too.

- `FakeContext`, `VirtualClock`: unit tests of a task, without a scheduler, threads or waiting.
- `FakeAsyncContext`: the same for a task whose `run` is a coroutine function.
- `TaskConformance`: the rules that every task has to keep, as a pytest class to derive from.
- `simulate()`: the real lifecycle in virtual time, over jobs made by `make_job` or `taskloom.load`.
- `check()` and `check_events()`: check what happened, simulated or real; `explain()` describes the violations.
"""

from __future__ import annotations

from taskloom.invariants.checker import Violation, check, check_events, explain
from taskloom.invariants.history import History, Step
from taskloom.simulation.plan import At, ClockStep, Stall
from taskloom.testing.async_context import FakeAsyncContext
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
    "FakeAsyncContext",
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
