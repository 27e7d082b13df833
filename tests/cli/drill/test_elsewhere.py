"""The drill of jobs on a cluster, with runners that stand for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from taskloom import Job
from taskloom.catalog.entry_points import Catalog
from taskloom.cli.drill import elsewhere
from taskloom.cli.drill.elsewhere import SharedRunner, shared_runners, start_seconds
from taskloom.cli.drill.trial import DrillResult, drill_job, max_drill_seconds
from taskloom.core.endings import How
from taskloom.core.model import JobSpec
from taskloom.core.run_reports import RunEnded
from taskloom.jobfile.job_spec import spec_of
from taskloom.runners import Emit, RunHandle, RunOrder, Stack
from taskloom.runners.gauges import Gauges
from taskloom.runners.process import ProcessRunner
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch
from taskloom_plugins.countdown import Countdown

LOCAL: dict[str, Any] = {"dask": {"local": 1}}


def on_cluster(name: str = "it", runner: str | dict[str, Any] = LOCAL) -> JobSpec:
    params = {"start": 1000, "interval": "10s"}
    return spec_of(Job(name=name, task=Countdown, params=params, runner=runner), Catalog())


class Waiting:
    """The handle of a run that no worker begins."""

    gauges = Gauges()
    process = None

    def __init__(self) -> None:
        self.is_over = Latch()

    def is_alive(self) -> bool:
        return not self.is_over.is_open

    def is_gone(self) -> bool:
        return self.is_over.is_open

    def join(self, timeout: float | None = None) -> bool:
        return self.is_over.wait(timeout)

    def terminate(self) -> None:
        """Nothing is there."""

    kill = set_urgent = terminate

    def signal(self, number: int) -> None:
        """Nothing is there."""

    def set_poll_interval(self, seconds: float) -> None:
        """Nothing is there."""


class FullCluster:
    """A runner whose runs wait for a slot until they are cancelled."""

    kills = needs_reference = True

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> RunHandle:
        handle = Waiting()

        def end() -> None:
            if not handle.is_over.is_open:
                handle.is_over.open()
                emit(RunEnded(order.run, How.NOT_ENTERED, None, was_requested=True, callback_ran=False))

        token.add_observer(end)
        return handle

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        return [Stack("", "") for _ in handles]

    def close(self) -> None:
        """Nothing is kept."""

    def join(self, timeout: float) -> bool:
        return True


def test_a_run_that_no_worker_begins_fails_its_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_BEGIN_SECONDS", 0.0)
    spec = on_cluster(runner={"dask": {"local": 1, "wait": "50ms"}})

    result = drill_job(spec, warm_up=0.0, runners={"dask": FullCluster()})

    assert result.verdict is DrillResult.FAILED
    assert not result.passes
    assert str(result.error) == "no worker of the cluster has begun the run within 50ms"
    assert result.threads_left == ()


def test_drills_share_a_runner_which_lives_on_between_them() -> None:
    runner = ProcessRunner()
    shared = {"dask": SharedRunner(runner)}

    try:
        results = [drill_job(on_cluster(name), warm_up=0.0, runners=shared) for name in ("one", "two")]
    finally:
        runner.close()

    assert [result.verdict for result in results] == [DrillResult.IN_TIME] * 2
    assert runner.join(10.0)


def test_the_longest_time_of_a_drill_includes_the_wait_for_a_cluster() -> None:
    here, there = on_cluster(runner="process"), on_cluster(runner={"dask": {"local": 1, "wait": "10s"}})

    assert start_seconds(here) == 0.0
    assert start_seconds(there) == 40.0
    assert max_drill_seconds(there, 5.0, 1.0) - max_drill_seconds(here, 5.0, 1.0) == 40.0


def test_no_runner_is_made_where_no_job_is_on_a_cluster() -> None:
    with shared_runners([on_cluster(runner="process")]) as runners:
        assert runners == {}
