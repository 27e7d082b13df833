"""Each bug planted in the protocol must be found, by some random networks or by the tables: see `planted`.

A change of the protocol that removes the text of a mutant fails here: plant the bug again in the new text.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

import pytest
from tests.runners.dask.protocol.planted import Mutant, read_mutants
from tests.support.bug_sample import evaluate

import taskloom

ROOT = Path(__file__).resolve().parents[4]
PACKAGE = Path(taskloom.__file__).parent / "runners" / "dask" / "protocol"
MUTANTS = read_mutants()
# The long test runs a random sample, or every one with TASKLOOM_MUTANTS=all.
# Reached only on a machine that is busy beyond measure: a mutant that loops for ever is ended by its CPU time.
WALL_SECONDS = 900


@pytest.mark.parametrize("module", sorted({mutant.module for mutant in MUTANTS}))
def test_each_planted_bug_of_a_module_still_has_its_place(module: str) -> None:
    text = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    planted = [mutant for mutant in MUTANTS if mutant.module == module]

    lost = [mutant.name for mutant in planted if text.count(mutant.old) != 1]
    assert lost == [], "the protocol has changed here: plant these bugs again in the new text"
    for mutant in planted:
        compile(text.replace(mutant.old, mutant.new), mutant.name, "exec")


def test_every_module_with_decisions_has_mutants() -> None:
    planted = Counter(mutant.module for mutant in MUTANTS)

    assert len(MUTANTS) >= 60
    for module in ("agent", "assignments", "entries", "journal", "link", "placement"):
        assert planted[module] >= 4, module


@pytest.mark.long
@pytest.mark.timeout(4 * WALL_SECONDS)
def test_planted_bugs_are_found(child_env: dict[str, str], record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", SystemRandom().randrange(2**32)))
    is_all = os.environ.get("TASKLOOM_MUTANTS") == "all"

    def survives(mutant: Mutant) -> bool:
        return look_for(mutant.module, mutant.number, child_env)

    judged = evaluate(MUTANTS, survives, seed, is_all=is_all)

    survivors = [f"{mutant.module}: {mutant.name}" for mutant in judged.survivors]
    found = judged.tried - len(survivors)
    record_property("told", f"planted bugs: {found} of {judged.tried} found, seed {seed}, survivors {survivors}")
    assert judged.is_enough


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
