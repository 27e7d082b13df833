"""Schedules that remember, over real restarts under a clock that the test sets; half of the programs are killed.

After each restart the latest instant that passed meanwhile has its run, if it is no older than `grace` and nothing is
stored about it. At the end no instant has two runs, except for those that are marked.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.history_e2e.conftest import Keep, Keeper
from tests.support.faked_clock import FakedClock
from tests.support.stored_history import StoredHistory, broken_rules

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

RESTARTS = 20
MINUTE, HOUR = 60, 3600
# Hours are divisible by these; a start on a busy machine takes less than what is left of a minute after `LATE_SECONDS`.
BEGIN = datetime(2027, 3, 10, 6, 0, tzinfo=UTC).timestamp()
LATE_SECONDS = 4
GRACE = {"minutely": 90, "hourly": 20 * MINUTE, "patient": 30 * HOUR}
PERIOD = {"minutely": MINUTE, "hourly": HOUR, "patient": HOUR}
JOBS = """
jobs:
  minutely: {task: stamped, params: {stamps: stamps}, schedule: {cron: "* * * * *", timezone: UTC, missed: catch-up, grace: 90s}}
  hourly: {task: stamped, params: {stamps: stamps}, schedule: {cron: "0 * * * *", timezone: UTC, missed: catch-up, grace: 20m}}
  patient: {task: stamped, params: {stamps: stamps}, schedule: {cron: "0 * * * *", timezone: UTC, missed: catch-up, grace: 30h}}
  periodic: {task: stamped, params: {stamps: stamps}, schedule: {every: 10m, missed: catch-up, grace: 1h}}
  second: {task: brief, schedule: {cron: "* * * * * *", timezone: UTC}}
  waiting: {task: waiter}
"""  # noqa: E501
# Minutes for which the program is down: within and beyond each grace, and never within 2 minutes of its end.
DOWN_MINUTES = (0, 1, 1, 3, 12, 15, 50, 57, 75, 130, 26 * 60, 40 * 60)


class Restarts:
    """The restarts of one test."""

    def __init__(self, begin: Callable[[], Keeper], stored: StoredHistory, clock: FakedClock, seed: int) -> None:
        self._begin, self._stored, self._clock = begin, stored, clock
        self._random = random.Random(seed)
        self._wall = BEGIN + 17 * MINUTE
        self._runs: dict[tuple[str, str], tuple[str, float]] = {}
        self._marked: set[tuple[str, str]] = set()
        self._events: list[list[dict[str, Any]]] = []
        self.made_up = self.too_old = 0

    def run(self, restarts: int) -> None:
        kills = [number % 2 == 0 for number in range(restarts)]
        self._random.shuffle(kills)
        for is_killed in kills:
            self._once(is_killed=is_killed)
        # The last start comes 40 minutes after an hour, whatever the seed: that hour is too old for `hourly`.
        self._wall += 5 * HOUR - self._wall % HOUR + 40 * MINUTE
        self._once(is_killed=False)
        counts = Counter(found for key, found in self._runs.items() if key not in self._marked)
        assert [found for found, count in counts.items() if count > 1] == []
        assert broken_rules(self._stored) == []
        assert self.made_up > restarts // 4
        assert self.too_old > 0

    def _once(self, *, is_killed: bool) -> None:
        """Start the program a few seconds after a minute; check what it makes up for; end it near the next one."""
        now = self._wall + LATE_SECONDS
        known = {row["job"]: max(row["last_instant"] or 0, row["armed_at"]) for row in self._stored.rows("jobs")}
        self._clock.show(now)
        keeper = self._begin()
        start = keeper.start_row()["start"]
        keeper.program.wait_for_event("started", "waiting")
        keeper.program.wait_for_event("ended", "second")
        for job, period in PERIOD.items():
            if job in known:
                self._check_made_up(keeper, job, now // period * period, known[job], now)
        self._end(keeper, is_killed=is_killed)
        self._collect(keeper, start)
        self._wall += (1 + self._random.choice(DOWN_MINUTES)) * MINUTE

    def _check_made_up(self, keeper: Keeper, job: str, latest: float, known: float, now: float) -> None:
        is_due = latest > known and now - latest <= GRACE[job]
        if latest > known and not is_due:
            self.too_old += 1
            missed = keeper.program.wait_for_event("missed", job)
            assert missed["why"] == "down", missed
        if is_due:
            self.made_up += 1
            queued = keeper.program.wait_for_event("queued", job)
            assert (second_of(queued["instant"]), queued.get("made_up")) == (latest, True), queued
        else:
            early = [e for e in keeper.program.events("queued") if e["job"] == job and e.get("made_up")]
            assert early == [], (job, latest, known)

    def _end(self, keeper: Keeper, *, is_killed: bool) -> None:
        """End it around the next full minute: before it, in the middle of its firings, or after them."""
        boundary = self._wall + MINUTE
        self._clock.show(boundary - 1)
        if self._random.random() < 0.4:
            keeper.until("the next run", lambda: second_of_last(keeper, "minutely") >= boundary)
        else:
            keeper.program.pass_time(self._random.uniform(0, 2))
        if is_killed:
            keeper.kill()
        else:
            assert keeper.stop()[0] == 0, keeper.program.stderr

    def _collect(self, keeper: Keeper, start: str) -> None:
        """Add the runs of this start: those that it told of, and those that are stored."""
        for event in keeper.program.events("queued"):
            if "instant" in event:
                self._runs[start, event["run"]] = (event["job"], second_of(event["instant"]))
                if event.get("unrecorded"):
                    self._marked.add((start, event["run"]))
        for row in self._stored.rows("runs", start=start):
            if row["instant"] is not None:
                self._runs.setdefault((start, row["run"]), (row["job"], row["instant"]))
                if row["is_unrecorded"]:
                    self._marked.add((start, row["run"]))

    def check_stamps(self, stamps: Path) -> None:
        """Check that nothing ran that was not told or stored, except for the last moment before a kill."""
        lines = [line.split() for line in stamps.read_text().splitlines()]
        assert len(lines) == len({(pid, run) for pid, _, run, _ in lines})


def second_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def second_of_last(keeper: Keeper, job: str) -> float:
    found = [event for event in keeper.program.events("queued") if event["job"] == job]
    return second_of(found[-1]["instant"]) if found else 0.0


def test_no_instant_runs_twice_and_none_is_forgotten_over_restarts_and_kills(
    keep: Keep, faked_clock: FakedClock, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    stored = StoredHistory(str(tmp_path / "runs.sqlite"))
    seed = int(os.environ.get("TASKLOOM_KILL_SEED", random.randrange(10**6)))
    record_property("told", f"restarts under a set clock, seed {seed}")
    restarts = Restarts(lambda: keep(JOBS, stored, env=faked_clock.env), stored, faked_clock, seed)

    restarts.run(RESTARTS)

    restarts.check_stamps(tmp_path / "stamps")
    record_property(
        "told",
        f"{RESTARTS} restarts under a set clock, seed {seed}: {restarts.made_up} instants were made up for, "
        f"{restarts.too_old} were too old",
    )
