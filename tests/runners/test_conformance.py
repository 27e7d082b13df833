"""The suite that a third party uses for its runner, over each runner of Taskloom."""

from __future__ import annotations

from types import MappingProxyType

from tests.support.long_share import long_except, long_only

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
