"""Reads the pages and plays their blocks, from the first to the last, as a reader would type them.

The language of a fenced block decides what is done with it:
- `console`: a shell runs each `$ command` in the page's folder, and its output is compared with the lines below the
  command. `...` matches any lines. `^C` presses Ctrl-C once the lines above it have been printed.
- `yaml`: a job file, its jobs or the fields of one job. It has to be valid, unless it has a file name.
- `python`: a program. It has to end with exit code 0.
- A block whose first line is a comment with a file name (`# launch.yaml`) is written to that file instead.
- A console block that begins with `# in one terminal` or `# in another terminal` is played by test_two_terminals.
- Blocks in any other language are not played.

Times, durations, names chosen by the kernel and the width of columns are not compared. The output of `taskloom run`
comes from several threads, so its lines are compared in any order.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from taskloom.jobfile.loader import check
from taskloom.jobfile.render import render_all

ROOT = Path(__file__).resolve().parents[2]

# The steps of `pip install -e FOLDER` without access to a package index, in a third of the time.
_INSTALL = """
import contextlib, os, sys, tempfile, zipfile
from pathlib import Path
from setuptools import build_meta
packages, wheels = sys.argv[1], tempfile.mkdtemp()
assert sys.argv[2:4] == ['install', '-e'], sys.argv
os.chdir(sys.argv[4])
with open(os.devnull, 'w') as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
    wheel = build_meta.build_editable(wheels)
zipfile.ZipFile(Path(wheels, wheel)).extractall(packages)
"""

# Reached only when a test fails.
COMMAND_SECONDS = 60.0

_FILE_NAME = re.compile(r"# ([\w./-]+\.(?:yaml|py|toml|cfg))")
_FENCE = re.compile(r"(?P<ticks>`{3,})(?P<language>[\w{}-]*)\s*")
# Parts of the output that differ from run to run. They are replaced in this order.
_VARIABLE = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    # The pages show the log as on a terminal; here it goes into a pipe.
    (re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d(?= [A-Z])", re.MULTILINE), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?"), "TIMESTAMP"),
    (re.compile(r"\d\d:\d\d:\d\d([.,]\d+)?"), "TIME"),
    (re.compile(r"\d+(\.\d+)? ?m?s\b"), "SECONDS"),
    (re.compile(r"://@[0-9a-f]+"), "://@NAME"),  # the kernel's choice
    (re.compile(r"\b(?=[a-f]*[0-9])[0-9a-f]{8}\b"), "START"),  # the id of a start of the program
    (re.compile(r"-{3,}|─{3,}"), "---"),
    (re.compile(r"[ \t]+"), " "),
)
# A line that is printed only if a job is still stopping when the program asks for the states of all jobs. It may be
# printed although the page does not show it. A page that shows it has to be right.
_OPTIONAL = re.compile(r"TIME INFO taskloom (stopping all jobs: .*; )?waiting for ")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def file_name(self) -> str | None:
        """The file that the block is written to, or None if its first line names no file."""
        found = _FILE_NAME.fullmatch(self.text.partition("\n")[0].strip())
        return found[1] if found else None


class Command(NamedTuple):
    """One command of a console block and the output that the page shows."""

    text: str
    expected: list[str]

    @property
    def is_unordered(self) -> bool:
        """Whether several threads write the output, so that the order of its lines is not fixed."""
        return "taskloom run" in self.text or self.text.startswith("make run")


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page, which is given by its path in the project."""
    found: list[Block] = []
    open_fence, language, start = "", "", 0
    lines: list[str] = []
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.fullmatch(line.strip())
        if not open_fence and fence:
            open_fence, language, start, lines = fence["ticks"], fence["language"], number + 1, []
        elif open_fence and line.strip() == open_fence:
            found.append(Block(page, start, language, "\n".join(lines)))
            open_fence = ""
        elif open_fence:
            lines.append(line)
    assert not open_fence, f"{page}: the block at line {start} is not closed"
    return found


def commands_of(block: Block) -> list[Command]:
    """Return the commands of a console block."""
    commands: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:].partition("  #")[0].rstrip(), []))
        else:
            assert commands, f"{block.page}:{block.line}: a console block begins with a command"
            commands[-1].expected.append(line)
    return commands


def normalized(text: str) -> list[str]:
    """Return the lines that are not empty, with a fixed word for each part that differs from run to run."""
    for pattern, replacement in _VARIABLE:
        text = pattern.sub(replacement, text)
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line]


def without_optional(lines: list[str], expected: list[str]) -> list[str]:
    """Return the printed lines without the optional ones that the page does not show."""
    return [line for line in lines if line in expected or not _OPTIONAL.match(line)]


def same_lines(expected: list[str], got: list[str], *, is_unordered: bool = False) -> bool:
    """Return whether the output is as expected; the expected line `...` matches any lines."""
    if is_unordered:
        fixed = sorted(line for line in expected if line != "...")
        if "..." in expected:
            return all(got.count(line) >= fixed.count(line) for line in fixed)
        return fixed == sorted(got)
    # One glob pattern for the whole output. Only `...` is a wildcard; other special characters are escaped.
    pattern = "\n".join("*" if line == "..." else re.sub(r"([*?[])", r"[\1]", line) for line in expected)
    return fnmatch.fnmatchcase("\n".join(got), pattern)


