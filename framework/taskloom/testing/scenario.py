"""Whole scenarios drawn from a seed: jobs of every policy, people who meddle, and a stop at the end."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from taskloom.core import inputs
from taskloom.core.model import WAIT_FOR_EVER, JobSpec, Reason, ReasonKind
from taskloom.testing.behaviour import draw_seconds
from taskloom.testing.history import History
from taskloom.testing.simulator import At, simulate
from taskloom.testing.stage import make_job

__all__ = ["Scenario"]

WITHINS = (0.0, 0.5, 1.0, 2.0, 4.0, 10.0, 60.0, WAIT_FOR_EVER)
STOP_WITHINS = (0.0, 1.0, 5.0, 30.0, 30.0, 300.0)
# Meddling once in so many seconds and job makes the lives of jobs collide; people are slower.
BUSY_SECONDS, CALM_SECONDS = 60.0, 14_400.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What `simulate` needs. The same seed draws the same scenario."""

    seed: int
    jobs: tuple[JobSpec, ...]
    seconds: float
    script: tuple[At, ...]
    stop_within: float
    ends_with_work: bool

    @classmethod
    def draw(cls, seed: int, *, jobs: int = 20, hours: float = 1.0) -> Scenario:
        """Draw a scenario of so many jobs over so many hours; short ones are busy, long ones calm."""
        random = Random(seed)
        drawn = _draw_jobs(random, jobs)
        seconds = hours * 3600.0
        pause = BUSY_SECONDS if seconds <= 3600.0 else CALM_SECONDS
        if pause == BUSY_SECONDS and random.random() < 0.2:
            seconds = draw_seconds(random, 60.0)  # a stop among the first starts and delays
        script = _draw_script(random, drawn, seconds, pause)
        within = random.choice(STOP_WITHINS)
        return cls(seed, tuple(drawn), seconds, tuple(script), within, ends_with_work=random.random() < 0.1)

    @property
    def job_hours(self) -> float:
        """How many jobs for how many virtual hours, when nothing ends it early."""
        return len(self.jobs) * self.seconds / 3600.0

    def run(self) -> History:
        """Simulate it."""
        return simulate(
            self.jobs,
            seconds=self.seconds,
            seed=self.seed,
            script=self.script,
            stop_within=self.stop_within,
            ends_with_work=self.ends_with_work,
        )


def _draw_jobs(random: Random, count: int) -> list[JobSpec]:
    jobs: list[JobSpec] = []
    for number in range(count):
        needs = random.sample([job.name for job in jobs], min(len(jobs), random.choice((0, 0, 0, 1, 1, 2))))
        jobs.append(
            make_job(
                f"j{number}",
                daemon=random.random() < 0.4,
                within=random.choice(WITHINS),
                delay=draw_seconds(random, 60.0) if random.random() < 0.2 else 0.0,
                manual=random.random() < 0.1,
                enabled=random.random() > 0.05,
                after=needs,
            )
        )
    return jobs


def _draw_script(random: Random, jobs: list[JobSpec], seconds: float, pause: float) -> list[At]:
    """Draw who is started and stopped when: jobs that ended are started again, or nothing would happen for long."""
    script: list[At] = []
    for job in jobs:
        when = 0.0
        while (when := when + draw_seconds(random, pause * 4.0) + 0.25) < seconds:
            script.append(At(when, _draw_command(random, job.name)))
    if random.random() < 0.3:
        script.append(At(seconds + draw_seconds(random, 20.0), inputs.HurryShutdown(random.choice((0.0, 2.0)))))
    script.append(At(draw_seconds(random, seconds), inputs.StartAll()))
    script.append(At(draw_seconds(random, seconds), inputs.AddJob(make_job("late", within=1.0))))
    return script


def _draw_command(random: Random, job: str) -> inputs.Input:
    if random.random() < 0.6:
        return inputs.StartJob(job)
    run = f"{job}#{random.randint(1, 3)}" if random.random() < 0.1 else None
    return inputs.StopJob(job, Reason(ReasonKind.USER, random.choice(("enough", "maintenance"))), run)
