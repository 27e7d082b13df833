"""Every name on the page for contributors exists: modules, classes, functions, files, folders and make targets."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from tests.house.test_imports import EXEMPT
from tests.support.every_case import every_case

from taskloom.jobfile.loader import check

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-the-code-is-built.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DOTTED = re.compile(r"(taskloom|taskloom_plugins)(\.\w+)*")
FILE = re.compile(r"[\w./-]*/|[\w./-]+\.(py|md|cfg|toml|yaml)")
MAKE = re.compile(r"^make (\w+)", re.MULTILINE)

# Code in backticks that names nothing in the tree.
NOT_NAMES = {
    "0.2", "200ms", "ctx.wait(self.interval)", "interval", "interval: 200ms", "launch  succeeded after 1.0 s",
    "logger", "nc", "params", "pydantic_core", "python docs/generate.py", "run(ctx)", "runner: process", "socat",
    "TASKLOOM_KILL_CYCLES=2000", "TASKLOOM_SOAK_SECONDS=600", "dask", "taskloom run", "taskloom stop web",
    "taskloom why", "taskloom.tasks",
}  # fmt: skip

TOKENS = sorted(set(re.findall(r"`([^`\n]+)`", FENCED.sub("", PAGE))) - NOT_NAMES)


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or can be reached from one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[length:])
    return False


@every_case("token", TOKENS)
def test_each_name_in_backticks_exists(token: str) -> None:
    if DOTTED.fullmatch(token):
        assert exists(token)
    else:
        assert FILE.fullmatch(token), "neither a module nor a file: complete the name or list it in NOT_NAMES"
        assert (ROOT / token).exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("taskloom.core", True),
        ("taskloom.task.Context.wait", True),
        ("taskloom.no_such_module", False),
        ("taskloom.task.Context.no_such_method", False),
    ],
)
def test_a_name_that_does_not_exist_is_found(name: str, expected: bool) -> None:
    assert exists(name) is expected


def test_each_command_of_the_page_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    named = set(MAKE.findall(PAGE))

    assert {"test", "lint", "docs"} <= named <= targets


def test_each_package_of_the_framework_and_each_folder_of_tests_is_on_the_page() -> None:
    packages = {path.parent.name for path in (ROOT / "framework" / "taskloom").glob("*/__init__.py")}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("test_*.py"))}
    mirrored = packages | {"support"}

    assert [name for name in sorted(packages) if f"`taskloom.{name}`" not in PAGE] == []
    assert [name for name in sorted(folders - mirrored) if f"`tests/{name}/`" not in PAGE] == []


def test_the_arrows_are_those_that_the_imports_keep() -> None:
    source = (ROOT / "tests" / "house" / "test_imports.py").read_text(encoding="utf-8")
    rows = re.findall(r"^    (\{.*\}),$", source.partition("TIERS = (")[2].partition("\n)")[0], re.MULTILINE)
    # The one line of `python -m taskloom`.
    not_on_page = {"__main__"}

    tiers = [set(re.findall(r'"(\w+)"', row)) - not_on_page for row in rows]

    shown = next(block for block in FENCED.findall(PAGE) if "\ndiagnostics, " in block).splitlines()[1:-1]
    assert [set(line.split(", ")) for line in shown] == [tier for tier in tiers if tier]


def test_each_package_with_a_doorway_is_imported_there_and_nowhere_else() -> None:
    table = PAGE.partition("the only place that imports it |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|`]+) \| `([\w.]+)`", table, re.MULTILINE)
    doorways = {name.split()[0]: place for names, place in rows for name in names.split(", ")}
    framework = ROOT / "framework"
    importers: dict[str, set[str]] = {name: set() for name in doorways}
    for path in framework.rglob("*.py"):
        for name in re.findall(r"^ *(?:from|import) (\w+)\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            if name in importers:
                importers[name].add(".".join(path.relative_to(framework).with_suffix("").parts))

    for module, name in EXEMPT:
        importers[name].discard(module)
    elsewhere = {name: {each for each in importers[name] if not each.startswith(doorways[name])} for name in doorways}

    assert {"yaml", "stevedore", "cronsim", "click", "rich", "pydantic", "time"} <= set(doorways)
    assert all(importers.values())
    assert {name: places for name, places in elsewhere.items() if places} == {}


def test_the_value_of_the_example_arrives_as_the_page_says(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    (tmp_path / "launch.yaml").write_text(example[1], encoding="utf-8")

    [spec] = check(tmp_path / "launch.yaml").jobs

    assert spec.name == "launch"
    assert (spec.params["start"], spec.params["interval"]) == (5, 0.2)
