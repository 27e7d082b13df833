"""Task classes that describe a program: `def program(self) -> Program` in place of `run`."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

import pytest

from taskloom import Program
from taskloom.catalog.params import ShapeError, inspect_task
from taskloom.catalog.pydantic_errors import ParamErrors
from taskloom.task import Context, Task


class Echo(Task):
    """Says something."""

    text: str = "hello"
    line: str | None = None

    def program(self) -> Program:
        return Program(argv=("echo", self.text), ready_line=self.line)


class Louder(Echo):
    """The same, louder."""

    def program(self) -> Program:
        return Program(argv=("echo", self.text.upper()))


class Named(Task):
    """A task of Python code with a param of that name."""

    program: str = "none"

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Both(Task):
    """A task of Python code with a method of that name."""

    def program(self) -> str:
        return "the one on television"

    def run(self, ctx: Context) -> None:
        """Do nothing."""


def test_a_class_with_program_and_no_run_describes_a_program() -> None:
    shape = inspect_task(Echo)

    values, binding = shape.bind({"text": "x"})

    assert shape.is_program
    assert not shape.has_terminate
    assert values == {"text": "x", "line": None}
    assert binding.program is not None
    assert binding.program().argv == ("echo", "x")


def test_each_run_has_a_program_of_its_own() -> None:
    binding = inspect_task(Echo).bind({})[1]

    assert binding.program is not None
    assert binding.program() is not binding.program()


@pytest.mark.parametrize("task", [Louder, Louder(text="x")], ids=["class", "instance"])
def test_a_program_is_inherited_and_may_be_an_instance(task: object) -> None:
    shape = inspect_task(task)

    assert shape.is_program
    program = shape.bind({})[1].program
    assert program is not None
    assert program().argv[1] in ("HELLO", "X")


@pytest.mark.parametrize("task", [Named, Both])
def test_a_class_with_run_is_python_code(task: type[Task]) -> None:
    shape = inspect_task(task)

    assert not shape.is_program
    assert shape.bind({})[1].program is None


def test_whether_it_announces_readiness_depends_on_the_params() -> None:
    assert not inspect_task(Echo).bind({})[1].announces_ready
    assert inspect_task(Echo).bind({"line": "ready"})[1].announces_ready


def test_a_program_that_refuses_its_params_is_an_error_of_the_params() -> None:
    class Picky(Task):
        names: list[str]

        def program(self) -> Program:
            return Program(argv=tuple(self.names))

    with pytest.raises(ParamErrors, match="cannot make Picky of these params: cannot use argv without a program"):
        inspect_task(Picky).bind({"names": []})


class WithTerminate(Task):
    def program(self) -> Program:
        return Program(argv=("true",))

    def terminate(self) -> None:
        """Never called."""


class WithArgument(Task):
    def program(self, ctx: Context) -> Program:
        return Program(argv=("true",))


class Generating(Task):
    def program(self) -> Iterator[Program]:
        yield Program(argv=("true",))


class Asynchronous(Task):
    async def program(self) -> Program:
        return Program(argv=("true",))


class Abstract(Task, abc.ABC):
    def program(self) -> Program:
        return Program(argv=(self.name(),))

    @abc.abstractmethod
    def name(self) -> str:
        """Return the name of the program."""


class NoMethod(Task):
    program: Any = None


@pytest.mark.parametrize(
    "task, reason",
    [
        (
            WithTerminate,
            (
                "class WithTerminate has program(self) and terminate(self); a program is stopped by its stop_signal or "
                "its stop_command"
            ),
        ),
        (
            WithArgument,
            "WithArgument.program(self, ctx: 'Context') -> 'Program' has the wrong parameters; expected program(self)",
        ),
        (Generating, "Generating.program is a generator; a run has no yield"),
        (Asynchronous, "Asynchronous.program is a coroutine function; it returns the program to start"),
        (Abstract, "class Abstract is abstract; it lacks name"),
        (NoMethod, "class NoMethod has no run(self, ctx)"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_class_that_cannot_be_a_program_is_refused(task: type[Task], reason: str) -> None:
    with pytest.raises(ShapeError) as caught:
        inspect_task(task)

    assert str(caught.value) == reason
