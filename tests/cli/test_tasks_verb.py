"""`taskloom tasks`: the installed tasks, the parameters of one task, and broken tasks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.toy_distribution import add_distribution

from taskloom.cli.tasks import tasks
from taskloom.jobfile import check

TOYS = '''
print("a plugin that talks")
import enum
from taskloom.task import Task, Duration, param

class Colour(enum.Enum):
    RED = "red"
    NAVY_BLUE = "navy blue"

class Paint(Task):
    """Paint it [bold].

    At length.
    """
    to: str = param(description="where to", examples=["tcp://127.0.0.1:5514"])
    colour: Colour = param(default=Colour.NAVY_BLUE, description="which")
    every: Duration = param(default="90s", gt=0)
    size: int | None = None
    words: list[str] = param(default=["a"], max_length=3)
    listen: str = param(default="", examples=["here"])
    connect: str = param(default="", examples=["there"])

    def __post_init__(self):
        if self.listen and self.connect:
            raise ValueError("cannot do both")

    def run(self, ctx): ...

def nothing(ctx):
    """Do nothing."""

class NoTask: ...
'''

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    info = tmp_path / "toy_tasks-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tasks\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[taskloom.tasks]\npaint = toy_verbs:Paint\nnothing = toy_verbs:nothing\n"
        "odd = toy_verbs:NoTask\ngone = toy_verbs_gone:X\n"
    )
    (tmp_path / "toy_verbs.py").write_text(TOYS)
    (tmp_path / "toy_verbs_gone.py").write_text("raise OSError('no disk')\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(tasks, arguments, catch_exceptions=False)

    yield call
    for name in ("toy_verbs", "toy_verbs_gone"):
        sys.modules.pop(name, None)


def test_a_pipe_gets_a_line_with_tabs_for_each_task(call: Call) -> None:
    answer = call()

    lines = answer.stdout.splitlines()
    assert answer.exit_code == 0
    assert "paint\ttoy-tasks 1.2\tPaint it [bold]." in lines
    assert "nothing\ttoy-tasks 1.2\tDo nothing." in lines
    assert [line.split("\t")[0] for line in lines] == sorted(line.split("\t")[0] for line in lines)
    assert any(line.startswith("countdown\ttaskloom ") for line in lines)


def test_a_broken_task_is_listed_with_the_reason(call: Call) -> None:
    lines = call().stdout.splitlines()

    assert "gone\ttoy-tasks 1.2\tbroken: cannot import task 'gone' of toy-tasks 1.2: OSError: no disk" in lines
    assert (
        "odd\ttoy-tasks 1.2\tbroken: cannot use task 'odd' of toy-tasks 1.2: "
        "class NoTask is not a task; derive it from taskloom.Task" in lines
    )


def test_a_terminal_gets_a_table(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("taskloom.cli.tasks._is_terminal", lambda: True)

    answer = call()

    assert answer.stdout.split()[:2] == ["task", "package"]
    [line] = [line for line in answer.stdout.splitlines() if line.split()[:1] == ["paint"]]
    assert line.split() == ["paint", "toy-tasks", "1.2", "Paint", "it", "[bold]."]


def test_a_name_shows_what_the_task_does_and_takes(call: Call) -> None:
    answer = call("paint")

    assert answer.exit_code == 0
    assert (
        answer.stdout
        == """\
paint  (toy-tasks 1.2, toy_verbs:Paint)

Paint it [bold].

At length.

parameter  type                default      description
to         text                required     where to
colour     red or "navy blue"  "navy blue"  which
every      duration            1m30s        more than 0
size       integer             null
words      list of text        ["a"]        at most 3 long
listen     text                ""
connect    text                ""

An example job file:

jobs:
  my-paint:
    task: paint
    params:
      to: tcp://127.0.0.1:5514
      listen: here
