"""`taskloom.history.record`: the history of a program that brings its own scheduler."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.recorder_bench import PATIENCE, stored

from taskloom import Context, Job, Scheduler
from taskloom.core.events import Event, EventName
from taskloom.history import ScheduleMemory, record
from taskloom.history.errors import BadTarget
from taskloom.history.location import parse_target


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def work(ctx: Context) -> None:
    ctx.count("rows", 3)


def fail(ctx: Context) -> None:
    raise ValueError("no good")


def test_what_the_scheduler_does_is_in_the_database(place: Path) -> None:
    scheduler = Scheduler()
    with record(scheduler, str(place), name="shop") as history, scheduler:
        scheduler.add_all([Job(name="work", task=work), Job(name="fail", task=fail)])
        scheduler.start()
        assert scheduler.wait(PATIENCE)
        assert history.state.kind == "on"

    target = parse_target(str(place))
    runs = {row["job"]: row for row in stored(target, "runs")}
    assert (runs["work"]["outcome"], runs["work"]["counters"]) == ("succeeded", {"rows": 3})
    assert (runs["fail"]["outcome"], runs["fail"]["error_message"]) == ("failed", "no good")
    [start] = stored(target, "starts")
    assert (start["name"], start["how"], start["exit_code"], start["pid"]) == ("shop", "ended", 1, os.getpid())
    assert len(start["report"]["jobs"]) == 2
    events = [row["event"] for row in stored(target, "events")]
    assert (events[0], events[-1]) == ("job_added", "scheduler_stopped")


def test_the_next_start_gets_the_pause_of_a_job(place: Path) -> None:
    memory = ScheduleMemory()
    scheduler = Scheduler(memory=memory)
    with record(scheduler, place, name="shop", memory=memory) as history, scheduler:
        [handle] = scheduler.add_all([Job(name="work", task=work, schedule={"every": "1h"})])
        scheduler.start()
        handle.pause("maintenance")

    again = Scheduler(memory=ScheduleMemory())
    with record(again, place, name="shop") as history, again:
        assert history.remembered["work"].paused_reason == "maintenance"
        [handle] = again.add_all([Job(name="work", task=work, schedule={"every": "1h"})], remembered=history.remembered)
        assert handle.status().report.is_paused


def test_the_instant_of_a_firing_that_catches_up_is_recorded(place: Path) -> None:
    memory, queued = ScheduleMemory(), threading.Event()
    found: list[Event] = []

    def listen(event: Event) -> None:
        if event.event is EventName.QUEUED:
            found.append(event)
            queued.set()

    scheduler = Scheduler(memory=memory)
    with record(scheduler, place, name="shop", memory=memory), scheduler:
        scheduler.listen(listen)
        scheduler.add(Job(name="work", task=work, schedule={"every": "0.1s", "missed": "catch-up"}))
        scheduler.start()
        assert queued.wait(PATIENCE)

    assert "instant" in found[0].data
    [row] = stored(parse_target(str(place)), "jobs")
    assert row["last_instant"] is not None


def test_without_its_block_the_memory_records_nothing() -> None:
    answers: list[bool] = []

    ScheduleMemory().record_instant("work", 1.0, answers.append)

    assert answers == [False]


def test_a_place_that_cannot_be_one_is_refused(place: Path) -> None:
    with pytest.raises(BadTarget), record(Scheduler(), "mysql://host/db", name="shop"):
        pass


@pytest.mark.long
def test_a_database_that_cannot_be_used_is_logged_and_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "taskloom.history")
    scheduler = Scheduler()
    with record(scheduler, tmp_path / "missing" / "runs.sqlite", name="shop") as history, scheduler:
        assert history.state.kind == "degraded"
        scheduler.add(Job(name="work", task=work))
        scheduler.start()
        assert scheduler.wait(PATIENCE)

    levels = [each.levelname for each in caplog.records if each.name == "taskloom.history"]
    assert levels == ["WARNING", "WARNING"]
    assert "does not exist" in caplog.text


def test_an_exception_of_the_block_comes_out_and_the_rows_are_written(place: Path) -> None:
    scheduler = Scheduler()
    with pytest.raises(KeyError, match="mine"), record(scheduler, place, name="shop"), scheduler:
        scheduler.add(Job(name="work", task=work))
        raise KeyError("mine")

    assert [row["how"] for row in stored(parse_target(str(place)), "starts")] == ["ended"]


def test_by_default_it_is_in_the_folder_of_state(tmp_path: Path) -> None:
    with record(Scheduler(), name="shop"):
        pass

    assert (tmp_path / "state" / "taskloom" / "shop.sqlite").exists()


def test_the_package_imports_nothing_of_the_extra_before_it_is_used() -> None:
    code = (
        "import sys, taskloom.history as history\n"
        "assert 'record' in history.__all__ and history.is_installed() in (True, False)\n"
        "assert not {'sqlalchemy', 'taskloom.history.recorder'} & set(sys.modules)\n"
        "try: history.nothing\n"
        "except AttributeError as error: print(error)\n"
        "from taskloom.history import record; print(record.__module__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "module 'taskloom.history' has no attribute 'nothing'",
        "taskloom.history.library",
    ]
