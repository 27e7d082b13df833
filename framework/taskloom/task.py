"""Everything that the author of a task needs.

A task is a class with `run(self, ctx)` or a plain function `f(ctx, ...)`, offered by an installed package
in the entry-point group `taskloom.tasks`:

    class Heartbeat(Task):
        every: Duration = param("5s", description="time between two beats")

        def run(self, ctx: Context) -> None:
            while not ctx.wait(self.every):          # True once cancelled
                ctx.log.info("still here")

The contract:
- `run` is called once, in its own thread, on a new instance: no other run shares `self`.
- `run` may be `async def`: its coroutine runs in an event loop of its own on that thread, and `ctx` is an AsyncContext.
- Poll `ctx.cancelled`, or wait with `ctx.wait`; return (or raise `Cancelled`) soon after it becomes true.
- `terminate(self)` is optional: called exactly once, on another thread, if cancellation is requested while `run` is
  running, even if `run` has returned by then. It must not block.
- An exception that leaves `run` is recorded as the run's error. Raise `TaskFailure` for an error that needs no
  traceback; after `PermanentFailure`, its subclass, the job is never restarted.
- `run` returns None; another value is ignored with a warning.
- A task that sets `announces_ready = True` calls `ctx.ready()`; every other task is ready once started.
- A class with `program(self)` in place of `run` returns the `Program` to start, which is not Python code.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import re
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    ForwardRef,
    Protocol,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    runtime_checkable,
)

from taskloom.errors import Cancelled, PermanentFailure, TaskFailure

if TYPE_CHECKING:
    import logging

    from taskloom.core.model import Reason

__all__ = [
    "AnyContext",
    "AsyncContext",
    "CancelHandle",
    "Cancelled",
    "Context",
    "Duration",
    "ParamInfo",
    "PermanentFailure",
    "Task",
    "TaskFailure",
    "param",
    "parse_duration",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
# Ten years: a longer one has the wrong unit; a lock's timeout overflows only far above it.
LONGEST_DURATION_SECONDS = 10 * 366 * 86400.0


def parse_duration(value: object) -> float:
    """Return a duration such as `500ms`, `1h30m` or `2.5` in seconds.

    Raises ValueError, naming the legal forms, for text in another form, for a bool, and for a number that is
    negative, not finite or over ten years.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"cannot read {value!r} as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds")
    try:
        seconds = _parse_units(value) if isinstance(value, str) else float(value)
    except OverflowError:  # an int of hundreds of digits
        seconds = math.inf
    if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST_DURATION_SECONDS):
        raise ValueError(f"cannot use {value!r} as a duration; it must be between 0 and ten years")
    return seconds


def _parse_units(text: str) -> float:
    if not _DURATION.fullmatch(text):
        raise ValueError(f"cannot read {text!r} as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds")
    parts = _DURATION_PART.findall(text)
    order = [list(_UNIT_SECONDS).index(unit) for _, unit in parts]
    if order != sorted(set(order), reverse=True):
        raise ValueError(f"cannot read {text!r} as a duration; name each unit once, largest first")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


class _DurationMarker:
    """Teach pydantic the durations of job files; pydantic is imported only when it needs the schema."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(parse_duration)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": LONGEST_DURATION_SECONDS},
                {"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["500ms", "10s", "1h30m"]},
            ]
        }

    def __repr__(self) -> str:
        return "Duration"


Duration = Annotated[float, _DurationMarker()]
"""Seconds, as a float. In a job file it may be written `500ms 10s 5m 2h 1d 1h30m` or as a number of seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class ParamInfo:
    """The description, examples and constraints that `param()` adds to a parameter."""

    description: str = ""
    examples: tuple[Any, ...] = ()
    constraints: tuple[tuple[str, Any], ...] = ()


def param(
    default: Any = dataclasses.MISSING, *, description: str = "", examples: Iterable[Any] = (), **constraints: Any
) -> Any:
    """Describe one parameter of a task.

    Without a default the parameter is required. The constraints are pydantic's: `ge gt le lt multiple_of
    min_length max_length pattern`. Type and constraints are checked when a job file is loaded, for the default too.
    Raises TypeError for any other constraint, and for a description that is not text.
    """
    if not isinstance(description, str):
        raise TypeError(f"cannot use {description!r:.60} as a description; expected text")
    known = {"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern"}
    unknown = sorted(set(constraints) - known)
    if unknown:
        raise TypeError(f"cannot use constraint {unknown[0]!r}; known: {', '.join(sorted(known))}")
    info = ParamInfo(description, tuple(examples), tuple(constraints.items()))
    return _field(default, {"taskloom": info})


