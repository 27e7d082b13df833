"""The rules that a stream of events keeps. They are checked from the events alone, without the lifecycle.

The rules are the invariants of the design, by their numbers: I1 each run has one end, I3 each job has one live thread,
I4 the events of a run are in order and the sequence numbers have no gap, I6 a restart is scheduled and does not begin
earlier, I7 each run that outlives the shutdown is reported, I8 each abandoned run is accounted for, I9 nothing starts
during a shutdown, I10 a missed instant has a known cause, I12 a reload changes only jobs that exist.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from taskloom.core.events import EventName
from taskloom.invariants.facts import ROUNDING_SECONDS, Fact, RunFacts, Violation, check_end, differ, fact_of
from taskloom.invariants.lost_runs import LostRules
from taskloom.text import duration

__all__ = ["EventRules", "Fact", "RunFacts", "Violation", "fact_of"]

# Events that may follow scheduler_stopped: a run that outlived the shutdown still reports.
AFTER_STOPPED = {
    "ready", "responsive", "ended", "late_exit", "callback_failed", "started", "placed", "unreachable", "reachable",
    "blocked", "released",
}  # fmt: skip
# A job is flapping after this many restarts within this many seconds.
FLAPPING_RESTARTS, FLAPPING_SECONDS = 5, 60.0
MISSED_CAUSES = {"late", "overlap", "blocked", "paused", "down", "stopping"}
# The handlers of these events get the run, too.
OF_LIVE_RUNS = {
    "started", "ready", "cancel_requested", "stop_overdue", "ended", "late_exit", "unresponsive", "responsive",
    "placed", "unreachable", "reachable",
}  # fmt: skip


@dataclass(slots=True)
class EventRules:
    """Reads events one after another and collects the violations."""

    violations: list[Violation] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    live: dict[str, RunFacts] = field(default_factory=dict)
    """Runs whose thread may be alive; abandoned runs are included."""
    live_of_job: dict[str, RunFacts] = field(default_factory=dict)
    last_of_job: dict[str, RunFacts] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of runs by (job, outcome)."""
    runs: Counter[str] = field(default_factory=Counter)
    stopping: float | None = None
    """When the shutdown began, in monotonic seconds."""
    stopped: float | None = None
    """When the shutdown finished, in monotonic seconds."""
    paused: set[str] = field(default_factory=set)
    """Jobs whose schedule is paused."""
    lost: LostRules = field(init=False)
    seen_runs: set[str] = field(default_factory=set)
    """The names of all runs so far; a long simulation puts a smaller set in its place."""
    _restarts: dict[str, deque[float]] = field(default_factory=dict)
    """When the most recent restarts of each job began."""
    _seq: int = 0
    _mono: float = float("-inf")
    _has_started: bool = False
    _reloaded_at: float | None = None
    """When the latest reload was, in monotonic seconds."""

    def __post_init__(self) -> None:
        self.lost = LostRules(self._report)

    def check(self, fact: Fact) -> None:
        """Check the next event and record it."""
        self._check_numbers(fact)
        handler = _HANDLERS.get(fact.event)
        if handler is None:
            self._report("I4", fact, f"unknown event {fact.event!r}")
            return
        if self.stopped is not None and fact.event not in AFTER_STOPPED:
            self._report("I9", fact, f"{fact.event} after scheduler_stopped")
        if fact.event not in OF_LIVE_RUNS:
            handler(self, fact)
        elif (run := self._run_of(fact)) is not None:
            handler(self, fact, run)

    def check_end(self) -> None:
        """Check the rules about the end of a stream; call it only if the stream has all events from first to last."""
        last = Fact(self._seq, self._mono, "the end", None, None, None, None, None, False, {})
        if self.stopped is None:
            self._report("I7", last, "the shutdown never finished")
        for run in self.live.values():
            if run.ended is None and run.overdue is None:
                self._report("I1", last, f"{run.run} neither ended nor was overdue")
            if run.outcome == "abandoned" and not run.is_blocking:
                self._report("I8", last, f"{run.run} was abandoned, but its job was not blocked")

    def _report(self, rule: str, fact: Fact, text: str) -> None:
        self.violations.append(Violation(rule, fact.seq, text))

    def _check_numbers(self, fact: Fact) -> None:
        if fact.seq != self._seq + 1:
            self._report("I4", fact, f"seq {fact.seq} follows {self._seq}")
        if fact.mono < self._mono:
            self._report("I4", fact, f"the monotonic clock went back by {duration(self._mono - fact.mono)}")
        self._seq, self._mono = fact.seq, max(fact.mono, self._mono)

    def _run_of(self, fact: Fact) -> RunFacts | None:
        run = self.live.get(fact.run or "")
        if run is None:
            self._report("I1", fact, f"{fact.event} of {fact.run}, which is not live")
        elif run.job != fact.job:
            self._report("I4", fact, f"{fact.event} of {fact.run} names job {fact.job}")
        return run

    # -- jobs

    def _job_added(self, fact: Fact) -> None:
        if fact.job is None or fact.job in self.jobs:
            self._report("I9", fact, f"job {fact.job} was added twice")
        if self.stopping is not None:
            self._report("I9", fact, f"job {fact.job} was added during the shutdown")
        self.jobs.add(fact.job or "")
        if "paused_since" in fact.data:
            self.paused.add(fact.job or "")
        for age in fact.data.get("restart_ages", ()):  # of earlier starts of the program
            self._restarted(fact.job or "", fact.mono - age)

    def _restarted(self, job: str, mono: float) -> None:
        self._restarts.setdefault(job, deque(maxlen=FLAPPING_RESTARTS)).append(mono)

    def _skipped(self, fact: Fact) -> None:
        if fact.reason is None:
            self._report("I4", fact, f"job {fact.job} was skipped without a reason")
        if fact.job in self.live_of_job:
            self._report("I9", fact, f"job {fact.job} was skipped while it has a run")

    def _blocked(self, fact: Fact) -> None:
        if "until" in fact.data:
            run = self.last_of_job.get(fact.job or "")
            self.lost.block(fact, run)
            if run is not None and run.run in self.lost.blocking:
                self.live_of_job[run.job] = run
        elif (run := self._run_of(fact)) is not None:
            self._block_abandoned(fact, run)

    def _released(self, fact: Fact) -> None:
        run = self.lost.release(fact)
        if run is not None and self.live_of_job.get(run.job) is run:
            del self.live_of_job[run.job]

    def _placed(self, fact: Fact, run: RunFacts) -> None:
        self.lost.place(fact, run)

    def _unreachable(self, fact: Fact, run: RunFacts) -> None:
        self.lost.lose_sight(fact, run)

    def _reachable(self, fact: Fact, run: RunFacts) -> None:
        self.lost.regain_sight(fact, run)

    def _block_abandoned(self, fact: Fact, run: RunFacts) -> None:
        if run.outcome != "abandoned" or run.is_blocking:
            self._report("I8", fact, f"job {fact.job} was blocked by {fact.run}, which was not just abandoned")
        run.is_blocking = True

    # -- runs

    def _queued(self, fact: Fact) -> None:
        name, job = fact.run or "", fact.job or ""
        if job not in self.jobs:
            self._report("I4", fact, f"{name} was queued before its job was added")
        if self.stopping is not None:
            self._report("I9", fact, f"{name} was queued during the shutdown")
        if name in self.seen_runs:
            self._report("I1", fact, f"{name} was queued twice")
        if job in self.live_of_job:
            self._report("I3", fact, f"{name} was queued while {self.live_of_job[job].run} is live")
        self._check_attempt(fact, self.last_of_job.get(job))
        self.seen_runs.add(name)
        self.runs[job] += 1
        run = RunFacts(name, job, fact.mono, fact.attempt or 1)
        self.live[name] = self.live_of_job[job] = self.last_of_job[job] = run

    def _check_attempt(self, fact: Fact, last: RunFacts | None) -> None:
        if fact.attempt is None or fact.attempt == 1:
            return
        if last is None or last.restart_at is None:
            self._report("I6", fact, f"{fact.run} is attempt {fact.attempt}, but no restart was scheduled")
            return
        if fact.attempt != last.attempt + 1:
            self._report("I6", fact, f"{fact.run} is attempt {fact.attempt}, after attempt {last.attempt}")
        if fact.mono < last.restart_at - ROUNDING_SECONDS:
            early = duration(last.restart_at - fact.mono)
            self._report("I6", fact, f"{fact.run} was restarted {early} too early")
        self._restarted(fact.job or "", fact.mono)

    def _started(self, fact: Fact, run: RunFacts) -> None:
        if run.started is not None or run.ready is not None or run.ended is not None:
            self._report("I4", fact, f"{fact.run} started after it had started, was ready or had ended")
        run.started = fact.mono

    def _ready(self, fact: Fact, run: RunFacts) -> None:
        if run.started is None or run.ready is not None or run.ended is not None:
            self._report("I4", fact, f"{fact.run} was ready before it started, twice or after its end")
        run.ready = fact.mono

    def _cancel_requested(self, fact: Fact, run: RunFacts) -> None:
        if run.cancel_requested is not None or run.ended is not None:
            self._report("I4", fact, f"cancel of {fact.run} was requested twice or after its end")
        if fact.reason is None:
            self._report("I4", fact, f"cancel of {fact.run} was requested without a reason")
        run.cancel_requested, run.reason = fact.mono, fact.reason

    def _stop_overdue(self, fact: Fact, run: RunFacts) -> None:
        if run.cancel_requested is None or run.overdue is not None or run.ended is not None:
            self._report("I7", fact, f"{fact.run} was overdue without a cancel request, twice or after its end")
        if run.cancel_requested is not None:
            within, seconds = fact.data.get("within", -1.0), fact.mono - run.cancel_requested
            # The event's `within` is rounded to milliseconds.
            if not 0 <= within <= seconds + 0.001:
                text = f"was overdue after {duration(seconds)}, but its within was {duration(within)}"
                self._report("I7", fact, f"{fact.run} {text}")
        run.overdue, run.is_killed = fact.mono, fact.data.get("otherwise") == "kill"

    def _ended(self, fact: Fact, run: RunFacts) -> None:
        if run.ended is not None:
            self._report("I1", fact, f"{fact.run} ended twice")
        for text in check_end(run, fact):
            self._report("I1", fact, f"{fact.run} {text}")
        run.outcome, run.ended = fact.outcome, fact.mono
        self.outcomes[run.job, fact.outcome or ""] += 1
        if fact.outcome != "abandoned":
            self._forget(run)

    def _late_exit(self, fact: Fact, run: RunFacts) -> None:
        if run.outcome != "abandoned" or run.ended is None:
            self._report("I8", fact, f"{fact.run} exited late, but was not abandoned")
        elif differ(fact.seconds, seconds := fact.mono - run.ended):
            self._report("I8", fact, f"{fact.run} exited {duration(seconds)} late, but its event says {fact.seconds}")
        self._forget(run)

    def _callback_failed(self, fact: Fact) -> None:
        """The run may have ended: nothing waits for its `terminate`."""
        if fact.run not in self.seen_runs:
            self._report("I4", fact, f"a callback of {fact.run} failed, which was never queued")
        if not fact.has_error:
            self._report("I4", fact, f"a callback of {fact.run} failed without an error")

    def _forget(self, run: RunFacts) -> None:
        del self.live[run.run]
        if self.live_of_job.get(run.job) is run:
            del self.live_of_job[run.job]

    # -- supervision

    def _last_of(self, fact: Fact) -> RunFacts | None:
        """Return the job's last run, which the event must name and which must have ended; None if that is not so."""
        run = self.last_of_job.get(fact.job or "")
        if run is None or run.run != fact.run or run.ended is None:
            self._report("I6", fact, f"{fact.event} of {fact.run}, which is not its job's last run or has not ended")
            return None
        return run

    def _restart_scheduled(self, fact: Fact) -> None:
        run = self._last_of(fact)
        if run is None:
            return
        restart_at = fact.mono + (fact.seconds or 0.0)
        # Only a reload schedules it again: a new policy may have a shorter delay.
        is_hastened = fact.mono == self._reloaded_at and restart_at < (run.restart_at or 0.0)
        if (run.restart_at is not None and not is_hastened) or self._is_left(fact.run or ""):
            self._report("I6", fact, f"a restart after {fact.run} was scheduled twice, or before its thread had exited")
        if self.stopping is not None:
            self._report("I9", fact, f"a restart after {fact.run} was scheduled during the shutdown")
        if fact.seconds is None or fact.seconds < 0:
            self._report("I6", fact, f"a restart after {fact.run} has a delay of {fact.seconds} seconds")
        run.restart_at = restart_at

    def _is_left(self, run: str) -> bool:
        """Return whether something of the run may be left."""
        return run in self.live or run in self.lost.blocking

    def _reset(self, fact: Fact) -> None:
        if fact.job not in self.jobs:
            self._report("I6", fact, f"the failures of job {fact.job} were forgotten, but it was never added")
        if fact.reason is None:
            self._report("I4", fact, f"the failures of job {fact.job} were forgotten without a reason")
        self._restarts.pop(fact.job or "", None)

    def _gave_up(self, fact: Fact) -> None:
        run = self._last_of(fact)
        if run is not None and run.restart_at is not None:
            self._report("I6", fact, f"job {fact.job} gave up after {fact.run}, but a restart is scheduled")
        if not fact.data.get("why"):
            self._report("I6", fact, f"job {fact.job} gave up without a cause")

    def _flapping(self, fact: Fact) -> None:
        times = self._restarts.get(fact.job or "") or deque[float]()
        if len(times) < FLAPPING_RESTARTS or times[0] < fact.mono - FLAPPING_SECONDS - ROUNDING_SECONDS:
            self._report("I6", fact, f"job {fact.job} is flapping after {len(times)} restarts")

    def _missed(self, fact: Fact) -> None:
        if fact.job not in self.jobs:
            self._report("I10", fact, f"job {fact.job} missed an instant, but was never added")
        if fact.data.get("why") not in MISSED_CAUSES or fact.data.get("count", 0) < 1:
            missed = f"{fact.data.get('count')} instants, {fact.data.get('why')}"
            self._report("I10", fact, f"job {fact.job} missed {missed}")
        if (fact.data.get("why") == "paused") is not (fact.job in self.paused):
            state = "is" if fact.job in self.paused else "is not"
            self._report("I10", fact, f"job {fact.job} missed an instant ({fact.data.get('why')}), but {state} paused")

    def _paused(self, fact: Fact) -> None:
        self._check_hold(fact)
        if fact.job in self.paused:
            self._report("I10", fact, f"job {fact.job} was paused twice")
        self.paused.add(fact.job or "")

    def _resumed(self, fact: Fact) -> None:
        """Check a resume: of a job that was paused, or that a user had stopped, which no event shows."""
        self._check_hold(fact)
        self.paused.discard(fact.job or "")

    def _check_hold(self, fact: Fact) -> None:
        if fact.job not in self.jobs:
            self._report("I10", fact, f"job {fact.job} was {fact.event}, but was never added")
        if fact.reason is None:
            self._report("I4", fact, f"job {fact.job} was {fact.event} without a reason")
        if self.stopping is not None:
            self._report("I9", fact, f"job {fact.job} was {fact.event} during the shutdown")

    def _unresponsive(self, fact: Fact, run: RunFacts) -> None:
        if run.ready is None or run.cancel_requested is not None or run.unresponsive is not None:
            text = "was unresponsive before it was ready, after its cancel request or twice"
            self._report("I4", fact, f"{fact.run} {text}")
        run.unresponsive = fact.mono

    def _responsive(self, fact: Fact, run: RunFacts) -> None:
        since, run.unresponsive = run.unresponsive, None
        if since is None:
            self._report("I4", fact, f"{fact.run} was responsive again, but was not unresponsive")
        elif differ(fact.seconds, seconds := fact.mono - since):
            text = f"was unresponsive for {duration(seconds)}, but its event says {fact.seconds}"
            self._report("I4", fact, f"{fact.run} {text}")

    def _job_removed(self, fact: Fact) -> None:
        job = fact.job or ""
        if job not in self.jobs or job in self.live_of_job:
            self._report("I12", fact, f"job {job} was removed, but does not exist or has a live run")
        self.jobs.discard(job)
        self.paused.discard(job)
        for by_job in (self.last_of_job, self._restarts, self.runs):
            by_job.pop(job, None)
        for key in [key for key in self.outcomes if key[0] == job]:
            del self.outcomes[key]

    def _reloaded(self, fact: Fact) -> None:
        self._reloaded_at = fact.mono
        changed = [name for kind in ("remove", "apply", "restart") for name in fact.data.get(kind, ["(missing key)"])]
        unknown = [name for name in changed if name not in self.jobs]
        if unknown or any(name in self.jobs for name in fact.data.get("add", ["(missing key)"])):
            self._report("I12", fact, f"a reload changed jobs that do not exist, or added jobs twice: {unknown}")

    def _reload_waiting(self, fact: Fact) -> None:
        self._check_changeover(fact)

    def _reload_overdue(self, fact: Fact) -> None:
        self._check_changeover(fact)

    def _check_changeover(self, fact: Fact) -> None:
        jobs, runs = fact.data.get("jobs", []), fact.data.get("runs", [])
        is_known = all(name in self.jobs and name not in self.live_of_job for name in jobs)
        if not jobs or not runs or not is_known or not all(self._is_left(run) for run in runs):
            self._report("I12", fact, f"jobs {jobs} are to begin after {runs}, but they run, or those do not")

    # -- the scheduler

    def _scheduler_started(self, fact: Fact) -> None:
        if self._has_started or self.stopping is not None:
            self._report("I9", fact, "the scheduler started twice or after its shutdown")
        self._has_started = True

    def _scheduler_stopping(self, fact: Fact) -> None:
        if self.stopping is not None:
            self._report("I9", fact, "the shutdown began twice")
        if fact.reason is None:
            self._report("I4", fact, "the shutdown began without a reason")
        self.stopping = fact.mono

    def _scheduler_stopped(self, fact: Fact) -> None:
        if self.stopping is None or self.stopped is not None:
            self._report("I9", fact, "the shutdown finished before it began, or twice")
        self.stopped = fact.mono
        for run in self.live.values():
            if run.ended is None and run.overdue is None:
                self._report("I7", fact, f"the shutdown finished while {run.run} was neither ended nor overdue")
            if run.ended is None and run.is_killed:
                self._report("I7", fact, f"the shutdown finished while {run.run} was being killed")
        survivors = fact.data.get("survivors")
        if survivors != len(self.live):
            self._report("I8", fact, f"the event counts {survivors} survivors, but {len(self.live)} are live")


# Each event is read by the method of its name.
_HANDLERS: dict[str, Callable[..., None]] = {event.value: getattr(EventRules, f"_{event.value}") for event in EventName}
