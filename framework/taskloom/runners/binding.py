"""The body of a run, which a runner executes, and the binding that creates a new body for each run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.runners.error_info import drop_first_frame

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["Binding", "Body", "CoroutineRun"]


class Body(NamedTuple):
    """The callables of one run. They share an instance of the task that no other run uses."""

    run: Callable[[Context], object]
    """Called once, on the run's own thread."""
    terminate: Callable[[], object] | None
    """Called once, on a helper thread, if the run is requested to stop before it returns; None if the task has none."""


class CoroutineRun:
    """The `run` of a Body whose task is a coroutine function: runs it in an event loop on the calling thread."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Any], Coroutine[Any, Any, object]]) -> None:
        self._function = function

    def __call__(self, ctx: Context) -> object:
        # asyncio is imported for the first run of an async task: programs without one do not pay for it.
        from taskloom.runners.event_loop import run_in_event_loop

        try:
            return run_in_event_loop(self._function, ctx)
        except BaseException as error:
            drop_first_frame(error)
            raise


class Binding:
    """A task bound to a job's params: creates the bodies of the job's runs."""

    __slots__ = ("announces_ready", "context_in_doubt", "has_terminate", "label", "make")

    def __init__(
        self,
        make: Callable[[], Body],
        *,
        has_terminate: bool = False,
        announces_ready: bool = False,
        label: str = "",
        context_in_doubt: str = "",
    ) -> None:
        self.make = make
        """Creates a new body. Called on the thread of the run; raises what the task's constructor raises."""
        self.has_terminate = has_terminate
        self.announces_ready = announces_ready
        """True if the run calls `ctx.ready()` once it is ready; else it is ready as soon as it has started."""
        self.label = label
        """Module and name of the class or function, for messages."""
        self.context_in_doubt = context_in_doubt
        """The parameter of `run` that gets the context, if it may be meant for something else; or ""."""

    def __repr__(self) -> str:
        return f"<Binding of {self.label}>"
