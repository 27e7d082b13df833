"""Any order of inputs: the core must act as the reference model does, and each history must keep the invariants."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.hand_driven_core import BOOM, HandDrivenCore, show
from tests.support.random_jobs import in_process
from tests.support.reference_model import ReferenceJob, ReferenceModel, outcome_of

from taskloom.core.inputs import InstantRecorded, RunEnded, StartJob, Tick
from taskloom.core.model import WAIT_FOR_EVER, How, JobSpec, Otherwise
from taskloom.core.policies import (
    Condition,
    Dependency,
    Missed,
    Overlap,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)
from taskloom.errors import InternalError, UsageError
from taskloom.invariants.checker import check, explain
from taskloom.testing import make_job

NEVER = float("inf")


def one_of_many(values: list[Any]) -> st.SearchStrategy[Any]:
    """Draw a value with one choice. `sampled_from` writes out all values in its repr, which is slow for long lists."""
    return st.integers(0, len(values) - 1).map(lambda index: values[index])


WITHINS = st.sampled_from([0.0, 0.5, 1.0, 4.0, 8.0, WAIT_FOR_EVER])
SECONDS = st.integers(0, 40).map(lambda quarters: quarters / 4)
PICK = st.integers(0, 4)
# Not due at the same instant as any other deadline, as said below.
LEFT = st.sampled_from([0.0, 4.001953125, 20.001953125])
WATCHDOGS = st.sampled_from([Watchdog(3.0, then) for then in WatchdogThen])
# Schedules and limits are never due at the same instant as other deadlines, since the order of two deadlines at one
# instant is not specified. Nothing is random, and no restart delay is zero: the reference model has no restart gate.
RESTARTS = one_of_many(
    [
        RestartPolicy(when, delay=delay, factor=factor, max_delay=max_delay, jitter=0.0, limit=limit)
        for when, delay, factor, max_delay, limit in product(
            RestartWhen,
            (0.25, 0.5, 8.0),
            (1.0, 2.0),
            (0.5, 30.0),
            (None, *(RestartLimit(times, within) for times in (1, 2, 3) for within in (5.0, 60.0))),
        )
    ]
)
SCHEDULES = one_of_many(
    [
        Schedule(every=every, text="drawn", overlap=overlap, missed=missed, grace=grace, immediately=immediately)
        for every, overlap, missed, grace, immediately in product(
            (0.515625, 2.015625, 7.015625), Overlap, Missed, (0.0, 3.0, 3600.0), (False, True)
        )
    ]
)
# The change of a job in a reload. Most jobs are kept. Only "new" adds a job that does not exist.
CHANGES = st.sampled_from(
    ["kept"] * 6
    + ["removed", "new", "params", "daemon", "join", "enabled", "after", "restart", "schedule", "timeout", "start"]
    + ["ready_within", "watchdog", "description", "poll_interval"]
)


def without_runs(line: str) -> str:
    """Drop the runs of a progress report: they depend on the order within an instant, which the invariants check."""
    return "ReportStopProgress" if line.startswith("ReportStopProgress") else line


def usually_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), strategy)


# The numbers of the jobs whose runs can be killed: a reload never changes that for a live run.
KILLED = (1, 2, 5)


def job_specs(number: int) -> st.SearchStrategy[JobSpec]:
    """Return the strategy of the job with this number, which may depend on jobs with lower numbers."""
    others = st.sampled_from([f"j{other}" for other in range(number)])
    dependencies = st.builds(Dependency, others, st.sampled_from(list(Condition)))
    return st.builds(
        make_job,
        st.just(f"j{number}"),
        daemon=st.booleans(),
        within=WITHINS,
        otherwise=st.sampled_from([None, None, Otherwise.EXIT, Otherwise.ABANDON]),
        delay=st.sampled_from([0.0, 0.0, 2.0]),
        manual=st.sampled_from([False, False, False, True]),
        enabled=st.sampled_from([True, True, True, True, False]),
        after=st.lists(dependencies, unique_by=lambda one: one.job, max_size=2) if number else st.just(()),
        restart=RESTARTS,
        schedule=usually_none(SCHEDULES),
        timeout=usually_none(st.sampled_from([1.0078125, 6.0078125])),
        ready_within=usually_none(st.sampled_from([0.75390625, 3.00390625])),
        watchdog=usually_none(WATCHDOGS),
        essential=st.sampled_from([False] * 30 + [True]),
    ).map(in_process if number in KILLED else lambda spec: spec)


JOB_SPECS = [job_specs(number) for number in range(6)]


class Machine(RuleBasedStateMachine):
    """Gives the core and the reference model the same inputs in any order, and compares their actions and states."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.driven, self.model = HandDrivenCore(), ReferenceModel()

    @property
    def now(self) -> float:
        return self.driven.clock.now().mono

    def expect(self, expected: list[str] | None, hand_in: Callable[[], Any]) -> None:
        """Hand in the input and compare the actions with the expected ones; None: the input must be refused."""
        type(self).steps += 1
        before = len(self.driven.history.steps)
        try:
            hand_in()
        except UsageError:
            assert expected is None, f"refused, expected {expected}"
            return
        assert expected is not None, f"not refused: {self.driven.history.tail(1)}"
        found = [without_runs(line) for step in self.driven.history.steps[before:] for line in show(step.actions)]
        assert sorted(found) == sorted(expected + self.model.work_finished())
        self.model.set_cancel_order(
            [line.removeprefix("CancelRun ") for line in found if line.startswith("CancelRun ")]
        )

    @rule(pick=PICK, is_recorded=st.booleans(), is_late=st.booleans())
    def record(self, pick: int, is_recorded: bool, is_late: bool) -> None:
        """Answer for an instant: the one that the job waits for, or an old one that is dropped."""
        job = self.pick_job(pick, lambda job: job.waits_for == "record")
        if job is None:
            return
        if is_late:
            report = InstantRecorded(job.spec.name, 1.0, is_recorded)
            self.expect([], lambda: self.driven.send(report))
        else:
            name = job.spec.name
            self.expect(self.model.recorded(job, self.now), lambda: self.driven.recorded(name, is_recorded=is_recorded))

    def pick_job(self, pick: int, wanted: Callable[[ReferenceJob], bool]) -> ReferenceJob | None:
        candidates = [job for job in self.model.jobs.values() if wanted(job)]
        return candidates[pick % len(candidates)] if candidates else None

    @initialize(specs=st.tuples(*JOB_SPECS[:5]))
    def declare(self, specs: tuple[JobSpec, ...]) -> None:
        for spec in specs:
            self.expect(self.model.add(spec), lambda spec=spec: self.driven.add(spec))  # type: ignore[misc]

    @rule(spec=JOB_SPECS[5])
    def add(self, spec: JobSpec) -> None:
        self.expect(self.model.add(spec), lambda: self.driven.add(spec))

    @rule()
    def start_all(self) -> None:
        self.expect(self.model.start_all(self.now), self.driven.start_all)

    @rule(pick=PICK, is_now=st.booleans())
    def start(self, pick: int, is_now: bool) -> None:
        expected = self.model.start(f"j{pick}", self.now, is_now=is_now)
        self.expect(expected, lambda: self.driven.send(StartJob(f"j{pick}", is_now)))

    @rule(pick=PICK)
    def arm(self, pick: int) -> None:
        self.expect(self.model.arm(f"j{pick}", self.now), lambda: self.driven.arm(f"j{pick}"))

    @rule(pick=PICK, is_now=st.booleans())
    def restart(self, pick: int, is_now: bool) -> None:
        expected = self.model.restart(f"j{pick}", "again", self.now, is_now=is_now)
        self.expect(expected, lambda: self.driven.restart(f"j{pick}", is_now=is_now))

    @rule(pick=PICK)
    def reset(self, pick: int) -> None:
        self.expect(self.model.reset(f"j{pick}", self.now), lambda: self.driven.reset(f"j{pick}"))

    @rule(pick=PICK)
    def pause(self, pick: int) -> None:
        self.expect(self.model.pause(f"j{pick}", self.now), lambda: self.driven.pause(f"j{pick}"))

    @rule(pick=PICK)
    def resume(self, pick: int) -> None:
        self.expect(self.model.resume(f"j{pick}", self.now), lambda: self.driven.resume(f"j{pick}"))

    @rule(pick=PICK, data=st.data())
    def reload(self, pick: int, data: st.DataObject) -> None:
        """Keep most declarations, remove some or bring them back, and change a field of others."""
        drawn = [self.redeclared(number, data.draw(CHANGES, label=f"j{number}"), data) for number in range(6)]
        specs = [spec for spec in drawn if spec is not None]
        self.expect(self.model.reload(specs, self.now), lambda: self.driven.reload(*specs))

    def redeclared(self, number: int, change: str, data: st.DataObject) -> JobSpec | None:
        job = self.model.jobs.get(f"j{number}")
        if change == "removed" or (job is None and change != "new"):
            return None
        if job is None:
            return data.draw(JOB_SPECS[number])
        if change == "params":
            return replace(job.spec, params={"number": self.now})
        if change == "poll_interval":
            return replace(job.spec, poll_interval=1.0 + self.now)
        if not hasattr(job.spec, change):
            return job.spec
        return replace(job.spec, **{change: getattr(data.draw(JOB_SPECS[number]), change)})

    @rule(seconds=st.sampled_from([-86_400.0, -3600.0, -0.5, 0.5, 3600.0, 86_400.0]))
    def set_the_wall_clock(self, seconds: float) -> None:
        """Intervals, delays and deadlines do not depend on the wall clock."""
        self.driven.clock.step_wall(seconds)

    @rule(pick=PICK)
    def unresponsive(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: job.is_live)
        if job is not None:
            expected = self.model.unresponsive(job, "no poll for 5.0 s", self.now)
            self.expect(expected, lambda: self.driven.unresponsive(job.run))

    @rule(pick=PICK)
    def responsive(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: job.is_live)
        if job is not None:
            self.expect(self.model.responsive(job), lambda: self.driven.responsive(job.run))

    @rule(pick=PICK, text=st.sampled_from(["one", "two"]), run=st.sampled_from([None, None, 1, 2]))
    def stop(self, pick: int, text: str, run: int | None) -> None:
        only = f"j{pick}#{run}" if run else None
        expected = self.model.stop(f"j{pick}", text, self.now, only)
        self.expect(expected, lambda: self.driven.stop(f"j{pick}", text, only))

    # Never early: nothing can start after it.
    @precondition(lambda self: len(self.driven.history.steps) > 25)
    @rule(within=st.sampled_from([0.0, 1.0, 6.0, 30.0, WAIT_FOR_EVER]))
    def shutdown(self, within: float) -> None:
        self.expect(self.model.shutdown("everything", within, self.now), lambda: self.driven.shutdown(within))

    @precondition(lambda self: self.model.stop_text is not None or len(self.driven.history.steps) % 8 == 0)
    @rule(within=st.sampled_from([0.0, 2.0]))
    def hurry(self, within: float) -> None:
        self.expect(self.model.hurry(within, self.now), lambda: self.driven.hurry(within))

    @rule(pick=PICK, is_ready=st.booleans())
    def started(self, pick: int, is_ready: bool) -> None:
        job = self.pick_job(pick, lambda job: job.may_report and not job.is_started)
        if job is not None:
            run = job.run  # another run may follow at once
            expected = self.model.started(job, is_ready, self.now)
            self.expect(expected, lambda: self.driven.started(run, is_ready=is_ready))

    @rule(pick=PICK)
    def start_failed(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: job.may_report and not job.is_started)
        if job is not None:
            run = job.run  # another run may follow at once
            expected = self.model.ended(job, "start_failed", self.now)
            self.expect(expected, lambda: self.driven.start_failed(run))

    @rule(pick=PICK)
    def ended_without_being_entered(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: job.may_report and not job.is_started and job.requested_at is not None)
        if job is not None:
            run = job.run  # another run may follow at once
            outcome = outcome_of(How.NOT_ENTERED, True, False, job.first_kind)
            expected = self.model.ended(job, outcome, self.now)
            self.expect(expected, lambda: self.driven.ended(run, How.NOT_ENTERED))

    @rule(pick=PICK)
    def ready(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: job.may_report and job.is_started)
        if job is not None:
            run = job.run  # another run may follow at once
            self.expect(self.model.ready(job, self.now), lambda: self.driven.ready(run))

    @rule(
        pick=PICK,
        how=st.sampled_from([How.RETURNED, How.CANCELLED, How.RAISED, How.PERMANENT, How.KILLED, How.LOST]),
        sees_cancel=st.sampled_from([True, True, True, False]),
        was_woken=st.booleans(),
    )
    def ended(self, pick: int, how: How, sees_cancel: bool, was_woken: bool) -> None:
        job = self.pick_job(pick, lambda job: job.may_report and job.is_started)
        if job is not None:
            run = job.run  # another run may follow at once
            was_requested = sees_cancel and job.requested_at is not None
            outcome = outcome_of(how, was_requested, was_woken, job.first_kind if was_requested else "")
            is_permanent = how is How.PERMANENT
            expected = self.model.ended(job, outcome, self.now, is_early=not was_requested, is_permanent=is_permanent)
            self.expect(
                expected, lambda: self.driven.ended(run, how, was_requested=was_requested, callback_ran=was_woken)
            )

    @rule(pick=PICK, left=LEFT, sees_cancel=st.booleans())
    def lost(self, pick: int, left: float, sees_cancel: bool) -> None:
        """Report that the run is lost, started or not, and that something of it may be left for a while."""
        job = self.pick_job(pick, lambda job: job.may_report)
        if job is not None:
            was_requested = sees_cancel and job.requested_at is not None
            report = RunEnded(job.run, How.LOST, BOOM, was_requested, False, self.now + left)
            expected = self.model.lost(job, self.now, self.now + left, is_early=not was_requested)
            self.expect(expected, lambda: self.driven.send(report))

    @rule(pick=PICK)
    def released(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: job.number > 0)
        if job is not None:
            run = job.run  # another run may follow at once
            expected = self.model.released(job, self.now) if "release" in job.due else []
            self.expect(expected, lambda: self.driven.released(run))

    @rule(pick=PICK, pid=st.sampled_from([0, 7]))
    def placed(self, pick: int, pid: int) -> None:
        job = self.pick_job(pick, lambda job: job.is_live)
        if job is not None:
            expected = self.model.placed(job, "process" if pid else "worker")
            self.expect(expected, lambda: self.driven.placed(job.run, pid))

    @rule(pick=PICK, is_back=st.booleans())
    def heard(self, pick: int, is_back: bool) -> None:
        job = self.pick_job(pick, lambda job: job.is_live)
        if job is not None:
            expected = self.model.reachable(job) if is_back else self.model.unreachable(job)
            report = self.driven.reachable if is_back else self.driven.unreachable
            self.expect(expected, lambda: report(job.run))

    @rule(pick=PICK)
    def stack_captured(self, pick: int) -> None:
        """Report the stack; the report of an earlier request may come after the run's end."""
        job = self.pick_job(pick, lambda job: job.is_captured)
        if job is not None:
            self.expect(self.model.stack_captured(job, self.now), lambda: self.driven.stack_captured(job.run))

    @rule(pick=PICK)
    def callback_failed(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: job.number > 0)
        if job is not None:
            # Also after the end of the run: nothing waits for its `terminate`.
            self.expect([f"callback_failed {job.run}"], lambda: self.driven.callback_failed(job.run))

    @rule(pick=PICK)
    def an_unknown_run_ends(self, pick: int) -> None:
        job = self.pick_job(pick, lambda job: not job.is_live)
        if job is not None:
            with pytest.raises(InternalError):
                self.driven.ended(f"{job.spec.name}#{job.number + 1}")

    @rule()
    def tick(self) -> None:
        self.expect(self.model.tick(self.now), lambda: self.driven.send(Tick()))

    @rule()
    def sleep_until_the_deadline(self) -> None:
        """Reach the exact instant; the next rule decides whether the tick or another input comes first."""
        due = self.driven.lifecycle.next_deadline()
        if due is not None:
            self.driven.clock.advance_to(due)

    @rule(seconds=SECONDS)
    def advance_without_a_tick(self, seconds: float) -> None:
        self.driven.clock.advance(seconds)

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.driven.lifecycle.next_deadline()) is not None and due <= end:
            self.driven.clock.advance_to(due)
            self.tick()
        self.driven.clock.advance_to(end)

    @invariant()
    def core_and_model_agree(self) -> None:
        core, model = self.driven.lifecycle, self.model
        assert {name: job.state.value for name, job in core.jobs.items()} == {
            name: job.state for name, job in model.jobs.items()
        }
        assert {name: {outcome.value: n for outcome, n in job.outcomes.items()} for name, job in core.jobs.items()} == {
            name: dict(job.outcomes) for name, job in model.jobs.items()
        }
        assert {name: (job.is_paused, job.is_stopped) for name, job in core.jobs.items()} == {
            name: (job.is_paused, job.is_stopped) for name, job in model.jobs.items()
        }
        assert set(core.runs) == {job.run for job in model.jobs.values() if job.has_body}
        assert list(core.stopping) == model.awaited_runs()
        assert {run.id: str(run.reason.text or "everything") for run in core.stopping.values() if run.reason} == {
            job.run: job.first_text for job in model.jobs.values() if job.is_awaited
        }
        assert core.next_deadline() == model.next_deadline()
        assert core.stops.latest == model.stop_deadline
        assert core.is_work_over == model.is_work_over()

    def teardown(self) -> None:
        # A tick may be late by any time, since `advance_without_a_tick` skips deadlines.
        violations = check(self.driven.history, is_whole=False, lateness=NEVER)
        assert not violations, explain(self.driven.history, violations)


