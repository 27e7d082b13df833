"""What `taskloom simulate` does: the same core in virtual time, over runs that only pretend to work.

plan        what is assumed: how long runs work, which fail, what trouble comes when
driver      the core, a heap and virtual clocks; tells every event and keeps none
tally       counts per job
judge       what the core promises, step by step
simulated   the result, as data
remarks     what there is to say about it, in words
"""

from __future__ import annotations

from taskloom.simulation.plan import FOR_EVER, Fault, Plan, Span
from taskloom.simulation.result import SimulationResult, simulate_jobs
from taskloom.simulation.script import ClockStep

__all__ = ["FOR_EVER", "ClockStep", "Fault", "Plan", "SimulationResult", "Span", "simulate_jobs"]
