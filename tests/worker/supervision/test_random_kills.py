"""SIGKILL to the program, the supervisor or the main process of a run, at random moments."""

from __future__ import annotations

import os
import random
import select
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.supervised import await_none_marked, marked, shell
from tests.support.supervised_parent import FAMILY, Roles, SupervisedParent

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("TASKLOOM_RANDOM_KILLS", "200"))
# Most of the time is spent waiting: deaf processes have a second between SIGTERM and SIGKILL.
AT_ONCE = 4
# Longer than a start takes, so that the moments lie before, in and after it.
LONGEST_MILLISECONDS = 120.0


def kill_one(number: int, seed: int) -> str:
    """Start a program, kill one of its processes, check what is left, and return which one it was."""
    chance = random.Random(f"{seed} {number}")
    with SupervisedParent(shell(FAMILY)) as program:
        assert program.line() == "launched"
        # On a busy machine the main process may come later than all moments. So every second kill is after its start.
        is_after_start = number % 2 == 0
        if is_after_start:
            assert any(line.startswith("started ") for line in iter(program.line, "")), "it has not started"
        select.select([], [], [], chance.uniform(0, LONGEST_MILLISECONDS) / 1000)
        roles = program.roles()
        there = [name for name, pid in roles._asdict().items() if pid]
        name = there[number // 2 % len(there)] if is_after_start else chance.choice(there)
        os.kill(getattr(roles, name), signal.SIGKILL)

        where = f"kill {number} of seed {seed}: {name} of {roles}"
        if name != "supervisor":
            assert await_none_marked(program.mark) == {}, where
            return name
        assert program.wait() == 0, where
        # The kernel kills the main process when it ends the supervisor. What that has started is left.
        grandchildren = frozenset(marked(program.mark)) - set(roles)
        assert await_none_marked(program.mark, but=grandchildren) == {}, where
        return name


def test_what_is_left_after_a_kill_at_a_random_moment(record_property: Callable[[str, object], None]) -> None:
    """Nothing is left but, if the supervisor itself was killed, what the main process had started."""
    seed = int(os.environ.get("TASKLOOM_SEED", random.SystemRandom().randrange(1_000_000)))
    record_property("told", f"random kills of seed {seed}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        killed = Counter(pool.map(lambda number: kill_one(number, seed), range(KILLS)))

    assert min(killed[name] for name in Roles._fields) >= KILLS // 10, killed
    record_property("told", f"killed: {dict(killed)}")
