"""What a runner executes: the body of a run, and what makes a fresh one for each run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["Binding", "Body"]


class Body(NamedTuple):
    """The callables of one run. They share an instance that no other run sees."""

    run: Callable[[Context], object]
    """Called once, on the run's own thread."""
    terminate: Callable[[], object] | None
    """Called at most once, on a helper thread, when the run is asked to stop; None where the task has none."""


class Binding:
    """A task bound to a job's params: makes the bodies of the job's runs."""

    __slots__ = ("announces_ready", "has_terminate", "label", "make")

    def __init__(
        self,
        make: Callable[[], Body],
        *,
        has_terminate: bool = False,
        announces_ready: bool = False,
        label: str = "",
    ) -> None:
        self.make = make
        """Makes a new body. Called on the thread of the run; whatever the task's constructor raises comes out."""
        self.has_terminate = has_terminate
        self.announces_ready = announces_ready
        """True when the run says by `ctx.ready()` that it does its work; else it is ready once started."""
        self.label = label
        """Module and name of the class or function, for people."""

    def __repr__(self) -> str:
        return f"<Binding of {self.label}>"
