"""The table, the timeline and the head of the screen, for every width."""

from __future__ import annotations

import pytest
from tests.support.every_case import every_case
from tests.support.top_scenes import JOBS, NOW, PROGRAM, job, names, run

from taskloom.top.lane import SPANS, axis, lane
from taskloom.top.program_facts import header
from taskloom.top.run_book import RunBook
from taskloom.top.styled import cells, fitted, folded, text_of, wrapped
from taskloom.top.table import SORTS, clock_text, sorted_jobs, table, wants, window


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 160, 300])
def test_every_line_of_the_table_has_the_width_of_the_screen(width: int) -> None:
    jobs = (*JOBS, job("日本語の名前" * 3, note="a note that is far too long for any column " * 3))

    drawn = table(jobs, "gps", RunBook().last, NOW, width)

    assert {cells(text_of(each)) for each in (drawn.head, *drawn.rows)} == {width}


@pytest.mark.parametrize("width", [20, 40, 80, 160])
def test_name_and_state_are_there_at_every_width(width: int) -> None:
    head = text_of(table(JOBS, "gps", RunBook().last, NOW, width).head)

    assert "JOB" in head
    assert "STATE"[: max(0, width - 12)] in head


def test_the_state_is_never_shortened_at_80_columns() -> None:
    drawn = table(JOBS, "", RunBook().last, NOW, 80)

    assert any("◐ stopping 3.2s of 10s" in text_of(row) for row in drawn.rows)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", [each.name for each in JOBS]),
        ("GPS", ["gps"]),
        ("socket", ["gps", "syslog"]),
        ("stuck", ["camera"]),
        ("re*", ["report"]),
        ("nightly", ["tagged"]),
        ("nothing", []),
    ],
)
def test_a_filter_finds_names_tasks_states_labels_and_globs(pattern: str, found: list[str]) -> None:
    jobs = [*JOBS, job("tagged", labels=("nightly",))] if found == ["tagged"] else list(JOBS)

    assert [each.name for each in jobs if wants(each, pattern, NOW.mono)] == found


@pytest.mark.parametrize(
    ("order", "first"),
    [("file", "countdown"), ("name", "backup"), ("state", "camera"), ("elapsed", "gps"), ("next", "backup"),
     ("restarts", "syslog")],
)  # fmt: skip
def test_each_order_begins_with_what_it_is_for(order: str, first: str) -> None:
    found = sorted_jobs(JOBS, order, NOW.mono)

    assert names(found)[0] == first
    assert names(sorted_jobs(JOBS, order, NOW.mono, is_reversed=True)) == names(found)[::-1]
    assert order in SORTS


def test_the_rows_that_are_shown_follow_the_cursor_and_move_no_further_than_they_must() -> None:
    assert window(100, 50, 0, 10) == 41
    assert window(100, 45, 41, 10) == 41
    assert window(100, 40, 41, 10) == 40
    assert window(5, 4, 0, 10) == 0
    assert window(20, 19, 90, 10) == 10


def test_an_elapsed_time_is_shown_as_a_clock_shows_it() -> None:
    assert [clock_text(seconds) for seconds in (7.9, 7981, 90_061)] == ["0:00:07", "2:13:01", "1d 1:01:01"]


@pytest.mark.parametrize("width", [30, 60, 80, 120, 160, 200])
def test_the_head_of_the_screen_keeps_what_is_bad_to_the_last(width: int) -> None:
    head = text_of(header(PROGRAM, JOBS, NOW, width))

    assert "1 STUCK" in head
    assert "1 failed" in head
    assert ("cpu 12%" in head) is (width >= 160)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_no_column_moves_when_the_text_of_a_state_or_a_note_changes(width: int) -> None:
    def head(left: float, note: str) -> str:
        waiting = job("syslog", "waiting", waiting_for="backoff", due_in=left, note=note)
        return text_of(table([JOBS[0], waiting], "", RunBook().last, NOW, width).head)

    assert head(4.9, "") == head(5.0, "refused :5140") == head(340.0, "a very long sentence about what went wrong")


def test_a_lane_shows_runs_failures_lateness_and_what_is_planned() -> None:
    late = run("a", 1, 1200, 60.0)._replace(due=NOW.wall - 1500)
    failed = run("a", 2, 600, 120.0, "failed")
    alive = run("a", 3, 60, None)

    drawn = text_of(lane([late, failed, alive], [NOW.wall + 900, NOW.wall + 999_999], NOW.wall, 1800.0, 60))

    assert drawn == "·····░░░░░▇▇········▇▇✗······▇│··············◇··············"


def test_a_lane_is_blank_where_no_run_is_known() -> None:
    drawn = text_of(lane([run("a", 1, 1200, 60.0)], [], NOW.wall, 1800.0, 60, known_since=NOW.wall - 900))

    assert drawn == "          ▇▇   ···············│·····························"


@every_case("span", SPANS)
@every_case("width", [3, 20, 63, 140])
def test_a_lane_and_its_axis_have_the_width_that_was_asked_for(width: int, span: float) -> None:
    runs = [run("a", number, 100.0 * number, 10.0) for number in range(50)]

    assert cells(text_of(lane(runs, [NOW.wall + 5], NOW.wall, span, width))) == width
    assert len(axis(width, span)) <= width


def test_text_is_cut_and_wrapped_by_columns_and_not_by_characters() -> None:
    assert fitted("日本語", 5) == "日本…"
    assert fitted("日本語", 4) == "日… "
    assert fitted("abc", 5) == "abc  "
    assert list(wrapped("日本語", 4)) == ["日本", "語"]
    assert list(folded("one two three", 7)) == ["one two", "three"]
    assert list(folded("abcdefghij k", 4)) == ["abcd", "efgh", "ij k"]


def test_the_book_of_runs_keeps_the_last_ones_and_replaces_a_run_that_has_ended() -> None:
    book = RunBook(most=3)
    book.add([run("a", number, 100 - number, None) for number in range(5)])

    book.add([run("a", 4, 96, 2.0)])

    assert [each.run for each in book.of("a")] == ["a#2", "a#3", "a#4"]
    assert book.last("a", 1)[0].outcome == "succeeded"
    assert book.of("b") == ()
    assert (book.known_since("a"), book.known_since("b")) == (NOW.wall - 98, 0.0)


def test_two_starts_count_their_runs_alike_and_older_ones_may_come_late() -> None:
    book = RunBook(most=3)
    book.add([run("a", 1, 10, 2.0)._replace(start="new")])

    book.add([run("a", number, 100 - number, 2.0)._replace(start="old") for number in range(4)])

    assert [(each.start, each.run) for each in book.of("a")] == [("old", "a#2"), ("old", "a#3"), ("new", "a#1")]
