"""A stop whose bookkeeping has failed: runs that can be killed are killed at its deadline, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from taskloom.core.inputs import Shutdown
from taskloom.core.model import Reason, ReasonKind
from taskloom.core.policies import JoinPolicy, Otherwise
from taskloom.scheduler.action_executor import ActionExecutor
from taskloom.scheduler.stop_without_core import CHECK_SECONDS, StopWithoutCore

REASON = Reason(ReasonKind.SHUTDOWN)


@dataclass
class Handle:
    """The handle of a run that may survive its kill."""

    dies: bool = True
    error: Exception | None = None
    kills: list[bool] = field(default_factory=list)
    lives: bool = True

    def is_alive(self) -> bool:
        return self.lives

    def kill(self) -> None:
        self.kills.append(True)
        if self.error is not None:
            raise self.error
        self.lives = not self.dies


def run_of(name: str, handle: object, otherwise: Otherwise = Otherwise.KILL) -> Any:
    spec = SimpleNamespace(join=JoinPolicy(10.0, otherwise))
    return SimpleNamespace(id=name, handle=handle, is_alive=lambda: True, record=SimpleNamespace(spec=spec))


def stop_of(*runs: Any, within: float = 0.0) -> tuple[StopWithoutCore, list[str]]:
    """Return the stop of these runs, and the list of those that are requested to stop."""
    requested: list[str] = []
    waves = SimpleNamespace(add=lambda run, reason: requested.append(run.id))
    executor = SimpleNamespace(live={run.id: run for run in runs}, cancel_waves=waves)
    return StopWithoutCore(cast("ActionExecutor", executor), Shutdown(REASON, within)), requested


def test_at_its_deadline_it_kills_what_can_be_killed_once_and_waits_until_that_is_gone() -> None:
    handle = Handle(dies=False)
    stop, requested = stop_of(run_of("a#1", handle))

    assert requested == ["a#1"]
    assert not stop.is_over()
    assert not stop.is_over()
    assert handle.kills == [True]
    assert 0 < stop.seconds_to_check() <= CHECK_SECONDS

    handle.lives = False
    assert stop.is_over()


def test_before_its_deadline_nothing_is_killed() -> None:
    handle = Handle()
    stop, _ = stop_of(run_of("a#1", handle), within=3600.0)

    assert not stop.is_over()
    assert handle.kills == []


def test_a_thread_is_not_waited_for_after_the_deadline() -> None:
    thread = SimpleNamespace(is_alive=lambda: True)
    stop, _ = stop_of(run_of("a#1", thread, Otherwise.EXIT))

    assert stop.is_over()


def test_a_kill_that_raises_does_not_keep_the_others_from_being_killed() -> None:
    handle, other = Handle(error=RuntimeError("broken")), Handle()
    stop, _ = stop_of(run_of("a#1", handle), run_of("b#1", other))

    stop.is_over()

    assert (handle.kills, other.kills) == ([True], [True])
