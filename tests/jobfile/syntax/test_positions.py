from __future__ import annotations

import pytest
from tests.support.every_case import every_case

from taskloom.diagnostics import Place, Related
from taskloom.jobfile.syntax.positions import Path, Positions
from taskloom.jobfile.syntax.reader import Document, read_bytes

TEXT = """\
# a note
defaults: &d
  join: 10s
jobs:
  "täsk one":
    task: countdown
    params: {start: 05x, list: [a, 'b c', {k: "v"}]}
    text: |
      two
      lines
  two:
    <<: *d
    labels: *d
    quoted: "a \\
      b"
    empty:
    after: &x yes
    again: [*x]
  three: {<<: [*d]}
"""


def read(text: str = TEXT) -> Document:
    return read_bytes(text.encode(), "f.yaml")


def spot(place: Place) -> tuple[int, int, int]:
    assert place.path == "f.yaml"
    return place.line, place.column, place.length


@every_case(
    ("path", "expected"),
    [
        (("defaults", "join"), (3, 9, 3)),
        (("defaults",), (3, 3, 1)),
        (("jobs", "täsk one", "task"), (6, 11, 9)),
        (("jobs", "täsk one", "params"), (7, 13, 1)),
        (("jobs", "täsk one", "params", "start"), (7, 21, 3)),
        (("jobs", "täsk one", "params", "list", 1), (7, 36, 5)),
        (("jobs", "täsk one", "params", "list", 2, "k"), (7, 47, 3)),
        (("jobs", "täsk one", "text"), (8, 11, 1)),
        (("jobs", "two", "join"), (3, 9, 3)),
        (("jobs", "two", "labels", "join"), (3, 9, 3)),
        (("jobs", "two", "quoted"), (14, 13, 4)),
        (("jobs", "two", "empty"), (16, 11, 1)),
        (("jobs", "two", "after"), (17, 15, 3)),
        (("jobs", "two", "again", 0), (17, 15, 3)),
        (("jobs", "three", "join"), (3, 9, 3)),
        ((), (2, 1, 1)),
    ],
)
def test_the_place_of_a_value(path: Path, expected: tuple[int, int, int]) -> None:
    assert spot(read().positions.value(path)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("jobs",), (4, 1, 4)),
        (("jobs", "täsk one"), (5, 3, 10)),
        (("jobs", "täsk one", "params", "list"), (7, 26, 4)),
        (("jobs", "täsk one", "params", "list", 0), (7, 33, 1)),
        (("jobs", "two", "join"), (3, 3, 4)),
        ((), (2, 1, 1)),
    ],
)
def test_the_place_of_a_key(path: Path, expected: tuple[int, int, int]) -> None:
    assert spot(read().positions.key(path)) == expected


@pytest.mark.parametrize(
    "path",
    [
        ("jobs", "täsk one", "missing"),
        ("jobs", "täsk one", "missing", 0, "deeper"),
        ("jobs", "täsk one", 0),
    ],
)
def test_the_place_of_a_missing_value_is_the_nearest_key_above_it(path: Path) -> None:
    places = read().positions

    assert spot(places.value(path)) == spot(places.key(path)) == (5, 3, 10)


def test_the_place_of_a_missing_item_is_the_key_of_its_list() -> None:
    assert spot(read().positions.value(("jobs", "täsk one", "params", "list", 9))) == (7, 26, 4)


def test_a_value_behind_an_alias_has_the_place_of_the_alias_as_related() -> None:
    places = read().positions
    through_labels = (Related(Place("f.yaml", 13, 13, 2), "used here through alias 'd'"),)

    assert places.related(("jobs", "two", "labels", "join")) == through_labels
    assert places.related(("jobs", "two", "labels")) == through_labels
    assert places.related(("jobs", "two", "join")) == (
        Related(Place("f.yaml", 12, 9, 2), "used here through alias 'd'"),
    )
    assert places.related(("jobs", "three", "join")) == (
        Related(Place("f.yaml", 19, 16, 2), "used here through alias 'd'"),
    )
    assert places.related(("defaults", "join")) == ()


def test_a_value_behind_two_aliases_has_both_as_related_outermost_first() -> None:
    places = read("a: &a {x: 1}\nb: &b {<<: *a}\nc: *b\n").positions

    related = places.related(("c", "x"))

    assert [(place.line, note) for place, note in related] == [
        (3, "used here through alias 'b'"),
        (2, "used here through alias 'a'"),
    ]


def test_a_problem_has_its_line_its_job_and_the_alias_that_uses_the_value() -> None:
    problem = read().positions.problem(
        ("jobs", "two", "join"), "cannot do that", hint="do this", severity="warning", job="two"
    )

    assert str(problem) == "f.yaml:3:9: warning: job 'two': cannot do that"
    assert (problem.hint, problem.source_line) == ("do this", "  join: 10s")
    assert [place.line for place, _ in problem.related] == [12]


def test_a_problem_can_point_at_the_key() -> None:
    problem = read().positions.problem(("jobs", "two", "after"), "cannot do that", at_key=True)

    assert str(problem) == "f.yaml:17:5: error: cannot do that"


@every_case(
    ("path", "written"),
    [
        (("jobs", "täsk one", "params", "start"), "05x"),
        (("jobs", "täsk one", "params", "list", 1), "'b c'"),
        (("jobs", "two", "empty"), ""),
        (("jobs", "two", "after"), "yes"),
        (("jobs", "two", "again", 0), "yes"),
        (("jobs", "two"), ""),
        (("jobs", "two", "missing"), ""),
        (("jobs",), ""),
    ],
)
def test_a_scalar_is_returned_as_written(path: Path, written: str) -> None:
    assert read().positions.written(path) == written


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_count_them(newline: str) -> None:
    document = read(newline.join(["a: 1", "", "b:", "  ö: 2", "c: 3"]))

    assert spot(document.positions.value(("b", "ö"))) == (4, 6, 1)
    assert spot(document.positions.key(("c",))) == (5, 1, 1)
    lines = [document.source.line(document.source.text.index(word)) for word in ("a:", "b:", "ö:", "c:")]
    assert lines == ["a: 1", "b:", "  ö: 2", "c: 3"]


def test_a_byte_order_mark_does_not_change_columns() -> None:
    document = read_bytes(b"\xef\xbb\xbfa: 1\n", "f.yaml")

    assert spot(document.positions.value(("a",))) == (1, 4, 1)


def test_an_empty_file_has_a_first_line() -> None:
    places: Positions = read("").positions

    assert spot(places.value(("jobs",))) == (1, 1, 1)
