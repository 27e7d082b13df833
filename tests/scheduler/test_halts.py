"""A look at the polls that comes late: the process was halted, and no run could have polled."""

from __future__ import annotations

from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.inputs import RunResponsive, RunUnresponsive
from taskloom.core.model import Moment
from taskloom.core.policies import Watchdog
from taskloom.scheduler.heartbeats import HeartbeatMonitor, HeartbeatTrack
from taskloom.sync.cancel_token import CancelToken
from taskloom.testing import make_job


def watched() -> tuple[HeartbeatMonitor, list[RunUnresponsive | RunResponsive]]:
    """Return a sampler of one run that never polls, with a watchdog of 5 s, and what it tells."""
    stage = HandDrivenCore()
    stage.add(make_job("a", watchdog=Watchdog(5.0)))
    record = stage.lifecycle.runs[stage.start("a")]
    record.ready = Moment(0.0, 0.0)
    news: list[RunUnresponsive | RunResponsive] = []
    sampler = HeartbeatMonitor(lambda: None, news.append)
    sampler.add(record.id, HeartbeatTrack(record, CancelToken(), 0.0, is_unobserved=False))
    return sampler, news


def test_the_time_of_a_halt_does_not_count_for_the_watchdog() -> None:
    sampler, news = watched()
    sampler.sample(1.0)
    sampler.sample(2.0)

    sampler.sample(103.0, late=100.0)
    quiet = list(news)
    sampler.sample(104.0)
    sampler.sample(105.0)
    sampler.sample(106.5)

    assert quiet == []
    assert news == [RunUnresponsive("a#1", 6.5)]


def test_a_look_that_is_a_little_late_counts_in_full() -> None:
    sampler, news = watched()

    sampler.sample(4.9, late=0.9)
    sampler.sample(5.8, late=0.9)

    assert news == [RunUnresponsive("a#1", 5.8)]
