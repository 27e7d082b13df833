"""Blocks: runs that are close together as one, so that a timeline shows all runs of a week."""

from __future__ import annotations

import pytest

from taskloom.history.blocks import Block, BlockFold

MINUTE, WEEK = 60.0, 7 * 86400.0


def ran(at: float, seconds: float = 1.0, outcome: str = "succeeded", job: str = "tick") -> Block:
    return Block(job, "s1", f"{job}#{at:g}", at, at + seconds, outcome, failed=int(outcome == "failed"))


def folded(runs: list[Block], every: float, most: int = 20_000) -> list[Block]:
    fold = BlockFold(every)
    for run in runs:
        fold.add(run)
    return fold.blocks(most)


def test_no_run_of_a_busy_week_is_left_out_and_a_failure_stays_where_it_was() -> None:
    runs = [ran(at, outcome="failed" if at == 5040 * MINUTE else "succeeded") for at in _every(MINUTE, WEEK)]

    blocks = folded(runs, every=900.0)

    assert sum(block.runs for block in blocks) == 10_080
    assert len(blocks) < 120
    failed = [block for block in blocks if block.failed]
    assert [block.failed for block in failed] == [1]
    assert failed[0].begin <= 5040 * MINUTE <= failed[0].end
    assert failed[0].end - failed[0].begin <= 900.0


def _every(step: float, until: float) -> list[float]:
    return [number * step for number in range(int(until / step))]


def test_a_block_has_the_worst_outcome_and_the_last_run() -> None:
    (block,) = folded([ran(0, outcome="cancelled"), ran(2, outcome="timed_out"), ran(4)], every=10.0)

    assert (block.run, block.outcome, block.runs, block.begin, block.end) == ("tick#4", "timed_out", 3, 0.0, 5.0)


def test_runs_that_can_be_seen_stay_apart() -> None:
    long_runs = [ran(0, 100), ran(101, 100), ran(202, 100)]
    far_apart = [ran(0), ran(20), ran(40)]

    assert folded(long_runs, every=10.0) == long_runs
    assert folded(far_apart, every=10.0) == far_apart


def test_jobs_are_never_one_block() -> None:
    runs = [ran(at, job=job) for at in _every(1.0, 100) for job in ("a", "b")]

    assert {(block.job, block.runs) for block in folded(runs, every=200.0)} == {("a", 100), ("b", 100)}


def test_too_many_blocks_become_coarser_and_lose_none() -> None:
    runs = [ran(at, job=job) for at in _every(100.0, 100_000) for job in ("a", "b")]

    blocks = folded(runs, every=1.0, most=50)

    assert len(blocks) <= 50
    assert sum(block.runs for block in blocks) == len(runs)


def test_nothing_is_nothing() -> None:
    assert folded([], every=1.0) == []


@pytest.mark.parametrize("outcome, failed", [("succeeded", 0), ("failed", 1)])
def test_a_block_as_json(outcome: str, failed: int) -> None:
    (block,) = folded([ran(0.5, outcome=outcome)], every=1.0)

    assert block.as_dict() == {
        "job": "tick", "start": "s1", "run": "tick#0.5", "begin": "1970-01-01T00:00:00.500000Z",
        "end": "1970-01-01T00:00:01.500000Z", "outcome": outcome, "due": None, "runs": 1, "failed": failed,
    }  # fmt: skip
