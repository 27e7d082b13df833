"""Why a job is, or is not, running: the facts of the core and of the live runs, and the paragraph about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from taskloom.core.model import JobState
from taskloom.core.why import gather
from taskloom.core.why_facts import ProcessFacts, RunNumbers, WhyFacts
from taskloom.scheduler.why_text import explain

if TYPE_CHECKING:
    from taskloom.core.lifecycle import Lifecycle
    from taskloom.scheduler.engine import Engine
    from taskloom.scheduler.handles import JobStatus
    from taskloom.scheduler.live_run import LiveRun

__all__ = ["Why", "make_why"]

# A worker answers in milliseconds, and by its signal after a tenth of a second if a task holds the interpreter lock.
_PLACE_SECONDS = 0.3


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
    reader, in_process = engine.executor.stacks, [run for run in live if run.is_in_process]
    found = reader.places([run for run in live if not run.is_in_process])
    if in_process:
        found += reader.locate_within(in_process, _PLACE_SECONDS)
        facts = _without_stopped(replace(facts, processes=_processes(in_process)))
    facts = replace(facts, places={run.id: stack.where for run, stack in found if stack.where})
    return Why(explain(facts), facts)


def _without_stopped(facts: WhyFacts) -> WhyFacts:
    """Return the facts without the numbers of a process that a signal has stopped: it gets no request to stop."""
    run = facts.job.run
    found = facts.processes.get(run.id) if run is not None else None
    if found is None or found.state != "stopped" or facts.numbers is None:
        return facts
    numbers = replace(facts.numbers, poll_age=None, is_wakeable=False, would_meet_join=None)
    return replace(facts, numbers=numbers)


def _processes(runs: Sequence[LiveRun]) -> dict[str, ProcessFacts]:
    from taskloom.scheduler.process_reads import read_processes

    return {run: ProcessFacts(*info) for run, info in read_processes(runs).items()}


def _numbers(status: JobStatus) -> RunNumbers:
    return RunNumbers(
        status.poll_age,
        status.worst_gap,
        status.is_wakeable,
        status.would_meet_join,
        status.counts,
        status.progress,
    )
