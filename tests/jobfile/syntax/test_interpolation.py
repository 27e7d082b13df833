from __future__ import annotations

from tests.support.every_case import every_case

from taskloom.diagnostics import Problem
from taskloom.jobfile.syntax.document import Document, Value
from taskloom.jobfile.syntax.interpolation import FORMS, interpolate
from taskloom.jobfile.syntax.reader import read_bytes

ENVIRON = {
    "PORT": "8080",
    "NAME": "tick",
    "EMPTY": "",
    "YES": "true",
    "TRICK": '": [${NAME}]\n#',
    "PIN": "0042",
    "x": "1",
}


def filled(text: str, environ: dict[str, str] | None = None) -> tuple[Value, list[Problem]]:
    document = read_bytes(text.encode(), "f.yaml")
    problems = interpolate(document, ENVIRON if environ is None else environ)
    return document.root, problems


@every_case(
    ("text", "expected"),
    [
        ("${PORT}", 8080),
        ("'${PORT}'", "8080"),
        ('"${PORT}"', "8080"),
        ("|-\n  ${PORT}", "8080"),
        ("${YES}", True),
        ("${PORT}${PORT}", 80808080),
        ("tcp://127.0.0.1:${PORT}/x", "tcp://127.0.0.1:8080/x"),
        ("${EMPTY}", None),
        ("'${EMPTY}'", ""),
        ("${UNSET:-5}", 5),
        ("'${UNSET:-5}'", "5"),
        ("${UNSET:-}", None),
        ("${EMPTY:-5}", 5),
        ("${PORT:-5}", 8080),
        ("${UNSET:-a b}", "a b"),
        ("'${UNSET:-a b: c}'", "a b: c"),
        ("${PORT:?say which}", 8080),
        ("$${PORT}", "${PORT}"),
        ("$${PORT} is ${PORT}", "${PORT} is 8080"),
        ("$$${PORT}", "$${PORT}"),
        ("$PORT", "$PORT"),
        ("a$b {c}", "a$b {c}"),
        ("${x}", 1),
        ("'${TRICK}'", '": [${NAME}]\n#'),
        ('"\\x24{PORT}"', "8080"),
        ("${file:-5}", 5),
        ("$${file:x}", "${file:x}"),
        ('"\\x24\\x7bPORT}"', "8080"),
    ],
)
def test_a_reference_is_replaced(text: str, expected: Value) -> None:
    root, problems = filled(f"a: {text}\n")

    assert problems == []
    assert repr(root) == repr({"a": expected})


def test_a_replaced_value_is_not_searched_again() -> None:
    root, problems = filled("a: ${X}\nb: '${X}${Y}'\n", {"X": "${Y} $${Y} ${", "Y": "5"})

    assert problems == []
    assert root == {"a": "${Y} $${Y} ${", "b": "${Y} $${Y} ${5"}


def test_keys_are_not_replaced() -> None:
    root, problems = filled("${PORT}: 1\n'${': 2\n")

    assert problems == []
    assert root == {"${PORT}": 1, "${": 2}


def test_values_in_lists_mappings_aliases_and_merges_are_replaced() -> None:
    root, problems = filled("a: &a\n  p: ${PORT}\n  l:\n    - ${NAME}\n    - [x, '${NAME}']\nb: *a\nc:\n  <<: *a\n")

    whole = {"p": 8080, "l": ["tick", ["x", "tick"]]}
    assert problems == []
    assert root == {"a": whole, "b": whole, "c": whole}


@every_case(
    ("text", "column", "length", "message", "hint"),
    [
        ("${UNSET}", 4, 8, "cannot find the environment variable 'UNSET'", "set it, or give a default: ${UNSET:-...}"),
        ("x/${NAM}/y", 6, 6, "cannot find the environment variable 'NAM'", "did you mean '${NAME}'?"),
        ("'x ${UNSET:?say it}'", 7, 16, "cannot use ${UNSET}: say it", ""),
        ("'${UNSET:?say\n\n  it }'", 5, 12, "cannot use ${UNSET}: say it", ""),
        ("${EMPTY:?}", 4, 10, "cannot use ${EMPTY}: it is not set", ""),
        ("${}", 4, 3, "cannot read this '${'", FORMS),
        ("${1X}", 4, 5, "cannot read this '${'", FORMS),
        ("${PORT", 4, 6, "cannot read this '${'", FORMS),
        ("${PORT-5}", 4, 9, "cannot read this '${'", FORMS),
        ("${PORT:+5}", 4, 10, "cannot read this '${'", FORMS),
        ("${ PORT }", 4, 9, "cannot read this '${'", FORMS),
        ("${file:}", 4, 8, "cannot read this '${'", FORMS),
        ("${file:a{b}}", 4, 11, "cannot read this '${'", FORMS),
        ("${FILE:secret}", 4, 14, "cannot read this '${'", FORMS),
        ("${file:?say it}", 4, 15, "cannot use ${file}: say it", ""),
        ("'${A:-${B}}'", 5, 9, "cannot read this '${'", FORMS),
        ("${PIN}", 4, 6, "cannot read this as a number after its variables are replaced", "quote it, if it is a text"),
        ('"\\x24{UNSET}"', 4, 13, "cannot find the environment variable 'UNSET'",
         "set it, or give a default: ${UNSET:-...}"),
    ],
)  # fmt: skip
def test_a_bad_reference_is_reported_at_its_place(text: str, column: int, length: int, message: str, hint: str) -> None:
    root, problems = filled(f"a: {text}\n")

    problem = problems[0]
    assert (problem.place.line, problem.place.column, problem.place.length) == (1, column, length)
    assert (problem.message, problem.hint, problem.source_line) == (message, hint, f"a: {text}".splitlines()[0])
    assert isinstance(root, dict)
    assert "${" in str(root["a"])


def test_all_bad_references_of_a_file_are_reported_in_file_order() -> None:
    _, problems = filled("a: ${ONE} ${PORT} ${TWO}\nb:\n  - ${THREE}\n")

    assert [str(problem) for problem in problems] == [
        "f.yaml:1:4: error: cannot find the environment variable 'ONE'",
        "f.yaml:1:19: error: cannot find the environment variable 'TWO'",
        "f.yaml:3:5: error: cannot find the environment variable 'THREE'",
    ]


def test_a_bad_reference_behind_an_alias_is_reported_once() -> None:
    _, problems = filled("a: &a {k: '${ONE}'}\nb: *a\nc: {<<: *a}\nd: &s '${TWO}'\ne: [*s, *s]\n")

    assert [str(problem) for problem in problems] == [
        "f.yaml:1:12: error: cannot find the environment variable 'ONE'",
        "f.yaml:4:8: error: cannot find the environment variable 'TWO'",
    ]


def test_no_message_contains_the_value_of_a_variable() -> None:
    _, problems = filled("a: ${SECRET}\nb: ${SECRET}${SECRET}\n", {"SECRET": "00314159"})

    assert len(problems) == 2
    assert "314159" not in repr(problems)


def test_a_value_that_is_not_utf8_is_refused() -> None:
    _, problems = filled("a: ${X}\n", {"X": "caf\udce9"})

    assert [problem.message for problem in problems] == ["cannot use ${X}: its value is not UTF-8 text"]


def test_a_file_without_references_is_not_traversed() -> None:
    document = read_bytes(b"a: {b: $x}\n", "f.yaml")
    unwalkable = Document(document.source, document.root, None)  # type: ignore[arg-type]

    assert interpolate(unwalkable, ENVIRON) == []
