"""The sentences about a stop of a job: what it would do, and how long it would take."""

from __future__ import annotations

from collections.abc import Iterator

from taskloom.core.model import JobState, WaitingFor
from taskloom.core.why_facts import RunNumbers, WhyFacts
from taskloom.scheduler.why_run import JUST_NOW_SECONDS, is_program
from taskloom.scheduler.why_words import join, names, otherwise
from taskloom.text import duration, rough

__all__ = ["StopText"]


class StopText:
    """Writes the sentences about a stop, without their full stops."""

    def __init__(self, facts: WhyFacts) -> None:
        self._facts = facts
        self._job = facts.job

    def sentences(self) -> Iterator[str]:
        """Yield what a stop would do, and how long it would take; for a program that is not stopping."""
        state, waiting_for = self._job.state, self._job.report.waiting_for
        if state is JobState.RUNNING:
            yield from self._of_run()
        elif waiting_for is WaitingFor.FIRING:
            yield "A stop would end its schedule at once"
        elif waiting_for not in (None, WaitingFor.START):
            of, its = (f" of {self._job.name}", "its") if self._facts.blockers else ("", "this")
            yield f"A stop{of} would end {its} wait at once"

    def _of_run(self) -> Iterator[str]:
        policy, numbers = self._job.spec.join, self._facts.numbers
        woken = " and wake it" if numbers is not None and numbers.is_wakeable else ""
        asked = f"ask it to end{woken}"
        if is_program(self._job):
            asked = "run its stop_command" if self._job.spec.params.get("stop_command") else "send it its stop signal"
        if policy.kills and not policy.is_awaited:
            yield f"A stop would {asked}, and would kill its processes at once ({join(policy)})"
        elif not policy.is_awaited:
            yield f"A stop would {asked}, and would not wait for it ({join(policy)})"
        elif policy.within == float("inf"):
            yield f"A stop would {asked}, and would wait for it without a limit ({join(policy)})"
        else:
            limit = f"would wait up to {duration(policy.within)} for it ({join(policy)})"
            yield f"A stop would {asked}, and {limit}{self._forecast(numbers)}"
        dependents = self._facts.dependents
        if dependents.total:
            yield f"A stop of the whole program would first stop {names(dependents)}"

    def _forecast(self, numbers: RunNumbers | None) -> str:
        if numbers is None or numbers.would_meet_join is None:
            return f"; then {otherwise(self._job.spec.join)}" if self._job.spec.join.kills else ""
        gap = max(numbers.worst_gap, numbers.poll_age or 0.0)
        if not numbers.would_meet_join:
            late = otherwise(self._job.spec.join)
            return f"; it has gone {rough(gap)} without a poll, so it may not end in time: then {late}"
        if numbers.is_wakeable:
            return "; it should end in time"
        if gap <= JUST_NOW_SECONDS:
            return "; it polls at least once a second, so it should end in time"
        return f"; it has gone {rough(gap)} without a poll at most, so it should end in time"
