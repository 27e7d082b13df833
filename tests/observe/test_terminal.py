"""Whether escapes may be written, and how wide a line may be."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from rich.console import Console
from tests.support.every_case import every_case

from taskloom.observe.terminal import has_styles, is_terminal, width


class Stream(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return self._is_terminal


PLAIN = [
    {"TERM": "dumb"},
    {"TERM": "DUMB"},
    {"TERM": "unknown"},
    {"TERM": ""},
    {},
    {"TERM": "xterm", "NO_COLOR": "1"},
    {"TERM": "xterm", "NO_COLOR": "0"},
    {"TERM": "xterm", "NO_COLOR": " "},
    {"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"},
    {"TERM": "xterm", "NO_COLOR": "1", "TTY_COMPATIBLE": "1"},
    {"TERM": "dumb", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "CLICOLOR_FORCE": "1"},
    {"TERM": "xterm", "TTY_COMPATIBLE": "0"},
    {"TERM": "xterm", "TTY_COMPATIBLE": "0", "FORCE_COLOR": "1"},
    {"TERM": "xterm", "FORCE_COLOR": ""},
]


@every_case("is_tty", [True, False])
@every_case("environ", PLAIN, ids=str)
def test_no_escape_is_written(environ: Mapping[str, str], is_tty: bool) -> None:
    assert not has_styles(Stream(is_terminal=is_tty), environ)


@every_case(
    ("environ", "on_a_terminal", "elsewhere"),
    [
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "linux", "NO_COLOR": ""}, True, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, True, True),
        ({"TERM": "xterm", "FORCE_COLOR": "0"}, True, True),
        ({"TERM": "xterm", "TTY_COMPATIBLE": "1"}, True, True),
        ({"TERM": "xterm", "TTY_COMPATIBLE": "1", "FORCE_COLOR": ""}, True, True),
        ({"TERM": "xterm", "TTY_COMPATIBLE": ""}, True, False),
        ({"TERM": "xterm", "CLICOLOR_FORCE": "1", "CLICOLOR": "1"}, True, False),
        ({"TERM": "xterm", "CLICOLOR": "0"}, True, False),
    ],
    ids=str,
)
def test_escapes_are_written_where_rich_writes_them(
    environ: Mapping[str, str], on_a_terminal: bool, elsewhere: bool
) -> None:
    for is_tty, expected in ((True, on_a_terminal), (False, elsewhere)):
        stream = Stream(is_terminal=is_tty)
        console = Console(file=stream, _environ=environ)
        assert has_styles(stream, environ) is expected
        assert (console.color_system is not None) is expected


def test_a_stream_that_is_missing_or_closed_is_not_a_terminal() -> None:
    closed = Stream(is_terminal=True)
    closed.close()

    assert not is_terminal(None)
    assert not is_terminal(closed)
    assert not has_styles(None, {"TERM": "xterm"})


@pytest.mark.parametrize(
    ("columns", "expected"),
    [("120", 120), ("40", 40), ("1", 40), ("9" * 11, 1000), *((odd, 80) for odd in ("0", "-1", "wide", "²", ""))],
)
def test_the_width_is_that_of_columns_within_bounds(
    monkeypatch: pytest.MonkeyPatch, columns: str, expected: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("os.get_terminal_size", lambda _: (_ for _ in ()).throw(OSError))

    assert width() == expected


@every_case("environ", [*PLAIN, {"TERM": "xterm", "FORCE_COLOR": "1"}], ids=str)
@every_case("is_tty", [True, False])
def test_an_explicit_choice_comes_before_all_variables(environ: Mapping[str, str], is_tty: bool) -> None:
    assert has_styles(Stream(is_terminal=is_tty), environ, choice="always")
    assert not has_styles(Stream(is_terminal=is_tty), environ, choice="never")
    assert has_styles(Stream(is_terminal=is_tty), environ, choice="auto") == has_styles(
        Stream(is_terminal=is_tty), environ
    )
