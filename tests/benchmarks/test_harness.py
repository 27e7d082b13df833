"""The arithmetic of the benchmarks, on figures that are made up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = ("harness", "report")


@pytest.fixture
def modules() -> Iterator[dict[str, ModuleType]]:
    """The benchmarks' own modules, as `python benchmarks` finds them."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield {name: import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture
def measured(modules: dict[str, ModuleType]) -> Any:
    """Three rounds of two cases, the second of them three times noisier in the last."""
    harness = modules["harness"]
    row = harness.Row(
        number=1,
        title="something",
        cases=[
            harness.Case("ours", harness.Role.PRODUCT, lambda times: {"us": 1.0}),
            harness.Case("theirs", harness.Role.PEER, lambda times: {"us": 1.0}, needs="nothing_of_this_name"),
        ],
        figures={"us": "us each"},
        claims=[harness.Claim("ours", "us", "theirs", hold=1.5, aim=1.0), harness.Limit("ours", "us", hold=10.0)],
        full=100,
        quick=10,
        tiny=1,
    )
    return harness.Measured(
        row,
        times=100,
        rounds=3,
        values={
            "ours": [{"us": 10.0}, {"us": 12.0}, {"us": 60.0}],
            "theirs": [{"us": 10.0}, {"us": 10.0}, {"us": 30.0}],
        },
    )


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_the_medians(measured: Any) -> None:
    assert measured.ratio("ours", "us", "theirs") == pytest.approx(1.2)
    assert measured.median("ours", "us") == 12.0


def test_a_claim_that_holds_says_ok_and_one_that_does_not_says_misses(
    measured: Any, modules: dict[str, ModuleType]
) -> None:
    lines = modules["report"].table(measured).splitlines()

    assert lines[0] == "1. something (100 times, median of 3)"
    assert lines[-2:] == [
        "  ours over theirs, us: 1.2x, hold 1.5x, aim 1x: ok",
        "  ours, us: 12 us each, hold 10 us each: MISSES",
    ]
    assert modules["report"].has_missed(measured)


def test_a_claim_over_a_case_that_was_not_measured_counts_as_missed(
    measured: Any, modules: dict[str, ModuleType]
) -> None:
    measured.values["theirs"] = []
    measured.values["ours"] = [{"us": 5.0}]

    assert "  ours over theirs, us: not measured" in modules["report"].table(measured).splitlines()
    assert modules["report"].has_missed(measured)


def test_a_peer_that_is_not_installed_is_skipped_and_reported(measured: Any, modules: dict[str, ModuleType]) -> None:
    found = modules["harness"].measure(measured.row, rounds=0, times=1)
    table = modules["report"].table(found)

    assert found.skipped == {"theirs": "nothing_of_this_name is not installed (pip install -e '.[bench]')"}
    assert table.endswith("  skipped theirs: nothing_of_this_name is not installed (pip install -e '.[bench]')")


def test_the_json_has_every_round(measured: Any, modules: dict[str, ModuleType]) -> None:
    [row] = modules["report"].as_data([measured])["rows"]

    assert row["cases"][0]["rounds"] == [{"us": 10.0}, {"us": 12.0}, {"us": 60.0}]
    assert row["claims"][0]["value"] == pytest.approx(1.2)
    assert [claim["verdict"] for claim in row["claims"]] == ["ok", "MISSES"]
