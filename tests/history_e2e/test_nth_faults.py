"""The first, second, third… call to the database's files fails, once or from then on, until one pass has no failure.

Whatever fails, what was acknowledged is there, the database is sound, and the program ends in time. After a failure
that is over, nothing is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.stored_history import StoredHistory

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

ROOT = Path(__file__).resolve().parents[2]
COUNT = 12
FAULTS = (
    "pwrite64:error=EIO",
    "pwrite64:error=ENOSPC",
    "fdatasync:error=EIO",
    "openat:error=EMFILE",
    "pread64:error=EIO",
    "ftruncate:error=EIO",
    "fcntl:error=ENOLCK",
)
# All numbers with the variable of test_kills.py; without it these, which grow as the calls get more alike.
SOME = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377)


def numbers() -> Iterator[int]:
    yield from range(1, 1000) if os.environ.get("TASKLOOM_KILL_CYCLES") else SOME


def run_with(
    strace: str, env: dict[str, str], place: Path, fault: str, seconds: float
) -> tuple[dict[str, Any], bool, str]:
    """Run the program with a fault; return what it says, whether a call failed, and its stderr."""
    log = place.with_suffix(".trace")
    paths = [word for end in ("", "-wal", "-shm", "-journal", ".lock") for word in ("-P", f"{place}{end}")]
    done = subprocess.run(
        [strace, "-f", "-qq", "-o", str(log), "-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}", *paths,
         sys.executable, "-m", "tests.support.recorded_program", str(place), str(COUNT), str(seconds)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    if "not permitted" in done.stderr:
        pytest.skip(f"LOUD: strace cannot trace here, so no fault is injected: {done.stderr.strip()}")
    assert done.returncode == 0, f"{fault}\n{done.stderr}"
    return json.loads(done.stdout), "INJECTED" in log.read_text(errors="replace"), done.stderr


def check_promises(stored: StoredHistory, found: dict[str, Any], fault: str) -> None:
    assert stored.problems() == [], fault
    texts = [row["reason"] for row in stored.rows("actions")]
    assert [text for text in found["acknowledged"] if texts.count(text) != 1] == [], (fault, found)


@pytest.mark.parametrize("fault", FAULTS)
def test_after_one_failure_nothing_is_missing(
    need_tool: Callable[[str], str], child_env: dict[str, str], tmp_path: Path, fault: str
) -> None:
    strace = need_tool("strace")
    for number in numbers():
        place = tmp_path / f"{number}.sqlite"

        found, has_failed, stderr = run_with(strace, child_env, place, f"{fault}:when={number}", 60)

        stored = StoredHistory(str(place))
        check_promises(stored, found, f"{fault} {number}")
        assert (found["state"], found["is_complete"], found["dropped"]) == ("on", True, 0), (fault, number, found)
        texts = sorted(row["reason"] for row in stored.rows("actions"))
        assert texts == sorted(f"action {each}" for each in range(COUNT)), (fault, number)
        assert [row["how"] for row in stored.rows("starts")] == ["ended"], (fault, number)
        assert stderr == ""
        if not has_failed:
            break


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_failure_that_stays_the_program_ends_in_time_and_keeps_its_promises(
    need_tool: Callable[[str], str], child_env: dict[str, str], tmp_path: Path, fault: str
) -> None:
    strace = need_tool("strace")
    for number in numbers():
        place = tmp_path / f"{number}.sqlite"

        found, has_failed, stderr = run_with(strace, child_env, place, f"{fault}:when={number}+", 0.5)

        check_promises(StoredHistory(str(place)), found, f"{fault} {number}+")
        assert stderr == ""
        if not has_failed:
            break
