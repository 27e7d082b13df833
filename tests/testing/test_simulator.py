from __future__ import annotations

from taskloom.core.inputs import HurryShutdown, StartJob, StopJob
from taskloom.core.model import WAIT_FOR_EVER, How, Otherwise, Reason, ReasonKind
from taskloom.errors import AlreadyRunning
from taskloom.testing import At, Behaviour, History, make_job, simulate

STOP = StopJob("a", Reason(ReasonKind.USER, "enough"))


def events_of(history: History, *names: str) -> list[tuple[float, str]]:
    """Return (seconds, event and outcome) of the named events, or of all but `job_added` and `scheduler_started`."""
    return [
        (event["mono"], " ".join([event["event"], *([event["outcome"]] if "outcome" in event else [])]))
        for event in history.as_dicts()
        if event["event"] in names or (not names and event["event"] not in ("job_added", "scheduler_started"))
    ]


def test_a_day_of_one_job_has_seven_events() -> None:
    history = simulate([make_job("a")], seconds=86_400, behaviours={"a": Behaviour.obeys(reaction=2.5)})

    assert events_of(history) == [
        (0, "queued"),
        (0, "started"),
        (0, "ready"),
        (86_400, "scheduler_stopping"),
        (86_400, "cancel_requested"),
        (86_402.5, "ended cancelled"),
        (86_402.5, "scheduler_stopped"),
    ]


def test_each_run_of_a_job_has_its_own_behaviour_and_the_last_one_repeats() -> None:
    script = [At(10, StartJob("a")), At(20, StartJob("a")), At(30, StartJob("a"))]
    runs = [Behaviour.returns(1), Behaviour.fails(2), Behaviour(fails_to_start=True)]

    history = simulate([make_job("a")], seconds=40, script=script, behaviours={"a": runs})

    assert events_of(history, "ended") == [
        (1, "ended succeeded"), (12, "ended failed"), (20, "ended start_failed"), (30, "ended start_failed"),
    ]  # fmt: skip


def test_a_run_that_ignores_the_cancel_is_abandoned_and_its_late_exit_is_recorded() -> None:
    job = make_job("a", daemon=True, within=5)

    history = simulate([job], seconds=60, script=[At(10, STOP)], behaviours={"a": Behaviour.ignores(until=40)})

    assert events_of(history, "stop_overdue", "ended", "late_exit") == [
        (15, "stop_overdue"), (15, "ended abandoned"), (40, "late_exit"),
    ]  # fmt: skip


def test_a_run_that_ends_at_the_instant_of_the_cancel_has_succeeded() -> None:
    history = simulate([make_job("a")], seconds=60, script=[At(10, STOP)], behaviours={"a": Behaviour(slips_away=True)})

    assert events_of(history, "cancel_requested", "ended") == [(10, "cancel_requested"), (10, "ended succeeded")]


def test_a_slow_constructor_and_a_late_readiness_delay_their_events() -> None:
    history = simulate([make_job("a")], seconds=60, behaviours={"a": Behaviour(making=3, ready_after=4)})

    assert events_of(history, "queued", "started", "ready") == [(0, "queued"), (3, "started"), (7, "ready")]


def test_a_run_that_is_cancelled_during_its_construction_never_enters_its_body() -> None:
    history = simulate([make_job("a")], seconds=60, script=[At(1, STOP)], behaviours={"a": Behaviour(making=3)})

    assert events_of(history, "started", "ended") == [(3, "ended cancelled")]


def test_an_urgent_run_may_end_early_and_a_failing_callback_is_reported() -> None:
    behaviour = Behaviour(reaction=60, hurried_reaction=0.5, fails_in_callback=True, reaction_how=How.RAISED)

    history = simulate([make_job("a", within=10)], seconds=60, script=[At(1, STOP)], behaviours={"a": behaviour})

    assert events_of(history, "callback_failed", "ended") == [(1, "callback_failed"), (9, "ended cancelled")]


def test_a_second_signal_cuts_the_stop_short() -> None:
    job = make_job("a", within=WAIT_FOR_EVER, otherwise=Otherwise.EXIT)

    history = simulate([job], seconds=10, script=[At(12, HurryShutdown(2))], behaviours={"a": Behaviour.ignores()})

    assert events_of(history, "stop_overdue", "scheduler_stopped") == [(14, "stop_overdue"), (14, "scheduler_stopped")]


def test_daemons_are_stopped_once_the_work_is_finished_as_by_taskloom_run() -> None:
    jobs = [make_job("a"), make_job("d", daemon=True)]
    runs = {"a": Behaviour.returns(5), "d": Behaviour.obeys()}

    history = simulate(jobs, seconds=3600, behaviours=runs, ends_with_work=True)

    (stopping,) = [event for event in history.as_dicts() if event["event"] == "scheduler_stopping"]
    assert (stopping["mono"], stopping["reason"]["kind"]) == (5, "finished")
    assert events_of(history, "scheduler_stopped") == [(5, "scheduler_stopped")]


def test_a_refused_command_is_in_the_history_and_changes_nothing() -> None:
    history = simulate([make_job("a")], seconds=10, script=[At(5, StartJob("a"))], behaviours={"a": Behaviour()})

    (refused,) = [step for step in history.steps if step.error is not None]
    assert isinstance(refused.error, AlreadyRunning)
    assert refused.actions == ()


def test_the_same_seed_gives_the_same_history_and_another_seed_a_different_one() -> None:
    jobs = [make_job(f"j{number}", daemon=number % 2 == 0, within=number) for number in range(8)]

    first, second, third = (simulate(jobs, seconds=7200, seed=seed) for seed in (7, 7, 8))

    assert first.as_dicts() == second.as_dicts()
    assert first.steps == second.steps
    assert first.as_dicts() != third.as_dicts()


def test_a_prefix_of_a_history_is_a_history_and_its_tail_reads_like_a_log() -> None:
    history = simulate([make_job("a")], seconds=10, behaviours={"a": Behaviour.returns(1)})

    prefix = history.prefix(3)

    assert list(prefix.jobs) == ["a"]
    assert prefix.as_dicts() == history.as_dicts()[:5]
    assert prefix.tail(1).strip() == "0.000  RunStarted(a#1, True) -> started(a#1), ready(a#1)"
