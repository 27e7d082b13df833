"""How fake runs behave: what a task might do to the scheduler, as a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from taskloom.core.model import WAIT_FOR_EVER, How

__all__ = ["Behaviour", "draw_behaviour", "draw_seconds"]

NEVER = WAIT_FOR_EVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One fake run, all times in seconds. As it stands it works for ever and leaves at once when asked."""

    work: float = NEVER
    """From its start until its body comes back by itself; NEVER, where it loops."""
    how: How = How.RETURNED
    """How it comes back by itself."""
    reaction: float = 0.0
    """From the ask until its body comes back; NEVER, where it does not look."""
    reaction_how: How = How.RETURNED
    """How it comes back after an ask."""
    hurried_reaction: float = NEVER
    """From the hurry until its body comes back."""
    making: float = 0.0
    """From its runner's order until it begins: the time that its constructor takes."""
    fails_to_start: bool = False
    """Its runner cannot begin it."""
    ready_after: float | None = None
    """From its start until it says that it is ready; None, where it does not announce that."""
    fails_in_callback: bool = False
    """Its `terminate` raises."""
    is_woken: bool = True
    """A `terminate` or a callback of it runs when it is asked."""
    slips_away: bool = False
    """Its body is back at the very instant of the ask, and a hair before it."""
    naming: float = 0.0
    """How long it takes to look where it stands."""
    silent_after: float | None = None
    """From its start until it stops polling; None, where it always polls."""
    silent_for: float = NEVER
    """For how long it does not poll then."""

    @classmethod
    def returns(cls, after: float) -> Behaviour:
        """Work for so long, then return."""
        return cls(work=after)

    @classmethod
    def fails(cls, after: float) -> Behaviour:
        """Work for so long, then raise."""
        return cls(work=after, how=How.RAISED)

    @classmethod
    def obeys(cls, reaction: float = 0.0) -> Behaviour:
        """Loop, and leave so long after the ask."""
        return cls(reaction=reaction)

    @classmethod
    def ignores(cls, until: float = NEVER) -> Behaviour:
        """Never look at the ask; come back by itself so long after the start."""
        return cls(work=until, reaction=NEVER)


def draw_seconds(random: Random, longest: float) -> float:
    """Draw a time of any size up to `longest`, on a grid of quarter seconds so that instants often coincide."""
    return round(longest * math.pow(10.0, random.uniform(-3.0, 0.0)) * 4.0) / 4.0


def draw_behaviour(random: Random, longest: float = 3600.0) -> Behaviour:
    """Draw what a run does; most behave, and every trouble has its share. `longest`: seconds of work."""
    hows = random.choices([How.RETURNED, How.RAISED, How.PERMANENT, How.CANCELLED], [12, 5, 1, 1])
    reaction_hows = random.choices([How.CANCELLED, How.RETURNED, How.RAISED], [5, 4, 2])
    chance = random.random
    ignores = chance() < 0.12
    return Behaviour(
        # Who ignores the ask comes back some time, or a stop that waits for ever would be waiting for ever.
        work=draw_seconds(random, longest) if ignores or chance() < 0.6 else NEVER,
        how=hows[0],
        reaction=NEVER if ignores else draw_seconds(random, 12.0),
        reaction_how=reaction_hows[0],
        hurried_reaction=0.25 if chance() < 0.2 else NEVER,
        making=draw_seconds(random, 8.0) if chance() < 0.15 else 0.0,
        fails_to_start=chance() < 0.04,
        ready_after=draw_seconds(random, 20.0) if chance() < 0.15 else None,
        fails_in_callback=chance() < 0.1,
        is_woken=chance() < 0.5,
        slips_away=chance() < 0.06,
        naming=0.25 if chance() < 0.2 else 0.0,
        silent_after=draw_seconds(random, 60.0) if chance() < 0.15 else None,
        silent_for=draw_seconds(random, 30.0),
    )
