"""The pages that show two terminals are played in two terminals.

A console block that begins with `# in one terminal` starts a program that goes on. Once it has shown the lines of the
block, the commands of the blocks that begin with `# in another terminal` are typed one after the other, and the last
one ends the program. Whatever differs from run to run is not compared: numbers, the widths of columns, and the places
where lines are broken.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_control import short_folder
from tests.support.terminals import Terminal

pytestmark = pytest.mark.long

FIRST, SECOND = "# in one terminal", "# in another terminal"
INTERRUPTED = 130
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def flat(text: str) -> str:
    """Return the text on one line, with single blanks, and with N for each number, also in 12:04:07 and 4.2s."""
    text = re.sub(r"\bby \S+ \(uid", "by NAME (uid", text)
    text = re.sub(r"\b\d[\d.,:]*(?:m?s|m\d+s)?(?![\w#])|\b\d[\d.,:]*\b", "N", ESCAPES.sub("", text))
    # If a run was ready, or had ended, before the verb could wait for that, no time is shown.
    text = re.sub(r"\b(ready|stopped) after N s\b", r"\1", text)
    return " ".join(re.sub(r"[─-]{3,}", "---", text).split())


def pattern(expected: str) -> str:
    """Return the glob pattern of what a page shows; `...` on a line of its own matches any lines."""
    parts = re.split(r"^\.\.\.$", expected, flags=re.MULTILINE)
    return "*".join(re.sub(r"([*?[])", r"[\1]", flat(part)) for part in parts)


def commands(blocks: list[Any], head: str) -> Iterator[tuple[str, str]]:
    """Yield each command of the blocks with this first line, and what the page shows below it."""
    for block in blocks:
        if block.language == "console" and block.text.startswith(f"{head}\n"):
            for part in block.text.removeprefix(f"{head}\n").split("$ ")[1:]:
                command, _, shown = part.partition("\n")
                yield command.partition("  #")[0].strip(), shown


def play(command: str, expected: str, start: Callable[[str], Terminal]) -> None:
    """Type a command, wait for its end, and compare; press Ctrl-C where the page does."""
    before, is_interrupted, after = expected.partition("^C\n")
    terminal = start(command)
    try:
        if is_interrupted:
            wanted = f"{pattern(before)}*"
            assert terminal.read_until(lambda text: fnmatch.fnmatchcase(flat(text), wanted)), (command, terminal.text)
            terminal.press_ctrl_c()
        shown, code = terminal.wait()
    finally:
        terminal.close()
    assert code == 0 or (is_interrupted and code == INTERRUPTED), (command, code, shown)
    wanted = f"{pattern(before)}*" if is_interrupted else pattern(before + after)
    assert fnmatch.fnmatchcase(flat(shown), wanted), f"$ {command}\n--- the page\n{wanted}\n--- shown\n{flat(shown)}"


@pytest.mark.parametrize("page", ["README.md"])
def test_a_program_is_watched_and_steered_from_a_second_terminal(
    page: str, player: Any, read_blocks: Callable[[str], list[Any]]
) -> None:
    blocks = read_blocks(page)
    [(first, begun)] = commands(blocks, FIRST)
    typed = list(commands(blocks, SECOND))

    with short_folder() as folder:
        env = player.env | {"TASKLOOM_SOCKET": str(folder / "service.sock"), "TERM": "xterm"}

        def start(command: str) -> Terminal:
            return Terminal(command, env, Path(player.folder))

        program = start(first)
        try:
            lines = [flat(line) for line in begun.splitlines() if line.strip() not in ("", "...")]
            wanted = Counter(lines).items()
            has_begun = program.read_until(lambda text: all(flat(text).count(line) >= count for line, count in wanted))
            assert has_begun, program.text
            for command, expected in typed:
                play(command, expected, start)
            code = program.wait().code
        finally:
            program.close()

    assert {command.split()[1] for command, _ in typed} >= {
        "status", "logs", "why", "stop", "start", "pause", "next", "shutdown",
    }  # fmt: skip
    assert code == 0
    assert "Traceback" not in program.text
