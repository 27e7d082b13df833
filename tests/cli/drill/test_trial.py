"""The drill of one job, with real threads: the result of each way of stopping, and of not stopping."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.random_jobs import in_process

from taskloom import AsyncContext, Context, Job, Task
from taskloom.catalog.entry_points import Catalog
from taskloom.cli.drill.trial import DrilledJob, DrillResult, drill_job, max_drill_seconds
from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome
from taskloom.core.policies import Dependency, RestartPolicy, RestartWhen, Schedule
from taskloom.jobfile.job_spec import spec_of
from taskloom.testing import make_job

Drill = Callable[..., DrilledJob]


@pytest.fixture
def way_out() -> Iterator[threading.Event]:
    """Ends the tasks that do not stop, and joins their threads after the test."""
    before = set(threading.enumerate())
    event = threading.Event()

    yield event

    event.set()
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(10)


@pytest.fixture
def drill() -> Drill:
    def drill(task: object, *, budget: float | None = 10.0, warm_up: float = 0.0, **fields: object) -> DrilledJob:
        changes = {name: fields.pop(name) for name in list(fields) if name in CORE_FIELDS}
        spec = spec_of(Job(name="it", task=task, **fields), Catalog())  # type: ignore[arg-type]
        return drill_job(replace(spec, **changes), budget=budget, warm_up=warm_up)  # type: ignore[arg-type]

    return drill


CORE_FIELDS = ("schedule", "after", "restart", "replicas", "essential", "timeout", "ready_within")


def place_of(mark: str, function: str) -> str:
    """Return `file:line in function` of the first line of this file that has the mark as its comment."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines, start=1) if line.endswith(f"  # {mark}"))
    return f"{__file__}:{number} in {function}"


def polite(ctx: Context) -> None:
    """Wait until asked to stop."""
    ctx.wait()


def test_a_task_that_waits_on_its_token_stops_in_time(drill: Drill) -> None:
    result = drill(polite)

    assert result.verdict is DrillResult.IN_TIME
    assert result.passes
    assert result.outcome is Outcome.CANCELLED
    assert result.stopped_in is not None
    assert result.stopped_in < 10.0
    assert result.ready_after is not None
    assert result.budget == 10.0
    assert (result.where, result.stack, result.threads_left) == ("", "", ())


def test_a_task_that_ignores_its_token_is_over_budget_and_its_line_is_named(
    drill: Drill, way_out: threading.Event
) -> None:
    def deaf(ctx: Context) -> None:
        way_out.wait()  # STANDS HERE

    result = drill(deaf, budget=0.05)

    assert result.verdict is DrillResult.OVER_BUDGET
    assert not result.passes
    assert result.outcome is None
    assert result.stopped_in is None
    assert result.where == place_of("STANDS HERE", "deaf")
    assert "way_out.wait()  # STANDS HERE" in result.stack
    assert result.worst_gap is not None
    assert result.worst_gap >= 0.05
    assert not result.has_seen_stop


def test_a_task_that_sees_the_stop_and_goes_on_is_distinguished_from_one_that_never_polls(
    drill: Drill, way_out: threading.Event
) -> None:
    def stubborn(ctx: Context) -> None:
        while not ctx.wait():
            pass
        way_out.wait()

    result = drill(stubborn, budget=0.05)

    assert result.verdict is DrillResult.OVER_BUDGET
    assert result.has_seen_stop


async def awaits(ctx: AsyncContext) -> None:
    """Await something else than the context."""
    ctx.count("begun")
    await asyncio.Event().wait()


def test_an_async_task_stops_in_time_and_its_loop_has_no_gap_while_it_waits(drill: Drill) -> None:
    result = drill(awaits, warm_up=0.2)

    assert (result.verdict, result.outcome) == (DrillResult.IN_TIME, Outcome.CANCELLED)
    assert result.worst_gap is not None
    assert result.worst_gap < 0.2


def test_an_async_task_that_swallows_its_cancellation_is_over_budget_and_its_line_is_named(
    drill: Drill, way_out: threading.Event
) -> None:
    async def deaf(ctx: AsyncContext) -> None:
        while not way_out.is_set():
            try:
                await asyncio.sleep(0.005)  # the task under test: deaf
            except asyncio.CancelledError:
                continue

    result = drill(deaf, budget=0.1, warm_up=0.2)

    assert result.verdict is DrillResult.OVER_BUDGET
    assert result.where == place_of("the task under test: deaf", "deaf")


