"""How long a run has been stopping, and how long its join policy still waits: for views that count both."""

from __future__ import annotations

from math import inf

from tests.support.hand_driven_core import HandDrivenCore, running

from taskloom.core.report import make_job_report
from taskloom.testing import make_job


def times(core: HandDrivenCore) -> tuple[float | None, float | None]:
    report = make_job_report(core.lifecycle, core.lifecycle.jobs["a"], core.clock.now())
    return report.stopping_for, report.stop_left


def test_a_running_job_has_no_times_of_a_stop() -> None:
    assert times(running(make_job("a"))) == (None, None)


def test_a_stopping_job_has_the_time_since_the_request_and_until_the_join_policy_decides() -> None:
    core = running(make_job("a", within=10.0))

    core.stop("a")
    core.advance(3.0)

    assert times(core) == (3.0, 7.0)


def test_an_overdue_run_has_no_time_left() -> None:
    core = running(make_job("a", within=10.0))

    core.stop("a")
    core.advance(12.0)

    assert times(core) == (12.0, 0.0)


def test_a_join_policy_without_limit_has_no_time_left_to_show() -> None:
    core = running(make_job("a", within=inf))

    core.stop("a")
    core.advance(3.0)

    assert times(core) == (3.0, None)
