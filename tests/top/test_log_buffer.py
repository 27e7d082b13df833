"""The log pane: bounded, filtered, and steady while one reads in it."""

from __future__ import annotations

from tests.support.top_scenes import LOG

from taskloom.top.log_buffer import LogBuffer, LogLine, log_line
from taskloom.top.styled import Style, cells, text_of


def filled(count: int = 40, most: int = 5000) -> LogBuffer:
    buffer = LogBuffer(most)
    buffer.extend(line("tick", each) for each in range(count))
    return buffer


def line(text: str, number: int) -> LogLine:
    return LogLine("12:00:00.000", "info", "a", f"{text} {number}")


def ends(buffer: LogBuffer, height: int = 3) -> list[str]:
    return [text_of(each).split("INFO    ")[-1] for each in buffer.shown(80, height)]


def test_it_follows_the_newest_line() -> None:
    buffer = filled()

    buffer.extend([line("new", 1)])

    assert ends(buffer) == ["tick 38", "tick 39", "new 1"]


def test_lines_keep_their_place_while_new_ones_come() -> None:
    buffer = filled()
    buffer.move(-10)

    before = ends(buffer)
    buffer.extend(line("new", each) for each in range(1000))

    assert ends(buffer) == before == ["tick 27", "tick 28", "tick 29"]
    assert not buffer.follows
    assert buffer.newer == 1010


def test_at_its_end_it_follows_again() -> None:
    buffer = filled()
    buffer.move(-10)

    buffer.move(10)

    assert buffer.follows
    buffer.move(-1)
    buffer.follow()
    assert ends(buffer)[-1] == "tick 39"


def test_it_keeps_its_limit_of_lines_and_goes_on_at_the_oldest_when_its_place_is_gone() -> None:
    buffer = filled(10, most=10)
    buffer.move(-5)
    buffer.extend(line("new", each) for each in range(20))

    buffer.move(1)

    assert ends(buffer)[-1] == "new 11"


def test_the_filter_is_a_text_and_small_letters_find_capitals() -> None:
    buffer = filled()
    buffer.extend([LogLine("t", "error", "a", "Disk FULL"), LogLine("", "", "", "-- lines are missing here --")])

    buffer.filter = "full"
    folded = ends(buffer, 9)
    buffer.filter = "Full"
    exact = ends(buffer, 9)

    assert [text.endswith("Disk FULL") for text in folded] == [True, False]
    assert exact == ["-- lines are missing here --"]


def test_long_lines_are_cut_or_wrapped_and_never_move_sideways() -> None:
    buffer = LogBuffer()
    buffer.extend([LogLine("t", "info", "a", "x" * 200)])

    cut = [text_of(each) for each in buffer.shown(50, 10)]
    buffer.wraps = True
    whole = [text_of(each) for each in buffer.shown(50, 10)]

    assert (len(cut), cut[0][-1]) == (1, "…")
    assert "".join(whole).count("x") == 200
    assert max(map(cells, whole)) == 50


def test_control_characters_of_a_task_do_not_reach_the_terminal() -> None:
    shown = log_line("t", "info", "a", "\x1b[31mred\x07\ttab").text

    assert shown.isprintable()


def test_the_lines_of_all_jobs_name_their_job_and_bad_ones_have_a_style() -> None:
    buffer = LogBuffer()
    buffer.shows_job = True
    buffer.extend([LogLine("t", "error", "gps", "lost"), LOG[0]])

    error, info = buffer.shown(80, 9)

    assert "gps │ lost" in text_of(error)
    assert error[0].style is Style.BAD
    assert info[0].style is Style.PLAIN
