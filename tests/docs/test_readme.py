"""The README keeps its promises. Its blocks are played by test_pages."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskloom.core.report import ExitCode

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_two_commands_are_make_targets_that_run_the_quickstart_and_the_tests() -> None:
    # Without what a make around these tests passes on, such as its ARGS.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    dry = {
        target: subprocess.run(
            ["make", "-n", "--no-print-directory", target],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout
        for target in ("run", "test")
    }

    assert "`make test`" in README
    assert "$ make run" in README
    assert dry["run"].rstrip().endswith("-m taskloom run jobs/quickstart.yaml")
    assert "-m pytest" in dry["test"]


def test_its_table_has_all_exit_codes() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    assert codes == {int(code) for code in ExitCode}


def test_its_first_job_file_has_six_lines(read_blocks: Callable[[str], list[Any]]) -> None:
    first = next(block for block in read_blocks("README.md") if block.language == "yaml")

    assert len(first.text.splitlines()) == 6


def test_it_links_to_every_page_that_is_not_generated() -> None:
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")} - {"docs/index.md"}

    assert {page for page in pages if f"]({page})" not in README} == set()


def test_its_first_sentence_says_what_taskloom_does() -> None:
    title, _, sentence = README.splitlines()[:3]

    assert title == "# Taskloom"
    assert sentence.startswith("Taskloom keeps many long-running Python jobs in one process and stops every one of")


def test_its_commands_without_make_install_what_the_makefile_installs() -> None:
    assert ".venv/bin/pip install -e '.[test]'" in README
    assert '"test": ".[test]"' in (ROOT / ".ci" / "setup_venv.py").read_text(encoding="utf-8")
