"""A command line that is being typed, split as a shell splits it."""

from __future__ import annotations

import pytest
from tests.support.every_case import every_case

from taskloom.cli.completion.words import Line, bash_word, split

BREAKS = " \t\n\"'><=;|&(:"


@every_case(
    ("text", "line"),
    [
        ("", Line((), "", "", "")),
        ("taskloom", Line((), "taskloom", "", "")),
        ("taskloom ", Line(("taskloom",), "", "", "")),
        ("taskloom stop we", Line(("taskloom", "stop"), "we", "", "")),
        ("taskloom stop a:b", Line(("taskloom", "stop"), "a:b", "a:", "")),
        ("taskloom stop a\\:b", Line(("taskloom", "stop"), "a:b", "", "")),
        ("taskloom stop 'a:b", Line(("taskloom", "stop"), "a:b", "", "'")),
        ("taskloom stop 'a b' c", Line(("taskloom", "stop", "a b"), "c", "", "")),
        ("taskloom stop 'a'b", Line(("taskloom", "stop"), "ab", "a", "")),
        ("taskloom stop '' ", Line(("taskloom", "stop", ""), "", "", "")),
        ("taskloom stop a\\ b", Line(("taskloom", "stop"), "a b", "", "")),
        ("taskloom stop a\\", Line(("taskloom", "stop"), "a", "", "")),
        ("taskloom --name=jo", Line(("taskloom",), "--name=jo", "--name=", "")),
        ("A=1 B+=2 taskloom x", Line(("taskloom",), "x", "", "")),
    ],
    ids=repr,
)
def test_the_line_is_split_up_to_the_cursor(text: str, line: Line) -> None:
    assert split(text, BREAKS) == line


@pytest.mark.parametrize(
    ("typed", "value", "inserted"),
    [
        ("t s ", "two words", "two\\ words"),
        ("t s 'tw", "it's two", "it'\\''s two"),
        ('t s "tw', 'a "b" $c', 'a \\"b\\" \\$c'),
        ("t s gate:", "gate:tcp", "tcp"),
        ("t s ga", "gate:tcp", "gate:tcp"),
        ("t s --name=", "--name=jobs", "jobs"),
        ("t s ", "a;b*c~", "a\\;b\\*c\\~"),
    ],
)
def test_bash_is_given_the_part_that_it_replaces(typed: str, value: str, inserted: str) -> None:
    assert bash_word(value, split(typed, BREAKS)) == inserted
