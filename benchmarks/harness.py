"""How a row is measured: each case in a fresh process, the cases of a round side by side, ratios taken per round.

Machines are small and shared, so a time says little by itself. What is compared is the ratio of two cases of the
same round; of those ratios the median counts. A case runs in a process of its own, because many libraries leave
polling threads behind that would tax the next one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median

__all__ = [
    "Case",
    "Claim",
    "Figures",
    "Limit",
    "Measured",
    "Role",
    "Row",
    "load_row",
    "measure",
    "row_numbers",
    "run_case",
]

Figures = dict[str, float]

HERE = Path(__file__).resolve().parent
# A case that takes longer than this is broken; the slowest takes a tenth of it.
CASE_SECONDS = 600.0


class Role(Enum):
    """What a case is to the product."""

    PRODUCT = "product"
    PEER = "peer"
    """What a user would pick instead."""
    LIMIT = "limit"
    """What the machine or the interpreter allows."""


@dataclass(frozen=True)
class Case:
    """One way to do the row's work. `measure` is given how many times, and returns the figures."""

    name: str
    role: Role
    measure: Callable[[int], Figures]
    needs: str = ""
    """A package that only the benchmarks want; without it the case is skipped, and that is said."""


@dataclass(frozen=True)
class Claim:
    """A case's figure is at most `hold` times that of the case `over` (of the same round)."""

    case: str
    figure: str
    over: str
    hold: float
    aim: float | None = None


@dataclass(frozen=True)
class Limit:
    """A case's figure is at most `hold`, in the figure's own unit."""

    case: str
    figure: str
    hold: float
    aim: float | None = None


@dataclass(frozen=True)
class Row:
    """One row of the table of speeds."""

    number: int
    title: str
    cases: Sequence[Case]
    figures: dict[str, str]
    """Each figure with its unit."""
    claims: Sequence[Claim | Limit]
    full: int
    """How many times; `quick` and `tiny` are for a look, and for a test of the benchmark itself."""
    quick: int
    tiny: int
    is_pinned: bool = False
    """Whether all runs on one processor: where work is handed between threads, two of them only add noise."""

    def case(self, name: str) -> Case:
        """Return a case by its name."""
        return next(case for case in self.cases if case.name == name)


@dataclass
class Measured:
    """What came out of a row."""

    row: Row
    times: int
    rounds: int
    values: dict[str, list[Figures]] = field(default_factory=dict)
    """The figures of each case, a round each."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Cases that were not run, and why."""

    def median(self, case: str, figure: str) -> float | None:
        """Return the median of a case's figure, or None where it has none."""
        values = [figures[figure] for figures in self.values.get(case, ()) if figure in figures]
        return median(values) if values else None

    def ratio(self, case: str, figure: str, over: str) -> float | None:
        """Return the median of the rounds' ratios, or None where either case has no such figure."""
        pairs = zip(self.values.get(case, ()), self.values.get(over, ()), strict=False)
        ratios = [mine[figure] / theirs[figure] for mine, theirs in pairs if mine.get(figure) and theirs.get(figure)]
        return median(ratios) if ratios else None

    def judge(self, claim: Claim | Limit) -> float | None:
        """Return what is held against the claim's `hold`, or None where it was not measured."""
        if isinstance(claim, Limit):
            return self.median(claim.case, claim.figure)
        return self.ratio(claim.case, claim.figure, claim.over)


def row_numbers() -> list[int]:
    """Return the numbers of the rows that have a file beside this one."""
    return sorted(_row_files())


def load_row(number: int) -> Row:
    """Load the file of a row. Raises KeyError where there is none."""
    row: Row = import_module(_row_files()[number].stem).ROW
    return row


def _row_files() -> dict[int, Path]:
    return {int(path.stem[3:5]): path for path in HERE.glob("row[0-9][0-9]_*.py")}


def measure(row: Row, rounds: int, times: int) -> Measured:
    """Measure every case of the row, round by round."""
    measured = Measured(row, times, rounds)
    for case in row.cases:
        if case.needs and find_spec(case.needs) is None:
            measured.skipped[case.name] = f"{case.needs} is not installed (pip install -e '.[bench]')"
    for turn in range(rounds):
        for case in _in_turn(row.cases, turn):
            if case.name not in measured.skipped:
                _measure_once(measured, case, times)
    return measured


def _in_turn(cases: Sequence[Case], turn: int) -> Iterator[Case]:
    # Every other round backwards: a machine that gets busier during a round favours no case.
    return iter(cases) if turn % 2 == 0 else reversed(cases)


def _measure_once(measured: Measured, case: Case, times: int) -> None:
    command = [sys.executable, str(HERE), "--case", case.name, "--times", str(times), str(measured.row.number)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=CASE_SECONDS)
    if answer.returncode != 0:
        last = (answer.stderr.strip() or "no word").splitlines()[-1]
        measured.skipped[case.name] = f"ended with {answer.returncode}: {last}"
        return
    measured.values.setdefault(case.name, []).append(json.loads(answer.stdout.splitlines()[-1]))


def run_case(row: Row, name: str, times: int) -> Figures:
    """Measure one case here and now; what a child process does."""
    if row.is_pinned and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return row.case(name).measure(times)
