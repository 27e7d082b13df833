"""The testing kit: virtual time, fake runs, and a checker of recorded histories. Taskloom's own tests use it too.

- `FakeContext`, `VirtualClock`: unit tests of a task, without a scheduler, threads or waiting.
- `FakeAsyncContext`: the same for a task whose `run` is a coroutine function.
- `TaskConformance`: the rules that every task has to keep, as a pytest class to derive from.
- `RunnerConformance`: the same for the rules that every runner has to keep.
- `simulate()`: the real lifecycle in virtual time, over jobs made by `make_job` or `taskloom.load`.
- `check()` and `check_events()`: check what happened, simulated or real; `explain()` describes the violations.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom.invariants.checker import Violation, check, check_events, explain
    from taskloom.invariants.history import History, Step
    from taskloom.simulation.plan import At, ClockStep, Stall
    from taskloom.testing.async_context import FakeAsyncContext
    from taskloom.testing.behaviour import Behaviour
    from taskloom.testing.clock import VirtualClock
    from taskloom.testing.conformance import TaskConformance
    from taskloom.testing.context import FakeContext, ProgressCall
    from taskloom.testing.jobs import make_job
    from taskloom.testing.runner_conformance import RunnerConformance
    from taskloom.testing.simulator import simulate

__all__ = [
    "At",
    "Behaviour",
    "ClockStep",
    "FakeAsyncContext",
    "FakeContext",
    "History",
    "ProgressCall",
    "RunnerConformance",
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

# A name is imported when it is first used: a process that runs a task of `runner_tasks` needs none of them.
_HOME = {
    "At": "simulation.plan",
    "Behaviour": "testing.behaviour",
    "ClockStep": "simulation.plan",
    "FakeAsyncContext": "testing.async_context",
    "FakeContext": "testing.context",
    "History": "invariants.history",
    "ProgressCall": "testing.context",
    "RunnerConformance": "testing.runner_conformance",
    "Stall": "simulation.plan",
    "Step": "invariants.history",
    "TaskConformance": "testing.conformance",
    "Violation": "invariants.checker",
    "VirtualClock": "testing.clock",
    "check": "invariants.checker",
    "check_events": "invariants.checker",
    "explain": "invariants.checker",
    "make_job": "testing.jobs",
    "simulate": "testing.simulator",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'taskloom.testing' has no attribute {name!r}")
    value = getattr(import_module(f"taskloom.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
