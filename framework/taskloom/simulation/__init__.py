"""`taskloom simulate` without its command line: the scheduler's core in virtual time, over fake runs.

script           entries of a simulation's script: commands, clock steps, stalls
engine           the virtual-time engine, which `taskloom.testing.simulate` uses too
plan             what is assumed: how long runs work, which of them fail, and which faults occur when
simulator        fake runs and faults, carried out by the engine
tally            counts per job
invariant_check  checks each step of the core
result           the result, as data
"""

from __future__ import annotations

from taskloom.simulation.plan import FOR_EVER, Fault, Plan, Span
from taskloom.simulation.result import SimulationResult, simulate_jobs
from taskloom.simulation.script import ClockStep

__all__ = ["FOR_EVER", "ClockStep", "Fault", "Plan", "SimulationResult", "Span", "simulate_jobs"]
