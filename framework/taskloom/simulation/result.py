"""Runs a simulation and returns its result as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskloom.core.events import Event, format_wall
from taskloom.core.model import JobSpec, Reason, ReasonKind
from taskloom.errors import InternalError
from taskloom.simulation.plan import Fault, Plan
from taskloom.simulation.simulator import Simulator
from taskloom.simulation.tally import JobStats, StatsCollector
from taskloom.sync.gc_pause import paused_gc
from taskloom.text import finite

__all__ = ["Progress", "SimulationResult", "simulate_jobs"]

_OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The result of a simulation. All times in seconds."""

    plan: Plan
    jobs: tuple[JobStats, ...]
    events: int
    seconds: float
    """How much time passed until everything was stopped."""
    reason: Reason
    """Why everything was stopped."""
    stop_seconds: float | None
    """How long the stop took; None if it never ended."""
    worst_stop_seconds: float
    """How long a stop may take at most, by the join policies; inf if nothing limits it."""
    idle_faults: tuple[tuple[str, Fault], ...] = ()
    """The faults that had no effect because their job had no run then, each with its kind: `crash` or `hang`."""

    @property
    def is_interrupted(self) -> bool:
        """Whether a user stopped the simulation."""
        return self.reason.kind is ReasonKind.SIGNAL

    @property
    def is_early(self) -> bool:
        """Whether everything was stopped before the simulated time was over."""
        return self.seconds < self.plan.seconds

    def as_dict(self) -> dict[str, Any]:
        """Return the result as in the JSON output, without its `assumed` and `remarks`."""
        return {
            "seed": self.plan.seed,
            "start": format_wall(self.plan.start),
            "seconds": finite(self.seconds),
            "of_seconds": finite(self.plan.seconds),
            "ended": {"kind": self.reason.kind.value, "text": self.reason.text},
            "events": self.events,
            "runs": sum(job.runs for job in self.jobs),
            "stop_seconds": finite(self.stop_seconds),
            "worst_stop_seconds": finite(self.worst_stop_seconds),
            "jobs": [_job_as_dict(job) for job in self.jobs],
        }


def _job_as_dict(job: JobStats) -> dict[str, Any]:
    return {
        "job": job.spec.name,
        "task": job.spec.task,
        "schedule": job.spec.schedule.text if job.spec.schedule is not None else None,
        "firings": job.firings,
        "runs": job.runs,
        "succeeded": job.succeeded,
        "failed": job.failed,
        "outcomes": {outcome.value: count for outcome, count in job.outcomes.items()},
        "restarts": job.restarts,
        "overlaps": job.missed[_OVERLAP],
        "missed": {why: count for why, count in job.missed.items() if why != _OVERLAP},
        "skipped": str(job.skipped) if job.skipped is not None else None,
        "gave_up": job.gave_up,
        "flapping": job.flapping,
        "unresponsive": job.unresponsive,
        "unreachable": job.unreachable,
        "longest_block": finite(job.longest_block),
        "overdue": job.overdue,
        "killed": job.killed,
        "longest_run": finite(job.longest_run),
        "longest_stop": finite(job.longest_stop),
        "next_firing": None if job.next_firing is None else format_wall(job.next_firing),
        "state": job.state.value,
        "waiting_for": job.waiting_for.value if job.waiting_for is not None else None,
    }


class Progress(NamedTuple):
    """How far a simulation is."""

    seconds: float
    """How much virtual time has passed."""
    jobs: Iterable[JobStats]

    @property
    def firings(self) -> int:
        """How many instants of schedules have come."""
        return sum(job.firings for job in self.jobs)


def simulate_jobs(
    specs: Sequence[JobSpec],
    plan: Plan,
    listeners: Sequence[Callable[[Event], None]] = (),
    on_progress: Callable[[Progress], Reason | None] | None = None,
) -> SimulationResult:
    """Run the jobs in virtual time and count what happens; each listener is called with every event, in order.

    `on_progress` is called now and then, several times a second, and may return a reason to stop everything at once.
    Unless it does, the same jobs, plan and time zones give the same result, to the last digit. Everything runs on the
    caller's thread. Raises InternalError, with the seed, if the core breaks an invariant: a bug of Taskloom.
    """
    stats = StatsCollector(one for spec in specs for one in spec.replicated())
    checker = None
    if plan.checked_steps != 0:
        from taskloom.simulation.invariant_check import InvariantChecker

        checker = InvariantChecker(plan.seed, plan.stop_within, plan.checked_steps)

    def report_progress() -> Reason | None:
        progress = Progress(simulator.now.mono, stats.jobs.values())
        return on_progress(progress) if on_progress is not None else None

    simulator = Simulator(
        specs,
        plan,
        on_event=_all_of([stats.count, *listeners]),
        before_stop=stats.record_states,
        check_step=checker.check_step if checker is not None else None,
        on_progress=report_progress if on_progress is not None else None,
    )
    with paused_gc():  # what is dropped meanwhile has no reference cycles
        simulator.run()
    stats.finish(simulator.core, simulator.now)
    if checker is not None and stats.stopped is not None:
        checker.finish()
    return _result(specs, simulator, stats)


def _all_of(listeners: Sequence[Callable[[Event], None]]) -> Callable[[Event], None]:
    """Return one function that calls all listeners: a single listener itself, since it is called millions of times."""
    if len(listeners) == 1:
        return listeners[0]

    def call_all(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return call_all


def _result(specs: Sequence[JobSpec], simulator: Simulator, stats: StatsCollector) -> SimulationResult:
    from taskloom.jobfile.checks.worst_stop import worst_stop

    plan, stopping, stopped = simulator.plan, stats.stopping, stats.stopped
    if stopping is None or stopping.reason is None:
        raise InternalError("a simulation ended without a shutdown")
    result = SimulationResult(
        plan=plan,
        jobs=tuple(stats.jobs.values()),
        events=stats.events,
        seconds=stopping.mono,
        reason=stopping.reason,
        stop_seconds=stopped.mono - stopping.mono if stopped is not None else None,
        worst_stop_seconds=worst_stop(specs, plan.stop_within).seconds,
        idle_faults=tuple(simulator.idle_faults),
    )
    if result.is_early and not result.is_interrupted:
        for job in result.jobs:
            job.next_firing = None  # the program would have ended
    return result
