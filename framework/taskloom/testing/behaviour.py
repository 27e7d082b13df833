"""Behaviours of fake runs: what a task may do to the scheduler, in a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

from taskloom.core.model import WAIT_FOR_EVER, How

__all__ = ["Behaviour", "draw_behaviour", "draw_distance", "draw_seconds"]

NEVER = WAIT_FOR_EVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The behaviour of one fake run, in seconds. By default it works for ever and ends at once when cancelled."""

    work: float = NEVER
    """From its start until its body ends by itself; NEVER (the default) if it loops."""
    how: How = How.RETURNED
    """How its body ends by itself."""
    reaction: float = 0.0
    """From the cancel until its body ends; NEVER if it ignores the cancel."""
    reaction_how: How = How.RETURNED
    """How its body ends after a cancel."""
    hurried_reaction: float = NEVER
    """From the moment `ctx.urgent` turns true until its body ends."""
    making: float = 0.0
    """From the order to start it until it begins: the time that its constructor takes."""
    fails_to_start: bool = False
    """Whether its runner fails to start it."""
    ready_after: float | None = None
    """From its start until it calls `ctx.ready()`; None if it is ready as soon as it starts."""
    fails_in_callback: bool = False
    """Whether its `terminate` raises."""
    is_woken: bool = True
    """Whether its `terminate` or a callback runs when it is cancelled."""
    slips_away: bool = False
    """Whether its body ends at the instant of the cancel, just before it sees the cancel."""
    naming: float = 0.0
    """How long it takes to capture its stack."""
    silent_after: float | None = None
    """From its start until it stops polling; None if it always polls."""
    silent_for: float = NEVER
    """How long it does not poll then."""
    terminated_after: float = NEVER
    """From TERM until its processes end because of it; NEVER if they ignore it."""
    killed_after: float = 0.0
    """From KILL until its processes are gone; NEVER if the kernel cannot kill them."""
    killed_how: How = How.KILLED
    """How its runner reports its end after KILL: it may have lost the run."""
    left: float = 0.0
    """How long something of a lost run may be left, as its runner says."""
    confirmed_after: float = NEVER
    """From the loss until its runner learns that nothing is left; NEVER if it does not."""
    placed_after: float | None = None
    """From its start, if it is elsewhere, until its place is known exactly; None if it executes here."""
    unreachable_after: float = NEVER
    """The seconds from its start until nothing is heard of its worker."""
    unreachable_for: float = NEVER
    """How long nothing is heard of it then."""

    @classmethod
    def returns(cls, after: float) -> Behaviour:
        """Work for `after` seconds, then return."""
        return cls(work=after)

    @classmethod
    def fails(cls, after: float) -> Behaviour:
        """Work for `after` seconds, then raise."""
        return cls(work=after, how=How.RAISED)

    @classmethod
    def obeys(cls, reaction: float = 0.0) -> Behaviour:
        """Loop until cancelled, and end `reaction` seconds later."""
        return cls(reaction=reaction)

    @classmethod
    def ignores(cls, until: float = NEVER) -> Behaviour:
        """Ignore the cancel, and end by itself `until` seconds after the start."""
        return cls(work=until, reaction=NEVER)


def draw_seconds(random: Random, longest: float) -> float:
    """Draw a time up to `longest`, log-uniform, rounded to quarter seconds so that instants often coincide."""
    return round(longest * math.pow(10.0, random.uniform(-3.0, 0.0)) * 4.0) / 4.0


def draw_behaviour(random: Random, longest: float = 3600.0, *, kills: bool = False) -> Behaviour:
    """Draw the behaviour of a run: most runs behave well, and each kind of fault occurs.

    `longest`: seconds of work. `kills`: the run is in processes that may be killed, lost, or deaf to both signals.
    """
    hows = random.choices([How.RETURNED, How.RAISED, How.PERMANENT, How.CANCELLED], [12, 5, 1, 1])
    reaction_hows = random.choices([How.CANCELLED, How.RETURNED, How.RAISED], [5, 4, 2])
    draw = random.random
    ignores = draw() < 0.12
    behaviour = Behaviour(
        # A run that ignores the cancel ends by itself, so that a stop without a deadline ends, too.
        work=draw_seconds(random, longest) if ignores or draw() < 0.6 else NEVER,
        how=hows[0],
        reaction=NEVER if ignores else draw_seconds(random, 12.0),
        reaction_how=reaction_hows[0],
        hurried_reaction=0.25 if draw() < 0.2 else NEVER,
        making=draw_seconds(random, 8.0) if draw() < 0.15 else 0.0,
        fails_to_start=draw() < 0.04,
        ready_after=draw_seconds(random, 20.0) if draw() < 0.15 else None,
        fails_in_callback=draw() < 0.1,
        is_woken=draw() < 0.5,
        slips_away=draw() < 0.06,
        naming=0.25 if draw() < 0.2 else 0.0,
        silent_after=draw_seconds(random, 60.0) if draw() < 0.15 else None,
        silent_for=draw_seconds(random, 30.0),
    )
    if not kills:
        return behaviour
    is_elsewhere = draw() < 0.4
    if draw() < 0.5:  # deaf: it ends by a signal only
        behaviour = replace(behaviour, reaction=NEVER, hurried_reaction=NEVER)
    behaviour = replace(
        behaviour,
        how=How.LOST if draw() < 0.1 else behaviour.how,
        reaction_how=How.LOST if draw() < 0.05 else behaviour.reaction_how,
        terminated_after=random.choice((NEVER, NEVER, 0.0, 0.25, 1.0)),
        # The last one is later than the stop waits: the run is abandoned and exits late.
        killed_after=random.choice((0.0, 0.0, 0.0, 0.25, 0.75, 5.0)),
    )
    return draw_distance(random, behaviour) if is_elsewhere else behaviour


def draw_distance(random: Random, behaviour: Behaviour) -> Behaviour:
    """Let a run that may be killed or lost execute elsewhere: it may be cut off, and something of it may be left."""
    draw = random.random
    return replace(
        behaviour,
        killed_how=How.LOST if draw() < 0.2 else behaviour.killed_how,
        killed_after=random.choice((0.0, 0.25, 2.0)) if draw() < 0.5 else behaviour.killed_after,
        left=random.choice((0.0, 0.5, 8.0, 30.0, 40.0)),
        confirmed_after=random.choice((NEVER, 0.0, 0.25, 8.0, 60.0)),
        placed_after=random.choice((0.0, 0.5)),
        unreachable_after=draw_seconds(random, 600.0) if draw() < 0.3 else NEVER,
        unreachable_for=draw_seconds(random, 60.0) if draw() < 0.8 else NEVER,
    )
