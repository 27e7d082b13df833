"""Why a job is, or is not, running: the facts of the core and of the live runs, and the paragraph about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from taskloom.core.model import JobState
from taskloom.core.why import gather
from taskloom.core.why_facts import RunNumbers, WhyFacts
from taskloom.scheduler.why_text import explain

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle
    from taskloom.scheduler.engine import Engine
    from taskloom.scheduler.handles import JobStatus

__all__ = ["Why", "make_why"]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job is, or is not, running."""

    text: str
    """One paragraph of complete sentences, on one line."""
    facts: WhyFacts
    """The facts that the text was made from."""

    def as_dict(self) -> dict[str, Any]:
        """Return both as they are written to JSON."""
        return {"job": self.facts.job.name, "text": self.text, "facts": self.facts.as_dict()}

    def __str__(self) -> str:
        return self.text


def make_why(engine: Engine, name: str, status: Callable[[Lifecycle], JobStatus]) -> Why:
    """Return why a job is, or is not, running. Raises UnknownJob.

    All facts but one are read in one step on the scheduler thread, `status` among them; where the runs are is read
    after it, on this thread.
    """

    def read(core: Lifecycle) -> WhyFacts:
        facts = gather(core, name, engine.clock.now())
        is_live = facts.job.state in (JobState.RUNNING, JobState.STOPPING)
        return replace(facts, numbers=_numbers(status(core))) if is_live else facts

    facts = engine.query(None, read)
    live = [run for run in map(engine.executor.live.get, facts.live_runs) if run is not None]
    places = {run.id: stack.where for run, stack in engine.executor.stacks.places(live) if stack.where}
    facts = replace(facts, places=places)
    return Why(explain(facts), facts)


def _numbers(status: JobStatus) -> RunNumbers:
    return RunNumbers(
        status.poll_age,
        status.worst_gap,
        status.is_wakeable,
        status.would_meet_join,
        status.counts,
        status.progress,
    )
