"""Durations, plurals, tables and suggestions as users read them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.task import LONGEST_DURATION_SECONDS, parse_duration
from taskloom.text import (
    did_you_mean,
    duration,
    first_of,
    measured,
    plural,
    printable,
    printable_lines,
    rough,
    suggest,
    table,
    to_json,
)


@every_case(
    ("seconds", "exact", "rounded"),
    [
        (0, "0s", "0s"),
        (0.0005, "0.5ms", "0.5ms"),
        (0.2, "200ms", "200ms"),
        (0.123456, "123.456ms", "123ms"),
        (0.99999, "999.99ms", "1s"),
        (0.0000001, "0s", "0.0001ms"),
        (1, "1s", "1s"),
        (4.25, "4.25s", "4.25s"),
        (4.23781, "4.23781s", "4.24s"),
        (12.3456, "12.3456s", "12.3s"),
        (59.94, "59.94s", "59.9s"),
        (59.96, "59.96s", "1m"),
        (60, "1m", "1m"),
        (61, "1m1s", "1m1s"),
        (90, "1m30s", "1m30s"),
        (90.5, "1m30.5s", "1m30s"),
        (3600, "1h", "1h"),
        (4080.4, "1h8m0.4s", "1h8m"),
        (4085, "1h8m5s", "1h8m5s"),
        (86_400, "1d", "1d"),
        (604_800, "7d", "7d"),
        (90_061.5, "1d1h1m1.5s", "1d1h1m"),
        (100_000_000, "1157d9h46m40s", "1157d9h46m"),
        (float("inf"), "forever", "forever"),
        (-1.5, "-1.5s", "-1.5s"),
        (119.9999999, "2m", "2m"),
    ],
)
def test_a_duration_is_written_as_in_a_job_file(seconds: float, exact: str, rounded: str) -> None:
    assert duration(seconds) == exact
    assert duration(seconds, is_rounded=True) == rounded


@given(st.integers(min_value=0, max_value=int(LONGEST_DURATION_SECONDS * 1000)))
def test_a_job_file_reads_a_written_duration_as_the_same_time(milliseconds: int) -> None:
    assert parse_duration(duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)


@given(st.floats(min_value=0.001, max_value=LONGEST_DURATION_SECONDS))
def test_a_rounded_duration_is_off_by_less_than_one_percent(seconds: float) -> None:
    assert parse_duration(duration(seconds, is_rounded=True)) == pytest.approx(seconds, rel=0.01, abs=0)


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0.0 s"), (0.04, "0.0 s"), (5, "5.0 s"), (61.25, "61.2 s")])
def test_a_measured_time_has_tenths_of_a_second(seconds: float, text: str) -> None:
    assert measured(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs"), (1200, "1,200 jobs")])
def test_a_noun_agrees_with_its_number(count: int, text: str) -> None:
    assert plural(count, "job") == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
        (list("ab") * 1000, "a, b and 1,998 more"),
    ],
)
def test_of_many_names_the_first_are_shown_and_the_others_counted(names: list[str], text: str) -> None:
    assert first_of(names, 2) == text


def test_the_columns_of_a_table_are_aligned_and_lines_end_without_blanks() -> None:
    assert table([("JOB", "RUNS", "NOTE"), ("a", "12", ""), ("long-name", "1", "x")]) == (
        "JOB        RUNS  NOTE\na          12\nlong-name  1     x"
    )


def test_a_table_without_rows_is_empty() -> None:
    assert table([]) == ""


def test_a_row_with_a_cell_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        table([("a", "b"), ("c",)])


def test_a_near_name_is_suggested() -> None:
    assert did_you_mean("ticc", ["tick", "web"]) == "did you mean 'tick'?"
    assert did_you_mean("ticc", ["tick", "web"], before="; ") == "; did you mean 'tick'?"


@pytest.mark.parametrize("name", ["zzz", 7, None])
def test_nothing_is_suggested_for_a_name_far_from_all_and_for_what_is_not_text(name: object) -> None:
    assert did_you_mean(name, ["tick", "web"], before="; ") == ""


def test_a_name_found_elsewhere_is_suggested_in_the_same_words() -> None:
    assert suggest("tick") == "did you mean 'tick'?"
    assert suggest(None, before="; ") == ""


def test_the_module_imports_nothing_of_taskloom_but_the_diagnostics() -> None:
    code = "import sys, taskloom.text; print(sorted(name for name in sys.modules if name.startswith('taskloom')))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "['taskloom', 'taskloom.diagnostics', 'taskloom.text']"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb\x07\x7f\x9b", "a\\x1b[31mb\\x07\\x7f\\x9b"),
        ("line\nbreak\r\ttab", "line\\nbreak\\r\\ttab"),
        ("\u202eabc\u2066\u200e\u061c", "\\u202eabc\\u2066\\u200e\\u061c"),
        ("\ud800\udcff", "\\ud800\\udcff"),
        ("\x85\u2028\u2029", "\\x85\\u2028\\u2029"),
        (
            "a\xa0b\u3000c\u200dd \U0001f468\u200d\U0001f469\ufe0f é 日本",
            "a\xa0b\u3000c\u200dd \U0001f468\u200d\U0001f469\ufe0f é 日本",
        ),
    ],
)
def test_what_drives_a_terminal_is_escaped_and_all_else_is_text(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(printable(text)) == shown


def test_lines_keep_their_breaks() -> None:
    assert printable_lines("a\r\nb\x1b\n\tc\n") == "a\nb\\x1b\n\\tc\n"


def test_a_cell_of_a_table_is_one_line() -> None:
    assert table([("A", "B"), ("x\ny", "\x1b")]) == "A     B\nx\\ny  \\x1b"


def test_json_shows_nothing_raw_and_means_the_same() -> None:
    data = {"a\u202e": ["\x9b\ud800\n\x7f", "é 日本"]}

    for indent in (None, 2):
        text = to_json(data, indent=indent)
        assert json.loads(text) == data
        assert "é 日本" in text
        assert printable_lines(text) == text


@every_case(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.34, "0.3s"),
        (4.0, "4s"),
        (9.96, "10s"),
        (59.7, "1m"),
        (200.4, "3m20s"),
        (7503.0, "2h5m"),
        (90_061.0, "1d1h"),
        (-0.2, "0s"),
        (float("inf"), "forever"),
    ],
)
def test_a_duration_in_a_sentence_is_rough(seconds: float, text: str) -> None:
    assert rough(seconds) == text
