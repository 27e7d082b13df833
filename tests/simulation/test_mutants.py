"""Bugs planted in the core on purpose: each must be seen by the scenarios, the tables or the state machine.

Every mutant is one exact piece of the core's text and what stands there instead: see `mutants/`. A change of the
core that makes a piece disappear fails here: plant the bug anew in the new text.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random, SystemRandom
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "framework" / "taskloom" / "core"


class Mutant(NamedTuple):
    """A bug: in which file of the core, what stood there, what stands there now."""

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
# The default share judges two, the long one so many that chance chooses; TASKLOOM_MUTANTS=all judges every one.
LONG_SHARE, CAUGHT_SHARE = 60, 0.95

# What judges a mutant, the quickest first; the first that fails has killed it.
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
# A mutant that goes round in circles is caught as well. CPU seconds: a busy machine must not catch anybody.
JUDGE_CPU_SECONDS = 60
JUDGE_BYTES = 1 << 30
JUDGE_WALL_SECONDS = 900


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_still_has_its_place(mutant: Mutant) -> None:
    text = (CORE / f"{mutant.file}.py").read_text(encoding="utf-8")

    assert text.count(mutant.old) == 1, "the core has changed here: plant this bug anew, in the new text"
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")


def test_every_file_that_decides_has_its_bugs() -> None:
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
        "stopping",
        "shutdown",
        "outcome",
        "graph",
        "transitions",
    ):
        assert planted[file] >= 5, file


@pytest.mark.timeout(JUDGE_WALL_SECONDS)
@pytest.mark.parametrize("mutant", (MUTANTS[0], MUTANTS[-1]), ids=lambda mutant: mutant.name)
def test_two_planted_bugs_are_caught_every_time(mutant: Mutant, tmp_path: Path, child_env: dict[str, str]) -> None:
    plant(mutant, tmp_path)

    assert find_killer(tmp_path, child_env) is not None, "survived everything"


@pytest.mark.long
@pytest.mark.timeout(4 * JUDGE_WALL_SECONDS)
def test_planted_bugs_are_caught(
    tmp_path: Path, child_env: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", SystemRandom().randrange(2**32)))
    is_whole = os.environ.get("TASKLOOM_MUTANTS") == "all"
    chosen = MUTANTS if is_whole else Random(seed).sample(MUTANTS, LONG_SHARE)

    def survives(mutant: Mutant) -> bool:
        root = tmp_path / str(MUTANTS.index(mutant))
        plant(mutant, root)
        try:
            return find_killer(root, child_env) is None
        finally:
            shutil.rmtree(root)

    with ThreadPoolExecutor(os.cpu_count()) as judges:
        survivors = [mutant.name for mutant, lives in zip(chosen, judges.map(survives, chosen), strict=True) if lives]

    caught = len(chosen) - len(survivors)
    record_property("told", f"planted bugs: {caught} of {len(chosen)} caught, seed {seed}, survivors {survivors}")
    assert len(survivors) <= len(chosen) * (1 - CAUGHT_SHARE)


def plant(mutant: Mutant, root: Path) -> None:
    """Copy the package and put the bug into the copy."""
    package = root / "taskloom"
    shutil.copytree(CORE.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    file = package / "core" / f"{mutant.file}.py"
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")


def find_killer(root: Path, env: dict[str, str]) -> str | None:
    """Return what caught the bug, or None."""
    program = [sys.executable, "-c", SCENARIOS, os.fspath(root)]
    pytest_ = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout=0"]
    judges = [("scenarios", program), *((name, [*pytest_, name]) for name in TESTS)]
    for name, command in judges:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env=env | {"PYTHONPATH": os.fspath(root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=JUDGE_WALL_SECONDS,
            check=False,
            preexec_fn=limit_judge,
        )
        if answer.returncode != 0:
            return name
    return None


def limit_judge() -> None:
    """Have the kernel end the judge; called in the child, before it becomes one."""
    resource.setrlimit(resource.RLIMIT_CPU, (JUDGE_CPU_SECONDS, JUDGE_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (JUDGE_BYTES, JUDGE_BYTES))


@pytest.mark.long
@pytest.mark.timeout(4 * JUDGE_WALL_SECONDS)
def test_the_core_as_it_stands_survives_every_judge(tmp_path: Path, child_env: dict[str, str]) -> None:
    """Guards the judges: one that fails on its own account would kill every mutant."""
    shutil.copytree(CORE.parent, tmp_path / "taskloom", ignore=shutil.ignore_patterns("__pycache__"))

    assert find_killer(tmp_path, child_env) is None
