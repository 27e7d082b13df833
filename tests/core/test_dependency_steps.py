"""n jobs that start after n jobs: the steps of the core grow in proportion to n. Steps are counted, time is not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from tests.support.fake_calendar import FakeCalendar
from tests.support.hand_driven_core import HandDrivenCore, show

from taskloom.core import inputs
from taskloom.core.model import How, JobSpec, JobState, Phase
from taskloom.core.policies import Condition, Dependency, Schedule
from taskloom.core.report import make_job_report, make_stop_report
from taskloom.testing import make_job


class Steps:
    """Counts the lines of the core that are executed inside its `with` block."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Steps:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if "/taskloom/core/" not in frame.f_code.co_filename:
            return None
        self.count += 1
        return self._trace


def pairs(n: int, **policies: Any) -> tuple[JobSpec, ...]:
    """Return n replicas of `web`, which start after n replicas of `db`."""
    db = make_job("db", replicas=n, **policies)
    return (*db.replicated(), *make_job("web", replicas=n, after=["db"]).replicated())


def lists(n: int) -> tuple[JobSpec, ...]:
    """Return n replicas of `web`, which start after n jobs, each by its own name."""
    dbs = [make_job(f"db{number}") for number in range(n)]
    return (*dbs, *make_job("web", replicas=n, after=[db.name for db in dbs]).replicated())


def added(specs: tuple[JobSpec, ...]) -> HandDrivenCore:
    core = HandDrivenCore()
    core.send(inputs.AddJobs(specs))
    return core


def started(specs: tuple[JobSpec, ...]) -> HandDrivenCore:
    core = added(specs)
    core.start_all()
    return core


def up(specs: tuple[JobSpec, ...]) -> HandDrivenCore:
    core = started(specs)
    begin_all(core)
    begin_all(core)
    return core


def begin_all(core: HandDrivenCore) -> None:
    for run in [run.id for run in core.lifecycle.runs.values() if run.started is None]:
        core.started(run)


def end_all(core: HandDrivenCore, how: How = How.RETURNED) -> None:
    for run in list(core.lifecycle.runs):
        core.ended(run, how)


def stop_all(core: HandDrivenCore) -> None:
    core.shutdown()
    while core.lifecycle.phase is not Phase.STOPPED:
        for run in list(core.lifecycle.stopping):
            core.ended(run, How.CANCELLED)
    make_stop_report(core.lifecycle, core.clock.now())


def report_all(core: HandDrivenCore) -> None:
    for job in core.lifecycle.jobs.values():
        make_job_report(core.lifecycle, job, core.clock.now())


def stop_and_start_each(core: HandDrivenCore) -> None:
    for number in range(1, len(core.lifecycle.jobs) // 2 + 1):
        core.stop(f"web.{number}")
        core.arm(f"web.{number}")


def nothing(specs: tuple[JobSpec, ...]) -> tuple[JobSpec, ...]:
    return specs


def specs_of(core: HandDrivenCore) -> list[JobSpec]:
    return [job.spec for job in core.lifecycle.jobs.values()]


CASES: dict[str, tuple[Callable[[tuple[JobSpec, ...]], Any], Callable[[Any], object]]] = {
    "adding": (nothing, added),
    "starting": (started, begin_all),
    "failing": (started, lambda core: end_all(core, How.NOT_ENTERED)),
    "failing one by one": (up, lambda core: end_all(core, How.RAISED)),
    "stopping": (up, stop_all),
    "stopping what waits": (started, stop_all),
    "status of all that wait": (started, report_all),
    "stopping and starting each that waits": (started, stop_and_start_each),
    "a reload that changes nothing": (up, lambda core: core.reload(*specs_of(core))),
    "a reload while all wait": (started, lambda core: core.reload(*specs_of(core))),
    "a reload that removes the dependencies": (
        started,
        lambda core: core.reload(*[spec for spec in specs_of(core) if spec.after]),
    ),
    "a reload that removes all": (up, lambda core: core.reload(make_job("other"))),
}  # fmt: skip


@pytest.mark.parametrize("make", [pairs, lists])
@pytest.mark.parametrize("case", CASES)
def test_n_jobs_after_n_jobs_take_steps_in_proportion_to_n(make: Callable[[int], Any], case: str) -> None:
    prepare, action = CASES[case]
    counts = []
    for n in (40, 80):
        prepared = prepare(make(n))
        with Steps() as steps:
            action(prepared)
        counts.append(steps.count)

    assert counts[0] > 40
    assert counts[1] < 2.3 * counts[0], counts


def test_a_dependent_that_is_decided_by_one_before_it_is_visited_in_its_place() -> None:
    exhausted = Schedule(calendar=FakeCalendar(1.0, 1.0, last=0.0))
    core = HandDrivenCore()
    core.add(
        make_job("x"),
        make_job("first", after=["x"], schedule=exhausted),
        make_job("second", after=["x", Dependency("first", Condition.FINISHED)]),
        make_job("third", after=["x"]),
    )
    core.start_all()

    found = core.started("x#1")

    assert show(found) == [
        "started x#1", "ready x#1", "skipped first", "queued second#1", "StartRun second#1", "queued third#1",
        "StartRun third#1",
    ]  # fmt: skip


def test_the_last_of_many_dependencies_starts_all_dependents_in_the_order_of_their_declarations() -> None:
    core = started(pairs(100))
    runs = list(core.lifecycle.runs)
    for run in runs[:-1]:
        core.started(run)
    before = {core.state(f"web.{number}") for number in range(1, 101)}

    found = core.started(runs[-1])

    assert before == {JobState.WAITING}
    assert [line for line in show(found) if line.startswith("StartRun")] == [
        f"StartRun web.{n}#1" for n in range(1, 101)
    ]
