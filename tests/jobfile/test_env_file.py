"""Files of `NAME=VALUE` lines for `${NAME}`."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tests.support.every_case import every_case

from taskloom.env_lines import LARGEST, MOST_PROBLEMS
from taskloom.errors import JobFileError
from taskloom.jobfile.env_file import environ_with, read_env_files
from taskloom.jobfile.render import render_all

HIDDEN = "hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values_in(content: str | bytes) -> dict[str, str]:
    Path("e").write_bytes(content if isinstance(content, bytes) else content.encode())
    return {name: value.text for name, value in read_env_files(["e"]).items()}


def said(content: str | bytes) -> str:
    with pytest.raises(JobFileError) as caught:
        values_in(content)
    return render_all(caught.value.problems)


@every_case(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("A=''", ""),
        ('A=""', ""),
        ("  A = b c  ", "b c"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("A=b=c==", "b=c=="),
        ("A=b#c", "b#c"),
        ("A=b #c", "b"),
        ("A=b\t# c", "b"),
        ("A=#c", "#c"),
        ("A= # c", ""),
        ("A='b #c'", "b #c"),
        ("A='b' # c", "b"),
        ('A="b" # c', "b"),
        ("A=b'c'", "b'c'"),
        ("A='b\"c\\n$(d)`e`${F}'", 'b"c\\n$(d)`e`${F}'),
        ('A="b\'c\\n\\t\\r\\"\\\\\\$\\x"', "b'c\n\t\r\"\\$\\x"),
        ("A=$(rm -rf) `x` ${B} $B", "$(rm -rf) `x` ${B} $B"),
        ('A="$(x) ${B}"', "$(x) ${B}"),
        ("A='b\nc\n'", "b\nc\n"),
        ('A="b\n#c\nB=d"', "b\n#c\nB=d"),
        ("A=pässwörd ✓", "pässwörd ✓"),
        ("\n\n# comment\n   # A=c\nA=b\n\n", "b"),
        ("A=c\nA=b", "b"),
        ("\ufeffA=b", "b"),
        ("A=b\r\n", "b"),
        ("# c\r\nA='b'\r\n", "b"),
        ('A="b\r\nc"\r\n', "b\nc"),
        ("A=b\\", "b\\"),
        ("A=b\\nc", "b\\nc"),
    ],
)
def test_a_line_gives_a_value(line: str, value: str) -> None:
    assert values_in(line) == {"A": value}


def test_lines_after_a_value_of_several_lines_are_read() -> None:
    assert values_in("A='1\n2\n'  \nB=3\n_c1=4\nD='5'") == {"A": "1\n2\n", "B": "3", "_c1": "4", "D": "5"}


@pytest.mark.parametrize("content", ["", "\n", "# c", "\ufeff", "\r\n\r\n"])
def test_a_file_without_lines_gives_nothing(content: str) -> None:
    assert values_in(content) == {}


@every_case(
    ("content", "message", "shown"),
    [
        ("hunter2", "e:1:1: error: cannot read this line: it is not NAME=VALUE", "**********"),
        ("A=b\n\nb+hunter2==", "e:3:1: error: cannot read this line: it is not NAME=VALUE", "**********"),
        ("hunter-2=x", "e:1:1: error: cannot read this line: it is not NAME=VALUE", "**********"),
        ("2hunter=x", "e:1:1: error: cannot read this line: it is not NAME=VALUE", "**********"),
        ("=hunter2", "e:1:1: error: cannot read this line: it is not NAME=VALUE", "**********"),
        ("A: hunter2", "e:1:1: error: cannot read this line: it is not NAME=VALUE", "**********"),
        ("export A hunter2", "e:1:1: error: cannot read this line: it is not NAME=VALUE", "**********"),
        ("export A='hunter2", "e:1:8: error: cannot find the end of this value: it begins with a single quote",
         "export A=**********"),
        ('A="hunter2\\"', "e:1:1: error: cannot find the end of this value: it begins with a double quote",
         "A=**********"),
        ("A='\n\nhunter2'\nB='hunter2' x\n", "e:4:1: error: cannot read the text after the closing quote",
         "B=**********"),
        ('A="x" hunter2', "e:1:1: error: cannot read the text after the closing quote", "A=**********"),
    ],
)  # fmt: skip
def test_a_bad_line_is_reported_at_its_place_without_its_value(content: str, message: str, shown: str) -> None:
    text = said(content)

    first, line, *_ = text.splitlines()
    assert first == message
    assert line.partition(" | ")[2] == shown
    assert HIDDEN not in text


def test_all_bad_lines_of_all_files_are_reported() -> None:
    Path("a").write_text("x\nA=1\ny z\n")
    Path("b").write_text("B='\n")

    with pytest.raises(JobFileError) as caught:
        read_env_files(["a", "none", "b"])

    assert [(problem.place.path, problem.place.line) for problem in caught.value.problems] == [
        ("a", 1), ("a", 3), ("none", 1), ("b", 1),
    ]  # fmt: skip


def test_not_more_problems_are_reported_than_anyone_would_read() -> None:
    assert said("hunter2\n" * 10 * MOST_PROBLEMS).count("error") == MOST_PROBLEMS


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"A=b\0", "it contains a NUL byte, so it is not text"),
        (b"A=b\n\nB=hunter2\xff\n", "line 3 is not UTF-8 text"),
        (b"A=" + b"x" * LARGEST, "it has more than 1 MiB"),
        ("A=b".encode("utf-16"), "it contains a NUL byte, so it is not text"),
    ],
    ids=["NUL", "bytes", "too long", "UTF-16"],
)
def test_a_file_that_is_not_text_is_refused(content: bytes, why: str) -> None:
    text = said(content)
    assert text.splitlines()[0] == f"e:1:1: error: cannot read the file: {why}"
    assert HIDDEN not in text


def test_what_is_not_a_regular_file_is_refused_at_once() -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("near.env").touch()

    with pytest.raises(JobFileError) as caught:
        read_env_files(["folder", "pipe", "/dev/null", "naer.env", "a\0b"])

    assert [problem.message.removeprefix("cannot read the file: ") for problem in caught.value.problems] == [
        "it is a directory, not a regular file",
        "it is a named pipe, not a regular file",
        "it is a device, not a regular file",
        "no such file or directory; did you mean 'near.env'?",
        "its path contains a NUL or half a surrogate pair",
    ]


def test_the_last_file_with_a_name_counts_and_each_value_has_its_place() -> None:
    Path("a").write_text("A=1\nB=2\n")
    Path("b").write_text("\n  export B=3\n")

    values = read_env_files(["a", "b"])

    assert {name: (value.text, str(value.place)) for name, value in values.items()} == {
        "A": ("1", "a:1:1"),
        "B": ("3", "b:2:10"),
    }


def test_the_environment_goes_first_also_where_it_is_empty() -> None:
    Path("e").write_text("A=1\nB=2\nC=3\n")

    assert environ_with(read_env_files(["e"]), {"B": "5", "C": ""}) == {"A": "1", "B": "5", "C": ""}


@pytest.mark.parametrize("seed", range(20))
def test_any_text_is_read_or_refused_and_no_content_is_shown(seed: int) -> None:
    chance = random.Random(seed)
    parts = ["A", "=", "'", '"', "\\", "\n", "\r\n", " ", "#", "export ", HIDDEN, "B=", "ü", "\t", "$", "${A}"]
    for _ in range(200):
        text = "".join(chance.choices(parts, k=chance.randrange(40)))
        Path("e").write_text(text, newline="")
        try:
            values = read_env_files(["e"])
        except JobFileError as error:
            # Only a name is shown, and here HIDDEN may be one, or a part of one.
            shown = [problem.message + problem.hint for problem in error.problems]
            assert not any(HIDDEN in each for each in shown), repr(text)
        else:
            assert all(value.place.line <= text.count("\n") + 1 for value in values.values()), repr(text)
