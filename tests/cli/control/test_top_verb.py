"""`taskloom top` where it cannot draw: words and an exit code, and never a half-drawn screen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.terminals import on_a_terminal

from taskloom.cli.control.top import has_symbols

COMMAND = [sys.executable, "-m", "taskloom", "top"]
WITHOUT = "import sys; sys.modules['textual'] = None; from taskloom.cli import main; main(['top'])"


def test_without_a_terminal_it_says_so_and_what_else_there_is(child_env: dict[str, str]) -> None:
    found = subprocess.run(
        COMMAND, env=child_env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )

    assert found.returncode == 2
    assert "standard input is not a terminal; taskloom status --watch prints lines" in " ".join(found.stderr.split())
    assert found.stdout == ""


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_draw_is_refused(term: str, child_env: dict[str, str], tmp_path: Path) -> None:
    found = on_a_terminal(COMMAND, child_env | {"TERM": term}, tmp_path)

    assert found.code == 2
    assert f"the terminal (TERM='{term}') cannot draw" in " ".join(found.text.split())
    assert "\x1b" not in found.text


@pytest.mark.parametrize(
    ("encoding", "term", "expected"),
    [("utf-8", "xterm", True), ("UTF8", "tmux-256color", True), ("latin-1", "xterm", False), ("utf-8", "linux", False)],
)
def test_a_terminal_without_the_symbols_gets_ascii(encoding: str, term: str, expected: bool) -> None:
    assert has_symbols(encoding, term) is expected


def test_a_program_shows_no_screen_itself_and_says_what_does(child_env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "taskloom", "run", "--tui", "jobs.yaml"]
    found = subprocess.run(command, env=child_env, capture_output=True, text=True, timeout=60, check=False)

    assert found.returncode == 2
    assert "taskloom top shows it from another terminal" in " ".join(found.stderr.split())


def test_a_missing_extra_is_said_with_the_line_that_installs_it(child_env: dict[str, str]) -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT], env=child_env, capture_output=True, text=True, timeout=60, check=False
    )

    assert found.returncode == 2
    assert "textual is not installed; pip install 'taskloom[tui]'" in " ".join(found.stderr.split())


def test_without_a_program_it_ends_before_anything_is_drawn(child_env: dict[str, str], tmp_path: Path) -> None:
    # A name, since a program of the user may run on this machine.
    found = on_a_terminal([*COMMAND, "--name", "no-program-of-a-test"], child_env | {"TERM": "xterm"}, tmp_path)

    assert found.code == 4
    assert "cannot find a running program" in " ".join(found.text.split())
    assert "\x1b[?1049h" not in found.text
