"""Which exceptions are cancellations: ours, those of other libraries if they are imported, and groups of them only."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.core.inputs import RunEnded
from taskloom.core.model import How, Outcome, Reason, ReasonKind
from taskloom.core.outcome import decide_outcome
from taskloom.errors import Cancelled
from taskloom.runners.cancellations import is_cancellation
from taskloom.sync.cancel_token import CancelToken

WHY = Reason(ReasonKind.USER, "enough")


class Sub(asyncio.CancelledError):
    """A library's own kind of cancellation."""


def deep(depth: int, error: BaseException) -> BaseException:
    for _ in range(depth):
        error = BaseExceptionGroup("deeper", [error])
    return error


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("several", errors)


class Hostile(BaseExceptionGroup[BaseException]):
    """A group whose class is plugin code that raises."""

    @property
    def exceptions(self) -> Any:
        raise ValueError

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ValueError


CANCELLATIONS = {
    "ours": Cancelled,
    "asyncio": asyncio.CancelledError,
    "a subclass": Sub,
    "a group": lambda: group(Cancelled(), Cancelled()),
    "a mixed group": lambda: group(Cancelled(), asyncio.CancelledError()),
    "a nested group": lambda: group(Cancelled(), group(asyncio.CancelledError(), group(Cancelled()))),
    "a deeply nested group": lambda: deep(3000, Cancelled()),
    "a hostile group": lambda: Hostile("hostile", [Cancelled()]),
}
OTHERS = {
    "an error": ValueError,
    "an interrupt": KeyboardInterrupt,
    "an exit": SystemExit,
    "the end of a generator": GeneratorExit,
    "a future's": concurrent.futures.CancelledError,
    "a group with an error": lambda: group(Cancelled(), ValueError()),
    "a group with an interrupt": lambda: group(Cancelled(), KeyboardInterrupt()),
    "a group with an exit": lambda: group(asyncio.CancelledError(), group(SystemExit(0))),
    "a deep error": lambda: deep(3000, ValueError()),
}


@every_case("make", CANCELLATIONS.values(), ids=CANCELLATIONS)
def test_it_is_a_cancellation(make: Callable[[], BaseException]) -> None:
    assert is_cancellation(make())


@every_case("make", OTHERS.values(), ids=OTHERS)
def test_it_is_not_a_cancellation(make: Callable[[], BaseException]) -> None:
    assert not is_cancellation(make())


def test_trios_cancellation_counts_only_if_trio_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class TrioCancelled(BaseException):
        pass

    monkeypatch.delitem(sys.modules, "trio", raising=False)
    before = is_cancellation(TrioCancelled())
    trio = types.ModuleType("trio")
    trio.Cancelled = TrioCancelled  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trio", trio)

    assert (before, is_cancellation(group(TrioCancelled(), Cancelled()))) == (False, True)


@pytest.mark.parametrize("module", [None, 42, types.ModuleType("empty")])
def test_a_strange_module_does_no_harm(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    monkeypatch.setitem(sys.modules, "trio", module)

    assert not is_cancellation(ValueError())


@pytest.mark.parametrize("make", CANCELLATIONS.values(), ids=CANCELLATIONS)
@pytest.mark.parametrize("is_requested", [False, True])
def test_a_cancellation_after_the_request_is_not_a_failure(
    bench: Any, make: Callable[[], BaseException], is_requested: bool
) -> None:
    token = CancelToken()

    def run(ctx: Any) -> None:
        if is_requested:
            token.request(WHY)
        raise make()

    bench.start(run, token=token)
    [report] = bench.end()

    outcome, error = decide_outcome(report, WHY if is_requested else None)
    assert (report.how, report.was_requested) == (How.CANCELLED, is_requested)
    assert (outcome, error is None) == ((Outcome.CANCELLED, True) if is_requested else (Outcome.FAILED, False))


@pytest.mark.parametrize("make", [OTHERS["a group with an interrupt"], OTHERS["a group with an exit"]])
def test_an_interrupt_in_a_group_after_the_request_is_a_failure(bench: Any, make: Callable[[], BaseException]) -> None:
    token = CancelToken()

    def run(ctx: Any) -> None:
        token.request(WHY)
        raise make()

    bench.start(run, token=token)
    [report] = bench.end()

    assert decide_outcome(report, WHY)[0] is Outcome.FAILED


@pytest.mark.parametrize("is_requested", [False, True])
def test_an_error_of_a_run_that_uses_the_descriptor_is_kept_and_the_run_counts_as_cancelled(
    bench: Any, is_requested: bool
) -> None:
    token = CancelToken()

    def run(ctx: Any) -> None:
        ctx.fileno()
        if is_requested:
            token.request(WHY)
        raise ConnectionError("woken")

    bench.start(run, token=token)
    [report] = bench.end()

    assert isinstance(report, RunEnded)
    outcome, error = decide_outcome(report, WHY if is_requested else None)
    assert str(error) == "ConnectionError: woken"
    assert outcome is (Outcome.CANCELLED if is_requested else Outcome.FAILED)
