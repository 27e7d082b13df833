"""`taskloom run` is killed again and again, at any moment: at its start, in the middle of actions, after a commit.

What a client was told to be recorded is in the database for ever, and every run that was alive is marked as lost, once.
`TASKLOOM_KILL_CYCLES=2000 pytest -m long` makes more of it.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.history_e2e.conftest import PATIENCE_SECONDS, Keep, Keeper
from tests.support.stored_history import Row, StoredHistory, broken_rules

from taskloom.control.client import ControlError

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

CYCLES = {"sqlite": 50, "postgresql": 12}
ACTIONS = ("start", "stop", "restart", "pause", "resume", "reset")
# What is done to a job of each kind, by its name.
ASKED = ("waiting", "brief", "secondly", "flaky", "missing", "ticking", "fast")
JOBS = """
jobs:
  waiting: {task: waiter, daemon: true}
  ticking: {task: ticker}
  deaf: {task: deaf_one, daemon: true, join: {within: 0s}}
  fast: {task: brief, schedule: {every: 50ms}}
  brief: {task: brief, start: manual}
  secondly: {task: stamped, params: {stamps: stamps}, schedule: {cron: "* * * * * *", missed: catch-up, grace: 1h}}
  flaky: {task: failing, restart: {when: on-failure, delay: 100ms}}
  loud: {task: chatty, schedule: {every: 700ms}}
  missing: {task: waiter, after: never}
  never: {task: brief, start: manual}
  apart: {task: waiter, runner: process, daemon: true}
"""


class Killed:
    """The cycles of one test, and what must hold between them."""

    def __init__(self, begin: Callable[[], Keeper], stored: StoredHistory, seed: int) -> None:
        self._begin, self._stored, self._seed = begin, stored, seed
        self._random = random.Random(seed)
        self._acknowledged: set[str] = set()
        self._tried = self._asked = 0
        self._lost: dict[tuple[str, str], Row] = {}
        self._orphans: set[tuple[str, str]] = set()
        self.told = ""

    def run(self, cycles: int) -> None:
        """Kill this number of programs; then let one end in order, and check everything."""
        for number in range(cycles):
            self._cycle()
            self._check(f"after {number + 1} kills, seed {self._seed}")
        keeper = self._begin()
        own = keeper.start_row()
        self._check_orphans(keeper, own)
        assert keeper.stop()[0] in (0, 1), keeper.program.stderr
        self._check("at the end")
        assert broken_rules(self._stored) == []
        starts = self._stored.rows("starts")
        assert [row["how"] for row in starts] == ["lost"] * (len(starts) - 1) + ["ended"]
        self.told = (
            f"{cycles} kills, seed {self._seed}: {len(self._acknowledged)} of {self._asked} actions were acknowledged "
            f"and none is lost; {len(self._lost)} runs of {len(starts)} starts were marked as lost, once each"
        )

    def _cycle(self) -> None:
        keeper = self._begin()
        at_once = self._random.random() < 0.3
        if not at_once:
            keeper.until("listening", lambda: keeper.ask("/v1/program"))
        killer = threading.Timer(self._random.uniform(0, 1.0 if at_once else 1.2), keeper.program.process.kill)
        killer.start()
        try:
            self._act_until_killed(keeper)
        finally:
            killer.cancel()
            killer.join()
        keeper.kill()

    def _act_until_killed(self, keeper: Keeper) -> None:
        """Ask for some actions, one after the other, and wait for the kill."""
        left = self._random.randrange(20)
        while not keeper.has_ended and left:
            self._tried += 1
            text = f"seed {self._seed} action {self._tried}."
            action, job = self._random.choice(ACTIONS), self._random.choice(ASKED)
            try:
                reply = keeper.ask(f"/v1/jobs/{job}/{action}", text=text)
            except ControlError:
                continue  # refused, not listening yet, or killed meanwhile
            left -= 1
            self._asked += 1
            if reply.get("recorded", True):
                self._acknowledged.add(text)
        keeper.program.process.wait(PATIENCE_SECONDS)

    def _check(self, when: str) -> None:
        """Check what is stored while no program runs."""
        assert self._stored.problems() == [], when
        texts = [row["reason"] for row in self._stored.rows("actions")]
        for text in self._acknowledged:
            assert sum(text in each for each in texts) == 1, f"{when}: action {text!r} was acknowledged"
        lost = {(row["start"], row["run"]): row for row in self._stored.rows("runs", outcome="lost")}
        for key, row in self._lost.items():
            assert lost.get(key) == row, f"{when}: {key} was marked again"
        self._lost = lost
        open_rows = [row for row in self._stored.rows("runs") if row["outcome"] is None]
        self._orphans |= {(row["start"], row["run"]) for row in open_rows}

    def _check_orphans(self, keeper: Keeper, own: Row) -> None:
        """Check that a later start has marked every run that was alive at a kill, and no other."""
        keeper.until(
            "the last start is marked",
            lambda: not [r for r in self._stored.rows("starts", how="running") if r["start"] != own["start"]],
        )
        lost = {(row["start"], row["run"]) for row in self._stored.rows("runs", outcome="lost")}
        assert lost == self._orphans


@pytest.fixture
def seed() -> int:
    """A seed, from the environment if a failure is to be repeated."""
    return int(os.environ.get("TASKLOOM_KILL_SEED", random.randrange(10**6)))


def test_what_was_acknowledged_survives_kills_and_each_orphan_is_marked_once(
    keep: Keep, stored: StoredHistory, seed: int, record_property: Callable[[str, Any], None]
) -> None:
    kind = "sqlite" if stored.is_file else "postgresql"
    cycles = CYCLES[kind]
    if given := os.environ.get("TASKLOOM_KILL_CYCLES"):
        cycles = int(given) if stored.is_file else int(given) // 4
    killed = Killed(lambda: keep(JOBS, stored), stored, seed)
    record_property("told", f"{kind}: kills with seed {seed}")

    killed.run(cycles)

    record_property("told", f"{kind}: {killed.told}")
