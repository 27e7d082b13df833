"""Simulated weeks: the firings compared with a cron reference, and failures, hangs, stops and clock steps.

SIMULATE_SEED sets another seed than the default. A failure prints its seed.
"""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.cpu_time import cpu_seconds
from tests.support.cron_walk import reference_firings
from tests.support.random_jobs import in_process

from taskloom.cli.simulate.findings import findings
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec, JobState, Outcome, ReasonKind
from taskloom.core.policies import Dependency, Otherwise, RestartLimit, RestartPolicy, RestartWhen, Schedule, Watchdog
from taskloom.core.policies import WatchdogThen as Then
from taskloom.invariants.checker import check_events
from taskloom.jobfile import load
from taskloom.simulation import FOR_EVER, ClockStep, Fault, Plan, SimulationResult, Span, simulate_jobs
from taskloom.testing import make_job

HOUR, DAY, WEEK = 3600.0, 86_400.0, 7 * 86_400.0
# Half a second off every instant, so that none falls on the beginning or the end.
SPRING = datetime.fromisoformat("2026-03-26T00:00:00.5Z").timestamp()
AUTUMN = datetime.fromisoformat("2026-10-22T00:00:00.5Z").timestamp()
ZONES = ("Europe/Berlin", "Europe/Berlin", "Europe/London", "UTC", "Asia/Kolkata", "America/New_York")
ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0)


def simulated(
    jobs: Sequence[JobSpec], listener: Callable[[Event], None] | None = None, seconds: float = DAY, **options: Any
) -> SimulationResult:
    plan = Plan(seconds=seconds, **({"start": SPRING} | options))
    return simulate_jobs(jobs, plan, [listener] if listener is not None else [])


def only(result: SimulationResult) -> dict[str, object]:
    [job] = result.as_dict()["jobs"]
    return dict(job)


# -- firings


@pytest.mark.parametrize("start", [pytest.param(SPRING, id="spring"), pytest.param(AUTUMN, id="autumn")])
@pytest.mark.parametrize("count", [pytest.param(12, id="some"), pytest.param(1000, id="all", marks=pytest.mark.long)])
def test_the_firings_of_a_week_are_those_of_the_cron_reference(tmp_path: Path, start: float, count: int) -> None:
    seed = int(os.environ.get("SIMULATE_SEED", "1"))
    print("seed:", seed)
    written = random_schedules(Random(seed), count)
    specs = load(job_file(tmp_path, written))
    found: dict[str, list[float]] = defaultdict(list)

    result = simulated(
        specs, record_firings(found), WEEK, start=start, seed=seed, work=(("long-*", Span(30.0, 200.0)),)
    )

    for name, (expression, zone) in written.items():
        assert found[name] == reference_firings(expression, zone, start, start + WEEK), (name, expression, zone)
    assert {job.spec.name: job.firings for job in result.jobs} == {name: len(found[name]) for name in written}
    assert sum(job.missed["overlap"] for job in result.jobs) > 0, "no firing overlapped, so overlaps were not tested"


def random_schedules(random: Random, count: int) -> dict[str, tuple[str, str]]:
    """Draw cron expressions of five fields; the runs of every fifth job take longer than a minute."""
    found = {"long-0": ("* * * * *", "UTC")}
    for number in range(1, count):
        minute = random.choice([f"{random.randrange(60)}", f"*/{random.randint(5, 59)}", f"{random.randrange(9)}/20"])
        hour = random.choice(["*", "*", f"{random.randrange(24)}", f"*/{random.randint(2, 9)}", "1-3"])
        day = random.choice(["* * *", "* * *", f"{random.randint(22, 31)} * *", "* * 1-5", "* * SUN", "*/2 * 0"])
        found[f"{'long' if number % 5 == 0 else 'job'}-{number}"] = (f"{minute} {hour} {day}", random.choice(ZONES))
    return found


def job_file(folder: Path, schedules: dict[str, tuple[str, str]]) -> Path:
    lines = ["jobs:"]
    for name, (expression, zone) in schedules.items():
        lines += [f"  {name}:", "    task: countdown", f"    schedule: {{cron: '{expression}', timezone: {zone}}}"]
    path = folder / "week.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def record_firings(found: dict[str, list[float]]) -> Callable[[Event], None]:
    """Return a listener that records each instant that started a run or was missed."""

    def listen(event: Event) -> None:
        if event.event is EventName.QUEUED:
            found[event.job or ""].append(round(event.at, 3))
        elif event.event is EventName.MISSED:
            assert event.data["count"] == 1
            found[event.job or ""].append(datetime.fromisoformat(event.data["instant"]).timestamp())

    return listen


