"""The gate that all restarts pass: after a storm of failures, jobs restart a few at a time and in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.actions import StartRun
from taskloom.core.inputs import Tick
from taskloom.core.model import How
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.core.restart import GATE_RESTARTS, GATE_SECONDS, RestartGate
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)


def storm(jobs: int) -> HandDrivenCore:
    """Return a core in which this many jobs have failed at the same moment."""
    stage = HandDrivenCore()
    stage.add(*(make_job(f"j{number}", restart=ON_FAILURE) for number in range(jobs)))
    stage.start_all()
    for number in range(jobs):
        stage.started(f"j{number}#1")
    for number in range(jobs):
        stage.ended(f"j{number}#1", How.RAISED)
    return stage


def test_five_thousand_jobs_that_fail_at_once_restart_twenty_at_a_time_and_in_order() -> None:
    stage = storm(5000)
    begun: list[tuple[float, str]] = []

    while (due := stage.lifecycle.next_deadline()) is not None:
        stage.clock.advance_to(due)
        found = stage.lifecycle.handle(Tick(), stage.clock.now())
        begun += [(due, action.run) for action in found if isinstance(action, StartRun)]

    groups = Counter(at for at, _ in begun)
    moments = list(groups)
    assert [run for _, run in begun] == [f"j{number}#2" for number in range(5000)]
    assert set(groups.values()) == {GATE_RESTARTS}
    assert moments[0] == 0.5
    assert all(after - before >= GATE_SECONDS - 1e-9 for before, after in pairwise(moments))
    assert moments[-1] == pytest.approx(0.5 + 249 * GATE_SECONDS)


def test_jobs_that_are_stopped_while_they_wait_at_the_gate_do_not_start() -> None:
    stage = storm(60)
    first = stage.advance(0.5)
    for number in (20, 25, 39, 40, 59):
        stage.stop(f"j{number}")

    second = stage.advance(0.1)
    third = stage.advance(0.1)
    rest = stage.advance(60)

    begun = [[action.run for action in found if isinstance(action, StartRun)] for found in (first, second, third, rest)]
    assert [len(group) for group in begun] == [20, 20, 15, 0]
    assert set(begun[1]) | set(begun[2]) == {f"j{n}#2" for n in range(20, 60) if n not in (20, 25, 39, 40, 59)}


def test_a_job_that_is_due_later_does_not_overtake_jobs_that_wait_at_the_gate() -> None:
    """1. thirty are due at 0.5 s, and ten of them wait. 2. at 0.6 s the gate opens, and another job is due."""
    stage = storm(30)
    stage.add(make_job("z", restart=replace(ON_FAILURE, delay=0.6)))
    stage.run("z")
    stage.ended("z#1", How.RAISED)
    stage.advance(0.5)

    found = stage.advance(0.2)

    begun = [action.run for action in found if isinstance(action, StartRun)]
    assert begun == [*(f"j{number}#2" for number in range(20, 30)), "z#2"]


def test_a_job_that_a_user_starts_while_it_waits_at_the_gate_starts_once() -> None:
    stage = storm(30)
    stage.advance(0.5)

    stage.run("j25")
    stage.advance(60)

    assert stage.lifecycle.jobs["j25"].runs == 2
    assert stage.lifecycle.jobs["j25"].restarts == 0


def test_a_shutdown_empties_the_gate() -> None:
    stage = storm(100)
    stage.advance(0.5)
    stage.shutdown()

    found = stage.advance(20)

    assert [action for action in found if isinstance(action, StartRun)] == []


def test_the_gate_admits_a_group_and_opens_again_later() -> None:
    gate = RestartGate()

    let_in = [gate.try_acquire(10.0) for _ in range(GATE_RESTARTS + 2)]

    assert let_in == [True] * GATE_RESTARTS + [False, False]
    assert gate.opens_at == 10.0 + GATE_SECONDS
    assert not gate.try_acquire(10.0 + GATE_SECONDS - 0.001)
    assert gate.try_acquire(gate.opens_at)
