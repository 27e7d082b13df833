"""Runs on a cluster whose worker dies, or is cut off from the program, in a simulation.

A third of them ends with its worker: the run is lost at once, and something of it may be left until its lease is over.
A third is cut off for a while: it is unreachable once nothing was heard for a lease, and then reachable again. A third
is cut off for good, and lost when its runner gives it up; by then its worker has stopped it. The times are those of the
default lease.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from taskloom.core import inputs
from taskloom.core.enums import FastEnum, plain_members
from taskloom.core.model import CLUSTER, WAIT_FOR_EVER, ErrorInfo, How, JobSpec
from taskloom.core.run_reports import Whereabouts

if TYPE_CHECKING:
    from taskloom.simulation.engine import Engine

__all__ = ["Cut", "CutKind", "Cuts", "draw_cut"]

# The default lease. After TTL_SECONDS without a sign of life a run is unreachable. Its worker stops it in the grace.
TTL_SECONDS, GRACE_SECONDS = 20.0, 10.0
# Its runner waits for so long after that, and calls a killed run lost after so long without a confirmed end.
GIVE_UP_SECONDS = TTL_SECONDS + GRACE_SECONDS + 10.0
KILL_SECONDS = 2.0
# A cut that is over before a run is unreachable is never noticed.
LONGEST_CUT_SECONDS = TTL_SECONDS + GRACE_SECONDS
_LOST = ErrorInfo("SimulatedLoss", "its simulated worker is gone", "", is_explained=True)
_PLACE = Whereabouts("simulated", "worker", 1)


@plain_members
class CutKind(FastEnum):
    """What happens to the worker of a run."""

    DIES = "dies"
    """It ends, and its runner learns that at once."""
    COMES_BACK = "comes back"
    """It is cut off for some seconds."""
    GONE = "gone"
    """It is cut off for good."""


class Cut(NamedTuple):
    """One fault of a worker."""

    after: float
    """Seconds from the start of the run."""
    kind: CutKind
    seconds: float
    """How long it is cut off, if it comes back."""


def draw_cut(random: Random, share: float, work: float) -> Cut | None:
    """Draw whether the worker of a run fails, when and how. `work`: how long the run works, in seconds."""
    if random.random() >= share:
        return None
    kind = random.choice(list(CutKind))
    return Cut(work * random.random(), kind, random.uniform(TTL_SECONDS, LONGEST_CUT_SECONDS))


class Link:
    """The connection to one run on the cluster. `resume` is called when what was held back may be heard again."""

    __slots__ = ("cut_at", "is_over", "kind", "name", "resume")

    def __init__(self, name: str, resume: Callable[[], None]) -> None:
        self.name = name
        self.resume = resume
        self.kind: CutKind | None = None
        """How it is cut off at present; None if it is not."""
        self.cut_at = 0.0
        self.is_over = False


class Cuts:
    """The connections to all runs on the cluster, by run."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._links: dict[str, Link] = {}

    def begin(self, name: str, spec: JobSpec, cut: Cut | None, resume: Callable[[], None]) -> None:
        """Place a run that has begun, if it is one on a cluster, and cut it off in time."""
        if spec.runner.name != CLUSTER:
            return
        link = self._links[name] = Link(name, resume)
        self._engine.answer(inputs.RunPlaced(name, _PLACE))
        if cut is not None and cut.after != WAIT_FOR_EVER:
            self._engine.schedule_in(cut.after, self._cut_off, link, cut)

    def is_cut(self, name: str) -> bool:
        """Return whether nothing is heard of the run, and it hears nothing."""
        link = self._links.get(name)
        return link is not None and link.kind is not None

    def end(self, name: str) -> None:
        """Forget a run that has ended; idempotent."""
        link = self._links.pop(name, None)
        if link is not None:
            link.is_over = True

    def kill(self, name: str) -> None:
        """Kill a run that is cut off: no answer comes."""
        self._engine.schedule_in(KILL_SECONDS, self._lose, self._links[name])

    def _cut_off(self, link: Link, cut: Cut) -> None:
        if link.is_over:
            return
        link.kind, link.cut_at = cut.kind, self._engine.now.mono
        if cut.kind is CutKind.DIES:
            self._lose(link)
            return
        self._engine.schedule_in(TTL_SECONDS, self._miss, link)
        if cut.kind is CutKind.COMES_BACK:
            self._engine.schedule_in(cut.seconds, self._come_back, link)
        else:
            self._engine.schedule_in(TTL_SECONDS + GIVE_UP_SECONDS, self._lose, link)

    def _miss(self, link: Link) -> None:
        if not link.is_over and link.kind is not None:
            self._engine.process(inputs.RunUnreachable(link.name, link.cut_at))

    def _come_back(self, link: Link) -> None:
        if not link.is_over:
            link.kind = None
            self._engine.process(inputs.RunReachable(link.name))
            link.resume()

    def _lose(self, link: Link) -> None:
        if link.is_over or link.kind is None:
            return
        stopped_by = link.cut_at + TTL_SECONDS + GRACE_SECONDS
        self._engine.process(inputs.RunEnded(link.name, How.LOST, _LOST, False, False, stopped_by))
