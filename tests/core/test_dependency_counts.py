"""Dependencies are counted, not evaluated: after any inputs the counts agree with an evaluation of all jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from tests.support import naive_dependencies
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core import inputs
from taskloom.core.dependencies import Dependencies
from taskloom.core.model import How, JobSpec, Phase, WaitingFor
from taskloom.core.policies import Condition, Dependency, RestartPolicy, RestartWhen, Schedule
from taskloom.core.records import JobRecord
from taskloom.errors import UsageError
from taskloom.testing import make_job

FAMILIES = ("a", "b", "c", "d", "e")
RESTARTS = [RestartPolicy(when, jitter=0.0) for when in RestartWhen]


class CheckedCore(HandDrivenCore):
    """A core whose dependencies are evaluated after each input, and compared with what it has counted."""

    def __init__(self) -> None:
        super().__init__()
        self.compared = 0

    def send(self, message: inputs.Input) -> list[Any]:
        """Hand in one input and check all dependencies."""
        try:
            return super().send(message)
        finally:
            self.check()

    def check(self) -> None:
        """Compare each job's dependencies; while the scheduler is open, no job waits for what is decided."""
        jobs = self.lifecycle.jobs
        in_order = sorted(jobs.values(), key=lambda job: job.order)
        for job in jobs.values():
            counted = (job.dependencies.state.value, job.dependencies.describe())
            evaluated = naive_dependencies.evaluate(job, in_order)
            assert counted == evaluated, job.spec.name
            is_waiting = job.waiting_for is WaitingFor.DEPENDENCY
            assert (job in job.dependencies.waiting) == is_waiting
            if is_waiting and self.lifecycle.phase is Phase.OPEN:
                assert evaluated[0] == naive_dependencies.PENDING, job.spec.name
            self.compared += bool(job.spec.after)


def draw_jobs(random: Random) -> list[JobSpec]:
    """Draw five families; each may start after those before it, so there is no cycle."""
    specs: list[JobSpec] = []
    for number, name in enumerate(FAMILIES):
        others = random.sample(FAMILIES[:number], min(number, random.choice((0, 1, 1, 2, 3))))
        after = [Dependency(other, random.choice(list(Condition))) for other in others]
        if random.random() < 0.05:
            after.append(Dependency("unknown"))
        spec = make_job(
            name,
            daemon=random.random() < 0.5,
            within=1.0,
            manual=random.random() < 0.1,
            enabled=random.random() < 0.9,
            delay=random.choice((0.0, 0.0, 1.0)),
            after=after,
            restart=random.choice(RESTARTS),
            replicas=random.choice((1, 1, 2, 3)),
            schedule=Schedule(every=3.0) if random.random() < 0.1 else None,
        )
        specs += spec.replicated()
    return [spec for spec in specs if random.random() < 0.95]


def act(core: CheckedCore, random: Random) -> None:
    """Hand in a random command, or a report about a random live run."""
    kind = random.random()
    if kind < 0.6:
        report(core, random)
    elif kind < 0.7:
        pass_time(core, random)
    elif kind < 0.96:
        job = random.choice([*core.lifecycle.jobs, "a"])
        commands: list[Callable[[], object]] = [
            core.start_all,
            lambda: core.arm(job),
            lambda: core.start(job, is_now=random.random() < 0.3),
            lambda: core.stop(job),
            lambda: core.restart(job),
        ]
        random.choice(commands)()
    elif kind < 0.999:
        core.reload(*draw_jobs(random))
    else:
        core.shutdown()


def report(core: CheckedCore, random: Random) -> None:
    """Report the next event of a random live run."""
    live = [run for run in core.lifecycle.runs.values() if run.outcome is None]
    if not live:
        return
    run = random.choice(live)
    if run.started is None and random.random() < 0.2:
        core.start_failed(run.id)
    elif run.started is None:
        core.started(run.id, is_ready=random.random() < 0.5)
    elif run.ready is None and random.random() < 0.6:
        core.ready(run.id)
    elif random.random() < 0.5:
        core.ended(run.id, random.choice((How.RETURNED, How.RETURNED, How.RAISED, How.PERMANENT)))


def pass_time(core: CheckedCore, random: Random) -> None:
    """Advance the clock, capture the stacks of overdue runs, and let an abandoned one exit."""
    core.advance(random.choice((0.5, 1.0, 4.0)))
    for run in list(core.lifecycle.stopping.values()):
        if run.overdue_at <= core.clock.now().mono:
            core.stack_captured(run.id)
    abandoned = [run for run in core.lifecycle.runs.values() if run.outcome is not None]
    if abandoned and random.random() < 0.5:
        core.ended(random.choice(abandoned).id, How.CANCELLED)


def checked_visits(core: CheckedCore, visits: list[str]) -> Callable[..., Iterator[JobRecord]]:
    """Return `Dependencies.decided_dependents` with a check that it yields what an evaluation of all yields."""
    original = Dependencies.decided_dependents

    def decided_dependents(self: Dependencies, job: JobRecord) -> Iterator[JobRecord]:
        expected = naive_dependencies.decided_dependents(job, core.lifecycle.jobs)
        for found in original(self, job):
            assert found is next(expected, None)
            visits.append(found.spec.name)
            yield found
        assert next(expected, None) is None

    return decided_dependents


def walk(seed: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Take that many random steps, and return how many states and visits were compared."""
    random, core, visits = Random(seed), CheckedCore(), list[str]()
    monkeypatch.setattr(Dependencies, "decided_dependents", checked_visits(core, visits))
    core.send(inputs.AddJobs(tuple(draw_jobs(random))))
    core.start_all()
    for _ in range(steps):
        try:
            act(core, random)
        except UsageError:
            continue
    monkeypatch.undo()
    return core.compared, len(visits)


def test_the_counts_agree_with_an_evaluation_of_every_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [walk(seed, 150, monkeypatch) for seed in range(12)]

    assert sum(compared for compared, _ in found) > 1000
    assert sum(visits for _, visits in found) > 50


@pytest.mark.long
def test_the_counts_agree_in_many_random_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [walk(seed, 400, monkeypatch) for seed in range(1000, 1400)]

    assert sum(visits for _, visits in found) > 3_000
