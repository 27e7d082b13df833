"""Our own limit of depth comes first, however far the parser looks ahead and whatever limit it has itself.

libyaml 0.2.6 refuses a thousand levels, and finds them before it hands out the events of the first ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from tests.support.every_case import every_case

from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.reader import Parser, read_bytes

PARSERS = get_args(Parser)
DEPTHS = (33, 100_000, *(pytest.param(depth, marks=pytest.mark.long) for depth in (100, 999, 1000, 1001, 1500)))
TOO_DEEP = "cannot nest deeper than 32 levels"

# Each nests at least as deep as it is told to; beside it the place of level 33.
SHAPES: dict[str, tuple[Callable[[int], str], str]] = {
    "brackets": (lambda depth: "[" * depth + "]" * depth, "1:33"),
    "brackets under keys": (lambda depth: "jobs:\n  a:\n    params: " + "[" * depth + "]" * depth, "3:42"),
    "brackets that stay open": (lambda depth: "a: " + "[" * depth, "1:35"),
    "brackets on lines": (lambda depth: "a: " + "[\n " * depth, "32:2"),
    "brackets with anchors": (lambda depth: "a: " + "".join(f"&a{level} [" for level in range(depth)), "1:180"),
    "braces": (lambda depth: "{a: " * depth + "}" * depth, "1:129"),
    "braces without spaces": (lambda depth: '{"a":' * depth + "}" * depth, "1:161"),
    "brackets and braces": (lambda depth: "a: " + "[{a: " * depth, "1:80"),
    "pairs in brackets": (lambda depth: "a: " + "[a: " * depth, "1:65"),
    "dashes in one line": (lambda depth: "- " * depth + "x", "1:65"),
    "dashes and brackets": (lambda depth: "- " * (depth // 2) + "[" * depth, ""),
    "mappings in lines": (lambda depth: "".join(" " * level + "a:\n" for level in range(min(depth, 1500))), "33:33"),
}


def problems_of(text: str, parser: Parser) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        read_bytes(text.encode(), "f.yaml", parser=parser)
    return [f"{each.place.line}:{each.place.column}: {each.message}" for each in caught.value.problems]


@every_case("parser", PARSERS)
@pytest.mark.parametrize("depth", DEPTHS)
@every_case("shape", SHAPES)
def test_what_nests_too_deep_is_refused_at_level_33(shape: str, depth: int, parser: Parser) -> None:
    write, place = SHAPES[shape]

    [problem] = problems_of(write(depth), parser)

    assert problem.endswith(f": {TOO_DEEP}")
    assert not place or problem == f"{place}: {TOO_DEEP}"


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    ("start", "key"),
    [("? ", "a mapping"), ("{", "a mapping"), ("[? ", "a list")],
)
def test_keys_that_nest_too_deep_are_refused_one_by_one_down_to_the_limit(
    start: str, key: str, depth: int, parser: Parser
) -> None:
    *keys, last = problems_of(start * depth + "x", parser)

    assert last.endswith(f": {TOO_DEEP}")
    assert 15 <= len(keys) <= 32
    assert {problem.partition(": ")[2] for problem in keys} <= {
        f"cannot use {key} as a key: a key is a text",
        "cannot read '{{': '{' starts a mapping",
    }


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    "depth", [40, 200, *(pytest.param(depth, marks=pytest.mark.long) for depth in (999, 1000, 1001, 1500))]
)
@pytest.mark.parametrize("after", [" @", ' "open', ' "\\q"', " *", "]" * 40 + ": : b"])
def test_a_mistake_after_level_33_does_not_hide_the_depth(after: str, depth: int, parser: Parser) -> None:
    assert problems_of("a: " + "[" * depth + after, parser) == [f"1:35: {TOO_DEEP}"]


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("b: 1\nb: 2\na: ", ["2:1: cannot use key 'b' twice: it is first written in line 1", f"3:35: {TOO_DEEP}"]),
        ("a: {b: 1, b: 2, c: ", ["1:11: cannot use key 'b' twice: it is first written in line 1", f"1:50: {TOO_DEEP}"]),
        ("b: 1\na: @\nc: ", ["2:4: cannot read '@': '@' starts no YAML text"]),
    ],
)
def test_a_mistake_before_level_33_is_reported(text: str, problems: list[str], depth: int, parser: Parser) -> None:
    assert problems_of(text + "[" * depth, parser) == problems


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_line_that_should_be_a_key_is_reported_before_its_depth(depth: int, parser: Parser) -> None:
    [problem] = problems_of("a: 1\n" + "[" * depth + "]" * depth + "\nb: 2", parser)

    assert problem == f"2:1: cannot find ':' after {'[' * min(depth, 40) + ']' * max(0, 40 - depth)!r}"


@pytest.mark.parametrize("parser", PARSERS)
def test_a_mistake_in_brackets_of_a_few_levels_is_reported_alone(parser: Parser) -> None:
    assert problems_of("a: [[[[b, @", parser) == ["1:11: cannot read '@': '@' starts no YAML text"]
