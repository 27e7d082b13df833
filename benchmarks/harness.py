"""Measures a row: each case in a fresh process, the cases of a round one after the other, ratios within a round.

The machines are small and shared, so an absolute time means little. The ratio of two cases of the same round is
compared; the median of these ratios counts. Each case runs in a process of its own, because many libraries leave
polling threads behind that would slow down the next case.
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
# A case that takes longer is broken; the slowest case takes a tenth of this.
CASE_SECONDS = 600.0


class Role(Enum):
    """The role of a case in a comparison."""

    PRODUCT = "product"
    PEER = "peer"
    """An alternative that a user could choose."""
    LIMIT = "limit"
    """The best that the machine or the interpreter allows."""


@dataclass(frozen=True)
class Case:
    """One way to do the work of a row. `measure` takes the number of repetitions, and returns the figures."""

    name: str
    role: Role
    measure: Callable[[int], Figures]
    needs: str = ""
    """A package that only the benchmarks need; without it the case is skipped, and reported as skipped."""


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
    """One row of the benchmark table."""

    number: int
    title: str
    cases: Sequence[Case]
    figures: dict[str, str]
    """Each figure with its unit."""
    claims: Sequence[Claim | Limit]
    full: int
    """The number of repetitions; `quick` is for a first impression, `tiny` to test the benchmark itself."""
    quick: int
    tiny: int
    is_pinned: bool = False
    """Whether to use only one processor: if threads pass work to each other, a second one only adds noise."""
    most_rounds: int = 1000
    """For a row whose rounds take long: all of them are to take at most two minutes."""

    def case(self, name: str) -> Case:
        """Return the case with this name."""
        return next(case for case in self.cases if case.name == name)


@dataclass
class Measured:
    """The results of a row."""

    row: Row
    times: int
    rounds: int
    values: dict[str, list[Figures]] = field(default_factory=dict)
    """The figures of each case, one entry per round."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Cases that were not run, and why."""

    def median(self, case: str, figure: str) -> float | None:
        """Return the median of a figure of a case, or None if it was not measured."""
        values = [figures[figure] for figures in self.values.get(case, ()) if figure in figures]
        return median(values) if values else None

    def ratio(self, case: str, figure: str, over: str) -> float | None:
        """Return the median of the ratios of all rounds, or None if a case has no such figure."""
        pairs = zip(self.values.get(case, ()), self.values.get(over, ()), strict=False)
        ratios = [mine[figure] / theirs[figure] for mine, theirs in pairs if mine.get(figure) and theirs.get(figure)]
        return median(ratios) if ratios else None

    def judge(self, claim: Claim | Limit) -> float | None:
        """Return the value to compare with the claim's `hold`, or None if it was not measured."""
        if isinstance(claim, Limit):
            return self.median(claim.case, claim.figure)
        return self.ratio(claim.case, claim.figure, claim.over)


def row_numbers() -> list[int]:
    """Return the numbers of all rows that have a file in this folder."""
    return sorted(_row_files())


def load_row(number: int) -> Row:
    """Load the file of a row. Raises KeyError if there is none."""
    row: Row = import_module(_row_files()[number].stem).ROW
    return row


def _row_files() -> dict[int, Path]:
    return {int(path.stem[3:5]): path for path in HERE.glob("row[0-9][0-9]_*.py")}


def measure(row: Row, rounds: int, times: int) -> Measured:
    """Measure every case of the row, round by round."""
    rounds = min(rounds, row.most_rounds)
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
    # Every second round is reversed, so that a machine that gets busier during a round favours no case.
    return iter(cases) if turn % 2 == 0 else reversed(cases)


def _measure_once(measured: Measured, case: Case, times: int) -> None:
    command = [sys.executable, str(HERE), "--case", case.name, "--times", str(times), str(measured.row.number)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=CASE_SECONDS)
    if answer.returncode != 0:
        last = (answer.stderr.strip() or "no message").splitlines()[-1]
        measured.skipped[case.name] = f"ended with {answer.returncode}: {last}"
        return
    measured.values.setdefault(case.name, []).append(json.loads(answer.stdout.splitlines()[-1]))


def run_case(row: Row, name: str, times: int) -> Figures:
    """Measure one case in this process; called in a child process."""
    if row.is_pinned and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return row.case(name).measure(times)
