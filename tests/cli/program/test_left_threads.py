"""The threads that jobs or libraries have left: who is awaited, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.contexts import run_context

from taskloom.cli.program.left_threads import LeftThread, LeftThreads
from taskloom.cli.program.thread_owners import ThreadOwners
from taskloom.clock import mono
from taskloom.runners.context import current_run
from taskloom.runners.run_thread import RunThread

Leave = Callable[[str | None], threading.Thread]
NEVER = float("inf")


@pytest.fixture
def leave() -> Iterator[Leave]:
    """Leave a thread of a run of this job, or one of no run."""
    owners = ThreadOwners(lambda *_: None)
    owners.install()
    go = threading.Event()
    left: list[threading.Thread] = []

    def leave(job: str | None) -> threading.Thread:
        def main() -> None:
            if job is not None:
                current_run.set(run_context(job))
            left.append(threading.Thread(target=go.wait, name=f"of-{job}"))
            left[-1].start()

        run = RunThread(target=main)
        run.start()
        run.join()
        return left[-1]

    yield leave

    owners.close()
    go.set()
    for thread in left:
        thread.join()


def threads(
    *,
    within: float = 5.0,
    since: float = 0.0,
    asked: float | None = None,
    deadline: float = NEVER,
    is_hard: bool = False,
) -> LeftThreads:
    """Return the view of a stop that began `since` seconds ago; the job a was asked `asked` seconds ago."""
    now = mono()
    return LeftThreads(
        begun=now - since,
        withins={"a": within},
        asked={} if asked is None else {"a": now - asked},
        deadline=lambda: now + deadline,
        is_hard_exit=is_hard,
    )


def of_test(left: list[LeftThread]) -> list[LeftThread]:
    """Leave out the threads of pytest itself."""
    return [one for one in left if one.thread.name.startswith("of-")]


def test_each_is_named_with_its_job_and_its_time(leave: Leave) -> None:
    leave("a"), leave("removed"), leave(None)
    view = threads()

    assert view.names_of(of_test(view.awaited()), with_limits=True) == (
        "of-a (job a, at most 5s), of-removed (job removed, at most 10s), of-None (job unknown)"
    )
    assert [left.as_dict() for left in of_test(view.find())] == [
        {"thread": "of-a", "job": "a"},
        {"thread": "of-removed", "job": "removed"},
        {"thread": "of-None", "job": None},
    ]


def test_daemon_threads_and_threads_of_runs_are_not_left(leave: Leave) -> None:
    go = threading.Event()
    others = [threading.Thread(target=go.wait, name="of-x", daemon=True), RunThread(target=go.wait, name="of-y")]
    for thread in others:
        thread.start()

    found = of_test(threads().find())
    go.set()
    for thread in others:
        thread.join()

    assert found == []


@pytest.mark.parametrize(
    ("stop", "is_awaited"),
    [
        ({"within": 5, "since": 4}, True),
        ({"within": 5, "since": 6}, False),
        ({"within": 5, "since": 6, "asked": 4}, True),
        ({"within": 5, "since": 4, "asked": 100}, True),  # asked long before the stop: its time counts from the stop
        ({"within": 5, "since": 1, "deadline": -1}, False),
        ({"within": NEVER, "since": 100}, True),
        ({"within": 0, "since": 0}, False),
        ({"within": NEVER, "is_hard": True}, True),
    ],
)
def test_a_thread_of_a_run_has_the_time_of_its_job(leave: Leave, stop: dict[str, Any], is_awaited: bool) -> None:
    leave("a")

    assert bool(of_test(threads(**stop).awaited())) is is_awaited


@pytest.mark.parametrize(
    ("stop", "is_awaited"),
    [
        ({"since": 100}, True),
        ({"deadline": -1}, False),
        ({"is_hard": True}, False),
    ],
)
def test_a_thread_of_no_run_has_until_the_deadline_but_no_time_before_a_hard_exit(
    leave: Leave, stop: dict[str, Any], is_awaited: bool
) -> None:
    leave(None)

    assert bool(of_test(threads(**stop).awaited())) is is_awaited


def test_the_wait_ends_when_no_thread_has_time_left(leave: Leave) -> None:
    leave("a")

    threads(within=0.01, is_hard=True).wait()  # returns
