"""Where a run executes, and the contract of a runner.

A runner, registered under the entry-point group `taskloom.runners`:
- `start` returns once the run is bound to begin, or raises: then the run never began, and no report comes.
- It makes the body (`order.binding.make()`) where the run executes, registers its `terminate` with
  `token.enter` and enters `run` only when that returned True: a run cancelled before never enters.
- It emits RunStarted when `run` is about to be entered, and never for a body that could not be made; then exactly
  one RunEnded or RunStartFailed per run that `start` returned for, whatever escaped from the body, and whenever that
  is; RunReady any number of times between. `emit` never blocks and never raises.
- It never starts a run that it was not told to, and keeps nothing of a run after its report but the handle. What it
  keeps between runs (idle threads) shows nothing of one run to the next, and is gone after `close`.
- It never imports the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.sync.cancel_token import CancelToken

if TYPE_CHECKING:
    from taskloom.core.actions import StartRun
    from taskloom.runners.binding import Binding
    from taskloom.runners.gauges import Gauges

__all__ = ["Emit", "RunHandle", "RunOrder", "Runner", "Stack"]

Emit = Callable[[RunStarted | RunReady | RunEnded | RunStartFailed], None]


class RunOrder(NamedTuple):
    """What is to be run."""

    run: str
    job: str
    task: str
    attempt: int
    replica: int
    daemon: bool
    poll_interval: float
    binding: Binding
    """What makes the body: `runners.body.Binding`."""
    options: Mapping[str, Any] = MappingProxyType({})
    """What the job says of its runner, in the runner's own words."""

    @classmethod
    def of(cls, action: StartRun) -> RunOrder:
        """Return the order that carries out what the core wants."""
        spec = action.spec
        who = (action.run, spec.name, spec.task, action.attempt, action.replica)
        return cls(*who, spec.daemon, spec.poll_interval, spec.binding, spec.runner.options)


class Stack(NamedTuple):
    """Where a run stands."""

    where: str
    """`file:line in function`: the innermost frame that is neither ours nor the standard library's."""
    text: str
    """The whole stack as a traceback shows it; "" where only `where` was asked for."""


class RunHandle(Protocol):
    """One run that a runner began."""

    @property
    def gauges(self) -> Gauges:
        """Progress and counters of the run."""

    def is_alive(self) -> bool:
        """Tell whether the body may still be executing."""

    def is_gone(self) -> bool:
        """Tell whether nothing of the run is left: its thread has ended, or is free for another run."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nothing of the run is left; False when that took longer than `timeout` seconds."""


class Runner(Protocol):
    """Begins runs. One instance serves a scheduler; any thread may call it."""

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> RunHandle:
        """Begin the run. Raises whatever kept it from beginning."""

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Say where these runs stand, in one look; whole texts for the first `texts` of them."""

    def close(self) -> None:
        """Called when no run will be started any more: let go of what is kept between runs.

        Never blocks, since it is called in the scheduler's turn. What runs still use goes when they end.
        """

    def join(self, timeout: float) -> bool:
        """Wait, after `close`, for what was kept between runs to be gone; False when not in so many seconds."""
