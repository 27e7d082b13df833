"""Random networks keep every rule of the protocol: see `network_checker`.

TASKLOOM_NETWORK_SEED=N plays the one scenario N.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import SystemRandom

import pytest
from tests.runners.dask.protocol.network_checker import violations
from tests.runners.dask.protocol.random_network import Faults, Network

SCENARIOS, LONG_SCENARIOS = 60, 3000


def play(first: int, count: int) -> None:
    given = os.environ.get("TASKLOOM_NETWORK_SEED")
    for seed in (int(given),) if given else range(first, first + count):
        found = violations(Network(seed).run())
        assert not found, f"TASKLOOM_NETWORK_SEED={seed}: " + "\n".join(found)


def test_random_networks_keep_the_rules(record_property: Callable[[str, object], None]) -> None:
    first = SystemRandom().randrange(2**32) * 10  # a tenth of the scenarios, the first among them, has no fault
    record_property("told", f"random networks: seeds {first} to {first + SCENARIOS - 1}")

    play(first, SCENARIOS)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_many_random_networks_keep_the_rules(record_property: Callable[[str, object], None]) -> None:
    first = SystemRandom().randrange(2**32) * 10
    record_property("told", f"random networks: seeds {first} to {first + LONG_SCENARIOS - 1}")

    play(first, LONG_SCENARIOS)


def test_the_same_seed_plays_the_same_scenario() -> None:
    assert Network(7).run().seen == Network(7).run().seen


def test_every_tenth_scenario_is_calm() -> None:
    assert Network(20).faults.is_calm
    assert not Network(21).faults.is_calm
    assert Faults().is_calm


def test_the_scenarios_meet_every_fault_and_every_report() -> None:
    names = set()
    for seed in range(60):
        for seen in Network(seed).run().seen:
            names.add(seen.kind if seen.kind != "action" else type(seen.data).__name__)

    assert names >= {"cut", "killed", "removed", "closing", "closed", "died", "cluster lost"}
    assert names >= {"Placed", "Reported", "Unreachable", "Reachable", "Ended", "Lost", "Released", "WithdrawTask"}
