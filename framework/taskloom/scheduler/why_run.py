"""The sentences about the run of a job: its place, and its last poll."""

from __future__ import annotations

from collections.abc import Iterator

from taskloom.core.model import JobState
from taskloom.core.why_facts import JobFacts, ProcessFacts, RunFacts, RunNumbers, WhyFacts
from taskloom.scheduler.why_words import Clock
from taskloom.text import duration, printable, rough, size

__all__ = ["JUST_NOW_SECONDS", "RunText", "is_program"]

JUST_NOW_SECONDS = 1.0
"""A task that polls more often than this needs no number."""


def is_program(job: JobFacts) -> bool:
    """Return whether the runs of the job are programs, which poll nothing: their checks count instead."""
    return getattr(job.spec.binding, "program", None) is not None


class RunText:
    """Writes the sentences about runs, without their full stops."""

    def __init__(self, facts: WhyFacts, clock: Clock) -> None:
        self._facts = facts
        self._job = facts.job
        self._clock = clock

    def place(self, job: JobFacts) -> Iterator[str]:
        """Yield where the run of a job is, if that helps."""
        run = job.run
        if run is None or not self._is_stuck(job, run):
            return
        where = self._facts.places.get(run.id) or run.captured
        if where:
            yield f"{'It' if job is self._job else run.id} is currently at {where}"

    def _is_stuck(self, job: JobFacts, run: RunFacts) -> bool:
        """Return whether a run does not end or does not poll, so that its place shows why."""
        if job.state is JobState.RUNNING:
            numbers = self._facts.numbers if job is self._job else None
            is_silent = numbers is not None and numbers.would_meet_join is False
            return is_silent or run.unresponsive_ago is not None
        return job.state in (JobState.STOPPING, JobState.BLOCKED)

    def instant(self, run: RunFacts) -> Iterator[str]:
        """Yield which instant the run makes up for, and that it could not be recorded."""
        if run.instant is None:
            return
        at = self._clock.at(run.instant)
        if run.is_made_up:
            yield f"It makes up for its firing at {at}, when the program was down"
        if not run.is_recorded:
            yield f"The history could not record its firing at {at}, so after a crash it may run again"

    def process(self, run: RunFacts) -> Iterator[str]:
        """Yield in which process the run is, on which host, and what it uses; nothing about a thread."""
        found, where = self._facts.processes.get(run.id), run.whereabouts
        if where is not None:
            on = "was executing" if run.outcome is not None else "runs" if run.started_ago is not None else "is placed"
            process = f", {_process(found, where.pid)}" if found is not None or where.pid else ""
            used = _used(found, "so far" if run.unreachable_ago is None else "when last heard of")
            yield printable(f"It {on} on {where.host} (worker {where.worker}{process}){used}")
        elif found is not None:
            yield f"It runs in {_process(found)} (runner: {self._job.spec.runner.name}){_used(found)}"
        if run.unreachable_ago is not None:
            yield "Its runner waits for its worker, and takes it as lost if nothing is heard for too long"
        if found is not None and found.state == "stopped":
            yield f"That process is stopped by a signal: `taskloom signal {self._job.name} CONT` lets it go on"

    def polls(self, run: RunFacts, numbers: RunNumbers | None) -> Iterator[str]:
        """Yield when the run last polled, or was last checked, and where it is if it is silent."""
        watchdog, age = self._job.spec.watchdog, numbers.poll_age if numbers is not None else None
        if is_program(self._job):
            if run.unresponsive_ago is not None:
                yield f"Its checks have been failing for {rough(run.unresponsive_ago)}"
            elif age is not None:
                yield f"Its last check succeeded {rough(age)} ago"
        elif run.unresponsive_ago is not None and watchdog is not None:
            silence = rough(age) if age is not None else "longer than its watchdog allows"
            yield f"It has not polled for {silence} (watchdog: {duration(watchdog.after)}, then {watchdog.then.value})"
        elif age is not None and run.started_ago is not None:
            if age <= JUST_NOW_SECONDS:
                yield "It polled within the last second"
            elif age + JUST_NOW_SECONDS < run.started_ago:
                yield f"It last polled {rough(age)} ago"
            else:  # it is counted from the start if there was no poll
                yield "It has not polled since it began"
        yield from self.place(self._job)


def _process(found: ProcessFacts | None, pid: int = 0) -> str:
    """Return the main process of a run, and how many more there are. `pid`: what is known of it otherwise."""
    if found is None:
        return f"process {pid}"
    return f"process {found.pid}{f' and {found.processes - 1:,} more' if found.processes > 1 else ''}"


def _used(found: ProcessFacts | None, until: str = "so far") -> str:
    """Return what the processes of a run have used `until` then; "" if that is unknown."""
    if found is None:
        return ""
    return f", with {size(found.memory)} of memory, and {rough(found.cpu)} of processor time {until}"
