from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.diagnostics import Place, Problem, Related
from taskloom.errors import JobFileError
from taskloom.jobfile.render import WIDTH, as_json, render, render_all
from taskloom.jobfile.syntax.reader import read_bytes


def problem(line: str, column: int, length: int = 1, hint: str = "") -> Problem:
    return Problem(Place("jobs/a.yaml", 7, column, length), "cannot do that", hint, source_line=line)


def frame(line: str, column: int, length: int = 1, hint: str = "") -> list[str]:
    return render(problem(line, column, length, hint)).splitlines()[1:]


def test_a_problem_is_rendered_as_message_line_and_caret_with_hint() -> None:
    found = Problem(
        Place("jobs/a.yaml", 7, 11, 9),
        "cannot find task 'countdwon'; installed: countdown, socket-reader",
        "did you mean 'countdown'?",
        job="tick",
        source_line="    task: countdwon",
    )

    assert render(found) == (
        "jobs/a.yaml:7:11: error: job 'tick': cannot find task 'countdwon'; installed: countdown, socket-reader\n"
        "  7 |     task: countdwon\n"
        "    |           ^^^^^^^^^ did you mean 'countdown'?"
    )


def test_the_gutter_is_as_wide_as_the_line_number() -> None:
    found = problem("a: b", 4)._replace(place=Place("a.yaml", 1234, 4))

    assert render(found).splitlines()[1:] == ["  1234 | a: b", "       |    ^"]


def test_a_warning_is_labelled_as_warning() -> None:
    found = Problem(Place("a.yaml", 1, 1), "file is empty", severity="warning")

    assert render(found) == "a.yaml:1:1: warning: file is empty"


def test_a_hint_without_a_source_line_is_on_its_own_line() -> None:
    found = Problem(Place("a.yaml", 1, 1), "cannot read the file: byte 0 begins UTF-16", "save the file as UTF-8")

    assert render(found) == (
        "a.yaml:1:1: error: cannot read the file: byte 0 begins UTF-16\n  hint: save the file as UTF-8"
    )


def test_related_places_follow() -> None:
    related = (Related(Place("b.yaml", 3, 5), "first written here"),)

    assert (
        render(problem("a: b", 1)._replace(related=related)).splitlines()[-1] == "b.yaml:3:5: note: first written here"
    )


def test_several_problems_are_rendered_one_below_the_other() -> None:
    found = problem("a: b", 1)

    assert render_all([found, found]) == f"{render(found)}\n{render(found)}"
    assert render_all([]) == ""


@every_case(
    ("line", "column", "length", "shown", "carets"),
    [
        ("\ta: b", 5, 1, "    a: b", "       ^"),
        ("\t\tx", 1, 1, "        x", "^^^^"),
        ("日本: x", 5, 1, "日本: x", "      ^"),
        ("日本: x", 1, 2, "日本: x", "^^^^"),
        ("e\u0301x: y", 5, 1, "e\u0301x: y", "   ^"),
        ("a: \x1b[31mb", 4, 1, "a: \\x1b[31mb", "   ^^^^"),
        ("a: \x1b[31mb", 9, 1, "a: \\x1b[31mb", "           ^"),
        ("a\u202eb: x", 5, 1, "a\\u202eb: x", "         ^"),
        ("a: b", 5, 1, "a: b", "    ^"),
        ("a: b", 99, 9, "a: b", "    ^"),
        ("a: bcd", 4, 99, "a: bcd", "   ^^^"),
    ],
)
def test_the_caret_is_below_the_marked_characters(line: str, column: int, length: int, shown: str, carets: str) -> None:
    assert frame(line, column, length) == [f"  7 | {shown}", f"    | {carets}"]


@pytest.mark.parametrize(("column", "length"), [(1, 1), (60, 5), (150, 10), (299, 1), (300, 400), (1, 300)])
def test_a_long_line_is_cut_around_the_caret(column: int, length: int) -> None:
    line = "".join(chr(ord("a") + index % 26) for index in range(300))

    shown, carets = (text.partition(" | ")[2] for text in frame(line, column, length))

    assert len(shown) <= WIDTH + 2
    assert shown[carets.index("^")] == line[column - 1]
    assert len(carets) <= len(shown)
    assert shown.startswith("…") is (column > 41)
    assert shown.endswith("…") is (column < 240)


def test_a_long_line_of_wide_characters_is_cut_to_the_same_columns() -> None:
    shown, carets = (text.partition(" | ")[2] for text in frame("日" * 200, 100))

    width = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in shown)
    assert width <= WIDTH + 2
    assert carets.index("^") == 1 + 2 * shown.index("日") + 40 - 2


def test_color_paints_the_head_and_the_caret_alone() -> None:
    painted = render(problem("a: b", 1, hint="do this"), color=True)

    assert painted == (
        "\x1b[1mjobs/a.yaml:7:1\x1b[0m: \x1b[1;31merror\x1b[0m: cannot do that\n"
        "  7 | a: b\n    | \x1b[1;32m^ do this\x1b[0m"
    )


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        Problem,
        st.builds(Place, st.text(max_size=5), st.integers(1, 9), st.integers(1, 300), st.integers(1, 300)),
        st.text(max_size=20),
        st.text(max_size=20),
        source_line=st.text(max_size=250).map(lambda line: line.replace("\n", " ")),
        job=st.none() | st.text(max_size=5),
        related=st.just(()) | st.just((Related(Place("\x1b", 1, 1), "\x07"),)),
        caret=st.none() | st.tuples(st.integers(1, 300), st.integers(1, 300)),
    )
)
def test_control_and_invisible_characters_are_never_rendered(found: Problem) -> None:
    shown = render(found)

    assert 1 <= len(shown.splitlines()) <= 4
    for character in re.sub(r"(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])|\n", "", shown):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_an_emoji_is_shown_as_it_is_and_a_hidden_joiner_is_not() -> None:
    family = "\U0001f468\u200d\U0001f469"

    assert frame(f"a: {family}\xa0x", 4)[0] == f"  7 | a: {family}\xa0x"
    assert frame("a\u200db: x", 1)[0] == "  7 | a\\u200db: x"
    assert family in render(problem("a: b", 4)._replace(message=f"cannot use {family}"))


def test_problems_as_data_contain_every_field() -> None:
    with pytest.raises(JobFileError) as caught:
        read_bytes(b"a: 1\na: 2\n", "f.yaml")

    data = as_json(caught.value.problems)

    assert json.loads(json.dumps(data)) == [
        {
            "path": "f.yaml",
            "line": 2,
            "column": 1,
            "length": 1,
            "severity": "error",
            "job": None,
            "message": "cannot use key 'a' twice: it is first written in line 1",
            "hint": "",
            "related": [{"path": "f.yaml", "line": 1, "column": 1, "length": 1, "message": "first written here"}],
        }
    ]
