"""Every spelling of a type gives a working parameter, or a refusal that names the parameter and its annotation.

Each spelling is tried as the annotation of an attribute, evaluated and as text (`from __future__ import annotations`),
and as that of a function's parameter.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from taskloom.catalog.params import ParamErrors, ShapeError, TaskShape, inspect_task

NAMES = """
import abc, array, dataclasses, datetime, decimal, enum, fractions, ipaddress, pathlib, re, typing, typing as t, uuid
import collections.abc, typing_extensions, typing_extensions as te, pydantic, pydantic.v1
from typing import *
from pydantic import Field, SecretStr
from taskloom import Context, Duration, Task, param

if TYPE_CHECKING:
    from typing import ClassVar as ForCheckers
    from decimal import Decimal as NotImported

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
class Number(enum.IntEnum):
    ONE = 1
class Model(pydantic.BaseModel):
    a: int = 1
class OldModel(pydantic.v1.BaseModel):
    a: int = 1
class Keys(te.TypedDict):
    a: te.Required[int]
    b: te.NotRequired[int]
class OldKeys(TypedDict):
    a: int
class Point(NamedTuple):
    x: int
    y: int = 0
@dataclasses.dataclass
class Data:
    a: int = 1
class Reader(Protocol):
    def read(self): ...
@runtime_checkable
class Closer(Protocol):
    def close(self): ...
class Plain: ...
class Slotted:
    __slots__ = ("a",)
