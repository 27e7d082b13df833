"""A file is one noun: about 250 lines, and never more than 400."""

from __future__ import annotations

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
def test_no_file_is_longer_than_400_lines(folder: str) -> None:
    assert too_long(ROOT / folder) == []


def test_a_file_that_is_too_long_is_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("pass\n" * 401)
    (tmp_path / "fits.py").write_text("pass\n" * 400)

    assert too_long(tmp_path) == ["long.py: 401 lines"]