class Player:
    """Plays the blocks of one page in a folder of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env

    def play(self, block: Block) -> None:
        """Play the block as its language demands. Raises AssertionError if the page is wrong."""
        name = block.file_name
        if name is not None:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + "\n", encoding="utf-8")
        elif block.language == "console" and not block.text.startswith(
            ("# in one terminal\n", "# in another terminal\n")
        ):
            for command in commands_of(block):
                self._run(command, f"{block.page}:{block.line}")
        elif block.language == "python":
            self._run(Command("python - 2>&1 <<'END'\n" + block.text + "\nEND", ["..."]), f"{block.page}:{block.line}")
        elif block.language == "yaml":
            self._check(block)

    def _run(self, command: Command, place: str) -> None:
        before, interrupt, after = _parted(command.expected)
        program = subprocess.Popen(
            # Like an interactive shell, this one survives Ctrl-C and goes on with the next command.
            ["sh", "-c", f"trap : INT\n{command.text}"],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if interrupt:
                output = _read_until(program, normalized("\n".join(before)))
                os.killpg(program.pid, signal.SIGINT)
            else:
                output = ""
            output += program.communicate(timeout=COMMAND_SECONDS)[0].decode()
            output = output.replace(str(self.folder), "/home/you")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        wanted = normalized("\n".join(before + after))
        got = without_optional(normalized(output), wanted)
        assert same_lines(wanted, got, is_unordered=command.is_unordered), (
            f"{place}: {command.text}\n--- the page says\n" + "\n".join(wanted) + f"\n--- it printed\n{output}"
        )
        is_python = command.text.startswith("python -")
        assert program.returncode == 0 or not is_python, f"{place}: exit code {program.returncode}\n{output}"

    def _check(self, block: Block) -> None:
        text = block.text
        if not re.search(r"^(jobs|defaults):", text, re.MULTILINE):
            # The fields of one job, possibly without `task`.
            head = "" if re.search(r"^task:", text, re.MULTILINE) else "    task: countdown\n"
            text = "jobs:\n  example:\n" + head + "".join(f"    {line}\n" for line in text.splitlines())
        path = self.folder / "example.yaml"
        path.write_text(text + "\n", encoding="utf-8")
        result = check(path, environ={"HOME": str(self.folder)})
        assert not result.errors, f"{block.page}:{block.line}\n{render_all(result.errors)}"


def _parted(expected: list[str]) -> tuple[list[str], bool, list[str]]:
    """Return the lines before the Ctrl-C, whether there is a Ctrl-C, and the lines after it."""
    if "^C" not in expected:
        return expected, False, []
    at = expected.index("^C")
    return expected[:at], True, expected[at + 1 :]


def _read_until(program: subprocess.Popen[bytes], awaited: list[str]) -> str:
    """Read the output until it has every awaited line, and return it."""
    assert program.stdout is not None
    output = b""
    while not all(line in normalized(output.decode(errors="replace")) for line in awaited if line != "..."):
        readable, _, _ = select.select([program.stdout], [], [], COMMAND_SECONDS)
        chunk = os.read(program.stdout.fileno(), 65536) if readable else b""
        assert chunk, f"expected these lines: {awaited}; the output is\n{output.decode()}"
        output += chunk
    return output.decode()


@pytest.fixture(scope="session")
def empty_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without pip that borrows the packages of this one; made once, and copied for each page."""
    venv = tmp_path_factory.mktemp("empty") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [packages] = venv.glob("lib/python*/site-packages")
    borrowed = [sysconfig.get_path("purelib"), str(ROOT / "framework"), str(ROOT / "plugins")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    return venv


@pytest.fixture
def readers_programs(tmp_path_factory: pytest.TempPathFactory, empty_venv: Path) -> Path:
    """A folder with `taskloom`, `python`, `pip` and `make` as a reader has them after `make run`.

    They use a virtual environment of their own, so that a page can install packages.
    """
    place = tmp_path_factory.mktemp("reader")
    shutil.copytree(empty_venv, place / ".venv", symlinks=True)
    python = place / ".venv" / "bin" / "python"
    [packages] = (place / ".venv").glob("lib/python*/site-packages")
    programs = place / "bin"
    programs.mkdir()
    run = f'"{python}" -m taskloom run'
    for name, line in {
        "python": f'exec "{python}" "$@"',
        "taskloom": f'exec "{python}" -P -m taskloom "$@"',
        "pip": f'exec "{sys.executable}" -c "{_INSTALL}" "{packages}" "$@"',
        "make": f'[ "$1" = run ] && jobs=${{2:-jobs/quickstart.yaml}} && exec {run} "${{jobs#JOBS=}}"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    return programs


@pytest.fixture
def player(tmp_path: Path, readers_programs: Path, child_env: dict[str, str]) -> Player:
    """A player in a folder that holds the example job files, as a checkout does."""
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    env = child_env | {"PATH": f"{readers_programs}:{os.environ['PATH']}"}
    # A reader has pytest without the plugins of our own tests, which take half of its start.
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # As for a reader: the programs have their history, in the state folder of the test.
    env["TASKLOOM_HISTORY"] = ""
    return Player(tmp_path, env)


@pytest.fixture
def read_blocks() -> Callable[[str], list[Block]]:
    """The function that returns the blocks of a page, which is given by its path in the project."""
    return blocks_of


@pytest.fixture
def same() -> Callable[..., bool]:
    """The function that compares expected and printed lines."""
    return same_lines


@pytest.fixture
def without() -> Callable[..., list[str]]:
    """The function that removes the optional lines that a page does not show."""
    return without_optional
