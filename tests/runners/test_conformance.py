"""The suite that a third party uses for its runner, over each runner of Taskloom."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from pathlib import Path
from types import MappingProxyType
from typing import get_type_hints

import pytest
from tests.support.cluster_bench import lease_of, options_for
from tests.support.dask_cluster import DaskCluster
from tests.support.long_share import long_except, long_only

from taskloom.runners import RunHandle
from taskloom.runners.dask.handle import DaskHandle
from taskloom.runners.dask.runner import DaskRunner
from taskloom.runners.process import ProcessRunner
from taskloom.runners.process.handle import ProcessHandle
from taskloom.runners.thread import ThreadRunner
from taskloom.testing import RunnerConformance


@long_except("test_nothing_is_left_after_the_end", "test_a_cancel_that_races_with_the_end_ends_the_run_once")
class TestReusedThreads(RunnerConformance):
    options = MappingProxyType({"reuse": True})
    are_options_for_daemons = True

    def make_runner(self) -> ThreadRunner:
        return ThreadRunner()


# These wait until a time limit has passed, or hold something back for a while.
SLOW = (
    "test_a_run_learns_that_its_stop_is_urgent",
    "test_a_run_that_does_not_poll_grows_old",
    "test_a_run_that_ignores_the_stop_is_abandoned",
    "test_a_run_that_ignores_the_stop_makes_the_program_exit",
    "test_a_run_that_takes_too_long_has_timed_out",
    "test_a_run_waits_for_the_terminate_of_the_run_before_it",
    "test_where_a_stuck_run_is_stands_in_the_event",
)


@long_only(*SLOW)
class TestThreads(RunnerConformance):
    def make_runner(self) -> ThreadRunner:
        return ThreadRunner()


@pytest.mark.skipif(sys.platform != "linux", reason="the runner process needs Linux")
@long_except(
    "test_a_cancel_arrives_with_its_reason",
    "test_a_run_that_ignores_everything_can_be_killed",
    "test_an_error_arrives_with_its_type_message_and_traceback",
    "test_counters_and_progress_are_seen_during_the_run_and_after_it",
    "test_everything_that_a_task_logs_arrives_in_order",
    "test_the_stack_of_a_run_that_is_stuck_is_found",
)
class TestProcesses(RunnerConformance):
    def make_runner(self) -> ProcessRunner:
        return ProcessRunner()

    def lose(self, handle: RunHandle) -> None:
        """Kill its supervisor."""
        assert isinstance(handle, ProcessHandle)
        assert handle.process is not None
        stat = Path(f"/proc/{handle.process.pid}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)


@pytest.mark.cluster
@pytest.mark.timeout(300)
class TestDask(RunnerConformance):
    patience = 60.0

    @pytest.fixture(autouse=True)
    def on_a_cluster(self, cluster: DaskCluster) -> None:
        """Give each job of a test the options that name the cluster."""
        self.cluster = cluster
        self.options = options_for(cluster)

    def make_runner(self) -> DaskRunner:
        return DaskRunner()

    def lose(self, handle: RunHandle) -> None:
        """Kill its worker. The next test gets a new one."""
        assert isinstance(handle, DaskHandle)
        assert handle.whereabouts is not None
        self.cluster.workers[handle.whereabouts.worker].kill()

    def test_a_run_that_is_lost_ends_as_lost(self) -> None:
        """With a short lease: what is left of the run is gone when it ends."""
        self.options = options_for(self.cluster, lease=lease_of())
        super().test_a_run_that_is_lost_ends_as_lost()


def test_every_installed_runner_is_tested() -> None:
    installed = {entry.load() for entry in importlib.metadata.entry_points(group="taskloom.runners")}

    suites = [each for each in RunnerConformance.__subclasses__() if each.__module__ == __name__]

    assert {get_type_hints(each.make_runner)["return"] for each in suites} == installed