@pytest.mark.parametrize("every", [60.0, 77.0, 300.0, 3601.5])
@pytest.mark.parametrize("immediately", [False, True])
def test_an_interval_fires_as_often_as_it_fits(every: float, immediately: bool) -> None:
    job = make_job("tick", schedule=Schedule(every=every, immediately=immediately))

    result = simulated([job], seconds=DAY + 0.5)

    fits = int((DAY + 0.5) // every)
    assert only(result)["firings"] == fits
    assert only(result)["runs"] == fits + immediately


def test_a_run_that_takes_exactly_its_interval_overlaps_with_nothing() -> None:
    job = make_job("tick", schedule=Schedule(every=60.0))

    result = simulated([job], seconds=HOUR + 0.5, work=(("tick", Span(60.0, 60.0)),))

    assert (only(result)["firings"], only(result)["runs"], only(result)["overlaps"]) == (60, 60, 0)


def test_a_run_that_takes_longer_overlaps_and_a_finding_reports_it() -> None:
    job = make_job("tick", schedule=Schedule(every=60.0, text="every 1m"))

    result = simulated([job], seconds=HOUR + 0.5, work=(("tick", Span(61.0, 61.0)),))

    assert (only(result)["firings"], only(result)["runs"], only(result)["overlaps"]) == (60, 30, 30)
    assert findings(result) == ["tick overlapped 30 times: a run took up to 1m1s, and its schedule is every 1m"]


@pytest.mark.parametrize(
    "count, seconds", [pytest.param(100, DAY, id="some"), pytest.param(1000, WEEK, id="all", marks=pytest.mark.long)]
)
def test_a_thousand_jobs_for_seven_days_take_seconds(count: int, seconds: float) -> None:
    jobs = [make_job(f"job-{number}", schedule=Schedule(every=60.0 * (5 + number % 56))) for number in range(count)]

    with cpu_seconds() as spent:
        result = simulated(jobs, seconds=seconds, checked_steps=0)
        took = spent()

    # A firing takes 20 microseconds on an idle machine; ten times that fails only on a real regression.
    firings = sum(job.firings for job in result.jobs)
    assert took < firings * 200e-6
    assert firings > 50 * count * seconds / DAY


@pytest.mark.long
def test_a_longer_time_takes_no_more_memory() -> None:
    jobs = [make_job(f"job-{number}", schedule=Schedule(every=60.0), restart=ON_FAILURE) for number in range(5)]

    def peak(seconds: float) -> int:
        tracemalloc.start()
        simulated(jobs, seconds=seconds, fail=(("*", 0.1),), checked_steps=None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(HOUR)  # imports and caches
    assert peak(10 * HOUR) < 1.2 * peak(HOUR)


# -- random numbers


def test_the_same_seed_gives_exactly_the_same_events() -> None:
    jobs = [make_job(f"job-{number}", schedule=Schedule(every=300.0, jitter=60.0)) for number in range(5)]

    def events(seed: int) -> list[Event]:
        found: list[Event] = []
        simulated(jobs, found.append, seed=seed, fail=(("*", 0.2),), work=(("*", Span(1.0, 400.0)),))
        return found

    assert events(1) == events(1)
    assert events(1) != events(2)


def test_another_job_does_not_change_the_random_numbers_of_the_others() -> None:
    jobs = [make_job(f"job-{number}", schedule=Schedule(every=300.0)) for number in range(3)]
    options: dict[str, Any] = {"fail": (("*", 0.3),), "work": (("*", Span(1.0, 400.0)),)}

    with_all, without_one = simulated(jobs, **options), simulated(jobs[1:], **options)

    assert with_all.as_dict()["jobs"][1:] == without_one.as_dict()["jobs"]


def test_the_requested_share_of_runs_fails() -> None:
    jobs = [make_job(name, schedule=Schedule(every=60.0)) for name in ("all", "some", "none")]

    result = simulated(jobs, seconds=WEEK, fail=(("*", 0.05), ("all", 1.0), ("none", 0.0)), checked_steps=0)

    found = {job.spec.name: job.failed / job.runs for job in result.jobs}
    assert found["all"] == 1.0
    assert found["some"] == pytest.approx(0.05, abs=0.01)
    assert found["none"] == 0.0


def test_the_last_option_that_matches_a_job_applies() -> None:
    jobs = [make_job(name, schedule=Schedule(every=600.0)) for name in ("poll-a", "poll-b", "other")]

    result = simulated(jobs, work=(("poll-*", Span(5.0, 5.0)), ("poll-b", Span(7.0, 7.0))))

    assert [job.longest_run for job in result.jobs] == pytest.approx([5.0, 7.0, 1.0])


def test_options_for_a_job_apply_to_its_replicas() -> None:
    [job] = [make_job("web", replicas=3, restart=ON_FAILURE)]

    result = simulated([job], crashes=(Fault("web", 60.0), Fault("web.2", 120.0)))

    assert {one.spec.name: one.failed for one in result.jobs} == {"web.1": 1, "web.2": 2, "web.3": 1}


# -- failures and restarts


def test_restarts_are_those_of_the_events_and_no_rule_is_broken() -> None:
    jobs = [make_job(f"job-{number}", schedule=Schedule(every=600.0), restart=ON_FAILURE) for number in range(5)]
    events: list[Event] = []

    result = simulated(jobs, events.append, fail=(("*", 0.25),))

    assert check_events(events, is_whole=True) == []
    counts = Counter((event.event, event.job) for event in events)
    queued = Counter(event.job for event in events if event.event is EventName.QUEUED and event.attempt != 1)
    for job in result.jobs:
        assert job.restarts == queued[job.spec.name] == counts[EventName.RESTART_SCHEDULED, job.spec.name] > 10
        assert job.restarts == job.failed
        assert job.runs == job.firings + job.restarts


def test_a_job_that_restarts_too_often_gives_up_and_a_finding_reports_it() -> None:
    job = make_job("web", restart=RestartPolicy(RestartWhen.ON_FAILURE, limit=RestartLimit(3, 600.0)))

    result = simulated([job], work=(("web", Span(10.0, 10.0)),), fail=(("web", 1.0),))

    found = only(result)
    assert (found["runs"], found["failed"], found["restarts"], found["gave_up"]) == (4, 4, 3, 1)
    assert findings(result)[1:] == ["web gave up: more than 3 restarts within 10m"]


def test_a_crash_fails_the_run_that_is_live_then() -> None:
    job = make_job("web", restart=ON_FAILURE)
    events: list[Event] = []

    result = simulated([job], events.append, crashes=(Fault("web", HOUR), Fault("web", 2 * HOUR)))

    assert [event.mono for event in events if event.outcome is not None][:2] == [HOUR, 2 * HOUR]
    assert (only(result)["failed"], only(result)["restarts"], only(result)["state"]) == (2, 2, "running")


def test_a_crash_without_a_run_is_a_finding() -> None:
    job = make_job("nightly", schedule=Schedule(every=2 * HOUR))

    result = simulated([job], crashes=(Fault("nightly", HOUR),))

    assert findings(result) == ["nightly had no run to crash at 1h"]


# -- runs that do not stop


def test_a_hanging_run_determines_the_longest_stop() -> None:
    jobs = [make_job("web", within=7.0), make_job("db", within=3.0)]

    result = simulated(jobs, hangs=(Fault("web", HOUR),), stops_in=(("db", Span(2.0, 2.0)),))

    assert result.stop_seconds == 7.0
    assert [job.longest_stop for job in result.jobs] == [7.0, 2.0]
    assert findings(result) == ["web had a run that did not stop within 7s"]


def test_a_hanging_run_is_found_by_its_watchdog_and_blocks_its_job_once_abandoned() -> None:
    job = make_job(
        "poll", daemon=True, within=5.0, otherwise=Otherwise.ABANDON, watchdog=Watchdog(30.0, Then.RESTART),
        schedule=Schedule(every=600.0),
    )  # fmt: skip

    result = simulated(
        [job, make_job("web")],
        seconds=2 * HOUR + 0.5,
        work=(("poll", Span(60.0, 60.0)),),
        hangs=(Fault("poll", 610.0),),
    )

    found = result.as_dict()["jobs"][0]
    assert (found["unresponsive"], found["overdue"], found["state"]) == (1, 1, "blocked")
    assert found["outcomes"] == {"abandoned": 1}
    assert (found["firings"], found["missed"], found["longest_stop"]) == (12, {"blocked": 11}, 5.0)


def test_a_hanging_run_that_can_be_killed_is_killed_and_the_job_goes_on() -> None:
    job = in_process(make_job("feed", within=4.0, watchdog=Watchdog(30.0, Then.RESTART), restart=ON_FAILURE))
    events: list[Event] = []

    result = simulated([job], events.append, seconds=HOUR, hangs=(Fault("feed", 60.0),))

    job_result = only(result)
    assert (job_result["overdue"], job_result["killed"], job_result["restarts"]) == (1, 1, 1)
    assert job_result["longest_stop"] == 4.0
    assert "feed had a run that did not stop within 4s and was killed" in findings(result)
    [ended] = [event for event in events if event.event is EventName.ENDED and event.run == "feed#1"]
    assert (ended.outcome, str(ended.error)) == (Outcome.FAILED, "SIGKILL after 4.0 s")
    assert check_events(events) == []


def test_the_stop_of_a_simulation_takes_as_long_as_the_deaf_run_that_is_killed_at_its_end() -> None:
    jobs = [in_process(make_job("app", within=3.0, after=[Dependency("db")])), in_process(make_job("db", within=5.0))]

    result = simulated(jobs, seconds=HOUR, stops_in=(("*", FOR_EVER),))

    assert (result.stop_seconds, result.worst_stop_seconds) == (8.0, 8.0)
    assert [job.killed for job in result.jobs] == [1, 1]


def test_a_shutdown_without_a_deadline_that_a_run_ignores_never_ends() -> None:
    job = make_job("web", within=float("inf"), otherwise=Otherwise.EXIT)

    result = simulated([job], stop_within=float("inf"), hangs=(Fault("web", HOUR),))

    assert result.stop_seconds is None
    assert findings(result) == ["the stop never ended: it has no deadline, and a run does not stop"]


# -- the end


def test_the_simulation_ends_when_nothing_keeps_the_program_alive() -> None:
    jobs = [
        make_job("launch"),
        make_job("web", daemon=True),
        make_job("tick", daemon=True, schedule=Schedule(every=9.0)),
    ]

    result = simulated(jobs, work=(("launch", Span(90.0, 90.0)),))

    assert (result.seconds, result.reason.kind) == (90.0, ReasonKind.FINISHED)
    assert [job.state for job in result.jobs] == [JobState.FINISHED, JobState.RUNNING, JobState.WAITING]
    assert [job.next_firing for job in result.jobs] == [None, None, None]
    assert findings(result)[0] == "everything ended after 1m30s: no non-daemon job was running or going to start"


def test_the_simulation_ends_when_an_essential_job_fails_for_good() -> None:
    result = simulated([make_job("web", essential=True), make_job("db")], crashes=(Fault("web", 60.0),))

    assert (result.seconds, result.reason.kind) == (60.0, ReasonKind.ESSENTIAL)
    assert findings(result)[0] == "everything was stopped after 1m (essential: job 'web' failed for good)"


def test_a_job_whose_dependency_fails_is_skipped_and_manual_jobs_are_a_finding() -> None:
    jobs = [make_job("first"), make_job("second", after=[Dependency("first")]), make_job("third", manual=True)]

    result = simulated(jobs, work=(("first", FOR_EVER),), fail=(("first", 1.0),), seconds=60.0)

    assert [job.runs for job in result.jobs] == [1, 1, 0]
    assert "third was never started: it has start: manual" in findings(result)


def test_a_simulation_of_manual_jobs_alone_ends_at_once() -> None:
    result = simulated([make_job("third", manual=True)])

    assert result.seconds == 0.0


# -- clocks


def test_after_a_clock_step_forward_one_missed_firing_is_caught_up() -> None:
    [job] = load_text_job("cron: '*/10 * * * *', timezone: UTC")

    result = simulated([job], seconds=DAY - 1.0, clock_steps=((5 * HOUR + 300.0, ClockStep(HOUR)),))

    found = only(result)
    assert found["missed"] == {"late": 5}
    assert found["firings"] == 24 * 6 + 5
    assert findings(result) == ["job missed 5 firings that came too late: the clock was set"]


def load_text_job(schedule: str) -> list[JobSpec]:
    from taskloom.calendars import cron_calendar

    expression = schedule.split("'")[1]
    return [make_job("job", schedule=Schedule(calendar=cron_calendar(expression, "UTC"), text=f"cron {expression}"))]
