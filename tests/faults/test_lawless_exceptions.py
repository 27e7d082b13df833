"""An exception that breaks every rule ends its own run, as any other does, wherever a task raises it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.support.lawless_exceptions import lawless_exceptions
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.runners.binding import Binding, CoroutineRun
from taskloom.testing import make_job
from taskloom.text import kind_of

SOON = 20.0

pytestmark = pytest.mark.usefixtures("neighbour")


def kinds_of(error: BaseException) -> tuple[str, str]:
    """Return the class of an exception, and what Python raises in its place if it cannot ask its class."""
    return kind_of(error), "RuntimeError" if kind_of(error) == "Nameless" else kind_of(error)


def throw(error: BaseException, *given: Any) -> Any:
    raise error


async def throw_later(error: BaseException, ctx: Any) -> None:
    raise error


def wait(ctx: Any) -> None:
    ctx.wait()


@pytest.mark.parametrize("is_async", [False, True])
def test_it_is_the_failure_of_its_run(scheduler: WatchedScheduler, is_async: bool) -> None:
    errors = lawless_exceptions()
    runs = [
        scheduler.add_function(
            f"j{number}", CoroutineRun(partial(throw_later, error)) if is_async else partial(throw, error)
        ).start()
        for number, error in enumerate(errors)
    ]

    for run, error in zip(runs, errors, strict=True):
        assert run.join(SOON)
        assert run.outcome is Outcome.FAILED
        assert run.error is not None
        assert run.error.type in kinds_of(error)
        assert "in throw" in run.error.traceback or run.error.type == "RuntimeError"
        assert len(run.error.traceback) <= 64 * 1024


def test_it_is_a_failed_start(scheduler: WatchedScheduler) -> None:
    for number, error in enumerate(lawless_exceptions()):
        run = scheduler.add(replace(make_job(f"j{number}"), binding=Binding(partial(throw, error)))).start()

        assert run.join(SOON)
        assert run.outcome is Outcome.START_FAILED
        assert run.error is not None
        assert run.error.type in kinds_of(error)


def test_one_of_terminate_or_a_callback_is_told_as_theirs(scheduler: WatchedScheduler) -> None:
    for number, error in enumerate(lawless_exceptions()):
        run = scheduler.add_function(f"j{number}", wait, partial(throw, error)).start()
        scheduler.wait_for(EventName.STARTED, f"j{number}")
        run.cancel()
        assert run.join(SOON)

        failed = scheduler.wait_for(EventName.CALLBACK_FAILED, f"j{number}")
        assert failed.error is not None
        assert failed.error.type in kinds_of(error)
        assert run.outcome is Outcome.CANCELLED
