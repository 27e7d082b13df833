"""A MemoryError or another exception at any line of the runner: exactly one end is reported, and the token is closed.

Also near the recursion limit: the thread of a run reports the end with whatever stack and memory is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from taskloom.core.inputs import RunEnded, RunStarted, RunStartFailed
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.runners import thread as thread_module
from taskloom.runners.thread import _Execution
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch

WHY = Reason(ReasonKind.USER, "enough")
STRUCK = {
    _Execution.execute.__code__,
    _Execution._run.__code__,
    _Execution.report_end.__code__,
    thread_module._call.__code__,
    thread_module._how.__code__,
    thread_module.wait_for_terminate.__code__,
}


class Strike:
    """Raises at the nth line that the struck functions execute. A trace function of new threads."""

    def __init__(self, error: type[BaseException], number: int) -> None:
        self.error, self.number = error, number
        self.place: str | None = None
        self._lines = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code not in STRUCK:
            return None
        if event == "line" and self.place is None:
            self._lines += 1
            if self._lines == self.number:
                self.place = f"{frame.f_code.co_name}:{frame.f_lineno}"
                raise self.error
        return self


@pytest.fixture
def excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)


def returns(ctx: Any) -> None:
    """Return at once."""


def raises(ctx: Any) -> None:
    raise ValueError("oops")


def is_asked(ctx: Any) -> None:
    ctx._token.request(WHY)
    raise ValueError("after the request")


def strikes(bench: Any, body: Callable[[Any], object], error: type[BaseException]) -> Iterator[tuple[Strike, Any]]:
    """Run the body again and again, with a strike one line later each time, until there is no such line."""
    number = 0
    while True:
        number += 1
        strike = Strike(error, number)
        token, returned = CancelToken(), Latch()
        returned.open()
        threading.settrace(strike)
        try:
            bench.start(body, lambda: None, token=token, terminate_returned=returned)
            bench.end(number)
        finally:
            threading.settrace(None)
        if strike.place is None:
            return
        yield strike, token


@pytest.mark.usefixtures("excepthook")
@pytest.mark.parametrize("error", [MemoryError, RecursionError, KeyboardInterrupt])
@pytest.mark.parametrize("body", [returns, raises, is_asked])
def test_exactly_one_end_is_reported_if_an_exception_strikes_at_any_line(
    bench: Any, body: Callable[[Any], object], error: type[BaseException]
) -> None:
    places: list[str] = []

    for strike, token in strikes(bench, body, error):
        assert strike.place is not None
        places.append(strike.place)
        assert token.cancelled, f"the token is not closed after {strike.place}"

    ends = [report.run for report in bench.reports if isinstance(report, RunEnded | RunStartFailed)]
    assert ends == [f"job#{number}" for number in range(1, len(ends) + 1)]
    assert len(ends) == len(places) + 1
    assert {place.partition(":")[0] for place in places} >= {
        "execute",
        "_run",
        "report_end",
        "_call",
        "wait_for_terminate",
    }
    started = [report.run for report in bench.reports if isinstance(report, RunStarted)]
    assert len(set(started)) == len(started)


@pytest.mark.usefixtures("excepthook")
def test_a_struck_run_that_was_asked_to_stop_is_not_reported_as_one_that_was_not(bench: Any) -> None:
    seen: list[bool] = []

    for strike, token in strikes(bench, is_asked, MemoryError):
        report = bench.ends()[-1]
        if token.reason == WHY and isinstance(report, RunEnded) and strike.place:
            seen.append(report.was_requested)

    assert len(seen) > 5
    assert all(seen)


def test_a_run_that_uses_its_context_at_the_recursion_limit_ends_once(bench: Any) -> None:
    """A RecursionError strikes inside the methods of the context, at every depth; nothing is left locked."""
    token = CancelToken()
    refused: list[str] = []

    def use(ctx: Any) -> None:
        for call in (ctx.fileno, lambda: ctx.wait(0), lambda: ctx.on_cancel(print).close(), lambda: ctx.count("n")):
            try:
                call()
            except RecursionError:
                refused.append("refused")

    def down(ctx: Any) -> None:
        try:
            down(ctx)
        finally:
            use(ctx)

    bench.start(down, token=token)
    [report] = bench.end()

    assert (report.how, report.error.type, report.was_requested) == (How.RAISED, "RecursionError", False)
    assert refused
    assert not token.is_waiting
    assert token.wait(0)