"""
    )


def test_a_task_without_parameters_is_shown_as_such(call: Call) -> None:
    assert "It takes no parameters." in call("nothing").stdout


@pytest.mark.parametrize("name", ["paint", "nothing", "countdown", "socket-reader", "socket-sender"])
def test_the_example_job_is_valid(call: Call, tmp_path: Path, name: str) -> None:
    _, _, example = call(name).stdout.partition("An example job file:\n")
    (tmp_path / "example.yaml").write_text(example)

    assert [str(problem) for problem in check(tmp_path / "example.yaml").errors] == []


def test_an_unknown_name_is_an_error_with_a_near_match(call: Call) -> None:
    answer = call("pant")

    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr == (
        "taskloom: cannot find task 'pant'; installed: command, countdown, gone, nothing, odd, paint, "
        "socket-reader, socket-sender; did you mean 'paint'?\n"
    )


def test_the_name_of_a_broken_task_shows_the_traceback_of_its_import(call: Call, tmp_path: Path) -> None:
    answer = call("gone")

    assert answer.exit_code == 2
    assert f'File "{tmp_path}/toy_verbs_gone.py", line 1, in <module>' in answer.stderr
    assert answer.stderr.endswith("taskloom: cannot import task 'gone' of toy-tasks 1.2: OSError: no disk\n")


def test_the_list_as_json(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("-o", "json").stdout)}

    assert rows["paint"] == {
        "name": "paint",
        "distribution": "toy-tasks",
        "version": "1.2",
        "target": "toy_verbs:Paint",
        "summary": "Paint it [bold].",
        "error": None,
    }
    assert rows["gone"]["error"] == "cannot import task 'gone' of toy-tasks 1.2: OSError: no disk"


def test_what_a_plugin_prints_when_imported_goes_to_standard_error(call: Call) -> None:
    answer = call("-o", "json")

    assert "a plugin that talks" in answer.stderr
    assert json.loads(answer.stdout)


def test_one_task_as_json(call: Call) -> None:
    data = json.loads(call("paint", "-o", "json").stdout)

    assert data["target"] == "toy_verbs:Paint"
    assert data["params"][0] == {
        "name": "to",
        "type": "text",
        "required": True,
        "default": None,
        "description": "where to",
        "examples": ["tcp://127.0.0.1:5514"],
    }
    assert data["schema"]["properties"]["every"]["default"] == 90.0


# A parameter, and its default as JSON has it.
DEFAULTS = [
    ("n: int = 3", 3),
    ("n: float = 2.5", 2.5),
    ("n: bool = True", True),
    ("n: str = '3'", "3"),
    ("n: str = 'true'", "true"),
    ("n: str = ''", ""),
    ("n: int | None = None", None),
    ("n: Duration = '1m30s'", 90.0),
    ("n: Duration = param('5s')", 5.0),
    ("n: Duration | None = param('5s')", 5.0),
    ("n: list[str] = ['a', 'b']", ["a", "b"]),
    ("n: list[int] = param(default=[1])", [1]),
    ("n: dict = {'a': {'b': 1}}", {"a": {"b": 1}}),
    ("n: tuple[int, ...] = (1, 2)", [1, 2]),
    ("n: set[int] = {1}", [1]),
    ("n: Colour = Colour.NAVY_BLUE", "navy blue"),
    ("n: list[Colour] = [Colour.RED]", ["red"]),
    ("n: Path = Path('/tmp/x')", "/tmp/x"),
    ("n: Decimal = Decimal('1.10')", "1.10"),
    ("n: float = float('inf')", None),
    ("n: SecretStr = SecretStr('hunter2')", None),
    ("n: Model = Model()", {"a": 1}),
    ("n: Data = Data()", {"a": 1}),
    ("n: int", None),
]

TYPES = """
import dataclasses, enum
from decimal import Decimal
from pathlib import Path
from pydantic import BaseModel, SecretStr
from taskloom.task import Task, Duration, param

class Colour(enum.Enum):
    RED = "red"
    NAVY_BLUE = "navy blue"
class Model(BaseModel):
    a: int = 1
@dataclasses.dataclass
class Data:
    a: int = 1
"""


def test_a_default_is_data_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = TYPES + "".join(
        f"class T{number}(Task):\n    {param}\n    def run(self, ctx): ...\n"
        for number, (param, _) in enumerate(DEFAULTS)
    )
    add_distribution(
        tmp_path, "toy-defaults", source, **{f"t{number}": f"T{number}" for number in range(len(DEFAULTS))}
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    found = []
    for number, (param, _) in enumerate(DEFAULTS):
        answer = CliRunner().invoke(tasks, [f"t{number}", "-o", "json"], catch_exceptions=False)
        assert "hunter2" not in answer.stdout
        found.append((param, json.loads(answer.stdout)["params"][0]["default"]))
    sys.modules.pop("toy_defaults", None)

    assert found == DEFAULTS


def test_a_package_that_cannot_be_read_is_named_beside_the_list(call: Call, tmp_path: Path) -> None:
    (tmp_path / "half_gone-1.0.dist-info").mkdir()

    answer = call("-o", "json")

    assert json.loads(answer.stdout)
    assert (
        f"taskloom: broken package: {tmp_path}/half_gone-1.0.dist-info: has no METADATA that can be read, "
        "as an interrupted installation leaves it\n" in answer.stderr
    )
