"""The judge of histories: independent of the lifecycle, so that both would have to be wrong in the same way.

`check_events` judges the events of any program, such as the lines of `taskloom run --events PATH`.
`check` judges a simulated history, in which every input and every action is known as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskloom.core.events import Event
from taskloom.invariants.event_rules import EventRules, Fact, Violation, fact_of
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
    """Judge events, records or JSON objects, and return what breaks a rule, in order.

    `is_whole`: the stream goes from the program's first event to its last, so that every run must have ended or been
    found overdue. `stop_within`: the whole stop must be over after so many seconds and `slack`.
    """
    ledger = EventRules()
    for event in events:
        fact = _read(event, ledger)
        if fact is not None:
            ledger.enter(fact)
    if is_whole:
        ledger.close()
    if stop_within is not None and ledger.stopping is not None and ledger.stopped is not None:
        took = ledger.stopped - ledger.stopping
        if took > stop_within + slack:
            text = f"the stop took {duration(took)}, allowed were {duration(stop_within)} and {duration(slack)}"
            ledger.violations.append(Violation("I7", 0, text))
    return ledger.violations


def _read(event: Event | Mapping[str, Any], ledger: EventRules) -> Fact | None:
    try:
        return fact_of(event)
    except (KeyError, TypeError) as error:
        ledger.violations.append(Violation("I4", 0, f"this is no event ({error!r}): {event!r}"))
        return None


def check(history: History, *, is_whole: bool = True, lateness: float = 0.0) -> list[Violation]:
    """Judge a history and return what breaks a rule, the earliest first; `where` is the number of its step.

    `is_whole`: it went on until nothing more was due. `lateness`: ticks were handed in up to so many seconds late.
    Also held against each other: the counters of the lifecycle and the fold of its events.
    """
    promises = LifecycleInvariants(lateness, history.stop_within)
    found: list[Violation] = []
    for number, step in enumerate(history.steps, start=1):
        promises.walk(step)
        if promises.ledger.violations or promises.violations:
            found += _take(promises, number)
    if is_whole and not promises.waits_for_ever:
        promises.close()
        found += _take(promises, len(history.steps))
    return found + _judge_counters(history, promises.ledger)


def _take(promises: LifecycleInvariants, step: int) -> list[Violation]:
    """Move the new violations out of both books, placed at the step."""
    found = [Violation(one.rule, step, one.text) for one in (*promises.ledger.violations, *promises.violations)]
    promises.ledger.violations.clear()
    promises.violations.clear()
    return found


def _judge_counters(history: History, ledger: EventRules) -> list[Violation]:
    if history.lifecycle is None:
        return []
    found = []
    for name, job in history.lifecycle.jobs.items():
        folded = {outcome: count for (owner, outcome), count in ledger.outcomes.items() if owner == name}
        counted = {outcome.value: count for outcome, count in job.outcomes.items()}
        if (counted, job.runs) != (folded, ledger.runs[name]):
            text = f"job {name} counts {counted} in {job.runs} runs, its events {folded} in {ledger.runs[name]}"
            found.append(Violation("I5", len(history.steps), text))
    return found


def explain(history: History, violations: list[Violation], steps: int = 12) -> str:
    """Say what is broken for people: the seed, the shortest prefix that shows it, and its last steps."""
    if not violations:
        return "no violation"
    first = min(violations, key=lambda one: one.where)
    more = f", and {len(violations) - 1} more" if len(violations) > 1 else ""
    return "\n".join(
        [
            f"seed {history.seed}: {first}{more}",
            f"shortest prefix: {first.where} of {len(history.steps)} steps, ending in",
            history.prefix(first.where).tail(steps),
        ]
    )
