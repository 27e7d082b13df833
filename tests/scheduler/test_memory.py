"""`Scheduler(memory=...)`: instants are recorded before their runs start, whatever the memory of the host does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.fake_calendar import FakeCalendar

from taskloom import Job
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec
from taskloom.core.policies import Missed, Schedule
from taskloom.core.remembered import RememberedJob
from taskloom.errors import InvalidJob
from taskloom.jobfile.checks.without_history import errors_without_history
from taskloom.runners.binding import Binding, Body
from taskloom.scheduler import Scheduler
from taskloom.scheduler.fingerprint import fingerprint
from taskloom.scheduler.memory import NoMemory
from taskloom.testing import VirtualClock, make_job

Done = Callable[[bool], None]
HOUR = 3600.0
HOURLY = Schedule(calendar=FakeCalendar(0.0, HOUR), text="hourly", missed=Missed.CATCH_UP)
WAIT_SECONDS = 20.0


def counted_job(entered: threading.Event) -> JobSpec:
    """Return a job whose body says that it was entered."""
    binding = Binding(lambda: Body(lambda _: entered.set(), None), has_terminate=False, announces_ready=False)
    return replace(make_job("a", schedule=HOURLY), binding=binding)


class ThreadedMemory:
    """Answers on another thread, as the history does."""

    def __init__(self, answers: tuple[bool, ...] = (True,)) -> None:
        self.recorded: list[tuple[str, float]] = []
        self._answers = answers
        self.threads: list[threading.Thread] = []

    def record_instant(self, job: str, instant: float, done: Done) -> None:
        self.recorded.append((job, instant))
        thread = threading.Thread(target=self._answer, args=(done,))
        self.threads.append(thread)
        thread.start()

    def _answer(self, done: Done) -> None:
        for answer in self._answers:
            done(answer)


class RaisingMemory:
    def record_instant(self, job: str, instant: float, done: Done) -> None:
        raise OSError(28, "No space left on device")


def queued_events(memory: object, spec_of: Callable[[threading.Event], JobSpec] = counted_job) -> list[Event]:
    """Start a program that was down for an hour, wait for the run that makes up for it, and return its events."""
    entered, events = threading.Event(), list[Event]()
    spec = spec_of(entered)
    scheduler = Scheduler(clock=VirtualClock(0.0, 1.5 * HOUR), memory=memory, log=False)  # type: ignore[arg-type]
    scheduler.listen(events.append)
    remembered = {"a": RememberedJob(fingerprint(spec), HOUR / 2)}
    with scheduler:
        scheduler.add_all([spec], remembered=remembered)
        scheduler.start()
        assert entered.wait(WAIT_SECONDS)
    return [event for event in events if event.event is EventName.QUEUED]


@pytest.mark.parametrize("answers", [(True,), (True, False, True)], ids=["once", "again"])
def test_the_run_starts_once_its_instant_is_recorded(answers: tuple[bool, ...]) -> None:
    memory = ThreadedMemory(answers)

    found = queued_events(memory)
    for thread in memory.threads:
        thread.join()

    assert memory.recorded == [("a", HOUR)]
    assert [dict(event.data) for event in found] == [{"instant": "1970-01-01T01:00:00.000000Z", "made_up": True}]


@pytest.mark.parametrize("memory", [ThreadedMemory((False,)), RaisingMemory()], ids=["false", "raises"])
def test_a_memory_that_fails_delays_no_run(memory: object) -> None:
    [found] = queued_events(memory)

    assert found.data["unrecorded"] is True


def test_a_memory_may_answer_at_once_on_the_thread_of_the_scheduler() -> None:
    [found] = queued_events(NoMemory())

    assert "unrecorded" not in found.data


def test_without_a_memory_a_schedule_that_catches_up_is_refused() -> None:
    job = Job(name="a", task="countdown", schedule={"every": "5m", "missed": "catch-up"})

    with Scheduler(log=False) as scheduler:
        with pytest.raises(InvalidJob, match=r"'catch-up' as schedule\.missed without a memory"):
            scheduler.add(job)
        with pytest.raises(InvalidJob):
            scheduler.add_all([make_job("b"), make_job("a", schedule=HOURLY)])
        scheduler.add(make_job("c"))
        with pytest.raises(InvalidJob):
            scheduler.reload([make_job("a", schedule=HOURLY)])
        assert [status.report.job for status in scheduler.status()] == ["c"]


def test_a_job_file_says_it_once_for_all_replicas() -> None:
    specs = [*make_job("a", schedule=HOURLY, replicas=3).replicated(), make_job("b")]

    [problem] = errors_without_history(specs, hint="pip install 'taskloom[history]'")

    assert problem.message == "cannot use 'catch-up' as schedule.missed of job 'a': it needs the history, which is off"
    assert problem.severity == "error"


def test_without_a_memory_a_pause_is_restored_if_it_is_remembered() -> None:
    spec = make_job("a", schedule=Schedule(every=60.0))
    remembered = {"a": RememberedJob(fingerprint(spec), 0.0, paused_since=60.0, paused_reason="too loud")}

    with Scheduler(clock=VirtualClock(0.0, HOUR), log=False) as scheduler:
        scheduler.add_all([spec], remembered=remembered)
        report = scheduler.job("a").status().report

    assert report.held == "paused: too loud"
