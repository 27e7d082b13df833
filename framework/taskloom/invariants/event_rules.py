"""What a stream of events may look like: a fold that knows nothing of the lifecycle, and objects.

The rules are the invariants of the design, by their numbers: I1 one end for each run, I3 one live thread for each job,
I4 the order within a run and the gapless numbers, I7 who outlived the stop is named, I8 the ledger of the abandoned,
I6 a restart is announced and comes no earlier than that, I9 nothing starts once everything stops.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from taskloom.invariants.facts import ROUNDING_SECONDS, Fact, RunFacts, Violation, differ, fact_of, judge_end
from taskloom.text import duration

__all__ = ["EventRules", "Fact", "RunFacts", "Violation", "fact_of"]

# What may still come once the stop is over: words of those who outlived it.
LATE = {"ready", "ended", "late_exit", "callback_failed", "started"}
# What makes a job flap.
FLAPPING_RESTARTS, FLAPPING_SECONDS = 5, 60.0
MISSED_WHY = {"late", "overlap", "blocked"}


@dataclass(slots=True)
class EventRules:
    """Folds events, one after another, and notes what breaks a rule."""

    violations: list[Violation] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    live: dict[str, RunFacts] = field(default_factory=dict)
    """Runs whose thread may be alive, abandoned ones among them."""
    live_of_job: dict[str, RunFacts] = field(default_factory=dict)
    last_of_job: dict[str, RunFacts] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each (job, outcome) came."""
    runs: Counter[str] = field(default_factory=Counter)
    stopping: float | None = None
    stopped: float | None = None
    _seen: set[str] = field(default_factory=set)
    _restarts: dict[str, deque[float]] = field(default_factory=dict)
    """When the latest restarts of each job began."""
    _seq: int = 0
    _mono: float = float("-inf")
    _has_started: bool = False

    def enter(self, fact: Fact) -> None:
        """Take in the next event."""
        self._check_numbers(fact)
        handler = _HANDLERS.get(fact.event)
        if handler is None:
            self._broken("I4", fact, f"no event is named {fact.event!r}")
        else:
            if self.stopped is not None and fact.event not in LATE:
                self._broken("I9", fact, f"{fact.event} after scheduler_stopped")
            handler(self, fact)

    def close(self) -> None:
        """Judge what only the end can tell: call it when the stream is whole, from first event to last."""
        last = Fact(self._seq, self._mono, "the end", None, None, None, None, None, False, {})
        if self.stopped is None:
            self._broken("I7", last, "the stop was never over")
        for run in self.live.values():
            if run.ended is None and run.overdue is None:
                self._broken("I1", last, f"{run.run} neither ended nor was found overdue")
            if run.outcome == "abandoned" and not run.is_blocking:
                self._broken("I8", last, f"{run.run} was abandoned, and its job was not blocked")

    def _broken(self, rule: str, fact: Fact, text: str) -> None:
        self.violations.append(Violation(rule, fact.seq, text))

    def _check_numbers(self, fact: Fact) -> None:
        if fact.seq != self._seq + 1:
            self._broken("I4", fact, f"seq {fact.seq} follows {self._seq}")
        if fact.mono < self._mono:
            self._broken("I4", fact, f"the monotonic clock went back by {duration(self._mono - fact.mono)}")
        self._seq, self._mono = fact.seq, max(fact.mono, self._mono)

    def _run_of(self, fact: Fact) -> RunFacts | None:
        run = self.live.get(fact.run or "")
        if run is None:
            self._broken("I1", fact, f"{fact.event} of {fact.run}, which is not live")
        elif run.job != fact.job:
            self._broken("I4", fact, f"{fact.event} of {fact.run} names job {fact.job}")
        return run

    # -- jobs

    def _job_added(self, fact: Fact) -> None:
        if fact.job is None or fact.job in self.jobs:
            self._broken("I9", fact, f"job {fact.job} was added twice")
        if self.stopping is not None:
            self._broken("I9", fact, f"job {fact.job} was added while everything stops")
        self.jobs.add(fact.job or "")

    def _skipped(self, fact: Fact) -> None:
        if fact.reason is None:
            self._broken("I4", fact, f"job {fact.job} was skipped without a reason")
        if fact.job in self.live_of_job:
            self._broken("I9", fact, f"job {fact.job} was skipped while it has a run")

    def _blocked(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.outcome != "abandoned" or run.is_blocking:
                self._broken("I8", fact, f"job {fact.job} was blocked by {fact.run}, which was not just abandoned")
            run.is_blocking = True

    # -- runs

    def _queued(self, fact: Fact) -> None:
        name, job = fact.run or "", fact.job or ""
        if job not in self.jobs:
            self._broken("I4", fact, f"{name} was queued before its job was added")
        if self.stopping is not None:
            self._broken("I9", fact, f"{name} was queued while everything stops")
        if name in self._seen:
            self._broken("I1", fact, f"{name} was queued twice")
        if job in self.live_of_job:
            self._broken("I3", fact, f"{name} was queued while {self.live_of_job[job].run} is live")
        self._judge_attempt(fact, self.last_of_job.get(job))
        self._seen.add(name)
        self.runs[job] += 1
        run = RunFacts(name, job, fact.mono, fact.attempt or 1)
        self.live[name] = self.live_of_job[job] = self.last_of_job[job] = run

    def _judge_attempt(self, fact: Fact, last: RunFacts | None) -> None:
        if fact.attempt is None or fact.attempt == 1:
            return
        if last is None or last.restart_at is None:
            self._broken("I6", fact, f"{fact.run} is attempt {fact.attempt}, and no restart was scheduled")
            return
        if fact.attempt != last.attempt + 1:
            self._broken("I6", fact, f"{fact.run} is attempt {fact.attempt}, after attempt {last.attempt}")
        if fact.mono < last.restart_at - ROUNDING_SECONDS:
            early = last.restart_at - fact.mono
            self._broken("I6", fact, f"{fact.run} was restarted {duration(early)} too early")
        restarts = self._restarts.setdefault(fact.job or "", deque(maxlen=FLAPPING_RESTARTS))
        restarts.append(fact.mono)

    def _started(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.started is not None or run.ready is not None or run.ended is not None:
                self._broken("I4", fact, f"{fact.run} started after it had started, was ready or ended")
            run.started = fact.mono

    def _ready(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.started is None or run.ready is not None or run.ended is not None:
                self._broken("I4", fact, f"{fact.run} was ready before it started, twice or after its end")
            run.ready = fact.mono

    def _cancel_requested(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.asked is not None or run.ended is not None:
                self._broken("I4", fact, f"{fact.run} was asked to stop twice or after its end")
            if fact.reason is None:
                self._broken("I4", fact, f"{fact.run} was asked to stop without a reason")
            run.asked, run.reason = fact.mono, fact.reason

    def _stop_overdue(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is None:
            return
        if run.asked is None or run.overdue is not None or run.ended is not None:
            self._broken("I7", fact, f"{fact.run} was found overdue unasked, twice or after its end")
        within = fact.data.get("within", -1.0)
        # The event's `within` is written with milliseconds.
        if run.asked is not None and not 0 <= within <= fact.mono - run.asked + 0.001:
            self._broken(
                "I7",
                fact,
                f"{fact.run} was overdue after {duration(fact.mono - run.asked)}, within was {duration(within)}",
            )
        run.overdue = fact.mono

    def _ended(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is None:
            return
        if run.ended is not None:
            self._broken("I1", fact, f"{fact.run} ended twice")
        for text in judge_end(run, fact):
            self._broken("I1", fact, f"{fact.run} {text}")
        run.outcome, run.ended = fact.outcome, fact.mono
        self.outcomes[run.job, fact.outcome or ""] += 1
        if fact.outcome != "abandoned":
            self._forget(run)

    def _late_exit(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is None:
            return
        if run.outcome != "abandoned" or run.ended is None:
            self._broken("I8", fact, f"{fact.run} exited late, and was not abandoned")
        elif differ(fact.seconds, fact.mono - run.ended):
            self._broken("I8", fact, f"{fact.run} exited {duration(fact.mono - run.ended)} late, not {fact.seconds}")
        self._forget(run)

    def _callback_failed(self, fact: Fact) -> None:
        if self._run_of(fact) is not None and not fact.has_error:
            self._broken("I4", fact, f"a callback of {fact.run} failed without an error")

    def _forget(self, run: RunFacts) -> None:
        del self.live[run.run]
        if self.live_of_job.get(run.job) is run:
            del self.live_of_job[run.job]

    # -- supervision

    def _last_of(self, fact: Fact) -> RunFacts | None:
        """Return the job's last run, of which the event speaks: it has ended."""
        run = self.last_of_job.get(fact.job or "")
        if run is None or run.run != fact.run or run.ended is None:
            self._broken("I6", fact, f"{fact.event} of {fact.run}, which is not the last run of its job, or goes on")
            return None
        return run

    def _restart_scheduled(self, fact: Fact) -> None:
        run = self._last_of(fact)
        if run is None:
            return
        if run.restart_at is not None or fact.run in self.live:
            self._broken("I6", fact, f"a restart after {fact.run} was scheduled twice, or before its thread was back")
        if self.stopping is not None:
            self._broken("I9", fact, f"a restart after {fact.run} was scheduled while everything stops")
        if fact.seconds is None or fact.seconds < 0:
            self._broken("I6", fact, f"a restart after {fact.run} waits {fact.seconds} seconds")
        run.restart_at = fact.mono + (fact.seconds or 0.0)

    def _gave_up(self, fact: Fact) -> None:
        run = self._last_of(fact)
        if run is not None and run.restart_at is not None:
            self._broken("I6", fact, f"job {fact.job} gave up after {fact.run}, and a restart is scheduled")
        if not fact.data.get("why"):
            self._broken("I6", fact, f"job {fact.job} gave up, and nobody said why")

    def _flapping(self, fact: Fact) -> None:
        times = self._restarts.get(fact.job or "") or deque[float]()
        if len(times) < FLAPPING_RESTARTS or times[0] < fact.mono - FLAPPING_SECONDS - ROUNDING_SECONDS:
            self._broken("I6", fact, f"job {fact.job} is flapping after {len(times)} restarts")

    def _missed(self, fact: Fact) -> None:
        if fact.job not in self.jobs:
            self._broken("I10", fact, f"job {fact.job} missed an instant, and was never added")
        if fact.data.get("why") not in MISSED_WHY or fact.data.get("count", 0) < 1:
            said = f"{fact.data.get('count')} instants, {fact.data.get('why')}"
            self._broken("I10", fact, f"job {fact.job} missed {said}")

    def _unresponsive(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            if run.ready is None or run.asked is not None or run.unresponsive is not None:
                self._broken("I4", fact, f"{fact.run} was unresponsive before it was ready, after its ask or twice")
            run.unresponsive = fact.mono

    def _responsive(self, fact: Fact) -> None:
        run = self._run_of(fact)
        if run is not None:
            since, run.unresponsive = run.unresponsive, None
            if since is None:
                self._broken("I4", fact, f"{fact.run} was responsive again, and was not unresponsive")
            elif differ(fact.seconds, fact.mono - since):
                self._broken(
                    "I4", fact, f"{fact.run} was unresponsive for {duration(fact.mono - since)}, not {fact.seconds}"
                )

    def _job_removed(self, fact: Fact) -> None:
        job = fact.job or ""
        if job not in self.jobs or job in self.live_of_job:
            self._broken("I12", fact, f"job {job} was removed, and was not there or has a live run")
        self.jobs.discard(job)
        for books in (self.last_of_job, self._restarts, self.runs):
            books.pop(job, None)
        for outcome in [key for key in self.outcomes if key[0] == job]:
            del self.outcomes[outcome]

    def _reloaded(self, fact: Fact) -> None:
        gone = [name for kind in ("remove", "apply", "restart") for name in fact.data.get(kind, ["nothing is said"])]
        unknown = [name for name in gone if name not in self.jobs]
        if unknown or any(name in self.jobs for name in fact.data.get("add", ["nothing is said"])):
            self._broken("I12", fact, f"a reload changed jobs that are not there, or added others twice: {unknown}")

    # -- the scheduler

    def _scheduler_started(self, fact: Fact) -> None:
        if self._has_started or self.stopping is not None:
            self._broken("I9", fact, "the scheduler started twice, or after its stop")
        self._has_started = True

    def _scheduler_stopping(self, fact: Fact) -> None:
        if self.stopping is not None:
            self._broken("I9", fact, "everything was stopped twice")
        if fact.reason is None:
            self._broken("I4", fact, "everything was stopped without a reason")
        self.stopping = fact.mono

    def _scheduler_stopped(self, fact: Fact) -> None:
        if self.stopping is None or self.stopped is not None:
            self._broken("I9", fact, "the stop was over before it began, or twice")
        self.stopped = fact.mono
        for run in self.live.values():
            if run.ended is None and run.overdue is None:
                self._broken("I7", fact, f"the stop was over while {run.run} was still awaited or not even asked")
        if fact.data.get("survivors") != len(self.live):
            self._broken("I8", fact, f"{fact.data.get('survivors')} survivors were counted, {len(self.live)} live")


_HANDLERS: dict[str, Callable[[EventRules, Fact], None]] = {
    "scheduler_started": EventRules._scheduler_started,
    "scheduler_stopping": EventRules._scheduler_stopping,
    "scheduler_stopped": EventRules._scheduler_stopped,
    "job_added": EventRules._job_added,
    "queued": EventRules._queued,
    "started": EventRules._started,
    "ready": EventRules._ready,
    "cancel_requested": EventRules._cancel_requested,
    "stop_overdue": EventRules._stop_overdue,
    "ended": EventRules._ended,
    "late_exit": EventRules._late_exit,
    "skipped": EventRules._skipped,
    "blocked": EventRules._blocked,
    "callback_failed": EventRules._callback_failed,
    "restart_scheduled": EventRules._restart_scheduled,
    "gave_up": EventRules._gave_up,
    "flapping": EventRules._flapping,
    "missed": EventRules._missed,
    "unresponsive": EventRules._unresponsive,
    "responsive": EventRules._responsive,
    "job_removed": EventRules._job_removed,
    "reloaded": EventRules._reloaded,
}