def test_a_task_that_ends_before_the_request_to_stop_passes(drill: Drill) -> None:
    result = drill(lambda ctx: None, warm_up=30.0)

    assert result.verdict is DrillResult.ENDED_BY_ITSELF
    assert result.passes
    assert result.outcome is Outcome.SUCCEEDED
    assert result.stopped_in is None


def test_a_task_that_fails_before_the_request_to_stop_fails_the_drill(drill: Drill) -> None:
    def broken(ctx: Context) -> None:
        raise ValueError("boom")

    result = drill(broken, warm_up=30.0)

    assert result.verdict is DrillResult.FAILED
    assert result.outcome is Outcome.FAILED
    assert str(result.error) == "ValueError: boom"
    assert result.error is not None
    assert result.error.traceback.splitlines()[1].startswith(f'  File "{__file__}", line ')


def test_a_task_that_fails_when_it_is_stopped_fails_the_drill(drill: Drill) -> None:
    def untidy(ctx: Context) -> None:
        ctx.wait()
        raise ValueError("cannot tidy up")

    result = drill(untidy)

    assert result.verdict is DrillResult.FAILED
    assert result.stopped_in is not None


def test_a_task_that_cannot_be_made_fails_the_drill(drill: Drill) -> None:
    class Unmade(Task):
        made = 0

        def __init__(self) -> None:
            # Loading makes one instance, to check its params.
            Unmade.made += 1
            if Unmade.made > 1:
                raise RuntimeError("no device")

        def run(self, ctx: Context) -> None: ...

    result = drill(Unmade, warm_up=30.0)

    assert result.verdict is DrillResult.FAILED
    assert result.outcome is Outcome.START_FAILED
    assert result.ready_after is None


def test_the_budget_is_that_of_the_join_policy_by_default(drill: Drill) -> None:
    assert drill(polite, budget=None, join="4s").budget == 4.0
    assert drill(polite, budget=None, join="wait").budget == 30.0
    assert drill(polite, budget=2.0, join="4s").budget == 2.0


def test_a_job_that_no_stop_waits_for_passes_however_long_it_takes(drill: Drill, way_out: threading.Event) -> None:
    def deaf(ctx: Context) -> None:
        way_out.wait()

    fine = drill(polite, budget=None, join="0s", daemon=True)
    hung = drill(deaf, budget=None, join="0s", daemon=True)

    assert [fine.verdict, hung.verdict] == [DrillResult.NOT_AWAITED, DrillResult.NOT_AWAITED]
    assert fine.passes
    assert hung.passes
    assert fine.budget is None
    assert fine.stopped_in is not None
    assert hung.stopped_in is None


def test_a_given_budget_applies_to_a_job_that_no_stop_waits_for(drill: Drill, way_out: threading.Event) -> None:
    result = drill(lambda ctx: way_out.wait() and None, budget=0.05, join="0s", daemon=True)

    assert result.verdict is DrillResult.OVER_BUDGET


def test_policies_that_start_restart_or_limit_the_job_are_ignored(drill: Drill) -> None:
    result = drill(
        polite,
        schedule=Schedule(every=3600.0, text="every 1h"),
        after=(Dependency("somebody"),),
        restart=RestartPolicy(RestartWhen.ALWAYS),
        replicas=3,
        essential=True,
        timeout=0.001,
        warm_up=0.05,
    )

    assert result.verdict is DrillResult.IN_TIME
    assert result.job == "it"


def test_a_job_that_announces_readiness_is_not_asked_to_stop_before_it_is_ready(drill: Drill) -> None:
    is_ready = threading.Event()
    was_ready = []

    class Announcer(Task):
        announces_ready = True

        def run(self, ctx: Context) -> None:
            was_ready.append(ctx.cancelled)
            is_ready.set()
            ctx.ready()
            ctx.wait()

    result = drill(Announcer, ready_within=30.0)

    assert result.verdict is DrillResult.IN_TIME
    assert result.ready_after is not None
    assert was_ready == [False]


def test_a_job_that_never_gets_ready_is_asked_to_stop_after_the_warm_up_and_passes(drill: Drill) -> None:
    class Hopeful(Task):
        announces_ready = True

        def run(self, ctx: Context) -> None:
            ctx.wait()

    result = drill(Hopeful, warm_up=0.02)

    assert result.verdict is DrillResult.IN_TIME
    assert result.ready_after is None


