"""The phrases of an answer to "why": times, runs, outcomes and their errors, for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from math import log10

from taskloom.core.model import ErrorInfo, Otherwise, Outcome, Reason, ReasonKind
from taskloom.core.policies import Condition, JoinPolicy
from taskloom.core.report import held_by
from taskloom.core.why_facts import HoldFacts, JobFacts, Link, RunFacts, RunNumbers, Some
from taskloom.scheduler.failure_text import MOST_NAMED, reason_text
from taskloom.text import duration, first_of, local_time, plural, printable, rough, shortened

__all__ = [
    "Clock",
    "asked",
    "cause_of",
    "chain",
    "error",
    "held",
    "how_it_ended",
    "join",
    "last_failure",
    "named_again",
    "names",
    "on_host",
    "otherwise",
    "reported",
    "satisfied",
    "sentence",
    "verb",
]

# An error text in the middle of a paragraph; the log has all of it.
_LONGEST_ERROR = 240
# A task may report whole numbers of any size, and Python refuses to write the longest.
_HUGE = 1e15
# A longer chain of dependencies is shown as this number of jobs and the last one.
_MOST_LINKS = 4

_ENDS = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "was cancelled",
    Outcome.TIMED_OUT: "timed out",
    Outcome.START_FAILED: "could not start",
    Outcome.ABANDONED: "was abandoned",
    Outcome.LOST: "was lost",
}


# The job that is asked about, at the places where a sentence has it; elsewhere there are names and texts of others.
_PRONOUN = re.compile(r"^(|Then |[\d,]+ of |.+ waits? for )([Ii]ts?)(?= |$)")
# The words before the text of a reason of this kind.
_KINDS = {ReasonKind.RELOAD: "a reload:", ReasonKind.SIGNAL: "signal", ReasonKind.WATCHDOG: "watchdog:"}
_SATISFIED = {
    Condition.STARTED: "has started",
    Condition.READY: "is ready",
    Condition.SUCCEEDED: "has succeeded",
    Condition.FINISHED: "has finished",
}


class Clock:
    """Writes instants as seen at one moment, in seconds since the epoch."""

    def __init__(self, now: float) -> None:
        self._now = now

    def ago(self, seconds: float) -> str:
        """Return how long ago something was, and its local time: `4s ago, at 12:03:04`."""
        when = "just now" if round(seconds, 1) < 0.1 else f"{rough(seconds)} ago"
        return f"{when}, at {self.at(self._now - seconds)}"

    def due(self, seconds: float) -> str:
        """Return how long it is until something, and its local time: `in 8s, at 12:03:16`."""
        return f"in {rough(seconds)}, at {self.at(self._now + seconds)}"

    def at(self, wall: float) -> str:
        """Return the local time of an instant."""
        return local_time(wall, self._now)

    def until(self, wall: float) -> str:
        """Return the local time of an instant and how long it is until then: `at 12:05:00, in 3m20s`."""
        return f"at {self.at(wall)}, in {rough(max(0.0, wall - self._now))}"


def sentence(text: str) -> str:
    """Return the text as a sentence on one line; its first letter stays, as it may be the name of a job."""
    text = printable(text).rstrip(" .;:")
    return text if text.endswith("?") else f"{text}."


def named_again(name: str, sentences: Iterable[str]) -> Iterator[str]:
    """Yield the sentences about a job, with its name in the first that only says `it`: other jobs were told before."""
    is_named = False
    for text in sentences:
        found = None if is_named else _PRONOUN.search(text)
        if found is not None:
            is_named = True
            who = f"{name}'s" if found[2].endswith("s") else name
            yield f"{found[1]}{who}{text[found.end() :]}"
        else:
            yield text


def names(some: Some) -> str:
    """Return the first names, and how many more there are."""
    shown = list(some.names[:MOST_NAMED])
    if some.total > len(shown):
        return f"{', '.join(shown)} and {some.total - len(shown):,} more"
    return first_of(shown, MOST_NAMED) if len(shown) < 2 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def verb(some: Some, one: str, several: str) -> str:
    """Return the form of a verb for these names."""
    return one if some.total == 1 else several


def chain(path: tuple[Link, ...]) -> str:
    """Return the conditions from the nearest to the root: `api (ready), which waits for db (ready)`."""
    links = [_link(link) for link in path]
    if len(links) > _MOST_LINKS + 1:
        left_out = f"and so on over {plural(len(links) - _MOST_LINKS - 1, 'more job')} to {links[-1]}"
        return f"{', which waits for '.join(links[:_MOST_LINKS])}, {left_out}"
    return ", which waits for ".join(links)


def _link(link: Link) -> str:
    return f"{link} in {link.jobs:,} of its replicas, first {link.job}" if link.jobs > 1 else str(link)


def error(info: ErrorInfo | None) -> str:
    """Return the first line of an error after a colon; "" if there is none."""
    first = str(info).strip().split("\n", 1)[0].rstrip(" .") if info is not None else ""
    return f": {shortened(printable(first), _LONGEST_ERROR)}" if first else ""


def how_it_ended(run: RunFacts, clock: Clock, told: Reason | None = None) -> str:
    """Return how a run ended, when, after how long, and why: `failed 4s ago, at 12:03:04, after 2s: OSError: ...`.

    `told`: a reason that the reader knows already.
    """
    outcome = _ENDS[run.outcome] if run.outcome is not None else "ended"
    when = f" {clock.ago(run.ended_ago)}" if run.ended_ago is not None else ""
    took = f", after {rough(run.seconds)}" if run.started_ago is not None and run.seconds >= 0.05 else ""
    return f"{outcome}{when}{took}{asked(run) if run.reason != told else ''}{error(run.error)}"


def last_failure(job: JobFacts, run: RunFacts, clock: Clock) -> str:
    """Return how often a job has failed and how its last run did: `failed 3 times, most recently 4s ago, at ...`."""
    if job.failures < 2 or run.ended_ago is None:
        return how_it_ended(run, clock)
    return f"failed {job.failures:,} times, most recently {clock.ago(run.ended_ago)}{asked(run)}{error(run.error)}"


def asked(run: RunFacts) -> str:
    """Return why the run was requested to stop, in brackets; "" if it was not."""
    return f" ({cause_of(run.reason)})" if run.reason is not None else ""


def cause_of(reason: Reason) -> str:
    """Return the text of a reason, with the kind where the text alone would not say who or what caused it."""
    text = reason_text(reason)
    head = _KINDS.get(reason.kind)
    return f"{head} {text}" if head and text != reason.kind.value else text


def held(facts: HoldFacts, clock: Clock) -> str:
    """Return when and by whom a job was held back: `paused 3s ago, at 12:03:04, by alice`."""
    by = held_by(facts.hold, facts.reason)
    return f"{facts.hold.value} {clock.ago(facts.ago)}{',' if by.startswith(' ') else ''}{by}"


def satisfied(links: Sequence[Link]) -> str:
    """Return the conditions as a clause: `db is ready and mail has ended`."""
    shown = [f"{link.name} {_SATISFIED[link.condition]}" for link in links[:_MOST_LINKS]]
    more = len(links) - len(shown)
    if more:
        shown.append(f"{plural(more, 'further condition')} {'is' if more == 1 else 'are'} satisfied")
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def body(job: JobFacts) -> str:
    """Return the word for the part of the system that executes the runs of the job: a thread, or a process."""
    return "process" if job.spec.join.kills else "thread"


def on_host(run: RunFacts) -> str:
    """Return ` on node3` if the run executes elsewhere, else ""."""
    return f" on {printable(run.whereabouts.host)}" if run.whereabouts is not None else ""


def join(policy: JoinPolicy) -> str:
    """Return a join policy as a job file has it, without the treatment of what takes longer."""
    return f"join: {'wait' if policy.within == float('inf') else duration(policy.within)}"


def otherwise(policy: JoinPolicy) -> str:
    """Return what happens to a run that outlives the policy."""
    if policy.otherwise is Otherwise.ABANDON:
        return "its thread is left behind, and the job is blocked until that thread ends"
    if policy.kills:
        return "its processes are killed"
    return "it is reported as overdue, and if it is still alive at the end of the program, the exit code is 3"


def reported(numbers: RunNumbers | None) -> str:
    """Return the progress and the counters of a run: `3 of 4 files, frames 1,200`; "" if it reports none."""
    if numbers is None:
        return ""
    parts = []
    if numbers.progress is not None:
        done, total, unit = numbers.progress
        of = f" of {_number(total)}" if total is not None else ""
        parts.append(f"{_number(done)}{of}{f' {unit}' if unit else ''}")
    return ", ".join([*parts, *(f"{name} {_number(count)}" for name, count in sorted(numbers.counts.items()))])


def _number(value: float) -> str:
    """Return a number with at most two digits after the point: `1,000,000`, `2.5`; of a huge one the magnitude."""
    if abs(value) >= _HUGE:
        return f"{'-' if value < 0 else ''}10^{int(log10(abs(value)))}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")
