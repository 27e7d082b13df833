"""The log lines about what jobs wait for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.core.events import Event, EventName
from taskloom.core.model import Hold, JobState, Moment, WaitingFor
from taskloom.core.policies import RestartLimit, RestartPolicy
from taskloom.core.records import FollowUp
from taskloom.core.waits import RestartWait, Wait
from taskloom.observe.console import Console
from taskloom.observe.wait_log import WaitLog
from taskloom.observe.wait_text import WaitDescriber

pytestmark = pytest.mark.usefixtures("in_berlin")
NOON = 1_795_000_000.0  # 12:06:40 in Berlin


def wait(state: JobState = JobState.WAITING, waiting_for: WaitingFor | None = None, **fields: Any) -> Wait:
    fields.setdefault("is_manual", False)
    return Wait(Moment(50.0, NOON), "job", state, waiting_for, **fields)


def backoff(policy: RestartPolicy, *, delay: float, recent: int = 0, seconds: float) -> Wait:
    return wait(
        waiting_for=WaitingFor.BACKOFF, due_at=50.0 + seconds, restart=RestartWait(3, delay, policy, recent)
    )  # fmt: skip


@every_case(
    ("wait_", "lines"),
    [
        (
            wait(waiting_for=WaitingFor.DEPENDENCY, conditions=("db (ready)", "cache (succeeded)")),
            ["waiting for db (ready), cache (succeeded)"],
        ),
        (
            wait(waiting_for=WaitingFor.DEPENDENCY, conditions=tuple(f"j{n} (ready)" for n in range(1000))),
            [f"waiting for {', '.join(f'j{n} (ready)' for n in range(8))} and 992 more"],
        ),
        (
            wait(waiting_for=WaitingFor.DELAY, due_at=55.5),
            ["waiting for its start delay: starts at 12:06:45.500, in 5.5s"],
        ),
        (
            wait(waiting_for=WaitingFor.FIRING, fires_at=350.0, schedule="cron */5 * * * *"),
            ["next firing at 12:11:40, in 5m (cron */5 * * * *)"],
        ),
        (
            wait(waiting_for=WaitingFor.FIRING, fires_at=50.1, schedule="every 100ms"),
            ["next firing at 12:06:40.100, in 100ms (every 100ms)"],
        ),
        (
            wait(waiting_for=WaitingFor.FIRING, fires_at=50.0 + 86400, schedule="every 1d"),
            ["next firing at 2026-11-19 12:06:40, in 1d (every 1d)"],
        ),
        (
            wait(JobState.RUNNING, fires_at=350.0, schedule="every 5m"),
            ["next firing at 12:11:40, in 5m (every 5m)"],
        ),
        (
            backoff(RestartPolicy(delay=0.5, limit=RestartLimit(5, 600.0)), delay=1.0, recent=1, seconds=1.25),
            [
                (
                    "waiting to restart: attempt 3 at 12:06:41.250, in 1.25s (delay 1s, growing to 30s; jitter 250ms; "
                    "1 restart within 10m so far, at most 5)"
                )
            ],
        ),
        (
            backoff(RestartPolicy(delay=60.0, max_delay=60.0, jitter=0.0), delay=60.0, seconds=60.0),
            ["waiting to restart: attempt 3 at 12:07:40, in 1m (delay 1m)"],
        ),
        (
            backoff(RestartPolicy(), delay=1.0, seconds=0.0),
            ["its restart waits for those of other jobs: 200 begin per second"],
        ),
        (wait(waiting_for=WaitingFor.REMOVAL), ["waiting for the end of the runs that the reload stopped"]),
        (wait(waiting_for=WaitingFor.START, is_manual=True), ["waiting to be started: its start is manual"]),
        (wait(waiting_for=WaitingFor.START), []),
        (wait(JobState.DISABLED), ["does not start: it is disabled"]),
        (
            wait(JobState.RUNNING, follow_up=FollowUp.FIRING),
            ["its schedule has fired: the next run starts when this one has ended"],
        ),
        (
            wait(JobState.STOPPING, follow_up=FollowUp.RESTART),
            ["it is restarted: the next run starts when this one has ended"],
        ),
        (wait(JobState.STOPPING, follow_up=FollowUp.REMOVAL), ["it is removed when this run has ended"]),
        (wait(JobState.RUNNING), []),
        (wait(JobState.FINISHED), []),
        (wait(JobState.BLOCKED, follow_up=FollowUp.FIRING), []),
    ],
)
def test_each_wait_is_told(wait_: Wait, lines: list[str]) -> None:
    told = WaitDescriber().describe(wait_)

    assert [line.message for line in told] == lines
    assert {line.level for line in told} <= {"DEBUG"}
    assert all(line.kind for line in told)


def test_the_same_wait_is_told_once() -> None:
    describer = WaitDescriber()
    first = wait(waiting_for=WaitingFor.FIRING, fires_at=350.0, schedule="every 5m")
    describer.describe(first)

    assert describer.describe(first._replace(at=Moment(60.0, NOON + 10.0))) == []
    assert describer.describe(first._replace(state=JobState.RUNNING, waiting_for=None, fires_at=350.0 + 1e-7)) == []
    [line] = describer.describe(first._replace(fires_at=650.0))
    assert line.message == "next firing at 12:16:40, in 10m (every 5m)"


def test_a_firing_that_is_near_is_told_once_a_second() -> None:
    describer = WaitDescriber()
    waits = [
        wait(schedule="every 100ms", fires_at=50.1 + 0.1 * tenth)._replace(at=Moment(50.0 + 0.1 * tenth, NOON))
        for tenth in range(30)
    ]

    assert [number for number, each in enumerate(waits) if describer.describe(each)] == [0, 10, 20]


def test_a_firing_that_is_far_is_told_at_once_after_another() -> None:
    describer = WaitDescriber()

    for fires_at in (50.1, 86450.0):
        assert len(describer.describe(wait(schedule="cron 0 3 * * *", fires_at=fires_at))) == 1


def test_two_waits_of_the_same_kind_are_both_told() -> None:
    describer = WaitDescriber()
    policy = RestartPolicy()

    assert len(describer.describe(backoff(policy, delay=1.0, seconds=1.0))) == 1
    assert describer.describe(wait(JobState.RUNNING)) == []
    assert len(describer.describe(backoff(policy, delay=1.0, seconds=1.0))) == 1


def test_a_name_of_a_job_cannot_drive_the_terminal() -> None:
    [line] = WaitDescriber().describe(wait(waiting_for=WaitingFor.DEPENDENCY, conditions=("\x1b[2J (ready)",)))

    assert line.message == "waiting for \\x1b[2J (ready)"


class Log:
    """The log of a program that is verbose: its lines, without time and level."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.log = WaitLog(Console(self._put, is_colored=False))

    def _put(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        self.lines.append(" ".join(text.decode().split()[1:]))


def event(name: EventName, mono: float) -> Event:
    return Event(1, NOON + mono, mono, name, "job", "job#1")


def test_a_run_that_announces_readiness_is_told_with_its_time() -> None:
    log = Log()

    log.log.on_event(event(EventName.STARTED, 50.0))
    log.log.on_event(event(EventName.READY, 52.5))

    assert log.lines == ["DEBUG job ready after 2.5 s"]


def test_a_run_that_is_ready_by_its_start_is_not_told() -> None:
    log = Log()

    log.log.on_event(event(EventName.STARTED, 50.0))
    log.log.on_event(event(EventName.READY, 50.0))

    assert log.lines == []


def test_a_job_that_was_removed_and_comes_again_is_told_again() -> None:
    log = Log()
    off = wait(JobState.DISABLED)
    log.log.on_wait(off)
    log.log.on_wait(off)

    log.log.on_event(event(EventName.JOB_REMOVED, 60.0))
    log.log.on_wait(off)

    assert log.lines == ["DEBUG job does not start: it is disabled"] * 2


def test_a_flood_of_waits_is_counted() -> None:
    log = Log()
    waits = [wait(waiting_for=WaitingFor.FIRING, fires_at=51.0 + n, schedule="every 1s") for n in range(1000)]

    for each in waits:
        log.log.on_wait(each)

    assert 100 <= len(log.lines) <= 110


def test_how_a_user_holds_a_job_back_is_told_once() -> None:
    describer = WaitDescriber()
    paused = wait(waiting_for=WaitingFor.FIRING, fires_at=350.0, schedule="every 5m", hold=Hold.PAUSED)

    first = [line.message for line in describer.describe(paused)]
    again = [line.message for line in describer.describe(paused._replace(fires_at=650.0))]
    resumed = [line.message for line in describer.describe(paused._replace(fires_at=650.0, hold=None))]

    assert first == [
        "paused: each firing is missed until it is resumed",
        "next firing at 12:11:40, in 5m (every 5m)",
    ]
    assert again == ["next firing at 12:16:40, in 10m (every 5m)"]
    assert resumed == []


def test_a_stopped_job_waits_for_a_user() -> None:
    stopped = wait(JobState.FINISHED, hold=Hold.STOPPED)

    assert [line.message for line in WaitDescriber().describe(stopped)] == [
        "stopped by a user: nothing starts it until it is started or resumed"
    ]
