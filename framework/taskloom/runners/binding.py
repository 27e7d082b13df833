"""The body of a run, which a runner executes, and the binding that creates a new body for each run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["Binding", "Body"]


class Body(NamedTuple):
    """The callables of one run. They share an instance of the task that no other run uses."""

    run: Callable[[Context], object]
    """Called once, on the run's own thread."""
    terminate: Callable[[], object] | None
    """Called once, on a helper thread, if the run is requested to stop before it returns; None if the task has none."""


class Binding:
    """A task bound to a job's params: creates the bodies of the job's runs."""

    __slots__ = ("announces_ready", "has_terminate", "label", "make")

    def __init__(
        self, make: Callable[[], Body], *, has_terminate: bool = False, announces_ready: bool = False, label: str = ""
    ) -> None:
        self.make = make
        """Creates a new body. Called on the thread of the run; raises what the task's constructor raises."""
        self.has_terminate = has_terminate
        self.announces_ready = announces_ready
        """True if the run calls `ctx.ready()` once it is ready; else it is ready as soon as it has started."""
        self.label = label
        """Module and name of the class or function, for messages."""

    def __repr__(self) -> str:
        return f"<Binding of {self.label}>"
