"""The first sentence about a job: its state and the cause of it.

The same sentence stands at the beginning of the answer about this job, and in the answers about jobs that it holds up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskloom.core.model import CLUSTER, Hold, JobState, Reason, WaitingFor
from taskloom.core.policies import Condition, StartMode
from taskloom.core.why_facts import Blocker, JobFacts, RunFacts, WhyFacts
from taskloom.scheduler.why_words import (
    Clock,
    asked,
    body,
    cause_of,
    chain,
    held,
    how_it_ended,
    join,
    last_failure,
    names,
    on_host,
    satisfied,
)
from taskloom.text import duration, rough

__all__ = ["Heads", "in_brackets", "rests_stopped", "waits_for"]

# More conditions than these make a sentence too long to read.
_MOST_CONDITIONS = 3


class Heads:
    """Writes the first sentences, without their full stops."""

    def __init__(self, facts: WhyFacts, clock: Clock) -> None:
        self._facts = facts
        self._job = facts.job
        self._clock = clock

    def of(self, job: JobFacts, condition: Condition | None = None) -> str:
        """Return the sentence about a job. `condition`: that another job waits for."""
        stopped = job.held(Hold.STOPPED)
        if stopped is not None and rests_stopped(job):
            return f"{job.name} is not running: it was {held(stopped, self._clock)}"
        return _HEADS[job.state](self, job, condition)

    def _disabled(self, job: JobFacts, _: Condition | None) -> str:
        return f"{job.name} cannot run: it is disabled (enabled: false)"

    def _waiting(self, job: JobFacts, _: Condition | None) -> str:
        report, spec, waiting_for = job.report, job.spec, job.report.waiting_for
        if waiting_for is WaitingFor.DELAY and report.due_in is not None:
            delay = duration(spec.start.delay_seconds)
            return f"{job.name} waits for its start delay of {delay}, which is over {self._clock.due(report.due_in)}"
        if waiting_for is WaitingFor.DEPENDENCY:
            return f"{job.name} waits for {waits_for(job, self._facts.blockers if job is self._job else ())}"
        if waiting_for is WaitingFor.BACKOFF and job.run is not None:
            return self._backoff(job, job.run)
        if waiting_for is WaitingFor.FIRING and report.next_firing is not None and spec.schedule is not None:
            paused = job.held(Hold.PAUSED)
            if paused is not None:
                return f"{job.name} is not running: its schedule ({spec.schedule.text}) was {held(paused, self._clock)}"
            due = self._clock.until(report.next_firing)
            return f"{job.name} waits for its schedule ({spec.schedule.text}), which fires next {due}"
        if waiting_for is WaitingFor.RECORD:
            return f"{job.name} waits until its firing is recorded, a second at most, and starts then"
        if waiting_for is WaitingFor.REMOVAL:
            runs = job.awaited_runs
            which = f"{names(runs)}, which a reload has stopped" if runs.total else "the runs that a reload has stopped"
            return f"{job.name} waits for the end of {which}"
        # About the job that is asked about, the hint at the end says so.
        needs = f", once {satisfied(job.unmet)}" if job.unmet and job is not self._job else ""
        if spec.start.mode is StartMode.MANUAL:
            return f"{job.name} is not running: it starts only when a user starts it (start: manual){needs}"
        return f"{job.name} is not running: it has been declared, and nothing has started it yet"

    def _backoff(self, job: JobFacts, run: RunFacts) -> str:
        due_in, attempt = job.report.due_in or 0.0, run.attempt + 1
        ended = last_failure(job, run, self._clock) if run.has_failed else how_it_ended(run, self._clock)
        if due_in <= 0.0:
            return (
                f"{job.name} {ended}; its restart (attempt {attempt}) waits for those of other jobs: 200 begin a second"
            )
        again = "tried" if run.has_failed else "started"
        return f"{job.name} {ended}; it is {again} again {self._clock.due(due_in)} (attempt {attempt})"

    def _running(self, job: JobFacts, condition: Condition | None) -> str:
        run = job.run
        if run is None:
            return f"{job.name} is running"
        if run.started_ago is None:
            queued = self._clock.ago(run.queued_ago)
            return f"{job.name} is being started: run {run.id} was queued {queued}, and {_not_begun(job, run)}"
        if run.unreachable_ago is not None:
            state = f"has been unreachable for {rough(run.unreachable_ago)}, and may still be executing"
        elif run.unresponsive_ago is not None:
            state = f"is running, but has been unresponsive for {rough(run.unresponsive_ago)}"
        elif run.ready_ago is None:
            state = "is running, but is not ready yet"
        else:
            state = "is running and ready"
        attempt = f" (attempt {run.attempt})" if run.attempt > 1 else ""
        head = f"{job.name} {state}: run {run.id}{attempt} began {self._clock.ago(run.started_ago)}"
        if run.ready_left is not None:
            head += f", and has {rough(run.ready_left)} left to become ready"
        if condition in (Condition.SUCCEEDED, Condition.FINISHED):
            head += ", and has to end first"
        return head

    def _stopping(self, job: JobFacts, _: Condition | None) -> str:
        run = job.run
        if run is None or run.asked_ago is None:
            return f"{job.name} is stopping"
        why = f" ({cause_of(run.reason)})" if run.reason is not None else ""
        asked = f"run {run.id} was asked to stop {self._clock.ago(run.asked_ago)}{why}"
        if run.killed_ago is not None:
            return f"{job.name} is being killed: {asked}"
        if run.is_overdue:
            allowed = f", and should have ended within {rough(run.allowed)}" if run.allowed is not None else ""
            return f"{job.name} is overdue: {asked}{allowed}"
        if not job.spec.join.is_awaited:
            return f"{job.name} is stopping: {asked}, and the stop does not wait for it ({join(job.spec.join)})"
        if run.stop_left is not None:
            return f"{job.name} is stopping: {asked}, and has {rough(run.stop_left)} left ({join(job.spec.join)})"
        if run.allowed is None:
            return f"{job.name} is stopping: {asked}, and the stop waits for it without a limit ({join(job.spec.join)})"
        return f"{job.name} is stopping: {asked}"

    def _blocked(self, job: JobFacts, _: Condition | None) -> str:
        if job.run is None:
            return f"{job.name} cannot run: the {body(job)} of its abandoned run is still alive"
        if job.run.lost_left is not None:
            left = f"may still be executing{on_host(job.run)}, for {rough(job.run.lost_left)} more at most"
            lost = how_it_ended(job.run, self._clock)
            return f"{job.name} cannot run: its run {job.run.id} {left}; it {lost}"
        head = f"{job.name} cannot run: the {body(job)} of its abandoned run {job.run.id} is still alive"
        if job.run.ended_ago is None:
            return head
        return f"{head}; the run was given up {self._clock.ago(job.run.ended_ago)}{asked(job.run)}"

    def _finished(self, job: JobFacts, _: Condition | None) -> str:
        run = job.run
        if run is None:
            return f"{job.name} is not running and is finished{in_brackets(job.reason)}"
        if job.gave_up_because:
            return f"{job.name} gave up ({job.gave_up_because}): it {last_failure(job, run, self._clock)}"
        return f"{job.name} is not running: its last run, {run.id}, {how_it_ended(run, self._clock)}"

    def _skipped(self, job: JobFacts, _: Condition | None) -> str:
        if job.was_skipped and job.reason is not None:
            by_now = "" if job.is_impossible else ", which has changed since then"
            return f"{job.name} was skipped: {job.reason.text}{by_now}"
        return f"{job.name} is not running: it was stopped before its first run{in_brackets(job.reason)}"


_Head = Callable[[Heads, JobFacts, Condition | None], str]
_HEADS: dict[JobState, _Head] = {
    JobState.DISABLED: Heads._disabled,
    JobState.WAITING: Heads._waiting,
    JobState.RUNNING: Heads._running,
    JobState.STOPPING: Heads._stopping,
    JobState.BLOCKED: Heads._blocked,
    JobState.FINISHED: Heads._finished,
    JobState.SKIPPED: Heads._skipped,
}


def _not_begun(job: JobFacts, run: RunFacts) -> str:
    """Return why a run that was queued has not begun."""
    if run.whereabouts is None and job.spec.runner.name == CLUSTER:
        return f"waits for a slot of the cluster{_on_which_worker(job.spec.runner.options)}"
    return f"its {body(job)}{on_host(run)} has not begun it yet"


def _on_which_worker(options: Mapping[str, Any]) -> str:
    """Return which workers the options of a job on a cluster allow."""
    names, resources = options.get("workers"), options.get("resources")
    named = f" on {' or '.join(names)}" if names else ""
    needed = ", ".join(f"{name}: {amount:g}" for name, amount in (resources or {}).items())
    return f"{named} with {{{needed}}}" if needed else named


def rests_stopped(job: JobFacts) -> bool:
    """Return whether the job has no run and waits for nothing because a user stopped it."""
    is_at_rest = job.state in (JobState.FINISHED, JobState.SKIPPED) or job.report.waiting_for is WaitingFor.START
    return is_at_rest and job.held(Hold.STOPPED) is not None


def waits_for(job: JobFacts, blockers: tuple[Blocker, ...]) -> str:
    """Return the conditions of other jobs, with the chain to the root cause if there is only one."""
    if len(blockers) == 1 and len(job.unmet) == 1:
        return chain(blockers[0].path)
    shown = [chain((link,)) for link in job.unmet[:_MOST_CONDITIONS]]
    more = len(job.unmet) - len(shown)
    return f"{', '.join(shown)} and {more:,} more" if more else " and ".join(shown) or "other jobs"


def in_brackets(reason: Reason | None) -> str:
    """Return the cause in brackets; "" if there is none."""
    return f" ({cause_of(reason)})" if reason is not None else ""
