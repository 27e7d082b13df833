"""Tasks and params that can be sent to another process, and the words for all others."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tests.support.child_programs import run_program
from tests.support.every_case import every_case

from taskloom.catalog.params import TaskShape, inspect_task
from taskloom.diagnostics import FieldError
from taskloom.runners.binding import Binding, Body, TaskReference
from taskloom.task import Context, Duration, Task

HERE = __name__


def plain(ctx: Context, value: Any = None, other: Any = None) -> None:
    """A task for any values."""


async def waits(ctx: Any) -> None:
    """A coroutine function."""


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(ctx: Context) -> None:
        function(ctx)

    return wrapper


@wrapped
def decorated(ctx: Context) -> None:
    """A task whose name stands for its wrapper."""


nameless = lambda ctx: None  # noqa: E731


class Wait(Task):
    every: Duration = 1.0
    where: Path = Path("/tmp")
    tags: set[str] = dataclasses.field(default_factory=set)
    names: list[str] = dataclasses.field(default_factory=list)

    class Inner(Task):
        def run(self, ctx: Context) -> None:
            """Do nothing."""

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Own(Task):
    def __init__(self, path: str = "x") -> None:
        self.opened = path

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Tools:
    def method(self, ctx: Context) -> None:
        """A task of an instance."""

    @classmethod
    def of_class(cls, ctx: Context) -> None:
        """A task of a class."""

    @staticmethod
    def static(ctx: Context) -> None:
        """A task of no distribution."""

    def __call__(self, ctx: Context) -> None:
        """Make each instance a task."""


def make_local() -> tuple[Any, type[Task]]:
    def local(ctx: Context) -> None:
        """A task inside of a function."""

    class Local(Task):
        def run(self, ctx: Context) -> None:
            """Do nothing."""

    return local, Local


def reference(task: object, **params: Any) -> TaskReference:
    found = inspect_task(task).bind(params)[1]
    assert found.cannot_cross == ""
    assert found.reference is not None
    return found.reference


def referred(shape: TaskShape) -> tuple[Any, ...]:
    """Return the reference without the values."""
    found = shape.bind({})[1].reference
    assert found is not None
    return found[:4]


def refused(task: object, **params: Any) -> FieldError:
    """Return the only error; the binding says the same."""
    shape = inspect_task(task)
    [error] = shape.errors_crossing(params)
    binding = shape.bind(params)[1]
    assert binding.reference is None
    assert binding.cannot_cross == error.message
    return error


@every_case(
    "task, name",
    [
        (plain, "plain"),
        (waits, "waits"),
        (decorated, "decorated"),
        (Wait, "Wait"),
        (Wait.Inner, "Wait.Inner"),
        (Own, "Own"),
        (Tools.of_class, "Tools.of_class"),
        (Tools.static, "Tools.static"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_task_that_can_be_imported_crosses_by_its_name(task: object, name: str) -> None:
    found = reference(task)

    assert found[:3] == (HERE, name, {})
    assert found.label == f"{HERE}:{name}"


LOCAL, LOCAL_CLASS = make_local()


class Replaced(Task):
    def run(self, ctx: Context) -> None:
        """Do nothing."""


REPLACED = Replaced


class Replaced(Task):  # type: ignore[no-redef]
    def run(self, ctx: Context) -> None:
        """Do nothing."""


MADE = type("Made", (Task,), {"run": lambda self, ctx: None, "__module__": HERE})


@every_case(
    "task, message, hint",
    [
        (lambda ctx: None, "cannot run a lambda in a process: it cannot be imported by a name", "write a function or"),
        (nameless, "cannot run a lambda in a process: it cannot be imported by a name", "write a function or"),
        (LOCAL, "cannot run function 'local' in a process: it is defined inside of make_local()", "define it at the"),
        (
            LOCAL_CLASS,
            "cannot run class 'Local' in a process: it is defined inside of make_local()",
            "define it at the top level",
        ),
        (
            functools.partial(plain, value=1),
            "cannot run a functools.partial in a process: it cannot be imported by a name",
            "pass the function as the task, and its arguments as params",
        ),
        (
            Tools().method,
            "cannot run method 'Tools.method' of an instance in a process: the instance is not there",
            "write a function or a Task class",
        ),
        (Tools(), "cannot run an object of type Tools in a process: it cannot be imported by a name", "write a"),
        (
            Own(path="y"),
            "cannot run this instance of Own in a process: the arguments of its constructor are not known",
            "pass the class as the task, and the arguments as params",
        ),
        (
            REPLACED,
            f"cannot run class 'Replaced' in a process: 'Replaced' of module '{HERE}' is another object",
            "give it a name of its own",
        ),
        (MADE, f"cannot run class 'Made' in a process: module '{HERE}' has no 'Made'", "write a function or a"),
    ],
    ids=["lambda", "named lambda", "function", "class", "partial", "method", "callable", "own init", "other", "made"],
)
def test_a_task_without_a_name_is_refused_by_what_it_is(task: object, message: str, hint: str) -> None:
    error = refused(task)

    assert error.loc == ("task",)
    assert error.message == message
    assert error.hint.startswith(hint)


def test_a_task_of_the_started_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("__main__")
    exec("def task(ctx):\n    pass\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", module)

    error = refused(module.task)

    assert error.message == (
        "cannot run function 'task' in a process: it is defined in the script that was started, which is not a module "
        "that can be imported"
    )
    assert error.hint == "move it into a module, and import it from there"


def test_a_script_that_adds_its_own_task_is_told_what_to_do() -> None:
    done = run_program(
        """
        from taskloom import Context, Job, Scheduler, Task, TaskloomError

        class Wait(Task):
            def run(self, ctx: Context) -> None:
                ctx.wait()

        def wait(ctx):
            ctx.wait()

        with Scheduler(log=False) as scheduler:
            for task in (Wait, Wait(), wait):
                try:
                    scheduler.add(Job(name="a", task=task, runner="process"))
                except TaskloomError as error:
                    print(error)
            print(len(scheduler.status()), "jobs")
        """,
        dict(os.environ),
    )

    why = "it is defined in the script that was started, which is not a module that can be imported"
    hint = "move it into a module, and import it from there"
    named = ("class 'Wait'", "class 'Wait'", "function 'wait'")
    assert done.stdout.splitlines() == [
        *(f"cannot add job 'a': task: cannot run {name} in a process: {why} ({hint})" for name in named),
        "0 jobs",
    ]
    assert done.stderr == ""


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that was loaded from a file that no import finds."""
    file = tmp_path / "elsewhere.py"
    file.write_text("def task(ctx):\n    pass\n")
    spec = importlib.util.spec_from_file_location("loaded_from_elsewhere", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_task_of_a_module_that_no_import_finds_is_refused(loaded: types.ModuleType) -> None:
    assert refused(loaded.task).message == (
        "cannot run function 'task' in a process: module 'loaded_from_elsewhere' cannot be found on sys.path"
    )


def test_a_task_of_a_module_that_an_import_finds_elsewhere_is_refused(
    loaded: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "loaded_from_elsewhere.py").write_text("")
    monkeypatch.syspath_prepend(folder)

    message = refused(loaded.task).message

    assert f"was loaded from '{tmp_path}/elsewhere.py', and its import finds '{folder}/" in message


def test_a_module_that_its_import_finds_again_crosses(loaded: types.ModuleType, tmp_path: Path) -> None:
    (tmp_path / "loaded_from_elsewhere.py").symlink_to(tmp_path / "elsewhere.py")
    sys.path.append(str(tmp_path))
    try:
        assert reference(loaded.task)[:2] == ("loaded_from_elsewhere", "task")
    finally:
        sys.path.remove(str(tmp_path))


def test_a_task_may_get_its_name_after_it_was_asked(loaded: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a decorator does that adds the function to a scheduler."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, FindsAll()])
    task = loaded.task
    shape = inspect_task(task)
    del loaded.task
    [error] = shape.errors_crossing({})

    vars(loaded)["task"] = task

    assert error.message == "cannot run function 'task' in a process: module 'loaded_from_elsewhere' has no 'task'"
    assert shape.errors_crossing({}) == []


class FindsAll:
    def find_spec(self, name: str, *args: object) -> object:
        return types.SimpleNamespace(origin=None)


def test_a_finder_that_raises_refuses_nothing(loaded: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, *args: object) -> None:
            raise RuntimeError("not today")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])

    assert reference(loaded.task).module == "loaded_from_elsewhere"


