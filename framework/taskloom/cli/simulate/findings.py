"""What a simulation showed, in words: only what somebody would want to know."""

from __future__ import annotations

from collections.abc import Iterator

from taskloom.core.model import JobState, ReasonKind, WaitingFor
from taskloom.core.policies import StartMode
from taskloom.simulation.result import SimulationResult
from taskloom.simulation.tally import JobStats
from taskloom.text import duration, plural

__all__ = ["findings"]

Findings = Iterator[str]


def findings(result: SimulationResult) -> list[str]:
    """Return what there is to say: first of everything, then of each job in order."""
    found = [*_of_the_end(result), *_of_troubles(result)]
    for job in result.jobs:
        for remark in (_overlaps, _missed, _restarts, _skipped, _stops, _unresponsive):
            found += [f"{job.spec.name} {text}" for text in remark(job)]
    return found


def _of_the_end(result: SimulationResult) -> Findings:
    after = duration(result.seconds, is_rounded=True)
    if result.reason.kind is ReasonKind.FINISHED:
        yield f"everything ended after {after}: nothing keeps the program alive then"
    elif result.is_early:
        yield f"everything was stopped after {after} ({result.reason})"
    if result.stop_seconds is None:
        yield "the stop was never over: it has no deadline, and a run that ignores it"


def _of_troubles(result: SimulationResult) -> Findings:
    for word, trouble in result.idle_troubles:
        if trouble.at <= result.seconds:
            yield f"{trouble.job} had no run to {word} at {duration(trouble.at)}"


def _overlaps(job: JobStats) -> Findings:
    count = job.missed["overlap"]
    if count and job.spec.schedule is not None:
        longest = duration(job.longest_run, is_rounded=True)
        busy = "one run never ended" if job.unended else f"a run took up to {longest}"
        yield f"overlapped {plural(count, 'time')}: {busy}, and its schedule is {job.spec.schedule.text}"


def _missed(job: JobStats) -> Findings:
    late, blocked = job.missed["late"], job.missed["blocked"]
    if late:
        yield f"missed {plural(late, 'firing')} that came too late: the clock was set"
    if blocked:
        yield f"missed {plural(blocked, 'firing')} behind an abandoned run that lived on"


def _restarts(job: JobStats) -> Findings:
    if job.flapping:
        yield f"was flapping: it was restarted {plural(job.restarts, 'time')} in all"
    if job.gave_up:
        often = f" {plural(job.gave_up, 'time')}" if job.gave_up > 1 else ""
        yield f"gave up{often}: {job.gave_up_why}"


def _skipped(job: JobStats) -> Findings:
    if job.skipped is not None and not job.runs:
        yield f"was never started: {job.skipped.text}"
    elif not job.runs and job.state is JobState.WAITING and job.spec.start.mode is StartMode.MANUAL:
        yield "was never started: it has start: manual"
    elif not job.runs and job.state is JobState.WAITING and job.waiting_for is WaitingFor.DEPENDENCY:
        yield "was never started: what it waits for in another job has not come"


def _stops(job: JobStats) -> Findings:
    if job.overdue:
        late = "a run" if job.overdue == 1 else f"{job.overdue:,} runs"
        yield f"had {late} that did not stop within {duration(job.spec.join.within)}"


def _unresponsive(job: JobStats) -> Findings:
    if job.unresponsive:
        yield f"was found unresponsive by its watchdog {plural(job.unresponsive, 'time')}"
