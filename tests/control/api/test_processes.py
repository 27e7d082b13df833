"""Runs in processes over the API: their numbers, and the signals to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.asked_api import AskedApi, until_stopped, with_jobs
from tests.support.process_runs import PROCESS, PretendedProcesses
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.api import LOGGER
from taskloom.core.events import EventName
from taskloom.runners import Stack
from taskloom.runners.thread import ThreadRunner

SHOWN = {"pid": 4242, "processes": 2, "memory": 38 << 20, "cpu": 1.25, "state": "sleeping"}


@pytest.fixture
def runner() -> PretendedProcesses:
    return PretendedProcesses()


@pytest.fixture
def scheduler(runner: PretendedProcesses) -> Iterator[WatchedScheduler]:
    watched = WatchedScheduler(log=False, runners={"thread": ThreadRunner(), "process": runner})
    yield watched
    watched.finish()


@pytest.fixture
def asked(scheduler: WatchedScheduler) -> AskedApi:
    """With a run in a process, one in a thread, and a job without a run."""
    asked = with_jobs(scheduler, mask=lambda text: text.replace("hunter2", "**********"))
    for job in (scheduler.add_function("there", until_stopped, runner=PROCESS), scheduler.job("web")):
        job.start()
        scheduler.wait_for(EventName.READY, job.name)
    return asked


def test_a_status_has_runner_and_process(asked: AskedApi) -> None:
    there, here = asked.get("/v1/jobs/there")["job"], asked.get("/v1/jobs/web")["job"]

    assert (there["runner"], there["process"], there["otherwise"]) == ("process", SHOWN, "exit")
    assert (here["runner"], here["process"]) == ("thread", None)
    assert [job["process"] is None for job in asked.get("/v1/jobs")["jobs"]] == [True, True, True, False]


def test_the_processes_of_all_runs(asked: AskedApi) -> None:
    here = {"host": None, "worker": None}
    listed = [{"job": "there", "run": "there#1", "runner": "process", **here, **SHOWN}]

    assert asked.get("/v1/processes")["processes"] == listed
    assert asked.get("/v1/processes", {"job": "th*"})["processes"] == listed
    assert asked.get("/v1/processes", {"job": "web"})["processes"] == []
    assert asked.refused("GET", "/v1/processes", {"job": "tere"})[:2] == (404, "unknown-job")


def test_a_stack_has_runner_and_pid_and_no_secret(asked: AskedApi, runner: PretendedProcesses) -> None:
    runner.stack = Stack("mysqld (pid 4242), sleeping", "  pid 4242, sleeping: mysqld --password=hunter2\n")

    there = asked.get("/v1/stacks", {"job": "there"})["stacks"][0]
    here = asked.get("/v1/stacks", {"job": "web"})["stacks"][0]

    assert (there["where"], there["runner"], there["pid"]) == ("mysqld (pid 4242), sleeping", "process", 4242)
    assert there["text"] == "  pid 4242, sleeping: mysqld --password=**********\n"
    assert (here["runner"], here["pid"]) == ("thread", None)


def test_why_names_pid_and_runner(asked: AskedApi) -> None:
    found = asked.get("/v1/jobs/there/why")

    assert "It runs in process 4242 and 1 more (runner: process), with 38 MiB of memory, and 1.2s of" in found["text"]
    assert found["facts"]["runner"] == "process"
    assert found["facts"]["processes"] == {"there#1": SHOWN}
    assert found["facts"]["places"] == {"there#1": "worker.py:3 in run"}
    assert "process" not in asked.get("/v1/jobs/web/why")["text"]


def test_a_stopped_process_is_named_with_the_way_out(asked: AskedApi, runner: PretendedProcesses) -> None:
    info = runner.read()
    runner.read = lambda: info._replace(state="stopped")

    text = asked.get("/v1/jobs/there/why")["text"]

    assert "That process is stopped by a signal: `taskloom signal there CONT` lets it go on." in text
    assert "polled" not in text
    assert "should end in time" not in text
    status = asked.get("/v1/jobs/there")["job"]
    assert (status["would_meet_join"], status["wakeable"]) == (False, False)


@pytest.mark.parametrize("written", ["HUP", "SIGHUP", "1"])
def test_a_signal_is_sent_and_logged(
    asked: AskedApi, runner: PretendedProcesses, caplog: pytest.LogCaptureFixture, written: str
) -> None:
    caplog.set_level(logging.INFO, LOGGER)

    data = asked.post("/v1/jobs/there/signal", {"signal": written, "text": "new certificate"})

    assert runner.signals == [("there", 1)]
    assert (data["run"], data["job"]["process"]["pid"]) == ("there#1", 4242)
    assert asked.api.flush_log(20.0)
    (record,) = caplog.records
    assert record.getMessage().startswith("signal there with SIGHUP: requested by ")
    assert record.getMessage().endswith(": new certificate")


@pytest.mark.parametrize(
    ("job", "body", "refusal"),
    [
        ("web", {"signal": "HUP"}, (409, "no-process")),
        ("worker.1", {"signal": "HUP"}, (409, "no-run")),
        ("nope", {"signal": "HUP"}, (404, "unknown-job")),
        ("there", {"signal": "HPU"}, (400, "unknown-signal")),
        ("there", {"signal": ""}, (400, "unknown-signal")),
        ("there", {"signal": "0"}, (400, "unknown-signal")),
        ("there", {"signal": 1}, (400, "invalid-body")),
        ("there", {"signal": None}, (400, "invalid-body")),
        ("there", {"signal": ["HUP"]}, (400, "invalid-body")),
        ("there", {"signal": "x" * 2000}, (400, "invalid-body")),
        ("there", {"sginal": "HUP"}, (400, "unknown-body-field")),
        ("there", {}, (400, "invalid-body")),
        ("there", {"text": "why"}, (400, "invalid-body")),
    ],
    ids=[
        "in a thread", "no run", "unknown job", "unknown signal", "empty", "zero", "a number", "null", "a list", "long",
        "misspelt", "nothing", "no signal",
    ],
)  # fmt: skip
def test_a_signal_that_cannot_be_sent_is_refused(
    asked: AskedApi, runner: PretendedProcesses, job: str, body: Any, refusal: Any
) -> None:
    assert asked.refused("POST", f"/v1/jobs/{job}/signal", body=body)[:2] == refusal

    assert runner.signals == []


def test_a_refused_signal_is_not_logged(asked: AskedApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)

    asked.refused("POST", "/v1/jobs/web/signal", body={"signal": "HUP"})

    assert asked.api.flush_log(20.0)
    assert not caplog.records


def test_a_misspelt_signal_has_a_near_one(asked: AskedApi) -> None:
    reply: Any = asked.answer("POST", "/v1/jobs/there/signal", body={"signal": "SIGHPU"})

    assert reply.body["error"]["near"] == ["SIGHUP"]
    assert "did you mean 'SIGHUP'?" in reply.body["error"]["message"]
