"""Random jobs, in which every policy and every field of it occurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from tests.support.fake_calendar import FakeCalendar

from taskloom.calendars import cron_calendar
from taskloom.core.model import WAIT_FOR_EVER, JobSpec, RunnerSpec
from taskloom.core.policies import (
    Calendar,
    Condition,
    Dependency,
    JoinPolicy,
    Missed,
    Otherwise,
    Overlap,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)
from taskloom.testing import make_job
from taskloom.testing.behaviour import draw_seconds
from taskloom.testing.clock import FIRST_WALL_SECONDS

__all__ = ["Pace", "change_job", "draw_job", "in_process"]

WITHINS = (0.0, 0.5, 1.0, 2.0, 4.0, 10.0, 60.0, WAIT_FOR_EVER)
CRONS = (
    ("* * * * *", "UTC"),
    ("*/5 * * * *", "Europe/Berlin"),
    ("30 2 * * *", "America/New_York"),
    ("0 */6 * * 1-5", "Asia/Kolkata"),
    ("*/20 * * * * *", "UTC"),
)


class Pace(NamedTuple):
    """How fast the jobs of a scenario live."""

    seconds: float
    """Factor of their times: 1.0 for runs of minutes, more for longer ones."""
    is_steady: bool
    """The clocks are never set, and the program never stalls."""
    has_calendars: bool
    """Whether schedules may be calendars: the core checks the wall clock for them every 15 s, which makes most of the
    steps of a calm month.
    """


def draw_job(random: Random, name: str, others: Sequence[str], pace: Pace, *, essential: float = 0.0) -> JobSpec:
    """Draw a job. `others`: jobs that it may depend on; `essential`: the probability that it is essential."""
    probability = random.random
    dependencies = random.sample(others, min(len(others), random.choice((0, 0, 0, 0, 1, 1, 2))))
    schedule = draw_schedule(random, pace) if probability() < 0.25 else None
    spec = make_job(
        name,
        daemon=probability() < 0.4,
        within=random.choice(WITHINS),
        delay=draw_seconds(random, 60.0) if probability() < 0.2 else 0.0,
        manual=probability() < 0.1,
        enabled=probability() > 0.05,
        after=[Dependency(name, random.choice(list(Condition))) for name in dependencies],
        restart=draw_restart(random, pace, is_scheduled=schedule is not None),
        schedule=schedule,
        timeout=draw_seconds(random, 240.0 * pace.seconds) + 0.25 if probability() < 0.15 else None,
        ready_within=draw_seconds(random, 20.0) + 0.25 if probability() < 0.15 else None,
        watchdog=draw_watchdog(random) if probability() < 0.3 else None,
        essential=probability() < essential,
        replicas=random.choice((2, 3)) if probability() < 0.04 else 1,
    )
    otherwise = random.choice((Otherwise.ABANDON, Otherwise.EXIT))
    spec = replace(spec, join=JoinPolicy(spec.join.within, otherwise)) if probability() < 0.1 else spec
    return in_process(spec) if probability() < 0.25 else spec


def in_process(spec: JobSpec) -> JobSpec:
    """Return the job with runs that can be killed."""
    return replace(spec, runner=RunnerSpec("process"), join=JoinPolicy(spec.join.within, Otherwise.KILL))


def draw_restart(random: Random, pace: Pace, *, is_scheduled: bool) -> RestartPolicy:
    """Draw a restart policy; a scheduled job has no `always`."""
    kinds = [RestartWhen.NEVER, RestartWhen.ON_FAILURE, RestartWhen.ALWAYS]
    limit = RestartLimit(random.choice((1, 2, 3, 8)), random.choice((5.0, 60.0, 3600.0)))
    return RestartPolicy(
        random.choices(kinds, [5, 4, 0 if is_scheduled else 2])[0],
        delay=random.choice((0.0, 0.25, 0.5, 0.5, 2.0, 60.0)) * pace.seconds,
        factor=random.choice((1.0, 2.0, 2.0, 10.0)),
        max_delay=random.choice((0.5, 30.0, 30.0, 300.0)) * pace.seconds,
        jitter=random.choice((0.0, 0.5, 0.5, 3.0)),
        limit=limit if random.random() < 0.3 else None,
    )


def draw_schedule(random: Random, pace: Pace) -> Schedule:
    """Draw an interval or a calendar, which may end, with every policy for instants that cannot start a run."""
    every: float | None = None
    calendar: Calendar | None = None
    kind = random.random()
    if kind < 0.5 or not pace.has_calendars:
        every = (draw_seconds(random, 120.0) + 1.0) * pace.seconds
    elif kind < 0.8:
        first = FIRST_WALL_SECONDS + draw_seconds(random, 60.0)
        period = (draw_seconds(random, 120.0) + 2.0) * pace.seconds
        last = first + 5 * period if random.random() < 0.3 else float("inf")
        calendar = FakeCalendar(first, period, last, random.choice((10_800.0, 60.0, 1.0)))
    else:
        calendar = cron_calendar(*(random.choice(CRONS) if pace.seconds == 1.0 else CRONS[2]))
    overlap = random.choice(list(Overlap))
    # No event shows a firing that is queued behind a run, so its jitter could not be checked.
    may_jitter = pace.is_steady and overlap is Overlap.SKIP and (every is None or every > 1.5)
    return Schedule(
        every=every,
        calendar=calendar,
        text="drawn",
        jitter=random.choice((0.0, 0.0, 0.25, 0.75, 1.5)) if may_jitter else 0.0,
        overlap=overlap,
        missed=random.choice(list(Missed)),
        grace=random.choice((0.0, 10.0, 3600.0)),
        immediately=random.random() < 0.2,
    )


def draw_watchdog(random: Random) -> Watchdog:
    """Draw a watchdog."""
    return Watchdog(random.choice((1.0, 2.5, 5.0, 15.0)), random.choice(list(WatchdogThen)))


def change_job(random: Random, spec: JobSpec, pace: Pace) -> JobSpec:
    """Draw a newer declaration of a job, in which one to three fields are changed."""
    names = random.sample(_CHANGED, random.choice((1, 1, 1, 2, 3)))
    return replace(spec, **{name: _draw_field(random, name, spec, pace) for name in names})


_CHANGED = (
    "params", "daemon", "enabled", "poll_interval", "join", "timeout", "ready_within", "watchdog", "restart",
    "schedule", "after", "description",
)  # fmt: skip


def _draw_field(random: Random, name: str, spec: JobSpec, pace: Pace) -> Any:
    is_scheduled = spec.schedule is not None
    drawn: dict[str, Callable[[], Any]] = {
        "params": lambda: {"version": random.randint(1, 9)},
        "daemon": lambda: not spec.daemon,
        "poll_interval": lambda: random.choice((0.5, 1.0, 2.0)),
        "enabled": lambda: random.random() < 0.7,
        "join": lambda: JoinPolicy(random.choice(WITHINS), spec.join.otherwise),
        "timeout": lambda: random.choice((None, draw_seconds(random, 60.0 * pace.seconds) + 0.25)),
        "ready_within": lambda: random.choice((None, draw_seconds(random, 20.0) + 0.25)),
        "watchdog": lambda: draw_watchdog(random),
        "restart": lambda: draw_restart(random, pace, is_scheduled=is_scheduled),
        "schedule": lambda: random.choice((None, draw_schedule(random, pace))),
        "after": lambda: spec.after[1:],
        "description": lambda: f"version {random.randint(1, 9)}",
    }
    return drawn[name]()