def test_a_long_gap_between_polls_is_reported_with_its_place(drill: Drill, way_out: threading.Event) -> None:
    def slow(ctx: Context) -> None:
        way_out.wait(0.3)  # SLOW HERE
        ctx.wait()

    result = drill(slow, warm_up=0.6)

    assert result.verdict is DrillResult.IN_TIME
    assert result.worst_gap is not None
    assert result.worst_gap >= 0.3
    assert result.worst_at == place_of("SLOW HERE", "slow")


def test_a_task_with_terminate_that_never_polls_has_no_worst_gap(drill: Drill) -> None:
    class Woken(Task):
        _door: threading.Event

        def __post_init__(self) -> None:
            self._door = threading.Event()

        def run(self, ctx: Context) -> None:
            self._door.wait()

        def terminate(self) -> None:
            self._door.set()

    result = drill(Woken)

    assert result.verdict is DrillResult.IN_TIME
    assert result.worst_gap is None
    assert result.is_wakeable


def test_a_failing_terminate_is_reported() -> None:
    has_failed = threading.Event()

    class Sour(Task):
        def run(self, ctx: Context) -> None:
            has_failed.wait(10)

        def terminate(self) -> None:
            raise OSError("no such socket")

    def release(event: Event) -> None:
        if event.event is EventName.CALLBACK_FAILED:
            has_failed.set()

    result = drill_job(spec_of(Job(name="it", task=Sour), Catalog()), warm_up=0.0, listeners=[release])

    assert result.passes
    assert result.callbacks == ("terminate: OSError: no such socket",)


@pytest.mark.parametrize("is_named_like_the_job", [False, True])
def test_a_thread_that_the_task_left_running_is_named(
    drill: Drill, way_out: threading.Event, is_named_like_the_job: bool
) -> None:
    names: list[str] = []

    def leaker(ctx: Context) -> None:
        names.append(ctx.job if is_named_like_the_job else "leaked")
        threading.Thread(target=way_out.wait, name=names[0], daemon=True).start()

    assert drill(leaker, warm_up=30.0).threads_left == tuple(names)


def test_listeners_get_the_events(drill: Drill) -> None:
    received: list[Event] = []
    spec = spec_of(Job(name="it", task=polite), Catalog())

    drill_job(spec, warm_up=0.0, listeners=[received.append])

    names = [event.event for event in received]
    assert EventName.STARTED in names
    assert [event.outcome for event in received if event.event is EventName.ENDED] == [Outcome.CANCELLED]


def test_max_drill_seconds_adds_readiness_warm_up_and_budget() -> None:
    spec = replace(spec_of(Job(name="it", task=polite, join="4s"), Catalog()), ready_within=20.0)

    assert max_drill_seconds(spec, None, 1.0) == 25.0
    assert max_drill_seconds(spec, 0.5, 1.0) == 21.5


def test_a_deaf_program_is_killed_at_the_end_of_its_budget_and_does_not_pass(drill: Drill) -> None:
    argv = ["sh", "-c", "trap '' TERM; while :; do sleep 60; done"]

    result = drill("command", budget=0.3, warm_up=0.2, params={"argv": argv})

    assert (result.verdict, result.passes, result.outcome) == (DrillResult.KILLED, False, Outcome.CANCELLED)
    assert result.killed.startswith("SIGKILL after ")
    assert result.stopped_in is not None
    assert result.stopped_in >= 0.3
    assert result.budget == 0.3
    assert (result.worst_at, result.threads_left) == ("", ())


def test_a_program_that_ends_on_its_signal_is_in_time(drill: Drill) -> None:
    result = drill("command", warm_up=0.2, params={"argv": ["sleep", "60"]})

    assert (result.verdict, result.outcome, result.killed) == (DrillResult.IN_TIME, Outcome.CANCELLED, "")


def test_the_longest_time_of_a_drill_includes_the_seconds_in_which_a_run_is_killed() -> None:
    spec = in_process(make_job("a", within=5.0))

    assert max_drill_seconds(spec, None, warm_up=1.0) == 10.0
    assert max_drill_seconds(make_job("a", within=5.0), None, warm_up=1.0) == 7.0
