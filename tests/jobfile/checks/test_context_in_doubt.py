"""The first parameter of a task gets the context. One that may be meant for something else is warned of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pytest
from tests.support.given_catalog import GivenCatalog

import taskloom
from taskloom import AsyncContext, Context, Task
from taskloom import Context as Surroundings
from taskloom.jobfile import check
from taskloom.testing import FakeContext

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]


class Special(Context):
    """A context of a package's own."""


def called_ctx(ctx): ...  # type: ignore[no-untyped-def]
def with_underscore(_): ...  # type: ignore[no-untyped-def]
def with_underscore_and_name(_ignored): ...  # type: ignore[no-untyped-def]
def annotated(c: Context) -> None: ...
def annotated_by_module(c: taskloom.Context) -> None: ...
def annotated_by_another_name(c: Surroundings) -> None: ...
def annotated_as_text(c: "Context") -> None: ...  # noqa: UP037
def annotated_with_more(c: Annotated[Context, "the context"]) -> None: ...
def annotated_as_optional(c: Optional[Context]) -> None: ...  # noqa: UP045
def annotated_as_union(c: Context | None) -> None: ...
def annotated_with_its_own(c: Special) -> None: ...
def annotated_with_a_fake(c: FakeContext) -> None: ...
def annotated_for_checkers_only(c: Unknown) -> None: ...
async def asynchronous(c: AsyncContext) -> None: ...
def plain(source, target: str = "x"): ...  # type: ignore[no-untyped-def]
def of_another_type(path: Path) -> None: ...
def of_any_type(context: Any) -> None: ...
async def asynchronous_and_plain(source): ...  # type: ignore[no-untyped-def]


class Method(Task):
    def run(self, ctx: Any) -> None:
        """Do nothing."""


class Starred(Task):
    def run(self, *arguments: Any) -> None:
        """Do nothing."""


class MethodInDoubt(Task):
    def run(self, source: Any) -> None:
        """Do nothing."""


class StaticInDoubt(Task):
    @staticmethod
    def run(source: Any) -> None:
        """Do nothing."""


class ClassInDoubt(Task):
    @classmethod
    def run(cls, source: Any) -> None:
        """Do nothing."""


class Called:
    def __call__(self, source: str) -> None:
        """Do nothing."""


def wrapped(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> object:
        return function(*arguments, **named)

    return call


SURE = [
    called_ctx, with_underscore, with_underscore_and_name, annotated, annotated_by_module, annotated_by_another_name,
    annotated_as_text, annotated_with_more, annotated_as_optional, annotated_as_union, annotated_with_its_own,
    annotated_with_a_fake, annotated_for_checkers_only, asynchronous, Starred, Method, wrapped(called_ctx),
    functools.partial(called_ctx), lambda ctx: None,
]  # fmt: skip
IN_DOUBT: list[tuple[object, str]] = [
    (plain, "source"),
    (of_another_type, "path"),
    (of_any_type, "context"),
    (asynchronous_and_plain, "source"),
    (MethodInDoubt, "source"),
    (StaticInDoubt, "source"),
    (ClassInDoubt, "source"),
    (Called(), "source"),
    (wrapped(plain), "source"),
    (functools.partial(plain, target="y"), "source"),
    (lambda source: None, "source"),
]


def warnings_of(task: object, path: Path, text: str = "jobs: {a: {task: t}, b: {task: t}}") -> list[str]:
    file = path / "jobs.yaml"
    file.write_text(text)
    result = check(file, catalog=GivenCatalog({"t": task}))
    assert result.errors == ()
    return [
        f"{problem.place.line}:{problem.place.column} {problem.message} ({problem.hint})" for problem in result.problems
    ]


@pytest.mark.parametrize("task", SURE)
def test_a_context_that_is_called_so_or_annotated_is_in_no_doubt(task: object, tmp_path: Path) -> None:
    assert warnings_of(task, tmp_path) == []


@pytest.mark.parametrize(("task", "name"), IN_DOUBT)
def test_any_other_first_parameter_is_warned_of_once(task: object, name: str, tmp_path: Path) -> None:
    assert warnings_of(task, tmp_path) == [
        (
            f"1:18 the first parameter of task 't' gets the context, and is called {name!r} "
            "(call it ctx, annotate it as Context, or put ctx before it)"
        )
    ]


def test_a_disabled_job_is_not_warned_of(tmp_path: Path) -> None:
    found = warnings_of(plain, tmp_path, "jobs: {a: {task: t, enabled: false}}")

    assert not any("context" in warning for warning in found)
