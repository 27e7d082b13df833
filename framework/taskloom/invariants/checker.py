"""Checks histories against the design. It is independent of the lifecycle, so only an error in both stays unseen.

`check_events` checks the events of any program, such as the lines of `taskloom run --events PATH`.
`check` checks a simulated history, in which every input and every action is known too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskloom.core.events import Event
from taskloom.invariants.event_rules import EventRules, Violation, fact_of
from taskloom.invariants.history import History
from taskloom.invariants.lifecycle import LifecycleInvariants
from taskloom.text import duration

__all__ = ["Violation", "check", "check_events", "explain"]


def check_events(
    events: Iterable[Event | Mapping[str, Any]],
    *,
    is_whole: bool = False,
    stop_within: float | None = None,
    slack: float = 1.0,
) -> list[Violation]:
    """Check events, as records or JSON objects, and return the violations in order.

    `is_whole`: the stream has all events of the program, so every run must have ended or be overdue.
    `stop_within`: the shutdown must finish within that many seconds and `slack`.
    """
    rules = EventRules()
    for event in events:
        try:
            fact = fact_of(event)
        except (KeyError, TypeError) as error:
            rules.violations.append(Violation("I4", 0, f"not an event ({error!r}): {event!r}"))
        else:
            rules.check(fact)
    if is_whole:
        rules.check_end()
    if stop_within is not None and rules.stopping is not None and rules.stopped is not None:
        took = rules.stopped - rules.stopping
        if took > stop_within + slack:
            text = f"the shutdown took {duration(took)}, allowed are {duration(stop_within)} and {duration(slack)}"
            rules.violations.append(Violation("I7", 0, text))
    return rules.violations


def check(history: History, *, is_whole: bool = True, lateness: float = 0.0) -> list[Violation]:
    """Check a history and return the violations, the earliest first; `where` is the number of the step.

    `is_whole`: the history went on until nothing more was due. `lateness`: ticks may be up to that many seconds late.
    The counters of the lifecycle are compared with its events too.
    """
    invariants = LifecycleInvariants(lateness, history.stop_within)
    found: list[Violation] = []
    for number, step in enumerate(history.steps, start=1):
        invariants.check_step(step)
        if invariants.event_rules.violations or invariants.violations:
            found += _take(invariants, number)
    if is_whole and not invariants.waits_for_ever:
        invariants.check_end()
        found += _take(invariants, len(history.steps))
    return found + _check_counters(history, invariants.event_rules)


def _take(invariants: LifecycleInvariants, step: int) -> list[Violation]:
    """Remove and return the new violations, with the number of the step."""
    violations = (*invariants.event_rules.violations, *invariants.violations)
    found = [Violation(one.rule, step, one.text) for one in violations]
    invariants.event_rules.violations.clear()
    invariants.violations.clear()
    return found


def _check_counters(history: History, rules: EventRules) -> list[Violation]:
    if history.lifecycle is None:
        return []
    found = []
    for name, job in history.lifecycle.jobs.items():
        from_events = {outcome: count for (owner, outcome), count in rules.outcomes.items() if owner == name}
        counted = {outcome.value: count for outcome, count in job.outcomes.items()}
        if (counted, job.runs) != (from_events, rules.runs[name]):
            text = f"job {name} counts {counted} in {job.runs} runs, its events {from_events} in {rules.runs[name]}"
            found.append(Violation("I5", len(history.steps), text))
    return found


def explain(history: History, violations: list[Violation], steps: int = 12) -> str:
    """Describe the first violation: the seed, the shortest prefix of the history that shows it, its last steps."""
    if not violations:
        return "no violation"
    first = min(violations, key=lambda one: one.where)
    more = f", and {len(violations) - 1} more" if len(violations) > 1 else ""
    prefix = f"shortest prefix: {first.where} of {len(history.steps)} steps, ending in"
    return "\n".join([f"seed {history.seed}: {first}{more}", prefix, history.prefix(first.where).tail(steps)])
