from __future__ import annotations

import logging
from typing import Any

import pytest

from taskloom.core.model import Reason, ReasonKind
from taskloom.errors import Cancelled
from taskloom.runners import RunOrder
from taskloom.runners.binding import Binding, Body
from taskloom.runners.context import RunContext
from taskloom.runners.gauges import Gauges
from taskloom.sync.cancel_token import CancelToken
from taskloom.task import Context

WHY = Reason(ReasonKind.USER, "enough")


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


@pytest.fixture
def gauges() -> Gauges:
    return Gauges()


@pytest.fixture
def context(token: CancelToken, gauges: Gauges) -> RunContext:
    binding = Binding(lambda: Body(lambda ctx: None, None))
    order = RunOrder("tick#7", "tick", "countdown", 3, 2, False, 0.25, binding)
    return RunContext(order, token, lambda report: None, gauges)


def test_the_run_context_has_every_member_of_context(context: RunContext) -> None:
    def takes(context: Context) -> Context:
        return context

    assert isinstance(takes(context), Context)


def test_the_context_identifies_the_run(context: RunContext) -> None:
    identity = (context.job, context.run_id, context.attempt, context.replica, context.poll_interval)

    assert identity == ("tick", "tick#7", 3, 2, 0.25)


def test_the_poll_reads_the_token_and_is_counted(context: RunContext, token: CancelToken) -> None:
    before = context.cancelled
    token.request(WHY)

    assert (before, context.cancelled, token.polls) == (False, True, 2)
    assert context.reason == WHY


def test_the_context_is_urgent_when_the_token_is(context: RunContext, token: CancelToken) -> None:
    before = context.urgent
    token.urgent = True

    assert (before, context.urgent) == (False, True)


def test_the_waits_end_with_the_cancel(context: RunContext, token: CancelToken) -> None:
    before = context.wait(0)
    token.request(WHY)

    assert (before, context.wait()) == (False, True)
    with pytest.raises(Cancelled):
        context.sleep(3600)
    with pytest.raises(Cancelled):
        context.raise_if_cancelled()


def test_log_records_have_job_and_run_besides_the_fields_of_the_task(
    context: RunContext, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "taskloom.task"):
        context.log.info("beat %d", 3, extra={"peer": "left"})

    [record] = caplog.records
    assert (record.name, record.getMessage()) == ("taskloom.task", "beat 3")
    assert {name: record.__dict__[name] for name in ("job", "run", "peer")} == {
        "job": "tick", "run": "tick#7", "peer": "left",
    }  # fmt: skip
    assert context.log is context.log


@pytest.mark.parametrize(
    ("items", "total", "expected"),
    [([1, 2], None, 2), (iter([1, 2]), None, None), (iter([1, 2]), 5, 5), ([1, 2], 9, 9)],
)
def test_track_reports_per_item(
    context: RunContext, gauges: Gauges, items: Any, total: float | None, expected: float | None
) -> None:
    seen = [gauges.progress for _ in context.track(items, total, "files")]

    assert seen == [(0, expected, "files"), (1, expected, "files")]
    assert gauges.progress == (2, expected, "files")


def test_track_raises_at_the_next_item_once_cancelled(context: RunContext, token: CancelToken, gauges: Gauges) -> None:
    items = []

    with pytest.raises(Cancelled):
        for item in context.track(range(10)):
            items.append(item)
            token.request(WHY)

    assert items == [0]
    assert gauges.progress == (1, 10, "")


def test_the_context_belongs_only_to_its_own_token(context: RunContext, token: CancelToken) -> None:
    assert context.belongs_to(token)
    assert not context.belongs_to(CancelToken())
