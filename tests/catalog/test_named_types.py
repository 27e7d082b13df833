"""A name that stands for a type works as the type does: an alias, a NewType, a type parameter, a name of the class."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from taskloom.catalog.params import ParamErrors, ShapeError, TaskShape, inspect_task

HEAD = """
import enum, pydantic, typing_extensions as te
from typing import *
from taskloom import Task
class Mode(enum.Enum):
    A = "a"
Mine = te.TypeAliasType("Mine", pydantic.SecretStr)
Nested = te.TypeAliasType("Nested", Union[list[Mine], pydantic.SecretStr])
Own = NewType("Own", pydantic.SecretStr)
Bound = TypeVar("Bound", bound=pydantic.SecretStr)
Chosen = te.TypeAliasType("Chosen", Literal[Mode.A])
"""
CLASS = "class X(Task):\n    {}\n    def run(self, ctx): ...\n"
needs_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in Python 3.12")


def shape_of(source: str, monkeypatch: pytest.MonkeyPatch, *, as_text: bool = False) -> TaskShape:
    module = types.ModuleType("named_types")
    monkeypatch.setitem(sys.modules, "named_types", module)
    future = "from __future__ import annotations\n" if as_text else ""
    exec(compile(f"{future}{HEAD}\n{source}", "named_types.py", "exec", dont_inherit=True), vars(module))
    return inspect_task(module.X)


@pytest.mark.parametrize("name", ["Mine", "Nested", "Own", "Bound", "Optional[Mine]", "list[Own]"])
def test_a_secret_under_another_name_is_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(f"def X(ctx, a: {name}): ...", monkeypatch)

    with pytest.raises(ParamErrors) as caught:
        shape.validate({"a": 4711})

    assert "4711" not in str(caught.value)


def test_an_alias_of_a_member_takes_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shape_of("def X(ctx, a: Chosen): ...", monkeypatch).validate({"a": "a"})

    assert repr(found["a"]) == "<Mode.A: 'a'>"


def test_a_name_of_the_class_that_is_not_a_class_works_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    source = CLASS.format("Number: ClassVar = Optional[int]\n    a: 'Number' = None")

    assert shape_of(source, monkeypatch).validate({"a": 3}) == {"a": 3}


@needs_312
@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        "def X[N: int](ctx, a: N): ...",
        "def X[N: int](ctx, a: 'N'): ...",
        "class X[N: int](Task):\n    a: N\n    def run(self, ctx): ...",
        "class X[N: int](Task):\n    def __init__(self, a: N): ...\n    def run(self, ctx): ...",
        CLASS.format("type N = int\n    a: N"),
    ],
)
def test_a_type_parameter_works_as_its_bound(source: str, as_text: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(source, monkeypatch, as_text=as_text)

    assert shape.validate({"a": 3}) == {"a": 3}
    with pytest.raises(ParamErrors, match="expected an integer"):
        shape.validate({"a": "x"})


@needs_312
@pytest.mark.parametrize("value, reason", [("Nowhere", "name 'Nowhere' is not defined"), ("1 / 0", "division by zero")])
def test_an_alias_that_means_nothing_is_named(value: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape: Any = shape_of(f"type Odd = {value}\ndef X(ctx, a: Odd): ...", monkeypatch)

    with pytest.raises(ShapeError) as caught:
        shape.validate({"a": 3})

    assert "cannot check parameter 'a' of type Odd: " in str(caught.value)
    assert reason in str(caught.value)
