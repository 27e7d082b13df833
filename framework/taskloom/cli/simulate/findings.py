"""The findings of a simulation, as sentences: only what users may want to know or act on."""

from __future__ import annotations

from collections.abc import Iterator

from taskloom.core.model import JobState, Outcome, ReasonKind, WaitingFor
from taskloom.core.policies import StartMode
from taskloom.simulation.result import SimulationResult
from taskloom.simulation.tally import JobStats
from taskloom.text import duration, plural

__all__ = ["findings", "simulated_time"]

Findings = Iterator[str]
_MINUTE, _DAY = 60.0, 86_400.0


def simulated_time(seconds: float) -> str:
    """Return a time since the beginning, in full seconds; of days only the minutes."""
    unit = _MINUTE if seconds >= _DAY else 1.0
    return duration(seconds // unit * unit if seconds >= unit else seconds, is_rounded=True)


def findings(result: SimulationResult) -> list[str]:
    """Return the findings: first those about the whole simulation, then those about each job in order."""
    found = list(_general_findings(result))
    for job in result.jobs:
        texts = (*_firing_findings(job), *_run_findings(job))
        found += [f"{job.spec.name} {text}" for text in texts]
    return found


def _general_findings(result: SimulationResult) -> Findings:
    after = duration(result.seconds, is_rounded=True)
    if result.is_interrupted:
        done = simulated_time(result.seconds)
        yield f"stopped at {done} of {duration(result.plan.seconds)} by {result.reason.text}"
    elif result.reason.kind is ReasonKind.FINISHED:
        yield f"everything ended after {after}: no non-daemon job was running or going to start"
    elif result.is_early:
        yield f"everything was stopped after {after} ({result.reason})"
    if result.stop_seconds is None:
        yield "the stop never ended: it has no deadline, and a run does not stop"
    for kind, fault in result.idle_faults:
        if fault.at <= result.seconds:
            yield f"{fault.job} had no run to {kind} at {duration(fault.at)}"


def _firing_findings(job: JobStats) -> Findings:
    count = job.missed["overlap"]
    if count and job.spec.schedule is not None:
        longest = duration(job.longest_run, is_rounded=True)
        busy = "one run never ended" if job.unended else f"a run took up to {longest}"
        yield f"overlapped {plural(count, 'time')}: {busy}, and its schedule is {job.spec.schedule.text}"
    late, blocked = job.missed["late"], job.missed["blocked"]
    if late:
        yield f"missed {plural(late, 'firing')} that came too late: the clock was set"
    if blocked:
        yield f"missed {plural(blocked, 'firing')} because an abandoned or lost run might still be executing"


def _run_findings(job: JobStats) -> Findings:
    if job.flapping:
        yield f"was flapping: it was restarted {plural(job.restarts, 'time')} in all"
    if job.gave_up:
        often = f" {plural(job.gave_up, 'time')}" if job.gave_up > 1 else ""
        yield f"gave up{often}: {job.gave_up_why}"
    if job.skipped is not None and not job.runs:
        yield f"was never started: {job.skipped.text}"
    elif not job.runs and job.state is JobState.WAITING and job.spec.start.mode is StartMode.MANUAL:
        yield "was never started: it has start: manual"
    elif not job.runs and job.state is JobState.WAITING and job.waiting_for is WaitingFor.DEPENDENCY:
        yield "was never started: its dependency was not satisfied"
    if job.overdue:
        late = "a run" if job.overdue == 1 else f"{job.overdue:,} runs"
        killed = "" if not job.spec.join.kills else " and was killed" if job.overdue == 1 else " and were killed"
        yield f"had {late} that did not stop within {duration(job.spec.join.within)}{killed}"
    lost = job.outcomes[Outcome.LOST]
    if lost:
        blocked = f", and was blocked for up to {duration(job.longest_block, is_rounded=True)} after that"
        yield f"lost {plural(lost, 'run')}{blocked if job.longest_block else ''}"
    if job.unreachable:
        yield f"had an unreachable run {plural(job.unreachable, 'time')}"
    if job.unresponsive:
        yield f"was found unresponsive by its watchdog {plural(job.unresponsive, 'time')}"
