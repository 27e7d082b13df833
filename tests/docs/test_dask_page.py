"""The page about Dask: its numbers are those of the code, and its table follows from the constants above it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskloom.jobfile.fields.runner import RUNNER
from taskloom.runners.dask import attachment
from taskloom.runners.dask.extra import RELEASE
from taskloom.runners.dask.options import LOCAL_SLOTS, WAIT_SECONDS, DaskOptions
from taskloom.runners.dask.protocol import agent, assignments, placement
from taskloom.runners.dask.protocol.messages import Lease
from taskloom.text import duration

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dask.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())
LEASE = Lease()
ROW = re.compile(
    r"^\| ([\d,]+) \| (\d+) s \| (\d+) \| ([\d.]+) % \| ([\d,]+)(?: \(measured\))? \| ([\d,]+) \| (.+) \|$",
    re.MULTILINE,
)


def number(pattern: str) -> float:
    """Return the one number that the page has at this place."""
    [found] = set(re.findall(pattern, FLAT))
    return float(found.replace(",", ""))


ROWS = [tuple(float(cell.replace(",", "")) for cell in row[:-1]) for row in ROW.findall(PAGE)]
MEMORY = [row[-1] for row in ROW.findall(PAGE)]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]:g} workers" for row in ROWS])
def test_a_row_of_the_capacity_table_follows_from_the_constants(row: tuple[float, ...]) -> None:
    workers, period, heartbeats, share, connections, slots = row
    most = number(r"One program makes about (\d+) a second at most")
    each, own = number(r"has about (\d+) for each worker"), number(r"for each worker and (\d+) of its own")

    assert heartbeats == workers / period
    assert share == pytest.approx(100 * heartbeats / most, abs=0.5 if share > 2 else 0.05)
    assert connections == each * workers + own
    assert slots == workers * number(r"slots of (\d+) each")


def test_the_table_goes_up_to_a_thousand_workers() -> None:
    assert [row[0] for row in ROWS] == [10, 50, 200, 500, 1000]
    assert len(MEMORY) == 5


def test_the_memory_of_a_worker_follows_from_the_constants() -> None:
    run = number(r"a process of about (\d+) MiB and a supervisor") + number(r"a supervisor of (\d+) MiB")
    own, slots = number(r"each worker costs (\d+) MiB"), number(r"slots of (\d+) each")

    assert (
        MEMORY[0]
        == f"{slots:g} \N{MULTIPLICATION SIGN} {run:g} MiB + {own:g} MiB = {(slots * run + own) / 1024:.1f} GiB"
    )
    assert set(MEMORY[1:]) == {f"{(slots * run + own) / 1024:.1f} GiB"}


def test_the_periods_of_the_table_are_the_default_and_the_one_that_the_page_advises() -> None:
    [written] = re.findall(r"Above 500 workers write `lease: (\{[^`]*\})`", FLAT)
    ttl, period = re.findall(r"(\d+)s", written)
    advised = RUNNER.spec.read({"dask": {"local": 1, "lease": {"ttl": f"{ttl}s", "period": f"{period}s"}}}, ("runner",))

    assert {row[1] for row in ROWS if row[0] <= 500} == {LEASE.period}
    assert {row[1] for row in ROWS if row[0] > 500} == {DaskOptions.of(advised.options).cluster.lease.period}
    assert number(r"One program makes about (\d+) a second at most") == 3 * 1000 / LEASE.period  # "a third"


def test_the_times_of_the_page_are_those_of_the_code() -> None:
    assert (
        f"is stopped at the end of its lease, at most {duration(LEASE.ttl + LEASE.grace).replace('s', ' s')} later"
        in FLAT
    )
    assert f"after `ttl` + `grace` + {assignments._OUT_OF_REACH_SECONDS:g} s" in FLAT
    assert agent._OUT_OF_REACH_SECONDS == assignments._OUT_OF_REACH_SECONDS
    assert f"{placement._KILL_SECONDS:g} s after the end of `join`" in FLAT
    retries = f"every {attachment.FIRST_RETRY_SECONDS:g} to {attachment.LONGEST_RETRY_SECONDS:g} s"
    assert f"the program connects again by itself when it is back, {retries}" in FLAT
    assert f"no answer within {WAIT_SECONDS:g} s" in FLAT
    assert f"a cluster of two workers, each with {LOCAL_SLOTS} slots" in FLAT
    assert f"One release of Dask, {RELEASE}:" in FLAT