Item = TypeVar("Item")
Text5 = TypeVar("Text5", bound=str)
Arguments = ParamSpec("Arguments")
UserId = NewType("UserId", int)
Alias: TypeAlias = "int | None"
Other = te.TypeAliasType("Other", int)
CV, FI, AN, OPT = ClassVar, Final, Annotated, Optional
"""

BAD = object()
"""Only code can give a value: that of a job file is refused."""

# annotation -> a value of a job file, and what the run gets
WORKING: dict[str, tuple[Any, Any]] = {
    "int": (3, 3),
    '"int"': (3, 3),
    "'int'": (3, 3),
    " int ": (3, 3),
    "Any": ([1], [1]),
    "object": ([1], [1]),
    "None": (None, None),
    "Optional[int]": (3, 3),
    "OPT[int]": (3, 3),
    "Union[int, str]": ("a", "a"),
    "int | None": (None, None),
    'Optional["int"]': (3, 3),
    '"Optional[int]"': (3, 3),
    "Final": (3, 3),
    "Final[int]": (3, 3),
    'Final["int"]': (3, 3),
    "FI": (3, 3),
    "FI[int]": (3, 3),
    "t.Final[int]": (3, 3),
    "te.Final[int]": (3, 3),
    "typing.Final": (3, 3),
    'Annotated[Final[int], "why"]': (3, 3),
    'Annotated[Final, "why"]': (3, 3),
    "Final[Annotated[int, Field(ge=1)]]": (3, 3),
    "Required[int]": (3, 3),
    "NotRequired[int]": (3, 3),
    "te.ReadOnly[int]": (3, 3),
    "te.Required[te.ReadOnly[int]]": (3, 3),
    "dataclasses.InitVar[int]": (3, 3),
    "dataclasses.InitVar": (3, 3),
    "dataclasses.InitVar[Optional[int]]": (3, 3),
    "Literal[1, 5]": (5, 5),
    'Literal["a", 5, None]': ("a", "a"),
    "UserId": (3, 3),
    "Alias": (None, None),
    "Other": (3, 3),
    "Number": (1, "<Number.ONE: 1>"),
    "Annotated[int, 'documented']": (3, 3),
    "Annotated[int, te.Doc('documented')]": (3, 3),
    "AN[int, Field(ge=1, description='documented')]": (3, 3),
    "Annotated[Annotated[int, 1], 2]": (3, 3),
    "Item": (3, 3),
    "Optional[Item]": (3, 3),
    "float": (3, 3.0),
    "complex | int": (3, 3),
    "decimal.Decimal": (3, "Decimal('3')"),
    "Duration": ("5s", 5.0),
    "Optional[Duration]": ("5s", 5.0),
    "Hashable": ("a", "a"),
    "pydantic.PositiveInt": (3, 3),
    "pydantic.conint(ge=1)": (3, 3),
    "str": ("a", "a"),
    "Text": ("a", "a"),
    "LiteralString": ("a", "a"),
    "Final[LiteralString]": ("a", "a"),
    "Text5": ("a", "a"),
    "bool": (True, True),
    "bytes": ("a", b"a"),
    "list": ([1], [1]),
    "List": ([1], [1]),
    "list[int]": ([1], [1]),
    "List[Item]": ([1], [1]),
    'list["int"]': ([1], [1]),
    'list["Colour"]': (["red"], "[<Colour.RED: 'red'>]"),
    "tuple[int, str]": ([1, "a"], (1, "a")),
    "Tuple[int, ...]": ([1], (1,)),
    "set[int]": ([1], {1}),
    "frozenset[int]": ([1], frozenset({1})),
    "dict": ({"a": 1}, {"a": 1}),
    "Dict[str, int]": ({"a": 1}, {"a": 1}),
    "Mapping[str, int]": ({"a": 1}, {"a": 1}),
    "Sequence[int]": ([1], [1]),
    "collections.abc.Sequence[int]": ([1], [1]),
    "Deque[int]": ([1], "deque([1])"),
    "DefaultDict[str, int]": ({"a": 1}, "defaultdict(<class 'int'>, {'a': 1})"),
    "Literal[Colour.RED]": ("red", "<Colour.RED: 'red'>"),
    "Optional[Literal[Colour.RED, 'x']]": ("red", "<Colour.RED: 'red'>"),
    "list[Literal[Number.ONE, 'x']]": ([1, "x"], "[<Number.ONE: 1>, 'x']"),
    "Annotated[Final[Literal[Colour.RED]], 1]": ("red", "<Colour.RED: 'red'>"),
    "Colour": ("red", "<Colour.RED: 'red'>"),
    "pathlib.Path": ("a", "PosixPath('a')"),
    "datetime.datetime": ("2027-01-01T00:00:00", "datetime.datetime(2027, 1, 1, 0, 0)"),
    "datetime.date": ("2027-01-01", "datetime.date(2027, 1, 1)"),
    "datetime.timedelta": ("PT5S", "datetime.timedelta(seconds=5)"),
    "uuid.UUID": ("12345678123456781234567812345678", "UUID('12345678-1234-5678-1234-567812345678')"),
    "ipaddress.IPv4Address": ("127.0.0.1", "IPv4Address('127.0.0.1')"),
    "ipaddress.IPv6Network": ("::/0", "IPv6Network('::/0')"),
    "re.Pattern": ("a+", "re.compile('a+')"),
    "re.Pattern[str]": ("a+", "re.compile('a+')"),
    "SecretStr": ("a", "SecretStr('**********')"),
    "Model": ({"a": 2}, "Model(a=2)"),
    "list[Model]": ([{"a": 2}], "[Model(a=2)]"),
    "Keys": ({"a": 2}, {"a": 2}),
    "Point": ([1, 2], "Point(x=1, y=2)"),
    "Data": ({"a": 2}, "Data(a=2)"),
    "Callable": (5, BAD),
    "Callable[..., int]": (5, BAD),
    "Callable[Arguments, int]": (5, BAD),
    "Callable[Concatenate[int, Arguments], int]": (5, BAD),
    "collections.abc.Callable[[int], int]": (5, BAD),
    "type": (5, BAD),
    "type[int]": (5, BAD),
    "Type[Plain]": (5, BAD),
    "Self": (5, BAD),
    "Plain": (5, BAD),
    "Slotted": (5, BAD),
    "array.array": (5, BAD),
    "bytearray": (5, BAD),
    "Closer": (5, BAD),
    "abc.ABC": (5, BAD),
    "Exception": (5, BAD),
    "IO[str]": (5, BAD),
    "range": (5, BAD),
    "property": (5, BAD),
}

# annotation -> a part of the refusal
REFUSED: dict[str, str] = {
    "OldModel": "cannot check parameter 'a' of type OldModel: OldModel is a model of pydantic.v1",
    "list[OldModel]": "OldModel is a model of pydantic.v1; derive it from pydantic.BaseModel",
    "Optional[OldModel]": "OldModel is a model of pydantic.v1; derive it from pydantic.BaseModel",
    "Annotated[OldModel, 1]": "OldModel is a model of pydantic.v1; derive it from pydantic.BaseModel",
    "Reader": "cannot check parameter 'a' of type Reader: Reader is a Protocol without @typing.runtime_checkable",
    "Optional[Reader]": "Reader is a Protocol without @typing.runtime_checkable",
    "NotImported": "cannot resolve the type of parameter 'a', 'NotImported': name 'NotImported' is not defined",
    "list[NotImported]": "cannot resolve the type of parameter 'a', 'list[NotImported]': name 'NotImported' is not",
    'list["Nowhere"]': "name 'Nowhere' is not defined",
    '"Nowhere"': "name 'Nowhere' is not defined",
    '"a b"': "SyntaxError: invalid syntax",
    '""': "SyntaxError: invalid syntax",
    "1 / 0": "ZeroDivisionError: division by zero",
    "5": "cannot resolve the type of parameter 'a', ",
    "...": "it is not a type",
    "[int]": "it is not a type",
    "(int, str)": "it is not a type",
    '{"a": int}': "it is not a type",
    "Never": "no value has this type",
    "NoReturn": "no value has this type",
    "Literal": "cannot check parameter 'a' of type Literal: ",
    "Literal[()]": "cannot check parameter 'a' of type Literal[()]: ",
    "Union": "cannot check parameter 'a' of type Union: ",
    "Optional": "cannot check parameter 'a' of type Optional: ",
    "Generic": "cannot check parameter 'a' of type ",
    "Generic[Item]": "cannot check parameter 'a' of type Generic[~Item]: ",
    "Protocol": "cannot check parameter 'a' of type ",
    "Final[Reader]": "Reader is a Protocol without",
    "Annotated[str, Field(pattern='(')]": "cannot check parameter 'a' of type Annotated[str, ",
}

CLASS_VARIABLES = [
    "ClassVar", "ClassVar[int]", "CV", "CV[int]", "t.ClassVar[int]", "typing.ClassVar", "te.ClassVar[int]",
    "typing_extensions.ClassVar[Optional[int]]", '"ClassVar[int]"', '"CV[int]"', "Annotated[ClassVar[int], 1]",
    "AN[CV[int], 1]", '"Annotated[ClassVar[int], 1]"', 'ClassVar["int"]', "ClassVar[Annotated[int, 1]]",
]  # fmt: skip


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TaskShape]:
    """Return the shape of the object X of a source."""

    def make(source: str, *, as_text: bool = False) -> TaskShape:
        module = types.ModuleType("spellings")
        monkeypatch.setitem(sys.modules, "spellings", module)
        future = "from __future__ import annotations\n" if as_text else ""
        exec(compile(f"{future}{NAMES}\n{source}", "spellings.py", "exec", dont_inherit=True), vars(module))
        shape = inspect_task(module.X)
        assert shape.takes.defaults is not None
        return shape

    return make


def as_class(annotation: str, default: str = "") -> str:
    hook = "def __post_init__(self, *a): ..."  # dataclasses calls it with the InitVars
    return f"class X(Task):\n    a: {annotation}{default}\n    {hook}\n    def run(self, ctx): ..."


# The same code reads the annotations of functions, so they are left to the long share.
FORMS = [
    "class as text",
    *(pytest.param(form, marks=pytest.mark.long) for form in ("class", "function", "constructor")),
]


def source_of(form: str, annotation: str, default: str) -> str:
    if form == "function":
        return f"def X(ctx, a: {annotation}{default}): ..."
    if form == "constructor":
        return f"class X(Task):\n    def __init__(self, a: {annotation}{default}): ...\n    def run(self, ctx): ..."
    return as_class(annotation, default)


# What a checker infers from the default.
NEEDS_DEFAULT = {"Final", "FI", "typing.Final", 'Annotated[Final, "why"]', "dataclasses.InitVar"}


def wrong_value(shape: TaskShape, written: Any, expected: Any) -> str:
    """Return what is wrong with how a value is taken, or ""."""
    try:
        value = shape.validate({"a": written})["a"]
    except ParamErrors as error:
        return "" if expected is BAD and str(error).startswith("cannot use ") else str(error)
    found = repr(value) if isinstance(expected, str) and not isinstance(value, str) else value
    keys = list(shape.json_schema()["properties"])
    return "" if found == expected and type(found) is type(expected) and keys == ["a"] else f"{found!r}, {keys}"


@pytest.mark.parametrize("form", FORMS)
def test_a_type_works_in_every_spelling(make: Any, form: str) -> None:
    wrong = {}
    for annotation, (written, expected) in WORKING.items():
        default = " = 5" if annotation in NEEDS_DEFAULT else ""
        try:
            shape = make(source_of(form, annotation, default), as_text=form == "class as text")
            problem = wrong_value(shape, written, expected)
        except ShapeError as error:
            problem = str(error)
        if problem:
            wrong[annotation] = problem

    assert wrong == {}


@pytest.mark.parametrize("form", FORMS)
def test_any_other_type_is_refused_with_its_parameter_and_its_annotation(make: Any, form: str) -> None:
    wrong = {}
    for annotation, told in REFUSED.items():
        try:
            shape = make(source_of(form, annotation, ""), as_text=form == "class as text")
            shape.json_schema()
            problem = "it is accepted"
        except ShapeError as error:
            problem = "" if told in str(error) and "parameter 'a'" in str(error) else str(error)
        except (NameError, ZeroDivisionError, TypeError):
            # Python itself evaluates an annotation that is not text, when the module is imported.
            problem = "it is evaluated" if form == "class as text" else ""
        if problem:
            wrong[annotation] = problem

    assert wrong == {}


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("annotation", [*CLASS_VARIABLES, "ForCheckers[int]"])
def test_a_class_variable_is_not_a_parameter_in_any_spelling(make: Any, annotation: str, as_text: bool) -> None:
    if annotation == "ForCheckers[int]":
        # Under a name that exists for checkers only, it is known by its last part alone.
        annotation = "typing.ClassVar[NotImported]" if as_text else "ClassVar['NotImported']"

    shape = make(as_class(annotation, " = 5"), as_text=as_text)

    assert shape.params == ()
    assert shape.target.a == 5
    assert shape.validate({}) == {}


@pytest.mark.parametrize("form", ["function", "constructor"])
def test_class_variables_are_refused_as_arguments(make: Any, form: str) -> None:
    with pytest.raises(ShapeError, match=r"parameter 'a', '?ClassVar\[int\]'?: ClassVar belongs to a class"):
        make(source_of(form, "ClassVar[int]", ""))


def test_a_bare_final_has_the_type_of_its_default(make: Any) -> None:
    for default, kind in [("5", int), ("'a'", str), ("Colour.RED", "Colour"), ("[1]", Any), ("None", Any)]:
        shape = make(as_class("Final", f" = {default}"), as_text=True)
        found = shape.params[0].annotation
        assert found is kind or getattr(found, "__name__", "") == kind, default
    with pytest.raises(ShapeError, match="'Final': it names no type, and there is no default to infer it from"):
        make(as_class("Final"), as_text=True)


# The body of a class X or a function X, the names of its parameters, and what `validate({})` gives or says.
BODIES: dict[str, tuple[str, list[str], Any]] = {
    "inherited from a mixin": (
        "class Mixin:\n    b: int = 1\nclass X(Mixin, Task):\n    a: int = 2\n    def run(self, ctx): ...",
        ["a"],
        {"a": 2},
    ),
    "inherited from a task": (
        "class Base(Task):\n    b: int = 1\nclass X(Base):\n    a: int = 2\n    def run(self, ctx): ...",
        ["b", "a"],
        {"a": 2, "b": 1},
    ),
    "overridden": (
        "class Base(Task):\n    a: int = 1\nclass X(Base):\n    a: str = 'x'\n    def run(self, ctx): ...",
        ["a"],
        {"a": "x"},
    ),
    "generic": (
        "class Base(Task, Generic[Item]):\n    a: Item = 1\nclass X(Base[int]):\n    def run(self, ctx): ...",
        ["a"],
        {"a": 1},
    ),
    "with a keyword of the class": (
        (
            "class Base(Task):\n    def __init_subclass__(cls, *, key, **more): super().__init_subclass__(**more)\n"
            "class X(Base, key=1):\n    a: int = 1\n    def run(self, ctx): ..."
        ),
        ["a"],
        {"a": 1},
    ),
    "with slots": (
        "class X(Task):\n    __slots__ = ('a',)\n    a: int\n    def run(self, ctx): ...",
        ["a"],
        "without parameter",
    ),
    "private and mangled": (
        "class X(Task):\n    _a: int = 1\n    __b: int = 1\n    __c__: int = 1\n    def run(self, ctx): ...",
        [],
        {},
    ),
    "its own class": ("class X(Task):\n    a: 'X | None' = None\n    def run(self, ctx): ...", ["a"], {"a": None}),
    "named like its type": (
        "class X(Task):\n    date: 'Optional[date]' = None\n    def run(self, ctx): ...\nfrom datetime import date",
        ["date"],
        {"date": None},
    ),
    "named like a builtin": (
        "class X(Task):\n    list: 'list[int]' = [1]\n    def run(self, ctx): ...",
        ["list"],
        {},
    ),
    "a default that may be changed": (
        "class X(Task):\n    a: Model = Model()\n    b: bytearray = bytearray(b'x')\n    def run(self, ctx): ...",
        ["a", "b"],
        {},
    ),
    "a default of the wrong type": (
        "class X(Task):\n    a: int = 'x'\n    def run(self, ctx): ...",
        [],
        "default of parameter 'a': cannot use 'x' as a; expected an integer",
    ),
    "a property": (
        "class X(Task):\n    a: int\n    @property\n    def a(self): ...\n    def run(self, ctx): ...",
        [],
        "default of parameter 'a': cannot use <property object",
    ),
    "named run": ("class X(Task):\n    run: int = 1", [], "X.run is int, not a method; expected run(self, ctx)"),
    "no run": ("class X(Task):\n    a: int = 1", [], "class X has no run(self, ctx)"),
    "a docstring that is a property": (
        "class X(Task):\n    __doc__ = property(lambda self: 1)\n    def run(self, ctx): ...",
        [],
        {},
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_class_of_any_shape_works_or_is_refused(make: Any, case: str) -> None:
    source, names, expected = BODIES[case]
    if not isinstance(expected, str):
        shape = make(source)
        assert [param.name for param in shape.params] == names
        assert shape.validate({}) == expected
        assert shape.binding({}).make().run is not None
        return
    with pytest.raises((ShapeError, ParamErrors)) as caught:
        make(source).validate({})
    assert expected in str(caught.value)


def test_a_statement_that_names_a_type_works(make: Any) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("since Python 3.12")
    shape = make("type Name = int\nclass X[T: int](Task):\n    a: Name = 1\n    b: T = 2\n    def run(self, ctx): ...")

    assert shape.validate({"a": 3}) == {"a": 3, "b": 2}


def test_a_literal_of_an_enum_names_the_values_that_a_job_file_has(make: Any) -> None:
    with pytest.raises(ParamErrors) as caught:
        make(as_class("Literal[Colour.RED, 5]")).validate({"a": "green"})

    assert str(caught.value) == "cannot use 'green' as a; expected 'red' or 5"


def test_changeable_defaults_are_not_shared_by_runs(make: Any) -> None:
    shape = make("class X(Task):\n    a: Model = Model()\n    def run(self, ctx): return self.a")

    _, binding = shape.bind({})

    assert binding.make().run(None) is not binding.make().run(None)
