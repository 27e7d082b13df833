"""A file is one noun: about 250 lines. A longer one is named at the end of the tests, for people to judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 400


def too_long(folder: Path) -> list[str]:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in folder.rglob("*.py")}
    return [
        f"{file.relative_to(folder)}: {length} lines" for file, length in sorted(lengths.items()) if length > LONGEST
    ]


@pytest.mark.parametrize("folder", ["framework", "plugins", "tests", "benchmarks", ".ci"])
def test_a_file_of_more_than_400_lines_is_named(folder: str, record_property: Callable[[str, object], None]) -> None:
    """A warning, not a failure: files are split by idea, never to satisfy a number."""
    for file in too_long(ROOT / folder):
        record_property("told", f"more than {LONGEST} lines, one idea or two? {folder}/{file}")


def test_a_file_that_is_too_long_is_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("pass\n" * 401)
    (tmp_path / "fits.py").write_text("pass\n" * 400)

    assert too_long(tmp_path) == ["long.py: 401 lines"]
