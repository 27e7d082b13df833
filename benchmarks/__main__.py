"""Compare Taskloom with its peers and with the limits of the machine: `python benchmarks [ROW ...]`.

The exit code is 1 if a figure is over its limit. These are not tests, since times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from harness import Measured, Row, load_row, measure, row_numbers, run_case
from report import as_data, has_missed, table


def main() -> int:
    # No program that is measured writes to the user's state folder; a row about the history turns it on.
    os.environ["TASKLOOM_HISTORY"] = "off"
    options = _parser().parse_args()
    if options.case:
        print(json.dumps(run_case(load_row(options.rows[0]), options.case, options.times)))
        return 0
    results = [_show(row, options.rounds, options.times or getattr(row, options.size)) for row in _chosen(options)]
    if options.json:
        Path(options.json).write_text(json.dumps(as_data(results), indent=2) + "\n")
    missed = [str(measured.row.number) for measured in results if has_missed(measured)]
    if missed:
        print(f"rows over their limits: {', '.join(missed)}")
    return bool(missed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW", help="numbers of rows (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds; the median counts (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="also write everything that was measured to a file")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="size", action="store_const", const="quick", default="full",
                       help="about a tenth of the work, for a first impression")  # fmt: skip
    sizes.add_argument("--tiny", dest="size", action="store_const", const="tiny",
                       help="almost no work, to test the benchmarks themselves")  # fmt: skip
    sizes.add_argument("--times", type=int, metavar="N", help="the exact number of jobs, calls or seconds")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser


def _chosen(options: argparse.Namespace) -> list[Row]:
    known = row_numbers()
    for number in options.rows:
        if number not in known:
            sys.exit(f"cannot find row {number}; known: {', '.join(map(str, known))}")
    return [load_row(number) for number in options.rows or known]


def _show(row: Row, rounds: int, times: int) -> Measured:
    began, load = time.perf_counter(), os.getloadavg()[0]
    measured = measure(row, rounds, times)
    seconds = time.perf_counter() - began
    print(table(measured))
    print(f"  took {seconds:.0f} s; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after\n", flush=True)
    return measured


if __name__ == "__main__":
    sys.exit(main())
