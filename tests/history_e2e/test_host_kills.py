"""Host programs are killed thousands of times, between any two of their steps, with a history of their own.

They write a file of what they were promised, after each commit. `TASKLOOM_KILL_CYCLES=2000 pytest -m long` makes more.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.stored_history import Row, StoredHistory, broken_rules

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

ROOT = Path(__file__).resolve().parents[2]
CYCLES = {"sqlite": 50, "postgresql": 15}
# The history promises 1 s for rows without a waiter; the rest is room for a busy machine.
LAST_SECONDS = 5.0
RULES_EVERY = 100


class Hosts:
    """The program that forks and kills hosts, and what they have left."""

    def __init__(self, stored: StoredHistory, acknowledged: Path, env: dict[str, str]) -> None:
        self.stored = stored
        self._acknowledged = acknowledged
        acknowledged.touch()
        command = [sys.executable, "-m", "tests.support.killed_hosts", stored.place, str(acknowledged)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read = 0
        self.instants: set[tuple[str, float]] = set()
        self.actions: set[str] = set()
        self._events: list[tuple[int, int, float]] = []
        self.doubles: list[tuple[str, float]] = []
        self.latest = 0.0

    def kill_one(self, since: str, seconds: float) -> None:
        """Start a host, kill it so many seconds after its start or its first action, and check what it has left."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{since} {seconds}\n")
        self.process.stdin.flush()
        killed, pid, how = self.process.stdout.readline().split()
        assert how == "killed"
        actions, instants = self._read_new()
        self._check_promises(actions, instants)
        self._check_last_seconds(int(pid), float(killed))

    def _read_new(self) -> tuple[list[str], list[tuple[str, float]]]:
        with self._acknowledged.open() as file:
            file.seek(self._read)
            lines = file.read().splitlines()
            self._read = file.tell()
        actions, instants = [], []
        for kind, *words in (line.split() for line in lines):
            if kind == "action":
                actions.append(words[0])
            elif kind == "instant":
                instants.append((words[0], float(words[1])))
            else:
                self._events.append((int(words[0]), int(words[1]), float(words[2])))
        return actions, instants

    def _check_promises(self, actions: list[str], instants: list[tuple[str, float]]) -> None:
        assert self.stored.problems() == []
        self.doubles += [each for each, count in Counter(instants).items() if each in self.instants or count > 1]
        self.actions |= set(actions)
        self.instants |= set(instants)
        if actions:
            start = actions[0].partition("/")[0]
            kept = Counter(row["reason"] for row in self.stored.rows("actions", start=start))
            assert [text for text in actions if kept[text] != 1] == []
        remembered = {row["job"]: row["last_instant"] for row in self.stored.rows("jobs")}
        assert [each for each in instants if (remembered.get(each[0]) or 0) < each[1]] == []

    def _check_last_seconds(self, pid: int, killed: float) -> None:
        """Check that what was put long before the kill is stored."""
        started = self.stored.rows("starts", pid=pid)
        stored = {row["seq"] for start in started for row in self.stored.rows("events", start=start["start"])}
        for _, seq, put in self._events:
            if seq not in stored and started:
                self.latest = max(self.latest, killed - put)
        self._events.clear()
        assert self.latest < LAST_SECONDS

    def check_all(self) -> None:
        """Check everything that was ever promised, and the rules of the rows."""
        kept = Counter(row["reason"] for row in self.stored.rows("actions"))
        assert [text for text in self.actions if kept[text] != 1] == []
        assert self.doubles == []
        last = self.stored.rows("starts")[-1:]
        assert broken_rules(self.stored, last[0]["start"] if last else None) == []

    def close(self) -> None:
        """End the program."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


@pytest.fixture
def hosts(stored: StoredHistory, tmp_path: Path, child_env: dict[str, str]) -> Iterator[Hosts]:
    """The program that forks hosts, not yet with one."""
    found = Hosts(stored, tmp_path / "acknowledged", child_env)
    yield found
    found.close()


def lost_rows(stored: StoredHistory) -> dict[tuple[str, str], Row]:
    return {(row["start"], row["run"]): row for row in stored.rows("runs", outcome="lost")}


def test_hosts_that_are_killed_lose_nothing_that_was_promised(
    hosts: Hosts, record_property: Callable[[str, Any], None]
) -> None:
    stored = hosts.stored
    kind = "sqlite" if stored.is_file else "postgresql"
    given = os.environ.get("TASKLOOM_KILL_CYCLES")
    cycles = int(given) // (1 if stored.is_file else 4) if given else CYCLES[kind]
    seed = int(os.environ.get("TASKLOOM_KILL_SEED", random.randrange(10**6)))
    record_property("told", f"hosts with {kind}: kills with seed {seed}")
    chosen = random.Random(seed)
    orphans: set[tuple[str, str]] = set()
    alive: set[tuple[str, str]] = set()
    lost: dict[tuple[str, str], Row] = {}
    acting = 0  # hosts that were killed after an acknowledged action

    for number in range(1, cycles + 1):
        since = "start" if chosen.random() < 0.3 else "first"
        acting += since == "first"
        hosts.kill_one(since, chosen.uniform(0, 0.4))
        alive = {(row["start"], row["run"]) for row in stored.query(ALIVE)}
        now = lost_rows(stored)
        assert [key for key, row in lost.items() if now.get(key) != row] == []  # each is marked once
        assert now.keys() <= orphans  # and nothing is marked that had ended
        assert alive.isdisjoint(now)
        orphans |= alive
        lost = now
        if number % RULES_EVERY == 0:
            hosts.check_all()

    hosts.check_all()
    assert len(hosts.actions) >= acting > 0
    # The last host's runs are not marked yet.
    assert orphans - lost.keys() == alive
    record_property(
        "told",
        f"hosts with {kind}: {cycles} kills, seed {seed}: none of {len(hosts.actions)} acknowledged actions and "
        f"{len(hosts.instants)} acknowledged instants is lost, {len(lost)} orphans are marked once; the oldest lost "
        f"event was {hosts.latest:.2f} s old",
    )


ALIVE = "select start, run from runs where outcome is null"
