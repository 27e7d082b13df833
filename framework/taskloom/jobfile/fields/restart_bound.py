"""How many restarts a limit's window can hold at most, so that a limit that has no effect is found."""

from __future__ import annotations

from itertools import accumulate, takewhile
from math import inf

from taskloom.core.policies import RestartPolicy

__all__ = ["most_restarts"]

# A run must be healthy for this long before its delay begins anew: `core.restart.HEALTHY_SECONDS`, held equal by a
# test. The core's module is not imported for it, because most job files have no limit.
_HEALTHY_SECONDS = 30.0
# Delays that grow slower than this many steps are cut off there. The bound is then too high and never too low: only a
# limit that certainly has no effect is refused.
_MOST_DELAYS = 200


def most_restarts(policy: RestartPolicy) -> int:
    """Return a number that the restarts inside the limit's window cannot exceed; at most the limit's `times`.

    Counts the delays alone, without jitter, as if each run failed at once. Two restarts are separated by the next
    delay, or by a healthy run and the first delay. `least` is the lowest average cost of a restart if the delays
    begin anew again and again.
    """
    if policy.limit is None:
        return 0
    times, within = policy.limit.times, policy.limit.within
    delays, least = _delays(policy)
    # taken[n] is how long the first n delays take, as far as they are shorter than `least`; each later restart costs
    # `least`.
    taken = list(accumulate(takewhile(lambda delay: delay <= least, delays), initial=0.0))
    fewest, most = 0, times - 1  # the number of intervals between restarts, found by bisection
    while fewest < most:
        middle = (fewest + most + 1) // 2
        near = min(middle, len(taken) - 1)
        if taken[near] + (middle - near) * least < within:
            fewest = middle
        else:
            most = middle - 1
    return fewest + 1


def _delays(policy: RestartPolicy) -> tuple[list[float], float]:
    """Return the delays between runs that fail at once, for as long as that is the fastest way, and `least`."""
    first = delay = min(policy.delay, policy.max_delay)
    delays: list[float] = []
    least, spent = inf, 0.0
    while len(delays) < _MOST_DELAYS:
        # All delays so far, then a healthy run and the first delay: the average cost if the delays begin anew here.
        least = min(least, (spent + max(_HEALTHY_SECONDS, delay) + first) / (len(delays) + 1))
        longer = min(delay * policy.factor, policy.max_delay)
        if longer > least:
            return delays, least
        if longer == delay:
            return delays, min(least, delay)
        delay = longer
        delays.append(delay)
        spent += delay
    return delays, min(least, first)
