"""I3, I4: lost runs that block their jobs, and what is known of runs elsewhere, from the events alone."""

from __future__ import annotations

from collections.abc import Callable

from taskloom.invariants.facts import Fact, RunFacts, differ
from taskloom.text import duration

__all__ = ["LostRules"]

# A run is placed when a worker accepts it, and once more when its process is known.
MOST_PLACES = 2


class LostRules:
    """Reads the events of lost and of distant runs. `report` gets the rule, the event and a text."""

    def __init__(self, report: Callable[[str, Fact, str], None]) -> None:
        self.blocking: dict[str, RunFacts] = {}
        """Runs that are lost and block their jobs, by id."""
        self._report = report

    def block(self, fact: Fact, run: RunFacts | None) -> None:
        """Read `blocked` of a lost run, which is its job's last one, and has just ended."""
        if run is None or run.run != fact.run or run.outcome != "lost" or run.is_blocking or run.ended != fact.mono:
            self._report("I8", fact, f"job {fact.job} was blocked by {fact.run}, which was not just lost")
            return
        run.is_blocking = True
        self.blocking[run.run] = run

    def release(self, fact: Fact) -> RunFacts | None:
        """Read `released`, and return the run."""
        run = self.blocking.pop(fact.run or "", None)
        if run is None or run.job != fact.job:
            self._report("I8", fact, f"{fact.run} of job {fact.job} was released, but does not block its job")
        elif differ(fact.seconds, seconds := fact.mono - (run.ended or 0.0)):
            text = f"was released after {duration(seconds)}, but its event says {fact.seconds}"
            self._report("I8", fact, f"{fact.run} {text}")
        if not isinstance(fact.data.get("confirmed"), bool):
            self._report("I8", fact, f"{fact.run} was released, but its event does not have whether that is confirmed")
        return run

    def place(self, fact: Fact, run: RunFacts) -> None:
        """Read `placed`."""
        run.places += 1
        run.is_process_known = bool(fact.data.get("pid"))
        if run.places > MOST_PLACES or run.ended is not None:
            self._report("I4", fact, f"{fact.run} was placed {run.places} times, or after its end")
        if not all(name in fact.data for name in ("host", "worker", "pid")):
            self._report("I4", fact, f"{fact.run} was placed, but its event does not have the place")

    def lose_sight(self, fact: Fact, run: RunFacts) -> None:
        """Read `unreachable`."""
        if run.unreachable is not None or run.ended is not None:
            self._report("I4", fact, f"{fact.run} was unreachable twice or after its end")
        run.unreachable = fact.mono

    def regain_sight(self, fact: Fact, run: RunFacts) -> None:
        """Read `reachable`. Its `seconds` count from the last sign of life, which was before `unreachable`."""
        since, run.unreachable = run.unreachable, None
        if since is None or run.ended is not None:
            self._report("I4", fact, f"{fact.run} was reachable again, but was not unreachable")
        elif fact.seconds is None or fact.seconds < fact.mono - since - 0.001:
            text = f"was unreachable for {duration(fact.mono - since)}, but its event says {fact.seconds}"
            self._report("I4", fact, f"{fact.run} {text}")
