"""Each bug planted in the protocol must be found, by some random networks or by the tables: see `planted`.

A change of the protocol that removes the text of a mutant fails here: plant the bug again in the new text.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.runners.dask.protocol.planted import Mutant, read_mutants

import taskloom

ROOT = Path(__file__).resolve().parents[4]
PACKAGE = Path(taskloom.__file__).parent / "runners" / "dask" / "protocol"
MUTANTS = read_mutants()
FOUND_SHARE = 0.95
WALL_SECONDS = 300


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.module}: {mutant.name}")
def test_a_planted_bug_still_has_its_place(mutant: Mutant) -> None:
    text = (PACKAGE / f"{mutant.module}.py").read_text(encoding="utf-8")

    assert text.count(mutant.old) == 1, "the protocol has changed here: plant this bug again in the new text"
    compile(text.replace(mutant.old, mutant.new), mutant.module, "exec")


def test_every_module_with_decisions_has_mutants() -> None:
    planted = Counter(mutant.module for mutant in MUTANTS)

    assert len(MUTANTS) >= 60
    for module in ("agent", "assignments", "entries", "journal", "link", "placement"):
        assert planted[module] >= 4, module


@pytest.mark.long
@pytest.mark.timeout(4 * WALL_SECONDS)
def test_planted_bugs_are_found(child_env: dict[str, str], record_property: Callable[[str, object], None]) -> None:
    def survives(mutant: Mutant) -> bool:
        return look_for(mutant.module, mutant.number, child_env)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        lives = list(pool.map(survives, MUTANTS))

    survivors = [f"{mutant.module}: {mutant.name}" for mutant, is_alive in zip(MUTANTS, lives, strict=True) if is_alive]
    record_property("told", f"planted bugs: {len(survivors)} of {len(MUTANTS)} survive: {survivors}")
    assert len(survivors) <= len(MUTANTS) * (1 - FOUND_SHARE)


@pytest.mark.long
@pytest.mark.timeout(WALL_SECONDS)
def test_the_unchanged_protocol_passes(child_env: dict[str, str]) -> None:
    """Checks the programs: one that always fails would seem to find every bug."""
    assert look_for("placement", -1, child_env)


def look_for(module: str, number: int, env: dict[str, str]) -> bool:
    """Return whether everything passes with this bug."""
    command = [sys.executable, "-m", "tests.runners.dask.protocol.planted", module, str(number)]
    answer = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=WALL_SECONDS, check=False)
    return answer.returncode == 0
