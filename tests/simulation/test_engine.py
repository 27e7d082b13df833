"""The virtual-time engine: the order at one instant, clocks, and the end of the loop."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from tests.support.fake_calendar import FakeCalendar

from taskloom.core import actions, inputs
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import How, Moment, Reason, ReasonKind
from taskloom.core.policies import Schedule
from taskloom.simulation.engine import PROGRESS_STEPS, Engine, in_order
from taskloom.simulation.plan import ClockStep, Stall
from taskloom.testing import make_job

STOP = inputs.Shutdown(Reason(ReasonKind.SHUTDOWN), 30.0)


def make_engine(tie_break: Callable[[], float] = in_order, on_work_finished: Callable[[], object] = dict) -> Engine:
    core = Lifecycle(Random(0).random, 30.0)
    return Engine(core, wall=1000.0, on_work_finished=on_work_finished, tie_break=tie_break, stuck_steps=100)


def record_steps(engine: Engine) -> list[tuple[float, inputs.Input]]:
    """Return the list of the inputs from now on, each with its second."""
    steps: list[tuple[float, inputs.Input]] = []

    def handle(message: inputs.Input, now: Moment) -> list[actions.Action]:
        steps.append((now.mono, message))
        return engine.core.handle(message, now)

    engine.handle = handle
    return steps


def never_over() -> bool:
    return False


def test_callbacks_are_called_in_order_of_time_and_then_of_scheduling() -> None:
    engine = make_engine()
    called: list[tuple[str, Moment]] = []
    for name, when in (("late", 5.0), ("first", 2.0), ("second", 2.0), ("never", float("inf"))):
        engine.schedule(when, lambda name: called.append((name, engine.now)), name)

    engine.run(never_over)

    assert called == [("first", Moment(2.0, 1002.0)), ("second", Moment(2.0, 1002.0)), ("late", Moment(5.0, 1005.0))]
    assert not engine.has_scheduled


@pytest.mark.parametrize(("number", "first"), [(0.4, "tick"), (0.6, "callback")])
def test_the_tie_break_decides_between_a_deadline_and_a_callback(number: float, first: str) -> None:
    engine = make_engine(tie_break=lambda: number)
    order: list[str] = []
    engine.handlers[actions.StartRun] = lambda _: order.append("tick")
    engine.process(inputs.AddJob(make_job("a", schedule=Schedule(every=10.0))))
    engine.process(inputs.StartAll())
    engine.schedule(10.0, order.append, "callback")

    engine.run(never_over, until=10.0)

    assert sorted(order) == ["callback", "tick"]
    assert order[0] == first


def test_an_answer_is_handed_in_after_all_actions_of_the_present_input() -> None:
    engine = make_engine()
    handed_in: list[str] = []
    handle = engine.handle

    def record(message: inputs.Input, now: Moment) -> list[actions.Action]:
        handed_in.append(type(message).__name__)
        return list(handle(message, now))

    engine.handle = record
    engine.handlers[actions.StartRun] = lambda action: engine.answer(inputs.RunStarted(action.run, is_ready=True))
    for name in ("a", "b"):
        engine.process(inputs.AddJob(make_job(name)))
    engine.process(inputs.StartAll())

    assert handed_in == ["AddJob", "AddJob", "StartAll", "RunStarted", "RunStarted"]


def test_a_clock_step_moves_the_wall_clock_and_a_stall_moves_both() -> None:
    engine = make_engine()

    engine.apply(ClockStep(-30.0))
    assert engine.now == Moment(0.0, 970.0)
    engine.apply(Stall(5.0))
    assert engine.now == Moment(5.0, 975.0)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_stall_by_a_negative_or_infinite_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot stall for"):
        make_engine().stall(seconds)


def test_a_callback_that_time_has_passed_is_called_late_without_turning_the_clock_back() -> None:
    engine = make_engine()
    called: list[float] = []
    engine.schedule(1.0, engine.stall, 10.0)
    engine.schedule(3.0, lambda: called.append(engine.now.mono))

    engine.run(never_over)

    assert called == [11.0]


def test_the_loop_ends_before_the_first_step_after_until() -> None:
    engine = make_engine()
    engine.schedule(5.0, engine.step_wall, 1.0)

    engine.run(never_over, until=4.9)

    assert engine.has_scheduled
    assert engine.now == Moment(0.0, 1000.0)


def test_is_over_ends_the_loop_only_once_the_shutdown_has_begun() -> None:
    engine = make_engine()
    called: list[int] = []
    engine.process(inputs.AddJob(make_job("a")))
    engine.schedule(1.0, called.append, 1)
    engine.schedule(2.0, engine.process, STOP)
    engine.schedule(3.0, called.append, 3)

    engine.run(lambda: True)

    assert called == [1]


def test_the_end_of_the_work_is_reported_at_its_instant() -> None:
    reported: list[float] = []
    engine = make_engine(on_work_finished=lambda: reported.append(engine.now.mono))
    engine.handlers[actions.StartRun] = lambda action: engine.answer(inputs.RunStarted(action.run, is_ready=True))
    engine.process(inputs.AddJob(make_job("a")))
    engine.process(inputs.StartAll())
    engine.schedule(4.0, engine.process, inputs.StopJob("a", Reason(ReasonKind.USER, "enough")))
    engine.handlers[actions.CancelRun] = lambda action: engine.answer(
        inputs.RunEnded(action.run, how=How.RETURNED, error=None, was_requested=True, callback_ran=False)
    )

    engine.run(never_over)

    assert reported == [4.0]


def test_a_loop_at_one_instant_raises() -> None:
    engine = make_engine()

    def again() -> None:
        engine.schedule(engine.now.mono, again)

    engine.schedule(7.0, again)

    with pytest.raises(RuntimeError, match="virtual time does not advance: 100 steps at second 7"):
        engine.run(never_over)


@pytest.mark.parametrize("every", [None, 86_400.0])
def test_a_job_that_fires_once_a_day_takes_a_few_steps_a_day(every: float | None) -> None:
    """The wall clock is checked every 15 s, but virtual time knows when it is set."""
    calendar = FakeCalendar(2000.0, 86_400.0) if every is None else None
    engine = make_engine()
    steps = record_steps(engine)
    engine.handlers[actions.StartRun] = lambda action: engine.answer(inputs.RunStarted(action.run, is_ready=True))
    engine.process(inputs.AddJob(make_job("a", schedule=Schedule(every=every, calendar=calendar))))
    engine.process(inputs.StartAll())

    engine.run(never_over, until=365 * 86_400.0)

    assert len(steps) <= 365 * 2 + 10


def test_a_step_of_the_clock_is_noticed_when_the_next_check_would_have_been() -> None:
    engine = make_engine()
    engine.process(inputs.AddJob(make_job("a", schedule=Schedule(calendar=FakeCalendar(90_000.0, 86_400.0)))))
    engine.process(inputs.StartAll())
    steps = record_steps(engine)
    for when in (100.0, 101.0, 5000.0, 6000.0):
        engine.schedule(when, engine.step_wall, -1.0)

    engine.run(never_over, until=20_000.0)

    assert steps == [
        (105.0, inputs.Tick(steady_until=90.0)),
        (5010.0, inputs.Tick(steady_until=4995.0)),
        (6000.0, inputs.Tick(steady_until=5985.0)),
    ]


def test_the_progress_is_reported_once_in_a_thousand_steps() -> None:
    engine = make_engine()
    reported: list[float] = []
    engine.on_progress = lambda: reported.append(engine.now.mono)
    for second in range(2 * PROGRESS_STEPS + 10):
        engine.schedule(float(second), dict)

    engine.run(never_over)

    assert reported == [PROGRESS_STEPS - 1, 2 * PROGRESS_STEPS - 1]
