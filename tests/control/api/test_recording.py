"""Actions are recorded with their callers, and each reply has the answer whether that is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.action_records import HeldRecord
from tests.support.asked_api import AskedApi, ListedLines, check_reply, outcome_of, request_of, with_jobs
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.action_record import HistoryStatus
from taskloom.control.exchange import Answer, Caller, Deferred, Reply
from taskloom.control.program_info import ReloadOutcome
from taskloom.core.events import EventName

CALLER = Caller(0, 4242)


@pytest.fixture
def record() -> HeldRecord:
    return HeldRecord()


@pytest.fixture
def reloads() -> list[Callable[[ReloadOutcome], object]]:
    return []


@pytest.fixture
def asked(
    scheduler: WatchedScheduler,
    lines: ListedLines,
    record: HeldRecord,
    reloads: list[Callable[[ReloadOutcome], object]],
) -> AskedApi:
    def reload(*, is_preview: bool, done: Callable[[ReloadOutcome], object]) -> None:
        reloads.append(done)

    return with_jobs(
        scheduler, logs=lines, history=record, reload=reload, mask=lambda text: text.replace("geheim", "***")
    )


def post(asked: AskedApi, path: str, **body: Any) -> Answer:
    return asked.api.answer(request_of("POST", path, body=body))


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "pause", "resume", "reset"])
def test_each_action_on_a_job_is_recorded_with_its_caller_and_its_reason(
    asked: AskedApi, record: HeldRecord, verb: str
) -> None:
    data = asked.post(f"/v1/jobs/nightly/{verb}", {"text": "disk full"})

    assert data["recorded"] is True
    [action] = record.actions
    assert action == (verb, ("nightly",), CALLER, "disk full", "")


def test_secrets_in_the_reason_of_an_action_are_masked(asked: AskedApi, record: HeldRecord) -> None:
    asked.post("/v1/jobs/nightly/pause", {"text": "the word is geheim"})
    assert [action.reason for action in record.actions] == ["the word is ***"]


def test_without_a_history_a_reply_says_that_the_action_is_not_recorded(
    scheduler: WatchedScheduler, lines: ListedLines
) -> None:
    asked = with_jobs(scheduler, logs=lines)

    assert asked.post("/v1/jobs/nightly/pause")["recorded"] is False
    assert asked.get("/v1/program")["history"] == {
        "state": "off", "reason": None, "since": None, "url": None, "queued": 0, "dropped": 0,
    }  # fmt: skip


def test_what_is_refused_and_what_only_reads_is_not_an_action(
    asked: AskedApi, record: HeldRecord, reloads: list[Callable[[ReloadOutcome], object]]
) -> None:
    asked.get("/v1/jobs")
    asked.refused("POST", "/v1/jobs/nobody/stop", body={})
    asked.refused("POST", "/v1/jobs/web/signal", body={"signal": "HUP"})
    preview = post(asked, "/v1/reload", preview=True)
    reloads[0](ReloadOutcome(sum="nothing has changed"))

    assert "recorded" not in outcome_of(preview, request_of("POST", "/v1/reload", body={"preview": True})).body
    assert record.actions == []


def test_a_reply_waits_for_the_commit_of_its_action(asked: AskedApi, record: HeldRecord) -> None:
    record._is_held = True

    answer = post(asked, "/v1/jobs/web/start")

    assert isinstance(answer, Deferred)
    assert answer.reply is None
    record.commit_all()
    assert answer.reply is not None
    assert (answer.reply.status, answer.reply.body["recorded"], answer.reply.body["run"]) == (200, True, "web#1")
    check_reply(request_of("POST", "/v1/jobs/web/start", body={}), answer.reply)


def test_the_action_is_carried_out_before_it_is_recorded(
    asked: AskedApi, record: HeldRecord, scheduler: WatchedScheduler
) -> None:
    record._is_held = True
    post(asked, "/v1/jobs/web/start")

    scheduler.wait_for(EventName.STARTED, "web")
    assert [action.name for action in record.actions] == ["start"]


def test_a_reply_whose_action_is_not_committed_in_time_says_so(asked: AskedApi, record: HeldRecord) -> None:
    record._is_held = True
    answer = post(asked, "/v1/jobs/web/start")
    assert isinstance(answer, Deferred)

    answer.expire(answer.deadline - 0.001)
    assert answer.reply is None
    answer.expire(answer.deadline)

    assert answer.reply is not None
    assert (answer.reply.status, answer.reply.body["recorded"]) == (200, False)
    record.commit_all()  # too late: the reply is that of before
    assert answer.reply.body["recorded"] is False


def test_a_shutdown_is_recorded_with_its_limit(asked: AskedApi, record: HeldRecord) -> None:
    data = asked.post("/v1/shutdown", {"within": 5, "text": "power"}, status=202)

    assert data["recorded"] is True
    assert record.actions == [("shutdown", (), CALLER, "power", "within 5s")]


Reloads = list[Callable[[ReloadOutcome], object]]


def test_a_reload_is_recorded_with_its_result(asked: AskedApi, record: HeldRecord, reloads: Reloads) -> None:
    answer = post(asked, "/v1/reload")
    assert record.actions == []  # its result is not known yet

    reloads[0](ReloadOutcome(sum="1 added (web)"))

    assert outcome_of(answer, request_of("POST", "/v1/reload", body={})).body["recorded"] is True
    assert record.actions == [("reload", (), CALLER, "", "1 added (web)")]


def test_a_reload_that_is_refused_is_recorded(asked: AskedApi, record: HeldRecord, reloads: Reloads) -> None:
    answer = post(asked, "/v1/reload")

    reloads[0](ReloadOutcome(error="cannot use geheim", code="refused"))

    assert outcome_of(answer, request_of("POST", "/v1/reload", body={})).status == 409
    assert record.actions == [("reload", (), CALLER, "", "cannot use ***")]


def test_the_program_says_that_its_history_is_degraded(asked: AskedApi, record: HeldRecord) -> None:
    record.found = HistoryStatus("degraded", "no space left for geheim", 1000.0, "/state/jobs.sqlite", 12, 3)

    answer = asked.answer("GET", "/v1/program")

    assert isinstance(answer, Reply)
    assert answer.body["history"] == {
        "state": "degraded", "reason": "no space left for ***", "since": "1970-01-01T00:16:40.000000Z",
        "url": "/state/jobs.sqlite", "queued": 12, "dropped": 3,
    }  # fmt: skip