def run_machine(at_least: int, steps_of_one: int, first_seed: int, machines_of_seed: int) -> tuple[int, float]:
    """Run machines of `steps_of_one` steps until there were `at_least`; return the steps and the CPU seconds."""
    began, Machine.steps, seed = time.process_time(), 0, first_seed
    policy = settings(
        max_examples=machines_of_seed,
        stateful_step_count=steps_of_one,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
    )
    while Machine.steps < at_least:
        try:
            run_state_machine_as_test(with_seed(seed)(Machine), settings=policy)
        except Exception as error:
            error.add_note(f"state machine: seed {seed}; again with TASKLOOM_SEED={seed}")
            raise
        seed += 1
    return Machine.steps, time.process_time() - began


def test_any_order_of_inputs_gives_the_actions_of_the_reference_model() -> None:
    steps, _ = run_machine(1_000, 100, int(os.environ.get("TASKLOOM_SEED", "20261122")), 20)

    assert steps >= 1_000


def test_the_stop_of_a_blocked_run_skips_the_jobs_that_wait_for_its_restart_in_both() -> None:
    machine, restart = Machine(), RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)
    needs_success = [Dependency("j0", Condition.SUCCEEDED)]
    declared = [make_job("j0", restart=restart), make_job("j1", after=needs_success)]
    for spec in declared:
        machine.add(spec)
    machine.start_all()
    machine.lost(0, 20.001953125, False)
    assert machine.model.jobs["j0"].is_abandoned

    machine.stop(0, "one", 1)

    machine.core_and_model_agree()
    assert machine.model.jobs["j1"].end_state == "skipped"


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_thousand_inputs_give_the_actions_of_the_reference_model(
    record_property: Callable[[str, object], None],
) -> None:
    seed = int(os.environ.get("TASKLOOM_SEED", random.SystemRandom().randrange(2**32)))

    steps, seconds = run_machine(50_000, 100, seed, 100)

    record_property("told", f"state machine: {steps:,} steps, seed {seed}, {seconds:.0f} s of CPU")
    assert steps >= 50_000
