"""How long a restart waits, when a job restarts too often, and how many may begin at once.

Pure arithmetic on monotonic seconds; `supervision` decides whether there is a restart at all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from taskloom.core.policies import RestartPolicy

__all__ = [
    "FLAPPING_RESTARTS",
    "FLAPPING_SECONDS",
    "GATE_RESTARTS",
    "GATE_SECONDS",
    "HEALTHY_SECONDS",
    "Backoff",
    "RestartGate",
]

# pebble forgets a failure after as long: shorter, and a job that fails every few seconds would never slow down.
HEALTHY_SECONDS = 30.0
# A mark, not a verdict: systemd gives up for good at 5 starts in 10 s, and its users have complained since.
FLAPPING_RESTARTS, FLAPPING_SECONDS = 5, 60.0
# 200 restarts a second in all, in groups: a failing run costs about half a millisecond with its log line, so a
# storm takes a tenth of a core, and each group is one wake-up.
GATE_RESTARTS, GATE_SECONDS = 20, 0.1


@dataclass(slots=True, eq=False)
class Backoff:
    """The restarts of one job."""

    # The last delay without jitter; 0.0 before the first failure, and after a healthy run.
    delay: float = 0.0
    # When the latest counted restarts began.
    times: deque[float] = field(default_factory=deque)

    def next_delay(self, policy: RestartPolicy, healthy: float, random: float) -> float:
        """Return the seconds that the next restart waits.

        `healthy`: seconds for which the run that ended was ready; `random`: what jitter draws, from 0.0 to 1.0.
        """
        if self.delay == 0.0 or healthy >= max(HEALTHY_SECONDS, self.delay):
            self.delay = min(policy.delay, policy.max_delay)
        else:
            self.delay = min(self.delay * policy.factor, policy.max_delay)
        return self.delay * (1.0 + policy.jitter * random)

    def is_exhausted(self, policy: RestartPolicy, now: float) -> bool:
        """Tell whether one more restart would be more than the policy's limit allows."""
        limit = policy.limit
        return limit is not None and self._since(now - limit.within) >= limit.times

    def is_flapping(self, now: float) -> bool:
        """Tell whether it was restarted so often of late that something must be wrong."""
        return self.count_recent(now) >= FLAPPING_RESTARTS

    def count_recent(self, now: float) -> int:
        """Return how many restarts began of late, as far as they are remembered."""
        return self._since(now - FLAPPING_SECONDS)

    def note(self, policy: RestartPolicy, now: float) -> None:
        """Take note that a counted restart begins."""
        self.times.append(now)
        kept = max(FLAPPING_RESTARTS, policy.limit.times if policy.limit is not None else 0)
        while len(self.times) > kept:
            self.times.popleft()

    def _since(self, when: float) -> int:
        return sum(time > when for time in self.times)


class RestartGate:
    """Lets so many restarts through in a while, for all jobs together: five thousand may fail at once."""

    def __init__(self) -> None:
        self._opened_at = float("-inf")
        self._let_in = 0

    def try_acquire(self, now: float) -> bool:
        """Tell whether a restart may begin now, and count it."""
        if now >= self._opened_at + GATE_SECONDS:
            self._opened_at, self._let_in = now, 0
        if self._let_in >= GATE_RESTARTS:
            return False
        self._let_in += 1
        return True

    @property
    def opens_at(self) -> float:
        """The monotonic second from which on more may begin."""
        return self._opened_at + GATE_SECONDS
