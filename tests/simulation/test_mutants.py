"""Mutation tests: each bug planted in the core must be found by the scenarios, the core's tests or the state machine.

A mutant replaces one exact piece of the core's text: see `mutants/`. A change of the core that removes such a piece
fails here: plant the bug again in the new text.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple

import pytest
import yaml
from tests.support.bug_sample import evaluate

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "framework" / "taskloom" / "core"


class Mutant(NamedTuple):
    """A planted bug: the module of the core, the original text and its replacement."""

    name: str
    file: str
    old: str
    new: str


def read_mutants() -> list[Mutant]:
    return [
        Mutant(bug["name"], file.stem, bug["old"], bug["new"])
        for file in sorted((Path(__file__).parent / "mutants").glob("*.yaml"))
        for bug in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]


MUTANTS = read_mutants()
# By default two mutants run; the long test runs a random sample, or every one with TASKLOOM_MUTANTS=all.
QUICKLY_FOUND = (MUTANTS[0], next(each for each in reversed(MUTANTS) if each.file == "wall_clock"))

# A mutant is tested by these programs, the fastest first; the first that fails has found it.
SCENARIOS = """
import sys, taskloom
from taskloom.testing import check, explain
from tests.support.random_scenario import Scenario
assert taskloom.__file__.startswith(sys.argv[1]), taskloom.__file__
for seed in range(150):
    scenario = Scenario.draw(seed, jobs=10, hours=0.1)
    history = scenario.run()
    violations = check(history, lateness=scenario.lateness)
    if violations:
        sys.exit(explain(history, violations, steps=3))
"""
TESTS = ("tests/core", "tests/simulation/test_machine.py")
# A mutant that loops for ever is found too. The limit is in CPU seconds, so that a busy machine fails no mutant.
TEST_CPU_SECONDS = 60
TEST_BYTES = 1 << 30
TEST_WALL_SECONDS = 900


@pytest.mark.parametrize("file", sorted({mutant.file for mutant in MUTANTS}))
def test_each_planted_bug_of_a_module_still_has_its_place(file: str) -> None:
    text = (CORE / f"{file}.py").read_text(encoding="utf-8")
    planted = [mutant for mutant in MUTANTS if mutant.file == file]

    lost = [mutant.name for mutant in planted if text.count(mutant.old) != 1]
    assert lost == [], "the core has changed here: plant these bugs again in the new text"
    for mutant in planted:
        compile(text.replace(mutant.old, mutant.new), mutant.name, "exec")


def test_every_module_with_decisions_has_mutants() -> None:
    planted = Counter(mutant.file for mutant in MUTANTS)

    assert len(MUTANTS) >= 200
    for file in (
        "restart",
        "starting",
        "after_run",
        "scheduling",
        "dependencies",
        "reload",
        "lifecycle",
        "holding",
        "stopping",
        "shutdown",
        "outcome",
        "graph",
        "transitions",
        "wall_clock",
    ):
        assert planted[file] >= 5, file


@pytest.mark.timeout(TEST_WALL_SECONDS)
@pytest.mark.parametrize("mutant", QUICKLY_FOUND, ids=lambda mutant: mutant.name)
def test_two_planted_bugs_are_found_every_time(mutant: Mutant, tmp_path: Path, child_env: dict[str, str]) -> None:
    plant(mutant, tmp_path)

    assert find_failing_program(tmp_path, child_env) is not None, "no program found it"


@pytest.mark.long
@pytest.mark.timeout(4 * TEST_WALL_SECONDS)
def test_planted_bugs_are_found(
    tmp_path: Path, child_env: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", SystemRandom().randrange(2**32)))
    is_all = os.environ.get("TASKLOOM_MUTANTS") == "all"

    def survives(mutant: Mutant) -> bool:
        root = tmp_path / str(MUTANTS.index(mutant))
        plant(mutant, root)
        try:
            return find_failing_program(root, child_env) is None
        finally:
            shutil.rmtree(root)

    judged = evaluate(MUTANTS, survives, seed, is_all=is_all)

    survivors = [mutant.name for mutant in judged.survivors]
    found = judged.tried - len(survivors)
    record_property("told", f"planted bugs: {found} of {judged.tried} found, seed {seed}, survivors {survivors}")
    assert judged.is_enough


def plant(mutant: Mutant, root: Path) -> None:
    """Copy the package and plant the bug in the copy."""
    package = root / "taskloom"
    shutil.copytree(CORE.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    file = package / "core" / f"{mutant.file}.py"
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")


def find_failing_program(root: Path, env: dict[str, str]) -> str | None:
    """Return the name of the program that found the bug, or None."""
    program = [sys.executable, "-c", SCENARIOS, os.fspath(root)]
    pytest_ = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout=0"]
    programs = [("scenarios", program), *((name, [*pytest_, name]) for name in TESTS)]
    for name, command in programs:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env=env | {"PYTHONPATH": os.fspath(root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=TEST_WALL_SECONDS,
            check=False,
            preexec_fn=limit_resources,
        )
        if answer.returncode != 0:
            return name
    return None


def limit_resources() -> None:
    """Set limits of CPU time and memory; called in the child before it runs the program."""
    resource.setrlimit(resource.RLIMIT_CPU, (TEST_CPU_SECONDS, TEST_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (TEST_BYTES, TEST_BYTES))


@pytest.mark.long
@pytest.mark.timeout(4 * TEST_WALL_SECONDS)
def test_the_unchanged_core_passes_every_program(tmp_path: Path, child_env: dict[str, str]) -> None:
    """Checks the programs: one that always fails would seem to find every mutant."""
    shutil.copytree(CORE.parent, tmp_path / "taskloom", ignore=shutil.ignore_patterns("__pycache__"))

    assert find_failing_program(tmp_path, child_env) is None
