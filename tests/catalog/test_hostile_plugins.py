"""Whatever a plugin's classes and exceptions do, the mistake is shown as the plugin's, in a text of bounded length.

Each exception below breaks a rule of exceptions; each place is code of a plugin that Taskloom calls before a run.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from tests.support.lawless_exceptions import COUNT, EXCEPTIONS, lawless_exceptions
from tests.support.plugin_folder import PluginFolder

from taskloom.catalog.entry_points import Catalog
from taskloom.cli.resources import advice_for
from taskloom.cli.tasks import tasks
from taskloom.errors import CatalogError, InvalidJob
from taskloom.job import Job
from taskloom.jobfile.fields.json_schema import job_file_schema
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.job_spec import job_spec, spec_of
from taskloom.text import error_text, kind_of, message_of, traceback_of

# Code whose last lines define the task T.
PLACES = {
    "when it is imported": "boom()",
    "in a default factory": "import dataclasses\nclass T(Task):\n    a: int = dataclasses.field(default_factory=boom)",
    "in a constructor": "class T(Task):\n    def __init__(self, a: int = 1): boom()",
    "after construction": "class T(Task):\n    a: int = 1\n    def __post_init__(self): boom()",
    "in the validator of a default": """
import pydantic
from typing import Annotated
class T(Task):
    a: Annotated[int, pydantic.AfterValidator(boom)] = 1""",
    "in the schema of a type": """
class Type:
    __get_pydantic_core_schema__ = boom
class T(Task):
    a: Type = None""",
    "when a default is shown": """
class Value:
    __repr__ = __eq__ = boom
    __hash__ = object.__hash__
class T(Task):
    a: int = Value()""",
    "when a default is copied": """
class Value:
    __deepcopy__ = boom
    __hash__ = None
class T(Task):
    a: Value = Value()""",
    "in the hash of a class": """
class Kind(type):
    __hash__ = __eq__ = boom
class T(Task, metaclass=Kind):
    a: int = 1""",
    "in the attributes of a class": """
class Kind(type):
    def __getattribute__(cls, name):
        return boom() if name in ('__doc__', 'announces_ready') else super().__getattribute__(name)
class T(Task, metaclass=Kind):
    a: int = 1""",
    "in the attributes of a module": "def __getattr__(name): boom()",
    "in the class of an object": "class Object:\n    __class__ = property(boom)\nT = Object()",
    "in the signature of an object": """
class Object:
    __signature__ = property(boom)
    def __call__(self, ctx): ...
T = Object()""",
    "in a limit": """
class Limit:
    __le__ = __lt__ = __ge__ = __gt__ = __repr__ = boom
class T(Task):
    a: int = param(1, ge=Limit())""",
}


def install(packages: PluginFolder, place: str, number: int, name: str = "odd") -> None:
    source = f"{EXCEPTIONS.replace('NUMBER', str(number))}\n{PLACES[place]}\n"
    if "class T(" in source:
        source += "    def run(self, ctx): ...\n"
    packages.add(name, source, **{name: "T"})


# One of each kind; the others are in the long share.
QUICK = ("when it is imported", "after construction", "when a default is copied", "in the class of an object")


@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=[] if place in QUICK else pytest.mark.long) for place in PLACES]
)
def test_an_exception_that_breaks_every_rule_is_the_plugins_failure(packages: PluginFolder, place: str) -> None:
    for number in range(COUNT):
        install(packages, place, number, f"odd{number}")
    packages.add_good()
    catalog = Catalog()

    for number in range(COUNT):
        with pytest.raises(JobErrors) as caught:
            job_spec("a", {"task": f"odd{number}"}, catalog)
        [error] = caught.value.errors
        assert error.message.startswith("cannot ")
        assert len(error.message) < 1000
        with pytest.raises((CatalogError, InvalidJob)) as refused:
            spec_of(Job(name="a", task=f"odd{number}"), catalog)
        assert len(str(refused.value)) < 1200
    assert job_spec("a", {"task": "good"}, catalog).params == {"n": 1}


@pytest.mark.parametrize(
    "place",
    ["in a default factory", *(pytest.param(p, marks=pytest.mark.long) for p in ("in a limit", "in a constructor"))],
)
def test_the_lists_of_tasks_survive_it(packages: PluginFolder, place: str) -> None:
    for number in range(COUNT):
        install(packages, place, number, f"odd{number}")
    packages.add_good()

    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(tasks, ["-o", "json"]).stdout)}
    schema = job_file_schema(Catalog())

    assert rows["good"]["summary"] == "Do good."
    assert "params of good" in schema["$defs"]
    if place != "in a constructor":
        assert all(rows[f"odd{number}"]["error"] for number in range(COUNT))


def test_a_validator_that_raises_is_shown_at_its_parameter(packages: PluginFolder) -> None:
    source = (
        "import pydantic\nfrom typing import Annotated\n"
        "def check(value):\n    if value == 7: boom()\n    return value\n"
        "class T(Task):\n    a: Annotated[int, pydantic.AfterValidator(check)] = 1\n    def run(self, ctx): ...\n"
    )
    packages.add("odd", EXCEPTIONS.replace("NUMBER", "1") + source, odd="T")

    with pytest.raises(JobErrors) as caught:
        job_spec("a", {"task": "odd", "params": {"a": 7}}, Catalog())

    [error] = caught.value.errors
    assert error.loc == ("params", "a")
    assert error.message == "cannot check the params of T: a validator raised Ending"


@pytest.mark.parametrize(
    "kind, annotation, expected",
    [
        ("no_port", "int", "cannot use 7 as a; expected no 7"),
        ("greater_than", "int", "cannot use 7 as a; expected no 7"),
        ("no_port", "Hidden", "cannot use ********** as a; expected no **********"),
        ("int_type", "Hidden", "cannot use ********** as a; expected an integer"),
    ],
)
def test_an_error_that_a_validator_makes_itself_is_shown_without_secrets(
    packages: PluginFolder, kind: str, annotation: str, expected: str
) -> None:
    source = (
        "import pydantic\nfrom typing import Annotated\nfrom pydantic_core import PydanticCustomError\n"
        "Hidden = pydantic.Secret[int]\n"
        f"def check(value): raise PydanticCustomError('{kind}', 'no 7')\n"
        f"class T(Task):\n    a: Annotated[{annotation}, pydantic.AfterValidator(check)]\n    def run(self, ctx): ...\n"
    )
    packages.add("odd", f"from taskloom import Task\n{source}", odd="T")

    with pytest.raises(JobErrors) as caught:
        job_spec("a", {"task": "odd", "params": {"a": 7}}, Catalog())

    assert [error.message for error in caught.value.errors] == [expected]


def test_a_wrong_tag_of_a_union_is_told_in_our_words(packages: PluginFolder) -> None:
    source = """
