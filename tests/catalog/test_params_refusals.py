"""An object that cannot run is refused at load, by name and with the reason."""

from __future__ import annotations

import abc
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.every_case import every_case

from taskloom.catalog.params import ShapeError, inspect_task
from taskloom.task import Context, Task

if TYPE_CHECKING:
    from decimal import Decimal


class NoTask:
    def run(self, ctx: Context) -> None:
        """Do nothing."""


class NoRun(Task):
    n: int = 1


class Abstract(Task, abc.ABC):
    def run(self, ctx: Context) -> None:
        """Do nothing."""

    @abc.abstractmethod
    def read(self) -> None:
        """Read."""


class Generator(Task):
    def run(self, ctx: Context) -> Iterator[int]:  # type: ignore[override]
        yield 1


class AsyncGenerator(Task):
    async def run(self, ctx: Context) -> AsyncIterator[int]:  # type: ignore[override]
        yield 1


class NoContext(Task):
    def run(self) -> None:  # type: ignore[override]
        """Do nothing."""


class TooMuch(Task):
    def run(self, ctx: Context, more: int) -> None:  # type: ignore[override]
        """Do nothing."""


class Optional(Task):
    def run(self, ctx: Context, more: int = 1) -> None:
        """Do nothing."""


class BadTerminate(Task):
    def run(self, ctx: Context) -> None:
        """Do nothing."""

    def terminate(self, reason: str) -> None:
        """Do nothing."""


class AsyncTerminate(Task):
    def run(self, ctx: Context) -> None:
        """Do nothing."""

    async def terminate(self) -> None:
        """Do nothing."""


class TerminateIsData(Task):
    terminate: bool = False

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Starred(Task):
    def __init__(self, **options: int) -> None:
        """Take anything."""

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Unresolved(Task):
    amount: Decimal

    def run(self, ctx: Context) -> None:
        """Do nothing."""


async def asynchronous_generator(ctx: Context) -> AsyncIterator[int]:
    yield 1


def generator(ctx: Context) -> Iterator[int]:
    yield 1


def nothing() -> None:
    """Do nothing."""


def keyword_only(*, ctx: Context) -> None:
    """Do nothing."""


def starred(*args: Any) -> None:
    """Do nothing."""


def options(ctx: Context, **more: int) -> None:
    """Do nothing."""


def positional(ctx: Context, a: int, /) -> None:
    """Do nothing."""


def late(every: float, ctx: Context) -> None:
    """Do nothing."""


def late_by_type(every: float, c: Context) -> None:
    """Do nothing."""


REFUSALS: list[tuple[object, str]] = [
    (NoTask, "class NoTask is not a task; derive it from taskloom.Task"),
    (NoRun, "class NoRun has no run(self, ctx)"),
    (Task, "class Task has no run(self, ctx)"),
    (Abstract, "class Abstract is abstract; it lacks read"),
    (Generator, "Generator.run is a generator; a run has no yield"),
    (
        AsyncGenerator,
        "AsyncGenerator.run is an asynchronous generator; a run has no yield",
    ),
    (NoContext, "NoContext.run(self) -> 'None' has the wrong parameters; expected run(self, ctx)"),
    (
        TooMuch,
        "TooMuch.run(self, ctx: 'Context', more: 'int') -> 'None' has the wrong parameters; expected run(self, ctx)",
    ),
    (
        Optional,
        (
            "Optional.run(self, ctx: 'Context', more: 'int' = 1) -> 'None' has the wrong parameters; "
            "expected run(self, ctx)"
        ),
    ),
    (
        BadTerminate,
        "BadTerminate.terminate(self, reason: 'str') -> 'None' has the wrong parameters; expected terminate(self)",
    ),
    (
        AsyncTerminate,
        "AsyncTerminate.terminate is a coroutine function; only run may be one",
    ),
    (TerminateIsData, "TerminateIsData.terminate is bool, not a method; expected terminate(self)"),
    (Starred, "Starred.__init__: parameter **options: 'int' cannot be given by name; name every parameter"),
    (Unresolved, "Unresolved: cannot resolve the type of parameter 'amount', 'Decimal': name 'Decimal' is not defined"),
    (
        asynchronous_generator,
        "asynchronous_generator is an asynchronous generator; a run has no yield",
    ),
    (generator, "generator is a generator; a run has no yield"),
    (nothing, "nothing() takes no parameters; its first is the context: nothing(ctx)"),
    (
        keyword_only,
        "keyword_only: the first parameter, ctx: 'Context', cannot take the context; write keyword_only(ctx, ...)",
    ),
    (starred, "starred: the first parameter, *args: 'Any', cannot take the context; write starred(ctx, ...)"),
    (options, "options: parameter **more: 'int' cannot be given by name; name every parameter"),
    (positional, "positional: parameter a: 'int' cannot be given by name; name every parameter"),
    (late, "late: the context 'ctx' must be the first parameter"),
    (late_by_type, "late_by_type: the context 'c' must be the first parameter"),
    (5, "int 5 is neither a Task class nor a function"),
    (None, "NoneType None is neither a Task class nor a function"),
]


@every_case("target, reason", REFUSALS, ids=[reason[:30] for _, reason in REFUSALS])
def test_an_object_that_cannot_run_is_refused_with_the_reason(target: object, reason: str) -> None:
    with pytest.raises(ShapeError) as caught:
        inspect_task(target)

    assert str(caught.value) == reason


class Base(Task):
    n: int = 1

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Derived(Base):
    host: str = "h"
    _lock: NotThere = None  # type: ignore[name-defined]  # noqa: F821 - a private attribute is not a parameter


def wrapped(ctx: Context, n: int = 1) -> None:
    """Do nothing."""


class Callee:
    def __call__(self, ctx: Context, n: int = 1) -> None:
        """Do nothing."""

    def method(self, ctx: Context, n: int = 1) -> None:
        """Do nothing."""


def decorated(function: Callable[..., None]) -> Callable[..., None]:
    def wrapper(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return wrapper


class Decorated(Task):
    @decorated
    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Static(Task):
    @staticmethod
    def run(ctx: Context) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "target, names",
    [
        (Derived, ["n", "host"]),
        (functools.partial(wrapped), ["n"]),
        (Callee(), ["n"]),
        (Callee().method, ["n"]),
        (lambda ctx: None, []),
        (Decorated, []),
        (Static, []),
    ],
)
def test_a_callable_that_takes_a_context_is_accepted(target: object, names: list[str]) -> None:
    shape = inspect_task(target)

    assert [param.name for param in shape.params] == names
    assert shape.bind({})[1].make().run(None) is None  # type: ignore[arg-type]
