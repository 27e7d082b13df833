"""`taskloom simulate` without its command line: the scheduler's core in virtual time, over fake runs.

engine           the virtual-time engine, which `taskloom.testing.simulate` uses too
plan             what is assumed: how long runs work, which of them fail, which faults and clock steps occur when
simulator        fake runs and faults, carried out by the engine
tally            counts per job
invariant_check  checks each step of the core
result           the result, as data
"""

from __future__ import annotations

from taskloom.simulation.plan import FOR_EVER, ClockStep, Fault, Plan, Span
from taskloom.simulation.result import Progress, SimulationResult, simulate_jobs

__all__ = ["FOR_EVER", "ClockStep", "Fault", "Plan", "Progress", "SimulationResult", "Span", "simulate_jobs"]
