"""The state of a job in words: each has a symbol too, so that colour is never needed."""

from __future__ import annotations

from tests.support.every_case import every_case
from tests.support.top_scenes import JOBS, NOW, job

from taskloom.top.job_row import JobRow
from taskloom.top.states import shown_state
from taskloom.top.styled import Style

STATES = [
    (job("a"), "● running"),
    (job("a", marks=frozenset()), "◔ not ready"),
    (job("a", marks=frozenset({"ready", "flapping"})), "● running, flapping"),
    (job("a", marks=frozenset({"ready", "unresponsive"}), poll_age=42.0), "● no poll for 42s"),
    (job("a", marks=frozenset({"ready", "unreachable"})), "? unreachable"),
    (job("a", marks=frozenset({"ready", "paused"})), "● running, paused"),
    (job("a", "stopping", stopping_for=3.2, stop_left=6.8), "◐ stopping 3.2s of 10s"),
    (job("a", "stopping", stopping_for=3.2), "◐ stopping 3.2s"),
    (job("a", "stopping", stopping_for=12.0, stop_left=0.0, marks=frozenset({"overdue"})), "■ STUCK for 12s"),
    (job("a", "stopping"), "◐ stopping"),  # an older program
    (job("a", "waiting", waiting_for="backoff", due_in=8.0), "◌ retry in 8s"),
    (job("a", "waiting", waiting_for="delay", due_in=5.0), "○ starts in 5s"),
    (job("a", "waiting", waiting_for="dependency", waits_for="db"), "○ after db"),
    (job("a", "waiting", waiting_for="next firing"), "○ waiting"),
    (job("a", "waiting", waiting_for="next firing", marks=frozenset({"paused"})), "‖ paused"),
    (job("a", "waiting", waiting_for="start"), "○ not started"),
    (job("a", "blocked"), "■ blocked"),
    (job("a", "finished", outcome="succeeded"), "✓ succeeded"),
    (job("a", "finished", outcome="timed_out", has_failed=True), "✗ timed out"),
    (job("a", "finished", outcome="failed", marks=frozenset({"gave up"})), "✗ gave up"),
    (job("a", "finished", outcome="cancelled", marks=frozenset({"stopped by user"})), "- stopped"),
    (job("a", "skipped"), "- skipped"),
    (job("a", "disabled"), "- disabled"),
    (job("a", "hovering"), "- hovering"),  # a state of a later version
]


@every_case(("row", "words"), STATES, ids=[words for _, words in STATES])
def test_a_state_has_a_symbol_and_words(row: JobRow, words: str) -> None:
    assert str(shown_state(row, NOW.mono)) == words


def test_the_times_of_a_state_go_on_between_two_answers() -> None:
    stopping = job("a", "stopping", stopping_for=3.2, stop_left=6.8)

    shown = [str(shown_state(stopping, NOW.mono + passed)) for passed in (0.5, 6.0, 7.0)]

    assert shown == ["◐ stopping 3.7s of 10s", "◐ stopping 9.2s of 10s", "■ STUCK for 10s"]


def test_trouble_is_sorted_first() -> None:
    ranked = sorted(JOBS, key=lambda each: shown_state(each, NOW.mono).rank)

    assert [each.name for each in ranked[:2]] == ["camera", "report"]
    assert shown_state(ranked[0], NOW.mono).style is Style.BAD
