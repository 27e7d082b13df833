"""The rules that every runner has to keep, as a pytest class: derive from it, define `make_runner`, and run pytest.

class TestPooled(RunnerConformance):
    def make_runner(self):
        return PooledRunner()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from taskloom.runners import Runner
from taskloom.testing.join_rules import JoinRules
from taskloom.testing.kill_rules import KillRules
from taskloom.testing.run_rules import RunRules
from taskloom.testing.stop_rules import StopRules

__all__ = ["RunnerConformance"]


class RunnerConformance(RunRules, StopRules, KillRules, JoinRules, ABC):
    """Tests one runner. The name of each test is the rule, and its failure message says what the runner did instead.

    The runs are real, and their tasks are those of `taskloom.testing.runner_tasks`, which every process that has
    Taskloom can import. They share a temporary folder with the tests. A runner with `kills = True` is tested for that,
    too; those tests are skipped for every other runner.
    """

    options: Mapping[str, Any] = MappingProxyType({})
    """The options that each job gives the runner."""
    are_options_for_daemons: bool = False
    """Whether only a daemon job may have these options; the others have none then."""
    patience: float = 20.0
    """Seconds that anything may take on a busy machine. They pass only if a test fails."""
    races: int = 20
    """How often the cancel races with the end of a run."""

    @abstractmethod
    def make_runner(self) -> Runner:
        """Return a new runner. It is closed by the test that made it."""
