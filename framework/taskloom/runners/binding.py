"""The body of a run, which a runner executes, and the binding that creates a new body for each run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.runners.error_info import drop_first_frame

if TYPE_CHECKING:
    from taskloom.program import Program
    from taskloom.task import Context

__all__ = ["Binding", "Body", "CannotCross", "CoroutineRun", "TaskReference", "is_coroutine_function"]


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


class TaskReference(NamedTuple):
    """A task and its params in a form that can be sent to another process."""

    module: str
    """The module to import."""
    qualname: str
    """The attributes that lead from the module to the task, joined by dots."""
    params: Mapping[str, Any]
    """JSON data, as given: the other process checks it against the task's parameters as this one did."""
    label: str
    """Module and name of the class or function, for messages."""
    values: Mapping[str, Any] | None = None
    """The values that this process has made of the params, with all defaults; None unless JSON keeps their types.

    With them the other process need not check anything: the check takes most of its own part of the start.
    """
    log_levels: Mapping[str, int] | None = None
    """The level of each logger that has one, by name, if the logs are for another program than this one."""


class CannotCross(ValueError):
    """A task or its params cannot be sent to another process. The message says which, and why."""


def is_coroutine_function(function: object) -> bool:
    """Return whether calling it returns a coroutine: `async def`, also as a method, in a partial or as `__call__`."""
    from inspect import iscoroutinefunction

    call = getattr(type(function), "__call__", None)  # noqa: B004 - of an object with one
    return iscoroutinefunction(function) or iscoroutinefunction(call)


_NO_TASK = "cannot run in a process: the body was bound without its task"


class Binding:
    """A task bound to a job's params: creates the bodies of the job's runs."""

    __slots__ = (
        "_crossing",
        "_refer",
        "announces_ready",
        "check_seconds",
        "context_in_doubt",
        "has_terminate",
        "label",
        "make",
        "program",
    )

    def __init__(
        self,
        make: Callable[[], Body],
        *,
        has_terminate: bool = False,
        announces_ready: bool = False,
        label: str = "",
        context_in_doubt: str = "",
        refer: Callable[[], TaskReference] | None = None,
        program: Callable[[], Program] | None = None,
        check_seconds: float | None = None,
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
        self.program = program
        """Makes the description of the program to start; None if the task is Python code.

        It may block, since it calls the task's constructor and its `program`; it raises what they raise.
        """
        self.check_seconds = check_seconds
        """Seconds in which the checks of the program have failed for good; None without a check."""
        self._refer = refer
        self._crossing: TaskReference | str | None = None

    @property
    def reference(self) -> TaskReference | None:
        """The task and its params for another process; None if they cannot be sent there, see `cannot_cross`."""
        crossing = self._cross()
        return crossing if isinstance(crossing, TaskReference) else None

    @property
    def cannot_cross(self) -> str:
        """Why the task or its params cannot be sent to another process; "" if they can."""
        crossing = self._cross()
        return crossing if isinstance(crossing, str) else ""

    def _cross(self) -> TaskReference | str:
        """Return the reference, or why there is none. Made once: the params are those of the first call."""
        if self._crossing is None:
            try:
                self._crossing = self._refer() if self._refer is not None else _NO_TASK
            except CannotCross as error:
                self._crossing = str(error)
        return self._crossing

    def __repr__(self) -> str:
        return f"<Binding of {self.label}>"