def _field(default: Any, metadata: dict[str, Any], **options: Any) -> Any:
    """Make a dataclass field; a default that may be changed, such as a list, is copied for each instance."""
    if _is_changeable(default):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata, **options)
    return dataclasses.field(default=default, metadata=metadata, **options)


def _is_changeable(default: object) -> bool:
    """Return whether runs must not share a default: it is not a plain value, and has no hash for that reason."""
    return type(default).__hash__ is None and not isinstance(default, dataclasses.Field)


# `param` is not declared as a field specifier: type checkers recognise a default only by the keyword `default`, and
# would treat every parameter written `param("5s")` as required.
@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Task:
    """Derive from it, annotate the parameters, write `run`.

    A subclass becomes a keyword-only dataclass of its annotated public attributes. Annotated private attributes are
    set again on each instance and are not parameters. Attributes without annotation are plain class attributes. A
    subclass that defines `__init__` keeps it, and its keyword arguments are the parameters.
    """

    announces_ready: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = {**vars(sys.modules.get(cls.__module__, dataclasses)), **vars(cls)}
        for name, annotation in inspect.get_annotations(cls).items():
            if _is_class_variable(annotation, names):
                # Written so that dataclasses recognises it as well.
                cls.__annotations__[name] = ClassVar
            else:
                _prepare_field(cls, name, annotation)
        is_silent = cls.__dict__.get("__doc__") is None
        if is_silent:
            # Else dataclasses writes one, of the `repr` of each default, which is code of the author's package.
            cls.__doc__ = cls.__name__
        dataclasses.dataclass(kw_only=True, eq=False, init=not _has_handwritten_init(cls))(cls)
        if is_silent:
            cls.__doc__ = None

    # `Any`, so that type checkers accept `def run(self, ctx: Context)` and `async def run(self, ctx: AsyncContext)`.
    def run(self, ctx: Any) -> Coroutine[Any, Any, None] | None:
        """Do the work; called once per instance, on the run's thread."""
        raise TypeError(f"{type(self).__name__} has no run(self, ctx)")


def _has_handwritten_init(cls: type[Task]) -> bool:
    """Return whether `__init__`, own or inherited, was written by hand instead of made by a dataclass."""
    for base in cls.__mro__:
        if "__init__" in base.__dict__:
            made = base.__dict__.get("__dataclass_params__")
            return base is not object and (base is cls or made is None or not made.init)
    return False


# The name at the beginning of an annotation that is text, such as `typing.ClassVar` of `"typing.ClassVar[int]"`.
_FIRST_NAME = re.compile(r"""[\s'"]*([\w.]+)[\s'"]*\[?""")


def _is_class_variable(annotation: object, names: Mapping[str, Any]) -> bool:
    """Return whether it is `ClassVar` in any spelling: as text, under another name, inside of Annotated or Final."""
    while not isinstance(annotation, str | ForwardRef):
        kind = get_origin(annotation) or annotation
        if kind is not Annotated and kind is not Final:
            return kind is ClassVar
        annotation = next(iter(get_args(annotation)), None)
    text: str = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
    while (found := _FIRST_NAME.match(text)) is not None:
        kind = _named(found[1], names)
        if kind is not Annotated and kind is not Final:
            return kind is ClassVar
        text = text[found.end() :]
    return False


def _named(path: str, names: Mapping[str, Any]) -> object:
    """Return what a dotted name means; by its last part if it is imported for type checkers only."""
    first, *others = path.split(".")
    try:
        found = names[first]
        for other in others:
            found = getattr(found, other)
    except Exception:  # noqa: BLE001 - a module may have a `__getattr__` of its own
        return {"ClassVar": ClassVar, "Final": Final, "Annotated": Annotated}.get(path.rpartition(".")[2])
    return found


