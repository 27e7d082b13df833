"""The last lines of a run, from the ring of log lines."""

from __future__ import annotations

import pytest

from taskloom.history.log_tails import tail_of
from taskloom.observe.log_ring import LogRing, Origin


def ring(*lines: tuple[str, str]) -> LogRing:
    made = LogRing()
    for run, text in lines:
        made.add(1.0, text, Origin(run.rpartition("#")[0], "INFO", run.rpartition("#")[0], run))
    return made


def test_it_has_the_lines_of_its_run_alone_in_their_order() -> None:
    made = ring(("tick#1", "a"), ("tick#2", "b"), ("tock#1", "c"), ("tick#2", "d"))

    assert tail_of(made, "tick#2") == ("b\nd\n", 0)


def test_a_run_without_lines_has_an_empty_tail() -> None:
    assert tail_of(ring(("tick#1", "a")), "tick#2") == ("", 0)


def test_the_oldest_lines_are_cut_and_counted() -> None:
    made = ring(*(("tick#1", f"line {number}") for number in range(10)))

    assert tail_of(made, "tick#1", 20) == ("line 8\nline 9\n", 8 * 7)


def test_no_line_after_a_cut_one_is_kept() -> None:
    made = ring(("tick#1", "short"), ("tick#1", "x" * 50), ("tick#1", "end"))

    assert tail_of(made, "tick#1", 20) == ("end\n", 51 + 6)


@pytest.mark.parametrize(("letter", "kept"), [("x", 19), ("é", 9), ("€", 6)], ids=["one", "two", "three"])
def test_of_a_line_that_is_too_long_the_end_is_kept(letter: str, kept: int) -> None:
    made = ring(("tick#1", "before"), ("tick#1", letter * 100))

    text, cut = tail_of(made, "tick#1", 20)

    assert text == letter * kept + "\n"
    width = len(letter.encode())
    assert cut == 7 + 100 * width + 1 - (kept * width + 1)


def test_text_that_is_not_unicode_is_kept_as_it_is() -> None:
    assert tail_of(ring(("tick#1", "\udc80")), "tick#1") == ("\udc80\n", 0)


@pytest.mark.parametrize("text", ["started", "started (attempt 2)"])
def test_the_start_of_a_run_comes_before_what_it_printed_meanwhile(text: str) -> None:
    made = LogRing(clock=lambda: 1.0)
    made.add_print(b"first\n", "tick#1")
    made.add(1.2, text, Origin("tick", "INFO", "tick", "tick#1"))
    made.add_print(b"second\n", "tick#1")

    assert tail_of(made, "tick#1") == (f"{text}\nfirst\nsecond\n", 0)


def test_a_line_that_only_looks_like_the_start_stays_where_it_is() -> None:
    times = iter([0.0, 1.0, 100.0])
    made = LogRing(clock=lambda: next(times))
    for line in (b"first\n", b"started\n"):
        made.add_print(line, "tick#1")

    assert tail_of(made, "tick#1") == ("first\nstarted\n", 0)


def test_prints_are_among_them() -> None:
    made = LogRing(clock=lambda: 1.0)
    made.add_print(b"printed\n", "tick#1")

    assert tail_of(made, "tick#1") == ("printed\n", 0)
