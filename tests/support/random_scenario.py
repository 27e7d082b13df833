"""Random scenarios: jobs of every policy, random commands, and a shutdown at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from tests.support.random_jobs import Pace, change_job, draw_job

from taskloom.core import inputs
from taskloom.core.model import JobSpec, Reason, ReasonKind
from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.invariants.history import History
from taskloom.testing import At, ClockStep, Stall, make_job
from taskloom.testing.behaviour import Behaviour, draw_seconds
from taskloom.testing.simulator import Behaviours, simulate

__all__ = ["Scenario"]

STOP_WITHINS = (0.0, 1.0, 5.0, 30.0, 30.0, 300.0)
# Mean seconds between two commands for one job: in busy scenarios commands meet all states, calm ones are realistic.
BUSY_SECONDS, CALM_SECONDS = 60.0, 14_400.0
# The factor of delays and intervals in calm scenarios.
CALM_PACE = 240.0
STEPS = (0.02, 0.5, 2.0, 25.0, 40.0, 59.0, 61.0, 1800.0, 7200.0, 10_740.0, 10_860.0, 14_400.0, 86_400.0, 1_728_000.0)
STORM_JOBS, STORM_SECONDS = 70, 6.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """The arguments of `simulate`. The same seed gives the same scenario."""

    seed: int
    jobs: tuple[JobSpec, ...]
    seconds: float
    script: tuple[At, ...]
    stop_within: float
    ends_with_work: bool
    behaviours: Behaviours = field(default_factory=dict)

    @classmethod
    def draw(cls, seed: int, *, jobs: int = 20, hours: float = 1.0) -> Scenario:
        """Draw a scenario of `jobs` jobs over `hours` hours; short ones are busy, long ones calm."""
        random = Random(seed)
        seconds = hours * 3600.0
        pause = BUSY_SECONDS if seconds <= 3600.0 else CALM_SECONDS
        if pause == BUSY_SECONDS:
            if random.random() < 0.04:
                return cls._draw_storm(seed, random)
            if random.random() < 0.2:
                seconds = draw_seconds(random, 60.0)  # the shutdown comes during the first starts and delays
        is_calm = pause == CALM_SECONDS
        pace = Pace(CALM_PACE if is_calm else 1.0, random.random() < 0.5, not is_calm or random.random() < 0.2)
        drawn = _draw_jobs(random, jobs, pace)
        script = _draw_script(random, drawn, seconds, pause, pace)
        within = random.choice(STOP_WITHINS)
        return cls(seed, tuple(drawn), seconds, tuple(script), within, ends_with_work=random.random() < 0.1)

    @classmethod
    def _draw_storm(cls, seed: int, random: Random) -> Scenario:
        """Draw many jobs that fail at the same time, again and again."""
        delay = random.choice((0.0, 0.25, 0.5))
        jitter, limit = random.choice((0.0, 0.1)), random.choice((None, RestartLimit(8, 60.0)))
        policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=delay, factor=1.0, jitter=jitter, limit=limit)
        drawn = [make_job(f"j{number}", restart=policy) for number in range(STORM_JOBS)]
        fails = {job.name: Behaviour.fails(random.choice((0.0, 0.0, 0.25))) for job in drawn}
        script = _draw_script(random, drawn, STORM_SECONDS, BUSY_SECONDS, Pace(1.0, is_steady=True, has_calendars=True))
        return cls(seed, tuple(drawn), STORM_SECONDS, tuple(script), 30.0, ends_with_work=False, behaviours=fails)

    @property
    def job_hours(self) -> float:
        """The number of jobs times the virtual hours, unless the scenario ends early."""
        return len(self.jobs) * self.seconds / 3600.0

    @property
    def lateness(self) -> float:
        """How many seconds a tick may be late."""
        return sum(at.command.seconds for at in self.script if isinstance(at.command, Stall))

    def run(self) -> History:
        """Simulate the scenario and return its history."""
        return simulate(
            self.jobs,
            seconds=self.seconds,
            seed=self.seed,
            script=self.script,
            behaviours=self.behaviours,
            stop_within=self.stop_within,
            ends_with_work=self.ends_with_work,
        )


def _draw_jobs(random: Random, count: int, pace: Pace) -> list[JobSpec]:
    essential = 0.06 / pace.seconds if random.random() < 0.3 else 0.0
    jobs: list[JobSpec] = []
    families: list[str] = []
    while len(jobs) < count:
        spec = draw_job(random, f"j{len(families)}", families, pace, essential=essential)
        families.append(spec.name)
        jobs += spec.replicated()
    return jobs


def _draw_script(random: Random, jobs: list[JobSpec], seconds: float, pause: float, pace: Pace) -> list[At]:
    """Draw the commands; ended jobs are started again, as otherwise little would happen in a long scenario."""
    script: list[At] = []
    for job in jobs:
        when = 0.0
        while (when := when + draw_seconds(random, pause * 4.0) + 0.25) < seconds:
            script.append(At(when, _draw_command(random, job.name)))
    if random.random() < 0.3:
        script.append(At(seconds + draw_seconds(random, 20.0), inputs.HurryShutdown(random.choice((0.0, 2.0)))))
    script.append(At(draw_seconds(random, seconds), inputs.StartAll()))
    script.append(At(draw_seconds(random, seconds), inputs.AddJob(make_job("late", within=1.0))))
    if random.random() < 0.4:
        script += _draw_reloads(random, jobs, seconds, pace)
    if not pace.is_steady:
        script += _at_random_times(random, seconds, lambda: ClockStep(random.choice(STEPS) * random.choice((1, -1))))
    if not pace.is_steady and random.random() < 0.2:
        script += _at_random_times(random, seconds, lambda: Stall(draw_seconds(random, 30.0)))
    return script


def _at_random_times(random: Random, seconds: float, draw: Callable[[], ClockStep | Stall]) -> list[At]:
    return [At(random.randrange(int(seconds * 4) + 1) / 4, draw()) for _ in range(random.choice((1, 2, 4)))]


def _draw_command(random: Random, job: str) -> inputs.Input:
    reason = Reason(ReasonKind.USER, random.choice(("enough", "maintenance")))
    kind = random.random()
    if kind < 0.35:
        return inputs.StartJob(job, random.random() < 0.5)
    if kind < 0.5:
        return inputs.ArmJob(job)
    if kind < 0.6:
        return inputs.RestartJob(job, reason, random.random() < 0.5)
    if kind < 0.65:
        return inputs.ResetJob(job, reason)
    if kind < 0.73:
        return inputs.PauseJob(job, reason)
    if kind < 0.83:
        return inputs.ResumeJob(job, reason)
    run = f"{job}#{random.randint(1, 3)}" if random.random() < 0.1 else None
    return inputs.StopJob(job, reason, run)


def _rename(job: JobSpec, number: int) -> JobSpec:
    """Return the job under another name: one is removed and another added, whose run follows."""
    return replace(job, name=f"{job.name.partition('-')[0]}-{number}", after=())


def _draw_reloads(random: Random, jobs: list[JobSpec], seconds: float, pace: Pace) -> list[At]:
    """Draw some reloads; a job that one removes may come back in a later one."""
    script: list[At] = []
    removed: list[JobSpec] = []
    for number in range(random.choice((1, 2, 4))):
        jobs = [change_job(random, job, pace) if random.random() < 0.2 else job for job in jobs]
        dropped = [job for job in jobs if random.random() < 0.1]
        jobs = [job for job in jobs if job not in dropped] + [job for job in removed if random.random() < 0.5]
        jobs = [_rename(job, number) if random.random() < 0.1 and not job.declared else job for job in jobs]
        new = draw_job(random, f"new{number}", [job.family for job in jobs], pace)
        removed = [job for job in [*removed, *dropped] if job not in jobs]
        jobs = [*jobs, replace(new, replicas=1)]
        script.append(At(draw_seconds(random, seconds), inputs.Reload(tuple(jobs))))
    return script
