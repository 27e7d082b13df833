"""A program that is killed at random points, thousands of times: no instant starts two runs, and none is forgotten.

The clock is fake. A record is answered at once, late, not at all, or with a failure, and it may be committed although
its answer never comes. Each kill loses the last events, up to a second of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from random import Random

import pytest
from tests.support.fake_calendar import FakeCalendar
from tests.support.remembering_program import RememberingProgram

from taskloom.core import inputs
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec
from taskloom.core.policies import Missed, Overlap, Schedule
from taskloom.testing import make_job

PERIOD = 60.0
LOSS_SECONDS = 1.0


def random_job(random: Random) -> JobSpec:
    """Return a job that fires every minute by its calendar."""
    schedule = Schedule(
        calendar=FakeCalendar(0.0, PERIOD),
        text="each minute",
        missed=Missed.CATCH_UP,
        grace=random.choice((30.0, 90.0, 600.0)),
        jitter=random.choice((0.0, 0.0, 20.0)),
        overlap=random.choice(list(Overlap)),
        immediately=random.random() < 0.2,
    )
    return make_job("a", schedule=schedule, delay=random.choice((0.0, 0.0, 2.0)))


class RandomProgram(RememberingProgram):
    """A program whose runs take a while, with all that is known about its instants over all of its starts."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        self.random = random
        self.began: Counter[float] = Counter()
        """How many runs have started for each instant, in whole seconds."""
        self.unrecorded: set[float] = set()
        self.committed: set[float] = set()
        self.told: set[float] = set()
        """The instants that an event reported as missed, also together with others."""
        super().__init__(spec)

    def commit(self, job: str, instant: float) -> None:
        super().commit(job, instant)
        self.committed.add(round(instant))

    def live(self, seconds: float) -> None:
        """Let the program work for so long, with random answers and ends of runs."""
        clock, core, random = self.stage.clock, self.stage.lifecycle, self.random
        end = clock.now().mono + seconds
        while (now := clock.now().mono) < end:
            self._answer_and_end()
            due = core.next_deadline()
            step = now + random.choice((0.25, 1.0, 5.0))
            clock.advance_to(min(end, step if due is None else min(due, step)))
            self.stage.send(inputs.Tick())

    def _answer_and_end(self) -> None:
        job, random = self.stage.lifecycle.jobs["a"], self.random
        if job.recording is not None:
            chance = random.random()
            if chance < 0.9:
                self.commit("a", job.recording.due.wall)
            if chance < 0.8:
                self.stage.recorded("a")
            elif chance > 0.95:
                self.stage.recorded("a", is_recorded=False)
        if job.run is not None and job.run.started is None:
            self.stage.started(job.run.id)
        elif job.run is not None and random.random() < 0.5:
            self.stage.ended(job.run.id)

    def die(self, down: float) -> None:
        """Be killed, lose up to a second of events, and stay down for so long."""
        for event in self.stage.history.events:
            self._note(event)
        loss = self.now - self.random.random() * LOSS_SECONDS
        self.kill(sum(event.at > loss for event in self.stage.history.events))
        self.wall += down
        self.start()

    def _note(self, event: Event) -> None:
        if event.event is EventName.QUEUED and "instant" in event.data:
            instant = round(wall_of(event))
            self.began[instant] += 1
            if event.data.get("unrecorded"):
                self.unrecorded.add(instant)
        elif event.event is EventName.MISSED:
            last, count = wall_of(event), event.data["count"]
            self.told |= {round(last - number * PERIOD) for number in range(count)}


def wall_of(event: Event) -> float:
    return datetime.fromisoformat(event.data["instant"]).timestamp()


def check_starts(seed: int, restarts: int) -> int:
    """Kill one program so often, and return how many instants there were."""
    random = Random(seed)
    host = RandomProgram(random, random_job(random))
    host.live(2 * LOSS_SECONDS)  # before, nothing is known about the job
    for _ in range(restarts):
        host.live(random.choice((0.1, 0.5, 5.0, 30.0, 61.0, 200.0)) * random.random())
        host.die(random.choice((0.0, 0.5, 20.0, 100.0, 1000.0)) * random.random())
    twice = {instant for instant, count in host.began.items() if count > 1}
    # Whatever the program was doing when it was killed last may still be made up for.
    until = host.now - 2 * PERIOD
    host.live(1300.0)
    host.die(0.0)
    all_instants = {round(number * PERIOD) for number in range(1, int(until // PERIOD))}
    known = set(host.began) | host.told | host.committed

    assert twice <= host.unrecorded, f"seed {seed}: {sorted(twice - host.unrecorded)}"
    assert all_instants <= known, f"seed {seed}: forgotten {sorted(all_instants - known)[:5]}"
    return len(all_instants)


@pytest.mark.parametrize("seed", range(5))
def test_no_instant_starts_two_runs_and_none_is_forgotten_in_some_restarts(seed: int) -> None:
    assert check_starts(seed, restarts=20)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 140))
def test_no_instant_starts_two_runs_and_none_is_forgotten_in_2000_restarts(seed: int) -> None:
    assert check_starts(seed, restarts=50) > 50


def test_this_test_finds_a_program_that_does_not_wait_for_the_record() -> None:
    """A schedule that does not catch up starts runs whose instants are not recorded, and forgets others."""
    random = Random(1)
    spec = random_job(random)
    assert spec.schedule is not None
    host = RandomProgram(random, replace(spec, schedule=replace(spec.schedule, missed=Missed.ONCE)))
    for _ in range(10):
        host.live(30.0)
        host.die(100.0)
    instants = {round(number * PERIOD) for number in range(1, int(host.now // PERIOD))}

    assert not instants <= set(host.began) | host.told | host.committed