def _prepare_field(cls: type, name: str, annotation: object) -> None:
    value = cls.__dict__.get(name, dataclasses.MISSING)
    if name.startswith("_"):
        if not isinstance(value, dataclasses.Field):
            setattr(cls, name, _field(value, {}, init=False, repr=False))
        return
    if _is_changeable(value):
        setattr(cls, name, _field(value, {}))
    elif isinstance(value, str) and _is_duration(annotation):
        setattr(cls, name, parse_duration(value))
    elif isinstance(value, dataclasses.Field) and isinstance(value.default, str) and _is_duration(annotation):
        value.default = parse_duration(value.default)


def _is_duration(annotation: object) -> bool:
    """Return whether a parameter is a Duration, so that its default may be written as in a job file."""
    return annotation == Duration or annotation in ("Duration", "taskloom.Duration", "task.Duration")


class CancelHandle(Protocol):
    """The handle that `ctx.on_cancel` returns."""

    def close(self) -> None:
        """Remove the callback. Idempotent; no effect after the run was cancelled."""


@runtime_checkable
class AnyContext(Protocol):
    """What Context and AsyncContext have in common: cancellation, log, progress, and the run's identity.

    Every member may be used from any thread that the task starts. For threads that are left when the run has ended, the
    run counts as cancelled. None of the members blocks.
    """

    @property
    def cancelled(self) -> bool:
        """The poll: True once cancellation was requested; it stays true. Each read is counted."""

    @property
    def reason(self) -> Reason | None:
        """Why cancellation was requested; the first reason wins."""

    @property
    def urgent(self) -> bool:
        """True once three quarters of the time to stop have passed."""

    @property
    def poll_interval(self) -> float:
        """The timeout, in seconds, for blocking calls that do not support cancellation."""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger with job and run bound to every line."""

    @property
    def job(self) -> str:
        """The job's name."""

    @property
    def run_id(self) -> str:
        """The run's name, unique in its scheduler."""

    @property
    def attempt(self) -> int:
        """1 for a first run, one more for each restart."""

    @property
    def replica(self) -> int:
        """The number of this replica of the job, from 1."""

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled once cancellation was requested."""

    def on_cancel(self, callback: Callable[[], object]) -> CancelHandle:
        """Register a callback that is called once, on a helper thread, when cancellation is requested.

        If it was requested before, the callback is called at once, on the calling thread. A callback that has not begun
        when the run ends is not called.
        """

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when cancelled, for a selector. Do not read or close it.

        It is open until nothing refers to the context any more, also after the end of the run.
        """

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Report how far the run has got. Raises TypeError for anything but finite numbers."""

    def track(self, items: Iterable[Item], total: float | None = None, unit: str = "") -> Iterator[Item]:
        """Yield the items; poll and report progress for each; raise Cancelled once cancellation was requested."""

    def ready(self) -> None:
        """Announce that the run is ready; only for a task with `announces_ready = True`."""

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to one of the run's counters. Raises TypeError if it is not a whole number."""


@runtime_checkable
class Context(AnyContext, Protocol):
    """The interface between a run and the scheduler.

    Every member may be used from any thread that the task starts.
    """

    def wait(self, seconds: float | None = None) -> bool:
        """Block until cancelled, for at most `seconds` seconds; return True when cancelled."""

    def sleep(self, seconds: float) -> None:
        """Block for `seconds` seconds; raise Cancelled as soon as cancellation is requested."""


@runtime_checkable
class AsyncContext(AnyContext, Protocol):
    """The context of an `async def run`.

    `wait`, `sleep` and `to_thread` are awaited, and only in the run's own event loop. When cancellation is requested, a
    run that awaits `wait` there gets True; anywhere else its coroutine is cancelled once, as by `asyncio.Task.cancel`.
    """

    def wait(self, seconds: float | None = None) -> Coroutine[Any, Any, bool]:
        """Wait until cancelled, for at most `seconds` seconds; return True when cancelled."""

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait for `seconds` seconds; raise asyncio.CancelledError as soon as cancellation is requested."""

    def to_thread(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Result]:
        """Call a blocking function on another thread and return its result. The run does not end before it returns."""

    @property
    def blocking(self) -> Context:
        """The context for functions that run on another thread, as in `await ctx.to_thread(read, ctx.blocking)`.

        Its `wait` and `sleep` block. On the thread of the event loop they raise RuntimeError.
        """
