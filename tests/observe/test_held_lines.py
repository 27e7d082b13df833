"""Log lines are written in the order in which things happened, and those of a run after the line that it started."""

from __future__ import annotations

from taskloom.observe.held_lines import HOLD_SECONDS, UNSTARTED_SECONDS, HeldLines

NOW = 100.0


def released(held: HeldLines, now: float) -> list[str]:
    return [text.decode() for text in held.release(now)]


def test_lines_are_released_in_the_order_of_their_times() -> None:
    held = HeldLines()
    held.add(b"second", 2.0, NOW)
    held.add(b"first", 1.0, NOW)
    held.add(b"third", 2.0, NOW)

    assert released(held, NOW + HOLD_SECONDS) == ["first", "second", "third"]
    assert not held


def test_lines_are_held_for_a_moment() -> None:
    held = HeldLines()
    held.add(b"a", NOW, NOW)

    assert held.due() == NOW + HOLD_SECONDS
    assert released(held, NOW + HOLD_SECONDS / 2) == []
    assert released(held, NOW + HOLD_SECONDS) == ["a"]
    assert held.due() is None


def test_the_first_line_of_a_run_waits_for_the_line_that_it_started() -> None:
    held = HeldLines()
    held.add(b"beat", NOW, NOW, "a#1")
    held.add(b"other", NOW, NOW)
    assert released(held, NOW + HOLD_SECONDS) == ["other"]

    held.add_start(b"started", NOW + 1.0, NOW + 1.0, "a#1")

    assert released(held, NOW + 1.0 + HOLD_SECONDS) == ["started", "beat"]


def test_the_start_comes_first_even_if_its_time_is_later() -> None:
    held = HeldLines()
    held.add(b"beat 1", 1.0, NOW, "a#1")
    held.add(b"beat 2", 3.0, NOW, "a#1")
    held.add_start(b"started", 2.0, NOW, "a#1")

    assert released(held, NOW + HOLD_SECONDS) == ["started", "beat 1", "beat 2"]


def test_after_the_start_a_line_is_held_no_longer_than_any_other() -> None:
    held = HeldLines()
    held.add_start(b"", NOW, NOW, "a#1")
    held.add(b"beat", NOW, NOW, "a#1")

    assert released(held, NOW + HOLD_SECONDS) == ["beat"]


def test_the_next_run_waits_for_its_own_start() -> None:
    held = HeldLines()
    held.add_start(b"", NOW, NOW, "a#1")
    held.add(b"late line of the first run", NOW, NOW, "a#1")
    held.add(b"beat", NOW, NOW, "a#2")

    assert released(held, NOW + HOLD_SECONDS) == ["late line of the first run"]


def test_a_start_that_never_comes_delays_lines_once() -> None:
    held = HeldLines()
    held.add(b"first", NOW, NOW, "a#1")

    assert held.due() == NOW + UNSTARTED_SECONDS
    assert released(held, NOW + UNSTARTED_SECONDS) == []
    held.add(b"second", NOW + UNSTARTED_SECONDS, NOW + UNSTARTED_SECONDS, "a#1")
    assert released(held, NOW + UNSTARTED_SECONDS + HOLD_SECONDS) == ["first", "second"]


def test_at_the_end_everything_is_released_and_the_last_line_is_last() -> None:
    held = HeldLines()
    held.add(b"summary", float("inf"), NOW)
    held.add(b"unstarted", NOW, NOW, "a#1")
    held.add(b"line", NOW, NOW)

    assert held.release(NOW, everything=True) == [b"unstarted", b"line", b"summary"]
    assert not held


def test_when_the_program_ends_only_the_lines_of_unstarted_runs_wait() -> None:
    held = HeldLines()
    held.add(b"beat", NOW, NOW, "a#1")
    held.add(b"line", NOW, NOW)
    assert held.release(NOW, at_once=True) == [b"line"]

    held.add_start(b"started", NOW, NOW, "a#1")

    assert held.release(NOW, at_once=True) == [b"started", b"beat"]


def test_a_wall_clock_that_was_set_back_changes_no_order() -> None:
    """The order is that of the monotonic clock alone, so a name with another form is not a run of a job either."""
    held = HeldLines()
    held.add(b"a", 5.0, NOW, "no-number")
    held.add(b"b", 4.0, NOW)

    assert released(held, NOW + HOLD_SECONDS) == ["b", "a"]


def test_a_line_that_a_finalizer_adds_during_the_release_is_kept() -> None:
    held = HeldLines()

    class Time(float):
        def __lt__(self, other: float) -> bool:
            if not finalized:
                finalized.append(self)
                held.add(b"of a finalizer", NOW, NOW)
            return float(self) < float(other)

    finalized: list[Time] = []
    held.add(b"first", Time(1.0), NOW)
    held.add(b"second", Time(2.0), NOW)

    assert released(held, NOW + HOLD_SECONDS) == ["first", "second"]
    assert released(held, NOW + 2 * HOLD_SECONDS) == ["of a finalizer"]
