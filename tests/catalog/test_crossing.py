"""Tasks and params that can be sent to another process, and the words for all others."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import importlib.util
import json
import math
import pathlib
import socket
import sys
import threading
import types
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from taskloom.catalog.params import inspect_task
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
        """A task of no one."""

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


def refused(task: object, **params: Any) -> FieldError:
    """Return the only error; the binding says the same."""
    shape = inspect_task(task)
    [error] = shape.errors_crossing(params)
    binding = shape.bind(params)[1]
    assert binding.reference is None
    assert binding.cannot_cross == error.message
    return error


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


def test_a_finder_that_raises_refuses_nothing(loaded: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, *args: object) -> None:
            raise RuntimeError("not today")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])

    assert reference(loaded.task).module == "loaded_from_elsewhere"


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -5, 2**64, 10**4000, 1.5, -0.0, 1e308, "", "text", "ä😀\x00\u2028", "\ud800"),
        *([], {}, [1, [2, [3]]], {"a": {"b": [None, True]}}, {"": 1}),
    ],
    ids=repr,
)
def test_json_data_crosses_as_it_is(value: Any) -> None:
    found = reference(plain, value=value).params

    assert found == {"value": value}
    assert repr(json.loads(json.dumps(found))) == repr({"value": value})


class Colour(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int = 0


class Model(BaseModel):
    x: int = 0


class Text(str):
    __slots__ = ()


OTHER_VALUES: list[tuple[str, Any, str, str]] = [
    ("set", {1}, "{1} of type set is not JSON data", "write a list"),
    ("frozenset", frozenset(), "frozenset() of type frozenset is not JSON data", "write a list"),
    ("tuple", (1, 2), "(1, 2) of type tuple is not JSON data", "write a list"),
    ("range", range(2), "range(0, 2) of type range is not JSON data", "write a list"),
    ("deque", collections.deque(), "deque([]) of type deque is not JSON data", "write a list"),
    ("bytes", b"x", "b'x' of type bytes is not JSON data", "write plain text"),
    ("text", Text("x"), "'x' of type Text is not JSON data", "write plain text"),
    ("enum", Colour.RED, "'red' of type Colour is not JSON data", "write its value"),
    ("path", pathlib.PurePosixPath("/x"), "PurePosixPath('/x') of type PurePosixPath is not JSON data", "write it as"),
    ("date", dt.date(2026, 1, 2), "datetime.date(2026, 1, 2) of type date is not JSON data", "write it as text"),
    ("delta", dt.timedelta(0), "datetime.timedelta(0) of type timedelta is not JSON data", "write a number of"),
    ("decimal", decimal.Decimal(1), "Decimal('1') of type Decimal is not JSON data", "write it as text"),
    ("uuid", uuid.UUID(int=0), "UUID('00000000-0000-0000-0000-000000000000') of type UUID is not JSON data", "write"),
    ("nan", math.nan, "nan of type float is not JSON data", ""),
    ("inf", math.inf, "inf of type float is not JSON data", ""),
    ("-inf", -math.inf, "-inf of type float is not JSON data", ""),
    ("complex", 1j, "1j of type complex is not JSON data", ""),
    ("dict", collections.OrderedDict(), "OrderedDict() of type OrderedDict is not JSON data", "write a plain dict"),
    ("dataclass", Point(), "Point(x=0) of type Point is not JSON data", "write a dict of its fields"),
    ("model", Model(), "Model(x=0) of type Model is not JSON data", "write a dict of its fields"),
    ("type", int, "<class 'int'> of type type is not JSON data", ""),
    ("huge", 10**4300, "an integer of more than 4,200 digits is too long", "write it as text"),
]


@pytest.mark.parametrize("name, value, message, hint", OTHER_VALUES, ids=[row[0] for row in OTHER_VALUES])
def test_a_value_that_is_not_json_data_is_refused(name: str, value: Any, message: str, hint: str) -> None:
    error = refused(plain, value=value)

    assert error.loc == ("params", "value")
    assert error.message == f"cannot pass param 'value' to a process: {message}"
    assert error.hint.startswith(hint)


def test_objects_of_the_program_are_refused_by_their_type() -> None:
    with socket.socket() as sock, open(__file__) as file:  # noqa: PTH123
        found = [refused(plain, value=value) for value in (sock, file, threading.Lock(), plain, object())]

    kinds = ["socket", "TextIOWrapper", "lock", "function", "object"]
    for error, kind in zip(found, kinds, strict=True):
        assert f" of type {kind} is not JSON data" in error.message
    assert [error.hint for error in found] == ["open it in the task"] * 2 + [""] * 3


def test_the_place_of_a_value_is_in_the_message() -> None:
    peers = [{"port": 1}, {"port": {2}, "names": ["a", b"c"]}]

    errors = inspect_task(plain).errors_crossing({"value": peers, "other": {80: "web", None: 1, True: 2}})

    assert [(error.loc, error.message, error.hint) for error in errors] == [
        (
            ("params", "value", 1, "port"),
            "cannot pass param 'value[1].port' to a process: {2} of type set is not JSON data",
            "write a list",
        ),
        (
            ("params", "value", 1, "names", 1),
            "cannot pass param 'value[1].names[1]' to a process: b'c' of type bytes is not JSON data",
            "write plain text",
        ),
        (("params", "other"), "cannot pass param 'other' to a process: key 80 of type int is not text", "write '80'"),
        (("params", "other"), "cannot pass param 'other' to a process: key null of type NoneType is not text", ""),
        (("params", "other"), "cannot pass param 'other' to a process: key true of type bool is not text", ""),
    ]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_deep_data_crosses_up_to_a_limit() -> None:
    assert reference(plain, value=nested(200)).params == {"value": nested(200)}

    [error] = inspect_task(plain).errors_crossing({"value": nested(201)})

    assert error.loc == ("params", "value")
    assert error.message == "cannot pass param 'value' to a process: it is nested deeper than 200 levels"


def test_data_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    [error] = inspect_task(plain).errors_crossing({"value": loop})

    assert error.message == "cannot pass param 'value' to a process: it is nested deeper than 200 levels"


def test_large_params_are_refused() -> None:
    assert reference(plain, value="x" * 999_000).params["value"] == "x" * 999_000
    assert refused(plain, value="x" * 1_000_000).message == (
        "cannot pass params of 1,000,013 bytes to a process; at most 1,000,000 bytes of JSON"
    )


class Login(Task):
    key: SecretBytes = SecretBytes(b"")
    word: SecretStr = SecretStr("")
    password: Any = None

    def run(self, ctx: Context) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "name, value", [("key", b"hunter2"), ("word", SecretStr("hunter2")), ("password", {"hunter2"})]
)
def test_a_secret_is_not_quoted(name: str, value: Any) -> None:
    error = refused(Login, **{name: value})

    assert error.message.startswith(f"cannot pass param '{name}' to a process: ********** of type ")


def test_the_params_are_copied() -> None:
    names = ["a"]
    binding = inspect_task(plain).bind({"value": names})[1]
    first = binding.reference

    names.append("b")

    assert first is not None
    assert first.params == {"value": ["a"]}
    assert binding.reference is first


def test_params_cross_as_they_were_given_and_defaults_do_not() -> None:
    assert reference(Wait, every="1m", where="/x").params == {"every": "1m", "where": "/x"}


def test_an_instance_crosses_by_its_values_that_are_no_defaults() -> None:
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
    assert shape.bind({})[1].reference == (HERE, "nameless", {}, f"{HERE}:<lambda>")


def test_an_entry_point_that_names_an_instance_crosses_without_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[HERE], "offered", Own("z"), raising=False)
    shape = dataclasses.replace(inspect_task(sys.modules[HERE].offered), offered_at=f"{HERE}:offered [extra]")

    assert shape.errors_crossing({}) == []
    assert shape.bind({})[1].reference == (HERE, "offered", {}, f"{HERE}:Own")


@pytest.mark.parametrize("offered_at", ["no_such_module:plain", f"{HERE}:Wait", f"{HERE}:a.b", HERE, ":", "x"])
def test_an_entry_point_that_names_another_object_is_not_used(offered_at: str) -> None:
    shape = dataclasses.replace(inspect_task(plain), offered_at=offered_at)

    assert shape.bind({})[1].reference == (HERE, "plain", {}, f"{HERE}:plain")
