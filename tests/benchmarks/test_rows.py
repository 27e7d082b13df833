"""Every benchmark runs and yields its columns. Its figures are never tested: times depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROWS = sorted(int(path.stem[3:5]) for path in BENCHMARKS.glob("row*.py"))


def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)


def test_there_is_a_file_for_each_row_that_is_due() -> None:
    assert ROWS == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19]


# These take a program's or a second's own time, however small the sample.
SLOW_ROWS = (1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19)


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.long) if row in SLOW_ROWS else row for row in ROWS]
)
def test_a_row_yields_all_its_columns(row: int, tmp_path: Path, child_env: dict[str, str]) -> None:
    out = tmp_path / "out.json"

    answer = run(str(row), "--tiny", "--rounds", "1", "--json", str(out), env=child_env)

    assert answer.returncode in (0, 1), answer.stderr  # 1: so small a sample may well miss what it has to hold
    assert f"{row}. " in answer.stdout
    [found] = json.loads(out.read_text())["rows"]
    skipped = [case["skipped"] for case in found["cases"] if "skipped" in case]
    assert [why for why in skipped if "is not installed" not in why] == []
    medians = [case["median"] for case in found["cases"] if "median" in case]
    assert {name for each in medians for name, value in each.items() if value is not None} == set(found["units"])
    # Without its peer, which is an extra of the benchmarks, a claim has no verdict; every other has one.
    missing = {case["name"] for case in found["cases"] if "skipped" in case}
    unjudged = [claim for claim in found["claims"] if claim["verdict"] is None]
    assert [claim for claim in unjudged if claim["over"] not in missing] == []


def test_a_row_that_does_not_exist_is_refused_in_a_sentence(child_env: dict[str, str]) -> None:
    answer = run("99", env=child_env)

    assert answer.returncode == 1
    assert answer.stderr == f"cannot find row 99; known: {', '.join(map(str, ROWS))}\n"
