"""Which run a thread belongs to: by its context, or by the run that started it."""

from __future__ import annotations

import _thread
import contextvars
import threading
from collections.abc import Callable

from tests.support.contexts import run_context

from taskloom.runners.context import RunContext, current_run
from taskloom.runners.thread_owner import calling_run, owner_of, set_owner
from taskloom.sync.latch import Latch


def found_in(thread: Callable[[Callable[[], object]], threading.Thread]) -> RunContext | None:
    found: list[RunContext | None] = []
    made = thread(lambda: found.append(calling_run()))
    made.start()
    made.join()
    return found[0]


def test_a_thread_without_a_run_belongs_to_the_run_that_started_it() -> None:
    run = run_context("web")

    def owned(work: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=work)
        set_owner(thread, run)
        return thread

    assert found_in(owned) is run
    assert found_in(lambda work: threading.Thread(target=work)) is None


def test_the_context_of_a_thread_comes_before_the_run_that_started_it() -> None:
    first, second = run_context("first"), run_context("second")

    def in_context(work: Callable[[], object]) -> threading.Thread:
        context = contextvars.copy_context()
        context.run(current_run.set, second)
        thread = threading.Thread(target=lambda: context.run(work))
        set_owner(thread, first)
        assert owner_of(thread) is first
        return thread

    assert found_in(in_context) is second


def test_a_thread_that_threading_does_not_know_gets_no_entry_there() -> None:
    found: list[RunContext | None] = []
    done = Latch()

    def work() -> None:
        before = {*threading.enumerate()}
        found.append(calling_run())
        assert {*threading.enumerate()} <= before
        done.open()

    _thread.start_new_thread(work, ())

    assert done.wait(20)
    assert found == [None]