def test_the_params_are_copied() -> None:
    names = ["a"]
    binding = inspect_task(plain).bind({"value": names})[1]
    first = binding.reference

    names.append("b")

    assert first is not None
    assert first.params == {"value": ["a"]}
    assert binding.reference is first


def test_the_params_may_be_any_mapping() -> None:
    found = inspect_task(plain).bind(types.MappingProxyType({"value": 5}))[1].reference

    assert found is not None
    assert found.params == {"value": 5}


def test_params_cross_as_they_were_given_and_defaults_do_not() -> None:
    assert reference(Wait, every="1m", where="/x").params == {"every": "1m", "where": "/x"}


def test_an_instance_crosses_by_its_values_that_are_not_defaults() -> None:
    found = reference(Wait(every=2.5, names=["a"]))

    assert found[:3] == (HERE, "Wait", {"every": 2.5, "names": ["a"]})


def test_an_instance_with_a_value_that_is_not_json_data_is_refused() -> None:
    error = refused(Wait(where=Path("/x")))

    assert error.message.startswith("cannot pass param 'where' to a process: PosixPath('/x') of type PosixPath is not")


def test_a_body_that_was_bound_without_its_task_cannot_cross() -> None:
    binding = Binding(lambda: Body(plain, None))

    assert binding.reference is None
    assert binding.cannot_cross == "cannot run in a process: the body was bound without its task"


def test_the_name_of_an_entry_point_makes_any_object_importable() -> None:
    shape = dataclasses.replace(inspect_task(nameless), offered_at=f"{HERE}:nameless")

    assert shape.errors_crossing({}) == []
    assert referred(shape) == (HERE, "nameless", {}, f"{HERE}:<lambda>")


def test_an_entry_point_that_names_an_instance_crosses_without_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[HERE], "offered", Own("z"), raising=False)
    shape = dataclasses.replace(inspect_task(sys.modules[HERE].offered), offered_at=f"{HERE}:offered [extra]")

    assert shape.errors_crossing({}) == []
    assert referred(shape) == (HERE, "offered", {}, f"{HERE}:Own")


@pytest.mark.parametrize("offered_at", ["no_such_module:plain", f"{HERE}:Wait", f"{HERE}:a.b", HERE, ":", "x"])
def test_an_entry_point_that_names_another_object_is_not_used(offered_at: str) -> None:
    shape = dataclasses.replace(inspect_task(plain), offered_at=offered_at)

    assert referred(shape) == (HERE, "plain", {}, f"{HERE}:plain")
