"""A sample that comes late because the process was suspended: no run could have polled meanwhile."""

from __future__ import annotations

from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.inputs import RunResponsive, RunUnresponsive
from taskloom.core.model import Moment
from taskloom.core.policies import Watchdog
from taskloom.scheduler.heartbeats import HeartbeatMonitor, HeartbeatTrack
from taskloom.sync.cancel_token import CancelToken
from taskloom.testing import make_job


def watched() -> tuple[HeartbeatMonitor, list[RunUnresponsive | RunResponsive]]:
    """Return a sampler of one run that never polls and has a watchdog of 5 s, and the list of its reports."""
    stage = HandDrivenCore()
    stage.add(make_job("a", watchdog=Watchdog(5.0)))
    record = stage.lifecycle.runs[stage.start("a")]
    record.ready = Moment(0.0, 0.0)
    reports: list[RunUnresponsive | RunResponsive] = []
    sampler = HeartbeatMonitor(lambda: None, reports.append)
    sampler.add(record.id, HeartbeatTrack(record, CancelToken(), 0.0, is_unobserved=False))
    return sampler, reports


def test_the_watchdog_does_not_count_the_time_of_a_suspension() -> None:
    sampler, reports = watched()
    sampler.sample(1.0)
    sampler.sample(2.0)

    sampler.sample(103.0, late=100.0)
    reports_before = list(reports)
    sampler.sample(104.0)
    sampler.sample(105.0)
    sampler.sample(106.5)

    assert reports_before == []
    assert reports == [RunUnresponsive("a#1", 6.5)]


def test_a_sample_that_is_a_little_late_counts_in_full() -> None:
    sampler, reports = watched()

    sampler.sample(4.9, late=0.9)
    sampler.sample(5.8, late=0.9)

    assert reports == [RunUnresponsive("a#1", 5.8)]
