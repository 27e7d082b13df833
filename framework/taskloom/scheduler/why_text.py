"""Facts about a job as one paragraph: why it is, or is not, running, and what a stop would do.

Each sentence is made from facts alone; what is unknown is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskloom.core.model import JobState, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Condition, Overlap, RestartWhen, StartMode, WatchdogThen
from taskloom.core.records import FollowUp
from taskloom.core.restart import FLAPPING_SECONDS
from taskloom.core.why import Blocker, JobFacts, RunFacts, RunNumbers, WhyFacts
from taskloom.scheduler.failure_text import reason_text
from taskloom.scheduler.why_words import (
    Clock,
    chain,
    how_it_ended,
    join,
    last_failure,
    names,
    otherwise,
    sentence,
    verb,
)
from taskloom.text import duration, plural, rough

__all__ = ["MISSED_CAUSES", "explain"]

# More root causes than these make a paragraph too long to read; the facts have further ones.
_MOST_CAUSES = 3
# A task that polls more often than this needs no number.
_JUST_NOW_SECONDS = 1.0

MISSED_CAUSES = {
    "late": "it was too late to make up for",
    "overlap": "the previous run was still running",
    "blocked": "the thread of an abandoned run was still alive",
    "paused": "the schedule was paused",
}
"""Why an instant of a schedule passed without a run, by the cause that the events have."""

_FOLLOW_UPS = {
    FollowUp.FIRING: "its schedule has fired meanwhile, so the next run starts at once",
    FollowUp.RESTART: "it is restarted at once",
    FollowUp.RETRY: "it is restarted after its restart delay",
    FollowUp.REMOVAL: "the job is removed, as a reload decided",
}


def explain(facts: WhyFacts) -> str:
    """Return the paragraph about these facts: complete sentences on one line."""
    return " ".join(map(sentence, _Paragraph(facts).sentences()))


class _Paragraph:
    """The sentences about one job."""

    def __init__(self, facts: WhyFacts) -> None:
        self._facts = facts
        self._job = facts.job
        self._clock = Clock(facts.now.wall)

    def sentences(self) -> Iterator[str]:
        """Yield the sentences: the cause first, then what it means, and at last what a stop would do."""
        yield self._head(self._job)
        yield from self._causes()
        yield from self._program()
        yield from _DETAILS[self._job.state](self)
        yield from self._consequences()

    # -- the first sentence about a job, whether it is the one that is asked about or one that holds it up

    def _head(self, job: JobFacts, condition: Condition | None = None) -> str:
        return _HEADS[job.state](self, job, condition)

    def _disabled(self, job: JobFacts, _: Condition | None) -> str:
        return f"{job.name} cannot run: it is disabled (enabled: false)"

    def _waiting(self, job: JobFacts, _: Condition | None) -> str:
        report, spec, waiting_for = job.report, job.spec, job.report.waiting_for
        if waiting_for is WaitingFor.DELAY and report.due_in is not None:
            delay = duration(spec.start.delay_seconds)
            return f"{job.name} waits for its start delay of {delay}, which is over {self._clock.due(report.due_in)}"
        if waiting_for is WaitingFor.DEPENDENCY:
            return f"{job.name} waits for {_waits_for(job, self._path_of(job))}"
        if waiting_for is WaitingFor.BACKOFF and job.run is not None:
            return self._backoff(job, job.run)
        if waiting_for is WaitingFor.FIRING and report.next_firing is not None and spec.schedule is not None:
            due = self._clock.until(report.next_firing)
            return f"{job.name} waits for its schedule ({spec.schedule.text}), which fires next {due}"
        if waiting_for is WaitingFor.REMOVAL:
            runs = job.awaited_runs
            which = f"{names(runs)}, which a reload has stopped" if runs.count else "the runs that a reload has stopped"
            return f"{job.name} waits for the end of {which}"
        if spec.start.mode is StartMode.MANUAL:
            return f"{job.name} is not running: it starts only when a user starts it (start: manual)"
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
            return f"{job.name} is being started: run {run.id} was queued {queued}, and its thread has not begun it yet"
        if run.unresponsive_ago is not None:
            state = f"is running, but has been unresponsive for {rough(run.unresponsive_ago)}"
        elif run.ready_ago is None:
            state = "is running, but is not ready yet"
        else:
            state = "is running and ready"
        attempt = f" as attempt {run.attempt}" if run.attempt > 1 else ""
        head = f"{job.name} {state}: run {run.id} began {self._clock.ago(run.started_ago)}{attempt}"
        if run.ready_left is not None:
            head += f", and has {rough(run.ready_left)} left to become ready"
        if condition in (Condition.SUCCEEDED, Condition.FINISHED):
            head += ", and has to end first"
        return head

    def _stopping(self, job: JobFacts, _: Condition | None) -> str:
        run = job.run
        if run is None or run.asked_ago is None:
            return f"{job.name} is stopping"
        why = f" ({reason_text(run.reason)})" if run.reason is not None else ""
        asked = f"run {run.id} was asked to stop {self._clock.ago(run.asked_ago)}{why}"
        if run.is_overdue:
            allowed = f", and should have ended within {rough(run.allowed)}" if run.allowed is not None else ""
            return f"{job.name} is overdue: {asked}{allowed}"
        if run.stop_left is not None:
            return f"{job.name} is stopping: {asked}, and has {rough(run.stop_left)} left ({join(job.spec.join)})"
        if run.allowed is None:
            return f"{job.name} is stopping: {asked}, and the stop waits for it without a limit ({join(job.spec.join)})"
        return f"{job.name} is stopping: {asked}"

    def _blocked(self, job: JobFacts, _: Condition | None) -> str:
        if job.run is None:
            return f"{job.name} cannot run: the thread of its abandoned run is still alive"
        ago = f", {rough(job.run.ended_ago)} after it was given up" if job.run.ended_ago is not None else ""
        return f"{job.name} cannot run: the thread of its abandoned run {job.run.id} is still alive{ago}"

    def _finished(self, job: JobFacts, _: Condition | None) -> str:
        run = job.run
        if run is None:
            return f"{job.name} is not running and is finished{_in_brackets(job.reason)}"
        if job.gave_up_because:
            return f"{job.name} gave up ({job.gave_up_because}): it {last_failure(job, run, self._clock)}"
        return f"{job.name} is not running: its last run, {run.id}, {how_it_ended(run, self._clock)}"

    def _skipped(self, job: JobFacts, _: Condition | None) -> str:
        if job.was_skipped and job.reason is not None:
            return f"{job.name} was skipped: {job.reason.text}"
        return f"{job.name} is not running: it was stopped before its first run{_in_brackets(job.reason)}"

    # -- the root causes

    def _path_of(self, job: JobFacts) -> tuple[Blocker, ...]:
        """Return the blockers of the job that is asked about; those of others are not known."""
        return self._facts.blockers if job is self._job else ()

    def _causes(self) -> Iterator[str]:
        blockers = self._facts.blockers
        for blocker in blockers[:_MOST_CAUSES]:
            link, cause = blocker.path[-1], blocker.cause
            if len(blockers) > 1 and len(blocker.path) > 1:
                yield f"{blocker.path[-2].job} waits for {link}"
            if cause is None:
                yield f"There is no job {link.name}"
            else:
                yield self._head(cause, link.condition)
                yield from self._place(cause)
        more = len(blockers) - _MOST_CAUSES + self._facts.more_blockers
        if more > 0:
            yield f"{plural(more, 'further job')} {'holds' if more == 1 else 'hold'} it up"

    def _place(self, job: JobFacts) -> Iterator[str]:
        """Yield where its run is, if that is why others wait."""
        run = job.run
        if run is None or (job.state is JobState.RUNNING and run.unresponsive_ago is None):
            return
        where = self._facts.places.get(run.id) or (run.captured if job.state is not JobState.FINISHED else "")
        if where:
            yield f"{'It' if job is self._job else run.id} is currently at {where}"

    def _program(self) -> Iterator[str]:
        program = self._facts.program
        if program.phase is Phase.OPEN:
            return
        why = _in_brackets(program.reason)
        if program.phase is Phase.STOPPED:
            yield f"The program has stopped all jobs{why}, and starts none any more"
            return
        since = f" for {rough(program.asked_ago)}" if program.asked_ago is not None else ""
        left = f", has {rough(program.left)} left" if program.left is not None else ""
        waits = f", waits for {names(program.awaited)}" if program.awaited.count else ""
        yield f"The program has been stopping all jobs{since}{why}{left}{waits}, and starts none any more"

    # -- details by state

    def _details_of_disabled(self) -> Iterator[str]:
        yield "To enable it, change its declaration and reload"

    def _details_of_waiting(self) -> Iterator[str]:
        job, waiting_for = self._job, self._job.report.waiting_for
        yield from self._restart_limit()
        yield from self._history()
        yield from self._missed()
        if waiting_for is WaitingFor.START:
            if job.unmet:
                yield f"A start needs {_waits_for(job, ())}, which is not satisfied"
            elif self._is_open:
                yield f"`taskloom start {job.name}` starts it"
        elif waiting_for in (WaitingFor.DELAY, WaitingFor.DEPENDENCY, WaitingFor.REMOVAL) and job.spec.schedule:
            yield f"Then it begins to wait for its schedule ({job.spec.schedule.text})"
        if waiting_for not in (None, WaitingFor.START) and self._is_open:
            ended = "its schedule" if waiting_for is WaitingFor.FIRING else "this wait"
            yield f"A stop would end {ended} at once"

    @property
    def _is_open(self) -> bool:
        return self._facts.program.phase is Phase.OPEN

    def _restart_limit(self) -> Iterator[str]:
        job = self._job
        if job.restart is not None and job.restart.policy.limit is not None:
            limit = job.restart.policy.limit
            so_far = f"{plural(job.restart.recent, 'restart')} within {duration(limit.within)}"
            yield f"It had {so_far}, and gives up when that would be more than {limit.times}"

    def _history(self) -> Iterator[str]:
        """Yield how the runs before the present state went."""
        job, run = self._job, self._job.run
        waiting_for = job.report.waiting_for
        if job.state is JobState.WAITING and run is not None and waiting_for is not WaitingFor.BACKOFF:
            if job.gave_up_because:
                yield f"It gave up restarting after its last run ({job.gave_up_because})"
            yield f"Its last run, {run.id}, {how_it_ended(run, self._clock)}"
        earlier = job.failures - (run is not None and run.outcome is not None and run.has_failed)
        is_told = job.state is JobState.FINISHED or waiting_for is WaitingFor.BACKOFF
        if earlier > 0 and not is_told:
            yield f"{earlier:,} of its {plural(job.report.runs, 'run')} failed before this one"
        if job.report.is_flapping:
            times = plural(job.recent_restarts, "time")
            yield f"It is flapping: it was restarted {times} in the last {duration(FLAPPING_SECONDS)}"

    def _missed(self) -> Iterator[str]:
        report, last = self._job.report, self._job.missed_last
        if not report.missed or last is None:
            return
        instant, cause = self._clock.at(last[0]), MISSED_CAUSES.get(last[1], last[1])
        if report.missed == 1:
            yield f"Its firing at {instant} was missed: {cause}"
        else:
            yield f"{report.missed:,} of its firings were missed, the last at {instant}: {cause}"

    def _details_of_running(self) -> Iterator[str]:
        job, run, numbers = self._job, self._job.run, self._facts.numbers
        if run is None:
            return
        yield from self._polls(run, numbers)
        yield from _reported(numbers)
        if run.timeout_left is not None and job.spec.timeout is not None:
            yield f"Its timeout of {duration(job.spec.timeout)} is over {self._clock.due(run.timeout_left)}"
        yield from self._history()
        yield from self._missed()
        yield from self._schedule()
        yield from self._follow_up()
        yield from self._stop()

    def _polls(self, run: RunFacts, numbers: RunNumbers | None) -> Iterator[str]:
        watchdog, age = self._job.spec.watchdog, numbers.poll_age if numbers is not None else None
        if run.unresponsive_ago is not None and watchdog is not None:
            silence = f"has not polled for {rough(age)} and " if age is not None else ""
            then = "only reports that" if watchdog.then is WatchdogThen.WARN else "stops it"
            yield f"It {silence}may go {duration(watchdog.after)} without a poll; its watchdog {then}"
        elif age is not None and run.started_ago is not None:
            polled = "within the last second" if age <= _JUST_NOW_SECONDS else f"{rough(age)} ago"
            yield f"It polled {polled}"
        if run.unresponsive_ago is not None:
            yield from self._place(self._job)

    def _schedule(self) -> Iterator[str]:
        report, schedule = self._job.report, self._job.spec.schedule
        if schedule is None or report.next_firing is None:
            return
        yield f"Its schedule ({schedule.text}) fires next {self._clock.until(report.next_firing)}"
        if self._job.state is JobState.RUNNING and self._job.follow_up is FollowUp.POLICY:
            yield f"If it is still running then, {_OVERLAPS[schedule.overlap]}"

    def _follow_up(self) -> Iterator[str]:
        following = _FOLLOW_UPS.get(self._job.follow_up)
        if following and self._is_open:
            yield f"When it has ended, {following}"

    def _stop(self) -> Iterator[str]:
        """Yield what a stop would do with a live run, and how long it would take."""
        if not self._is_open:
            return
        policy, numbers = self._job.spec.join, self._facts.numbers
        woken = " and wake it" if numbers is not None and numbers.is_wakeable else ""
        if not policy.is_awaited:
            yield f"A stop would ask it to end{woken}, and would not wait for it ({join(policy)})"
        elif policy.within == float("inf"):
            yield f"A stop would ask it to end{woken}, and would wait for it without a limit ({join(policy)})"
        else:
            limit = f"would wait up to {duration(policy.within)} for it ({join(policy)})"
            yield f"A stop would ask it to end{woken}, and {limit}{self._forecast(numbers)}"
        dependents = self._facts.dependents
        if dependents.count:
            yield f"A stop of the whole program would first stop {names(dependents)}"

    def _forecast(self, numbers: RunNumbers | None) -> str:
        if numbers is None or numbers.would_meet_join is None:
            return ""
        gap = max(numbers.worst_gap, numbers.poll_age or 0.0)
        if not numbers.would_meet_join:
            return (
                f"; it has gone {rough(gap)} without a poll, so it may not end in time: then "
                f"{otherwise(self._job.spec.join)}"
            )
        if numbers.is_wakeable or gap <= _JUST_NOW_SECONDS:
            return (
                "; it should end in time"
                if numbers.is_wakeable
                else "; it polls at least once a second, so it should end in time"
            )
        return f"; it has gone {rough(gap)} without a poll at most, so it should end in time"

    def _details_of_stopping(self) -> Iterator[str]:
        job, run, numbers = self._job, self._job.run, self._facts.numbers
        yield from self._place(job)
        age = numbers.poll_age if numbers is not None else None
        if age is not None and age > _JUST_NOW_SECONDS:
            yield f"It has not polled for {rough(age)}"
        if run is not None and run.stop_left is not None and not run.is_overdue:
            yield f"If it has not ended by then, {otherwise(job.spec.join)}"
        yield from self._follow_up()
        yield from self._schedule()

    def _details_of_blocked(self) -> Iterator[str]:
        yield from self._place(self._job)
        yield "A thread cannot be killed: it ends by itself, or with the program"
        yield from self._missed()
        if self._is_open:
            yield f"When it has ended, {_FOLLOW_UPS.get(self._job.follow_up, 'no run follows at once')}"
        yield from self._schedule()

    def _details_of_finished(self) -> Iterator[str]:
        job = self._job
        yield from self._history()
        yield from self._missed()
        if not self._is_open:
            return
        if job.gave_up_because:
            yield f"`taskloom reset {job.name}` forgets the failures and starts it again"
            return
        yield from self._why_no_run_follows()
        if job.unmet:
            yield f"A start needs {_waits_for(job, ())}, which is not satisfied"
        else:
            yield f"`taskloom start {job.name}` starts it again"

    def _why_no_run_follows(self) -> Iterator[str]:
        job, run, when = self._job, self._job.run, self._job.spec.restart.when
        if run is None:
            return
        if run.reason is not None and run.reason.kind not in (ReasonKind.DEADLINE, ReasonKind.WATCHDOG):
            yield "It was stopped, so no run follows by itself"
        elif job.reason is not None and job.reason.kind is ReasonKind.FINISHED and job.spec.schedule is not None:
            yield "Its schedule has no further firings"
        elif run.has_failed and when is RestartWhen.NEVER:
            yield "No restart follows a failure (restart: never)"
        elif not run.has_failed and when is not RestartWhen.ALWAYS and job.spec.schedule is None:
            yield f"No restart follows a success (restart: {when.value})"

    def _details_of_skipped(self) -> Iterator[str]:
        job = self._job
        if not self._is_open:
            return
        given_up = [each.cause.name for each in self._facts.blockers if each.cause and each.cause.gave_up_because]
        if job.was_skipped and given_up:
            yield f"`taskloom reset {given_up[0]}` starts {given_up[0]} again, and then {job.name}"
        elif not job.unmet:
            yield f"`taskloom start {job.name}` starts it"
        else:
            yield f"`taskloom start {job.name}` starts it once {_waits_for(job, ())} is satisfied"

    # -- what it means for others

    def _consequences(self) -> Iterator[str]:
        waiting, job = self._facts.waiting, self._job
        if waiting.count:
            yield f"{names(waiting)} {verb(waiting, 'waits', 'wait')} for it"
        if job.state is JobState.RUNNING and job.spec.daemon:
            yield "It is a daemon: it does not keep the program running"


_Head = Callable[[_Paragraph, JobFacts, Condition | None], str]
_HEADS: dict[JobState, _Head] = {
    JobState.DISABLED: _Paragraph._disabled,
    JobState.WAITING: _Paragraph._waiting,
    JobState.RUNNING: _Paragraph._running,
    JobState.STOPPING: _Paragraph._stopping,
    JobState.BLOCKED: _Paragraph._blocked,
    JobState.FINISHED: _Paragraph._finished,
    JobState.SKIPPED: _Paragraph._skipped,
}
_DETAILS: dict[JobState, Callable[[_Paragraph], Iterator[str]]] = {
    JobState.DISABLED: _Paragraph._details_of_disabled,
    JobState.WAITING: _Paragraph._details_of_waiting,
    JobState.RUNNING: _Paragraph._details_of_running,
    JobState.STOPPING: _Paragraph._details_of_stopping,
    JobState.BLOCKED: _Paragraph._details_of_blocked,
    JobState.FINISHED: _Paragraph._details_of_finished,
    JobState.SKIPPED: _Paragraph._details_of_skipped,
}
_OVERLAPS = {
    Overlap.SKIP: "that firing is missed (overlap: skip)",
    Overlap.QUEUE: "the next run follows when this one has ended (overlap: queue)",
    Overlap.REPLACE: "it is stopped and replaced by a new run (overlap: replace)",
}


def _waits_for(job: JobFacts, blockers: tuple[Blocker, ...]) -> str:
    """Return the conditions of other jobs, with the chain to the root cause if there is only one."""
    if len(blockers) == 1 and len(job.unmet) == 1:
        return chain(blockers[0].path)
    shown = [chain((link,)) for link in job.unmet[:_MOST_CAUSES]]
    more = len(job.unmet) - len(shown)
    return f"{', '.join(shown)} and {more:,} more" if more else " and ".join(shown) or "other jobs"


def _in_brackets(reason: Reason | None) -> str:
    return f" ({reason_text(reason)})" if reason is not None else ""


def _reported(numbers: RunNumbers | None) -> Iterator[str]:
    """Yield the progress and the counters that the run reports."""
    if numbers is None:
        return
    parts = []
    if numbers.progress is not None:
        done, total, unit = numbers.progress
        of = f" of {total:g}" if total is not None else ""
        parts.append(f"{done:g}{of}{f' {unit}' if unit else ''}")
    parts += [f"{name} {count:,}" for name, count in sorted(numbers.counts.items())]
    if parts:
        yield f"It reports {', '.join(parts)}"
