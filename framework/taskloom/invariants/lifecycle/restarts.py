"""I6: restarts follow their policy: the delay, the limit, and the number of restarts that may begin at once."""

from __future__ import annotations

from collections import deque

from taskloom.invariants.event_rules import FLAPPING_RESTARTS, FLAPPING_SECONDS, Fact, RunFacts
from taskloom.invariants.lifecycle.expected_deadlines import ExpectedDeadlines
from taskloom.invariants.lifecycle.model import EPSILON_SECONDS, Between, JobModel, Model, Wait
from taskloom.text import duration

__all__ = ["Restarts"]

HEALTHY_SECONDS = 30.0
GATE_RESTARTS, GATE_SECONDS = 20, 0.1

RESTART = "the restart"
GATE = ("the gate", "")


class Restarts:
    """All pending restarts, and the gate: at most 20 restarts begin within 0.1 s."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._due: ExpectedDeadlines[str] = ExpectedDeadlines()
        self._at_gate: dict[str, float] = {}
        """Jobs whose delay has ended and that the gate holds back, and when each was due."""
        self._gate_opened, self._admitted = float("-inf"), 0

    # -- after a run

    def is_exhausted(self, job: JobModel) -> bool:
        """Return whether the limit allows no further restart."""
        limit = job.spec.restart.limit
        since = self._model.now - (limit.within if limit is not None else 0.0)
        return limit is not None and sum(when > since for when in job.restarts) >= limit.times

    def expect_restart(self, job: JobModel, run: RunFacts) -> None:
        """Expect that the step schedules a restart with the delay of the policy."""
        policy = job.spec.restart
        healthy = run.ended - run.ready if run.ended is not None and run.ready is not None else 0.0
        if job.delay == 0.0 or healthy >= max(HEALTHY_SECONDS, job.delay):
            job.delay = min(policy.delay, policy.max_delay)
        else:
            job.delay = min(job.delay * policy.factor, policy.max_delay)
        job.wait_for(Wait.BACKOFF)
        # After a lost run the delay counts from the loss, and its job may have been blocked for longer.
        passed = self._model.now - run.ended if run.outcome == "lost" and run.ended is not None else 0.0
        longest = job.delay * (1.0 + policy.jitter)
        between = Between(max(0.0, job.delay - passed), max(0.0, longest - passed))
        self._model.expect("restart_scheduled", run.run, seconds=between)

    def schedule(self, job: JobModel, fact: Fact) -> None:
        """Set the deadline of a restart from its event."""
        due = self._model.now + (fact.seconds or 0.0)
        self._due.set(job.spec.name, due)
        self._model.deadlines.set((RESTART, job.spec.name), due)

    def cancel(self, job: JobModel) -> None:
        """Drop the restart of a job that no longer waits for it."""
        name = job.spec.name
        self._due.drop(name)
        self._model.deadlines.drop((RESTART, name))
        if self._at_gate.pop(name, None) is not None and not self._at_gate:
            self._model.deadlines.drop(GATE)

    def hasten(self, job: JobModel) -> None:
        """Expect that a pending restart comes after the first delay of a new policy, if that is earlier.

        Only the event shows which delay was drawn, so it decides where the jitter leaves it open.
        """
        model, policy, name = self._model, job.spec.restart, job.spec.name
        due = self._due.due_of(name)
        if job.wait is not Wait.BACKOFF or due is None or job.last_run is None:
            return
        delay = min(policy.delay, policy.max_delay)
        longest = delay * (1.0 + policy.jitter)
        is_open = model.now + delay < due <= model.now + longest + EPSILON_SECONDS
        if model.now + longest + EPSILON_SECONDS < due or (
            is_open and any(model.events_of_step("restart_scheduled", name))
        ):
            job.delay = delay
            model.expect("restart_scheduled", job.last_run.run, seconds=Between(delay, longest))

    def forget(self, job: JobModel, reason: tuple[str, str]) -> None:
        """Forget the failures of a job. Expect its run if it waits for a restart, else the event if there were any."""
        if job.wait is Wait.BACKOFF:
            self._model.expect("queued", job.spec.name, attempt=1)
        elif job.delay or job.restarts or job.has_given_up:
            self._model.expect("reset", job.spec.name, reason=reason)
        job.delay, job.has_given_up = 0.0, False
        job.restarts.clear()

    # -- after the delay

    def check_restart(self, job: JobModel, fact: Fact) -> None:
        """Check a run that begins as a restart, and count it."""
        model, name, now = self._model, job.spec.name, self._model.now
        due = self._at_gate.get(name, self._due.due_of(name))
        if due is None or due > now + EPSILON_SECONDS:
            model.report("I6", f"{fact.run} is a restart at {duration(now)}, due at second {due}")
        elif self._at_gate:
            first, first_due = next(iter(self._at_gate.items()))
            if first_due < due:
                model.report("I6", f"{fact.run} passed the gate before {first}")
        if fact.attempt != job.attempt + 1:
            model.report("I6", f"{fact.run} is attempt {fact.attempt}, after attempt {job.attempt}")
        self._pass_gate(fact)
        self._count(job)

    def _pass_gate(self, fact: Fact) -> None:
        now = self._model.now
        if now >= self._gate_opened + GATE_SECONDS:
            self._gate_opened, self._admitted = now, 0
        self._admitted += 1
        if self._admitted > GATE_RESTARTS:
            self._model.report("I6", f"{fact.run} is restart {self._admitted} since {duration(self._gate_opened)}")

    def _count(self, job: JobModel) -> None:
        now = self._model.now
        was_flapping = _is_flapping(job.restarts, now)
        job.restarts.append(now)
        limit = job.spec.restart.limit
        while len(job.restarts) > max(FLAPPING_RESTARTS, limit.times if limit is not None else 0):
            job.restarts.popleft()
        if not was_flapping and _is_flapping(job.restarts, now):
            self._model.expect("flapping", job.spec.name)

    def end_tick(self) -> None:
        """Check that no job is held back although the gate is open."""
        model = self._model
        if self._due.is_any_due(model.now):
            for name, due in self._due.pop_until(model.now):
                model.deadlines.drop((RESTART, name))
                if model.jobs[name].wait is Wait.BACKOFF:
                    self._at_gate[name] = due
        elif not self._at_gate:
            return
        if not self._at_gate:
            model.deadlines.drop(GATE)
            return
        if self._admitted < GATE_RESTARTS or model.now >= self._gate_opened + GATE_SECONDS:
            model.report("I6", f"{', '.join(self._at_gate)} had to be restarted: the gate was open")
        model.deadlines.set(GATE, self._gate_opened + GATE_SECONDS)


def _is_flapping(times: deque[float], now: float) -> bool:
    return sum(when > now - FLAPPING_SECONDS for when in times) >= FLAPPING_RESTARTS
