"""Entries of a simulation's script: what happens to the jobs or to the machine, and when."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.core import inputs

__all__ = ["At", "ClockStep", "Stall"]


class ClockStep(NamedTuple):
    """The wall clock is set forward or back while the monotonic clock continues.

    A time service does this, or an operator, or a machine that wakes up from suspend.
    """

    by: float
    """Seconds; a negative number sets the clock back."""


class Stall(NamedTuple):
    """The program gets no CPU time for a while: everything that falls due in that time happens late."""

    seconds: float


class At(NamedTuple):
    """A command to the scheduler, a clock step or a stall, and its time in seconds from the beginning."""

    seconds: float
    command: inputs.Input | ClockStep | Stall