from typing import Annotated, Literal
from pydantic import BaseModel, Field
from taskloom import Task
class A(BaseModel):
    kind: Literal["a"]
class B(BaseModel):
    kind: Literal["b"]
class T(Task):
    of: Annotated[A | B, Field(discriminator="kind")]
    def run(self, ctx): ...
"""
    packages.add("odd", source, odd="T")
    catalog, messages = Catalog(), []

    for value in ({"kind": "c"}, {}):
        with pytest.raises(JobErrors) as caught:
            job_spec("a", {"task": "odd", "params": {"of": value}}, catalog)
        messages += [error.message for error in caught.value.errors]

    assert messages == [
        "cannot use {'kind': 'c'} as of; expected 'kind' to be 'a', 'b'",
        "cannot use {} as of; expected a mapping with 'kind'",
    ]


def test_a_runner_whose_attributes_raise_is_refused(packages: PluginFolder) -> None:
    source = "class Odd:\n    def __getattr__(self, name): boom()\n    def __call__(self): ...\nT = Odd()\n"
    info = packages.add("odd", EXCEPTIONS.replace("NUMBER", "0") + source)
    (info / "entry_points.txt").write_text("[taskloom.runners]\nodd = odd:T\n")

    with pytest.raises(CatalogError) as caught:
        Catalog().load_runner("odd")

    assert str(caught.value) == (
        "cannot use runner 'odd' of odd 1.0: reading its method start raised "
        "Mute: (its message cannot be read: RuntimeError)"
    )


def test_a_long_error_is_cut_and_the_rest_is_counted(packages: PluginFolder) -> None:
    packages.add("odd", "raise ImportError('begin ' + 'x' * 3_000_000 + ' end')", odd="T")

    with pytest.raises(CatalogError) as caught:
        Catalog().load("odd")

    text = str(caught.value)
    assert text.startswith("cannot import task 'odd' of odd 1.0: ImportError: begin xxx")
    assert " ... 2999474 characters left out ... " in text
    assert text.endswith("x end")
    traceback: str = caught.value.traceback  # type: ignore[attr-defined]
    assert len(traceback) <= 64 * 1024
    assert "characters left out" in traceback


def test_the_text_of_any_exception_can_be_made() -> None:
    for error in lawless_exceptions():
        assert error_text(error).startswith(kind_of(error))
        assert len(message_of(error)) <= 600
        assert kind_of(error) in traceback_of(error, None)
        assert isinstance(advice_for(error, at_start=True), str)


def test_an_annotation_that_raises_is_named_with_its_parameter(packages: PluginFolder) -> None:
    source = """
class Kind(type):
    def __getattribute__(cls, name):
        return boom() if name in ("__mro__", "__module__", "__name__") else super().__getattribute__(name)
class Type(metaclass=Kind): ...
class T(Task):
    a: Type = None
    def run(self, ctx): ...
"""
    packages.add("odd", EXCEPTIONS.replace("NUMBER", "0") + source, odd="T")

    with pytest.raises(CatalogError) as caught:
        Catalog().load("odd")

    assert str(caught.value) == (
        "cannot use task 'odd' of odd 1.0: cannot check parameter 'a' of type Type: "
        "Mute: (its message cannot be read: RuntimeError)"
    )


# What a plugin may write into a parameter: `taskloom tasks NAME` shows it in any case.
PARAMS = [
    "a: int = param(1, examples=[Unshown()])",
    "a: object = Unshown()",
    "a: object = {(1, 2): 3}",
    "a: object = {1, 2}",
    "a: dict = {}",
    "a: float = float('inf')",
    "a: bytes = b'\\xff'",
    "a: object = loop",
]


@pytest.mark.parametrize("param", PARAMS)
def test_a_parameter_of_any_object_is_shown(packages: PluginFolder, param: str) -> None:
    source = f"{EXCEPTIONS.replace('NUMBER', '0')}\nloop = []\nloop.append(loop)\nloop = (loop,)\n"
    packages.add("odd", f"{source}class T(Task):\n    {param}\n    def run(self, ctx): ...\n", odd="T")

    as_text = CliRunner().invoke(tasks, ["odd"], catch_exceptions=False)
    as_json = CliRunner().invoke(tasks, ["odd", "-o", "json"], catch_exceptions=False)

    assert as_text.exit_code == 0, as_text.stderr
    assert json.loads(as_json.stdout)["params"][0]["name"] == "a"
