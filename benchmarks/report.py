"""Shows the measured rows: as a table for people, and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any

from harness import Claim, Limit, Measured

__all__ = ["as_data", "has_missed", "table"]


def table(measured: Measured) -> str:
    """Return a row as text: the figures of each case, then the claims."""
    row = measured.row
    pinned = "one processor, " if row.is_pinned else ""
    lines = [f"{row.number}. {row.title} ({pinned}{measured.times:,} times, median of {measured.rounds})"]
    heads = ["", "", *(f"{name} [{unit}]" for name, unit in row.figures.items())]
    body = [[case.role.value, case.name, *_cells(measured, case.name)] for case in row.cases]
    lines += _aligned([heads, *body])
    lines += [f"  {_sentence(measured, claim)}" for claim in row.claims]
    lines += [f"  skipped {name}: {why}" for name, why in measured.skipped.items()]
    return "\n".join(lines)


def _cells(measured: Measured, case: str) -> list[str]:
    values = (measured.median(case, figure) for figure in measured.row.figures)
    return ["-" if value is None else _short(value) for value in values]


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for cells in rows:
        texts = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
        yield "  " + "  ".join(texts + numbers).rstrip()


def _sentence(measured: Measured, claim: Claim | Limit) -> str:
    value = measured.judge(claim)
    over = f" over {claim.over}" if isinstance(claim, Claim) else ""
    sign = "x" if isinstance(claim, Claim) else f" {measured.row.figures[claim.figure]}"
    what = f"{claim.case}{over}, {claim.figure}"
    if value is None:
        return f"{what}: not measured"
    aim = f", aim {claim.aim:g}{sign}" if claim.aim is not None else ""
    return f"{what}: {_short(value)}{sign}, hold {claim.hold:g}{sign}{aim}: {_verdict(value, claim)}"


def _verdict(value: float, claim: Claim | Limit) -> str:
    return "ok" if value <= claim.hold else "MISSES"


def has_missed(measured: Measured) -> bool:
    """Return whether a claim of the row does not hold or was not measured."""
    values = [(measured.judge(claim), claim) for claim in measured.row.claims]
    return any(value is None or value > claim.hold for value, claim in values)


def as_data(results: list[Measured]) -> dict[str, Any]:
    """Return the rows and the machine on which they were measured, as JSON data."""
    return {
        "python": platform.python_version(),
        "machine": {"processors": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()},
        "rows": [_row_as_data(measured) for measured in results],
    }


def _row_as_data(measured: Measured) -> dict[str, Any]:
    row = measured.row
    return {
        "row": row.number,
        "title": row.title,
        "times": measured.times,
        "rounds": measured.rounds,
        "units": row.figures,
        "cases": [_case_as_data(measured, case.name, case.role.value) for case in row.cases],
        "claims": [_claim_as_data(measured, claim) for claim in row.claims],
    }


def _case_as_data(measured: Measured, name: str, role: str) -> dict[str, Any]:
    if name in measured.skipped:
        return {"name": name, "role": role, "skipped": measured.skipped[name]}
    medians = {figure: measured.median(name, figure) for figure in measured.row.figures}
    return {"name": name, "role": role, "median": medians, "rounds": measured.values.get(name, [])}


def _claim_as_data(measured: Measured, claim: Claim | Limit) -> dict[str, Any]:
    value = measured.judge(claim)
    return {
        "case": claim.case,
        "figure": claim.figure,
        "over": claim.over if isinstance(claim, Claim) else None,
        "value": value,
        "hold": claim.hold,
        "aim": claim.aim,
        "verdict": None if value is None else _verdict(value, claim),
    }
