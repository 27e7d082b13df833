"""Facts about a job as one paragraph: why it is, or is not, running, and what a stop would do.

Each sentence is made from facts alone; what is unknown is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from taskloom.core.model import Hold, JobState, Phase, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Overlap, RestartWhen
from taskloom.core.records import FollowUp
from taskloom.core.restart import FLAPPING_SECONDS
from taskloom.core.why_facts import RunFacts, WhyFacts
from taskloom.scheduler.failure_text import MOST_NAMED
from taskloom.scheduler.why_heads import Heads, in_brackets, rests_stopped
from taskloom.scheduler.why_run import JUST_NOW_SECONDS, RunText, is_program
from taskloom.scheduler.why_stop import StopText
from taskloom.scheduler.why_words import (
    Clock,
    held,
    how_it_ended,
    named_again,
    names,
    otherwise,
    reported,
    satisfied,
    sentence,
    verb,
)
from taskloom.text import duration, first_of, plural, rough

__all__ = ["MISSED_CAUSES", "explain"]

# More root causes than these make a paragraph too long to read; the facts have further ones.
_MOST_CAUSES = 3

MISSED_CAUSES = {
    "late": "it was too late to make up for",
    "overlap": "the previous run was still running",
    "blocked": "an abandoned or lost run might still be executing",
    "paused": "the schedule was paused",
    "down": "the program was down",
    "stopping": "it was stopped before its run began",
}
"""Why an instant of a schedule passed without a run, by the cause that the events have."""

_FOLLOW_UPS = {
    FollowUp.FIRING: "Its schedule has fired meanwhile, so another run starts when this one has ended",
    FollowUp.RESTART: "Another run starts when this one has ended",
    FollowUp.RETRY: "When this run has ended, a restart follows after the restart delay",
    FollowUp.REMOVAL: "The job is removed when this run has ended",
}

_AFTER_LOST = {
    FollowUp.FIRING: "Then another run starts, because its schedule has fired meanwhile",
    FollowUp.RESTART: "Then another run starts",
    FollowUp.RETRY: "A restart follows then, or when its restart delay is over, if that is later",
    FollowUp.REMOVAL: "Then the job is removed",
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
        self._heads = Heads(facts, self._clock)
        self._runs = RunText(facts, self._clock)

    def sentences(self) -> Iterator[str]:
        """Yield the sentences: the cause first, then what it means, and at last what a stop would do."""
        yield self._heads.of(self._job)
        causes = list(self._causes())
        yield from causes
        stop = StopText(self._facts).sentences() if self._is_open else ()
        about_it = chain(_DETAILS[self._job.state](self), self._holds(), self._program(), self._consequences(), stop)
        yield from named_again(self._job.name, about_it) if causes else about_it

    # -- the root causes

    def _causes(self) -> Iterator[str]:
        blockers = self._facts.blockers
        for blocker in blockers[:_MOST_CAUSES]:
            link, cause = blocker.path[-1], blocker.cause
            # The first sentence has the whole chain of a job that waits for one cause.
            if len(blocker.path) > 1 and (len(blockers) > 1 or self._job.was_skipped):
                yield f"{blocker.path[-2].job} {'needs' if self._job.was_skipped else 'waits for'} {link}"
            if cause is None:
                if not self._job.was_skipped or len(blocker.path) > 1:  # else its reason says so
                    yield f"There is no job {link.name!r}"
            else:
                yield self._heads.of(cause, link.condition)
                yield from self._runs.place(cause)
        more = len(blockers) - _MOST_CAUSES + self._facts.more_blockers
        if more > 0:
            yield f"{plural(more, 'further job')} {'holds' if more == 1 else 'hold'} {self._job.name} up"

    def _program(self) -> Iterator[str]:
        program = self._facts.program
        if program.phase is Phase.OPEN:
            return
        why = in_brackets(program.reason)
        if program.phase is Phase.STOPPED:
            yield f"The program has stopped all jobs{why}, and starts none any more"
            return
        dependents = self._facts.dependents
        if self._job.state is JobState.RUNNING and dependents.total:
            yield f"It is asked to stop once {names(dependents)} {verb(dependents, 'has', 'have')} ended"
        since = f" for {rough(program.asked_ago)}" if program.asked_ago is not None else ""
        left = f", has {rough(program.left)} left" if program.left is not None else ""
        waits = f", waits for {names(program.awaited)}" if program.awaited.total else ""
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
            yield from self._hint()
        elif waiting_for in (WaitingFor.DELAY, WaitingFor.DEPENDENCY, WaitingFor.REMOVAL) and job.spec.schedule:
            yield f"Then it begins to wait for its schedule ({job.spec.schedule.text})"

    def _hint(self) -> Iterator[str]:
        """Yield how a user starts the job."""
        job = self._job
        unknown = [link.name for link in job.unmet if not link.is_declared]
        if not self._is_open:
            return
        if unknown:
            yield f"It can start once a reload declares {first_of(unknown, MOST_NAMED)}"
            return
        once = f" once {satisfied(job.unmet)}" if job.unmet else ""
        if not rests_stopped(job):
            yield f"`taskloom start {job.name}` starts it{' again' if job.report.runs else ''}{once}"
            return
        yield f"It stays stopped until a new start of the program, or until `taskloom start {job.name}`{once}"
        if job.spec.schedule is not None:
            when = "From then on, " if once else ""  # before, it is refused as a start is
            yield f"{when}`taskloom resume {job.name}` lets its schedule go on, without a run at once"

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
        is_told = waiting_for is WaitingFor.BACKOFF or (job.state is JobState.FINISHED and not rests_stopped(job))
        if job.state in (JobState.WAITING, JobState.FINISHED) and run is not None and not is_told:
            stopped = job.held(Hold.STOPPED)
            told = stopped.reason if stopped is not None else None
            yield f"Its last run, {run.id}, {how_it_ended(run, self._clock, told)}"
            if job.gave_up_because and waiting_for is WaitingFor.FIRING:
                yield f"It gave up restarting ({job.gave_up_because}), but its schedule goes on"
        earlier = job.failures - (run is not None and run.outcome is not None and run.has_failed)
        if earlier > 0 and not is_told:
            yield f"{earlier:,} of its {plural(job.report.runs, 'run')} failed before this one"
        if job.report.is_flapping:
            times = plural(job.recent_restarts, "time")
            yield f"It is flapping: it was restarted {times} in the last {duration(FLAPPING_SECONDS)}"

    def _missed(self) -> Iterator[str]:
        report, last = self._job.report, self._job.missed_last
        paused = self._job.held(Hold.PAUSED)
        if not report.missed or last is None or (paused is not None and paused.missed == report.missed):
            return  # none, or told with the pause
        instant, cause = self._clock.at(last[0]), MISSED_CAUSES.get(last[1], last[1])
        if report.missed == 1:
            yield f"Its firing at {instant} was missed: {cause}"
        else:
            yield f"{report.missed:,} of its firings were missed, the last at {instant}: {cause}"

    def _details_of_running(self) -> Iterator[str]:
        job, run, numbers = self._job, self._job.run, self._facts.numbers
        if run is None:
            return
        yield from self._runs.instant(run)
        yield from self._runs.process(run)
        yield from self._runs.polls(run, numbers)
        reports = reported(numbers)
        if reports:
            yield f"It reports {reports}"
        if run.timeout_left is not None and job.spec.timeout is not None:
            yield f"Its timeout of {duration(job.spec.timeout)} is over {self._clock.due(run.timeout_left)}"
        yield from self._history()
        yield from self._missed()
        yield from self._schedule()
        yield from self._follow_up()

    def _schedule(self) -> Iterator[str]:
        report, schedule = self._job.report, self._job.spec.schedule
        if schedule is None or report.next_firing is None or self._job.held(Hold.PAUSED) is not None:
            return
        yield f"Its schedule ({schedule.text}) fires next {self._clock.until(report.next_firing)}"
        if self._job.state is JobState.RUNNING and self._job.follow_up is FollowUp.POLICY:
            yield f"If it is still running then, {_OVERLAPS[schedule.overlap]}"

    def _follow_up(self) -> Iterator[str]:
        following = _FOLLOW_UPS.get(self._job.follow_up)
        if following and self._is_open:
            yield following
        if not self._job.spec.enabled and self._is_open:
            yield "The job is disabled when this run has ended"

    def _details_of_stopping(self) -> Iterator[str]:
        job, run, numbers = self._job, self._job.run, self._facts.numbers
        if run is not None:
            yield from self._runs.process(run)
        yield from self._runs.place(job)
        age = numbers.poll_age if numbers is not None else None
        if age is not None and age > JUST_NOW_SECONDS and not is_program(job):
            yield f"It has not polled for {rough(age)}"
        is_awaited = run is not None and run.stop_left is not None and not run.is_overdue and run.killed_ago is None
        if is_awaited and job.spec.join.is_awaited:
            yield f"If it has not ended by then, {otherwise(job.spec.join)}"
        yield from self._follow_up()
        yield from self._schedule()

    def _details_of_lost(self, run: RunFacts) -> Iterator[str]:
        yield from self._runs.process(run)
        yield "No other run begins before its time is over, or its end is confirmed"
        yield from self._missed()
        following = _AFTER_LOST.get(self._job.follow_up)
        if following and self._is_open:
            yield following
        yield from self._schedule()

    def _details_of_blocked(self) -> Iterator[str]:
        if self._job.run is not None and self._job.run.lost_left is not None:
            yield from self._details_of_lost(self._job.run)
            return
        if self._job.run is not None:
            yield from self._runs.process(self._job.run)
        yield from self._runs.place(self._job)
        if self._job.spec.join.kills:
            yield "It was killed, and the kernel has not ended it yet: that happens while it waits for a device"
        else:
            yield "A thread cannot be killed: it ends by itself, or with the program"
        yield from self._missed()
        yield from self._follow_up()
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
        yield from self._hint()

    def _why_no_run_follows(self) -> Iterator[str]:
        job, run, when = self._job, self._job.run, self._job.spec.restart.when
        if run is None or rests_stopped(job):
            return
        stop = next((reason for reason in (run.reason, job.reason) if _is_stop(reason)), None)
        if stop is not None:
            later = in_brackets(stop) if stop is not run.reason else ""
            yield f"It was stopped{later}, so no run follows by itself"
        elif job.spec.schedule is not None and job.report.next_firing is None:
            yield "Its schedule has no further firings"
        elif run.has_failed and when is RestartWhen.NEVER:
            yield "No restart follows a failure (restart: never)"
        elif not run.has_failed and when is not RestartWhen.ALWAYS:
            yield f"No restart follows a success (restart: {when.value})"

    def _details_of_skipped(self) -> Iterator[str]:
        job = self._job
        if not self._is_open:
            return
        given_up = [each.cause.name for each in self._facts.blockers if each.cause and each.cause.gave_up_because]
        if job.was_skipped and given_up:
            yield f"`taskloom reset {given_up[0]}` starts {given_up[0]} again, and then {job.name}"
        else:
            yield from self._hint()

    # -- the holds of users

    def _holds(self) -> Iterator[str]:
        job, name = self._job, self._job.name
        stopped, paused = job.held(Hold.STOPPED), job.held(Hold.PAUSED)
        if stopped is not None and not rests_stopped(job) and self._is_open:
            if job.run is None or job.run.reason != stopped.reason:  # else it was said
                yield f"It was {held(stopped, self._clock)}"
            yield f"It then stays stopped until a new start of the program, or until `taskloom start {name}`"
        if paused is None or not self._is_open:
            return
        if job.report.waiting_for is not WaitingFor.FIRING:
            yield f"Its schedule was {held(paused, self._clock)}"
        if paused.missed:
            yield f"It has missed {plural(paused.missed, 'firing')} since then"
        if job.report.next_firing is not None:
            due = self._clock.until(job.report.next_firing)
            yield f"Each firing is missed until `taskloom resume {name}`; the next one is {due}"

    # -- what it means for others

    def _consequences(self) -> Iterator[str]:
        waiting, job = self._facts.waiting, self._job
        if waiting.total:
            yield f"{names(waiting)} {verb(waiting, 'waits', 'wait')} for it"
        if job.state is not JobState.RUNNING:
            return
        if job.spec.daemon:
            yield "It is a daemon: it does not keep the program running"
        if job.spec.essential:
            yield "It is essential: if it fails for good, all jobs are stopped"


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


def _is_stop(reason: Reason | None) -> bool:
    """Return whether a command or another job ended it, not a limit of its own or the end of its schedule."""
    own = (ReasonKind.DEADLINE, ReasonKind.WATCHDOG, ReasonKind.FINISHED)
    return reason is not None and reason.kind not in own
