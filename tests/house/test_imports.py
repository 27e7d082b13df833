"""Imports point one way, and each third-party package is imported in one place.

Read from the source with `ast`, so that an import inside a function counts as well. Imports below
`if TYPE_CHECKING:` do not count: they are never executed.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from taskloom.core.graph import find_cycles

ROOT = Path(__file__).resolve().parents[2]

# A module imports from its own tier and from those above it in this list; the names are parts of `taskloom`.
TIERS = (
    {"diagnostics", "env_lines", "errors", "signal_names", "text"},
    {"task", "core", "calendars", "program"},
    {"waiting", "sync", "clock"},
    {"catalog", "runners"},
    {"worker"},
    {"scheduler", "job", "jobfile", "invariants"},
    {"observe", "simulation", "testing"},
    {"control", "history", "notify"},
    {"cli", "top", "web"},
    {"__main__"},
)

# Narrower than their tier.
ONLY = {
    "diagnostics": {"diagnostics"},
    "env_lines": {"diagnostics"},
    "errors": {"errors", "diagnostics", "text"},
    "signal_names": {"signal_names", "diagnostics", "errors"},
    "text": {"text", "diagnostics"},
    "task": {"errors"},
    "program": {"task", "diagnostics", "errors", "signal_names"},
    "core": {"core", "diagnostics", "errors", "text"},
}

# Outside package -> the module, or the package, of `taskloom` that may import it.
DOORWAYS = {
    "alembic": "taskloom.history",
    "click": "taskloom.cli",
    "cronsim": "taskloom.calendars",
    "cryptography": "taskloom.runners.dask",
    "dask": "taskloom.runners.dask",
    "distributed": "taskloom.runners.dask",
    "h11": "taskloom.control",
    "prometheus_client": "taskloom.control.metrics",
    "psycopg": "taskloom.history",
    "sqlalchemy": "taskloom.history",
    "starlette": "taskloom.web",
    "stevedore": "taskloom.catalog.entry_points",
    "textual": "taskloom.top",
    "time": "taskloom.clock",
    "uvicorn": "taskloom.web",
    "yaml": "taskloom.jobfile.syntax",
    "zoneinfo": "taskloom.calendars",
}

# Modules beside the doorway that may import a package, and why: a supervisor executes no other code of the house, and
# textual draws what rich calls segments.
EXEMPT = {
    *((f"taskloom.worker.supervision.{name}", "time") for name in ("lease", "loop", "memory")),
    ("taskloom.top.app", "rich"),
}

# All that the core may import of the standard library: nothing here has a thread, a clock or does I/O.
PURE = {
    "__future__", "abc", "bisect", "collections", "copy", "dataclasses", "datetime", "difflib", "enum", "fractions",
    "functools", "heapq", "itertools", "json", "math", "operator", "random", "re", "string", "textwrap", "types",
    "typing",
}  # fmt: skip

# The modules of `taskloom` that built-in tasks may import beside the package's public names.
AUTHOR_MODULES = {"taskloom.waiting"}


class Import(NamedTuple):
    """One executed import: the importer, the imported module and name, and the place."""

    importer: str
    module: str
    name: str | None
    place: str


class ImportReader(ast.NodeVisitor):
    """Collect the imports of one file that can be executed."""

    def __init__(self, importer: str, is_package: bool, file: str) -> None:
        self.importer, self.is_package, self.file = importer, is_package, file
        self.found: list[Import] = []

    def visit_If(self, node: ast.If) -> None:
        is_name = isinstance(node.test, ast.Name | ast.Attribute)  # to unparse each condition takes long
        if is_name and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name, None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._add(node, self._absolute(node), alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in {"import_module", "__import__"}:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    self._add(node, argument.value, None)
        self.generic_visit(node)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        package = self.importer.split(".")
        package = package[: len(package) - node.level + int(self.is_package)]
        return ".".join([*package, *([node.module] if node.module else [])])

    def _add(self, node: ast.AST, module: str, name: str | None) -> None:
        self.found.append(Import(self.importer, module, name, f"{self.file}:{getattr(node, 'lineno', 0)}"))


class Tree:
    """The source of both packages, as a set of module names and a list of imports."""

    def __init__(self, root: Path) -> None:
        self.modules: dict[str, Path] = {}
        self.imports: list[Import] = []
        for source_root in (root / "framework", root / "plugins"):
            for file in sorted(source_root.rglob("*.py")):
                parts = list(file.relative_to(source_root).with_suffix("").parts)
                is_package = parts[-1] == "__init__"
                name = ".".join(parts[:-1] if is_package else parts)
                self.modules[name] = file
                reader = ImportReader(name, is_package, str(file.relative_to(root)))
                reader.visit(ast.parse(file.read_text(encoding="utf-8")))
                self.imports += reader.found

    def target(self, one: Import) -> str:
        """Return the imported module: `from taskloom import errors` means `taskloom.errors`."""
        inner = f"{one.module}.{one.name}"
        return inner if inner in self.modules else one.module

    @functools.cached_property
    def public_names(self) -> set[str]:
        """Return what `taskloom.__all__` lists."""
        for node in ast.parse(self.modules["taskloom"].read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return set(ast.literal_eval(node.value))
        return set()


@functools.cache
def own_tree() -> Tree:
    """Return that of this checkout."""
    return Tree(ROOT)


def part_of(module: str) -> str:
    """Return the part of the house: `core` for `taskloom.core.model`, nothing for the package itself."""
    return module.split(".")[1] if "." in module else ""


def tier_of(part: str) -> int:
    """Return the height of a part; one that has no tier yet may import nothing and be imported by none."""
    return next((height for height, parts in enumerate(TIERS) if part in parts), -1)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def violations(tree: Tree) -> list[str]:
    """Return every broken rule, as `file:line: what`."""
    return [f"{one.place}: {complaint}" for one in tree.imports for complaint in complaints(tree, one)]


def complaints(tree: Tree, one: Import) -> Iterator[str]:
    target = tree.target(one)
    if within(one.importer, "taskloom_plugins"):
        yield from plugin_complaints(tree, one, target)
        return
    yield from doorway_complaints(one, target)
    if within(target, "taskloom_plugins"):
        yield f"{one.importer} imports the built-in tasks; they are found as a stranger's are"
    elif within(target, "taskloom"):
        yield from arrow_complaints(one, target)
    elif part_of(one.importer) == "core":
        top = target.split(".")[0]
        if top not in PURE:
            yield f"{one.importer} imports {top}; the core is pure"


def arrow_complaints(one: Import, target: str) -> Iterator[str]:
    importer, imported = part_of(one.importer), part_of(target)
    if importer == "":
        return  # the package itself lends the public names, from wherever they live
    if imported == "":
        if one.name != "__version__":
            yield f"{one.importer} imports {one.name or 'taskloom'} from the package; name the module it lives in"
        return
    if importer in ONLY and imported not in ONLY[importer]:
        yield f"{one.importer} imports {target}; {importer} imports {_listed(ONLY[importer])} alone"
    elif tier_of(imported) > tier_of(importer) or -1 in (tier_of(imported), tier_of(importer)):
        yield f"{one.importer} imports {target}, against the arrows"


def _listed(names: set[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last


def doorway_complaints(one: Import, target: str) -> Iterator[str]:
    top = target.split(".")[0]
    if top in DOORWAYS and not within(one.importer, DOORWAYS[top]) and (one.importer, top) not in EXEMPT:
        yield f"{one.importer} imports {top}, whose doorway is {DOORWAYS[top]}"


def plugin_complaints(tree: Tree, one: Import, target: str) -> Iterator[str]:
    if within(target, "taskloom_plugins") or target in AUTHOR_MODULES:
        return
    if target == "taskloom":
        if one.name is not None and one.name not in tree.public_names:
            yield f"{one.importer} imports {one.name}, which is not a public name of taskloom"
    elif within(target, "taskloom"):
        yield f"{one.importer} imports {target}; a built-in task imports public names alone"
    elif target.split(".")[0] not in sys.stdlib_module_names:
        yield f"{one.importer} imports {target}; a built-in task needs the standard library alone"


def test_imports_keep_the_arrows_and_the_doorways() -> None:
    found = violations(own_tree())

    assert not found, "\n".join(found)


def import_cycles(tree: Tree) -> list[list[str]]:
    """Return a cycle for each group of modules that import each other, inside functions too."""
    imports: dict[str, list[str]] = {module: [] for module in tree.modules}
    for one in tree.imports:
        imports[one.importer].append(tree.target(one))
    return list(find_cycles(imports))


def test_no_modules_import_each_other_in_a_cycle() -> None:
    assert import_cycles(own_tree()) == []


def test_an_import_cycle_is_found(tmp_path: Path) -> None:
    write_house(tmp_path, {"core/model.py": "from taskloom.core import a", "core/a.py": "import taskloom.core.model"})

    assert import_cycles(Tree(tmp_path)) == [["taskloom.core.a", "taskloom.core.model", "taskloom.core.a"]]


def test_every_part_of_the_house_has_a_tier() -> None:
    parts = {part_of(module) for module in own_tree().modules if within(module, "taskloom")} - {""}

    assert parts >= {"errors", "task", "core"}
    assert {part for part in parts if tier_of(part) < 0} == set()


BROKEN = [
    ("core/lifecycle.py", "import threading", "taskloom.core.lifecycle imports threading; the core is pure"),
    ("core/model.py", "def f():\n    import os.path", "taskloom.core.model imports os; the core is pure"),
    ("core/model.py", "from taskloom import task", "core imports core, diagnostics, errors and text alone"),
    ("core/model.py", "from ..runners import thread", "core imports core, diagnostics, errors and text alone"),
    ("task.py", "from taskloom.core.model import Reason", "task imports errors alone"),
    ("errors.py", "import taskloom.task", "errors imports diagnostics, errors and text alone"),
    ("runners/thread.py", "from taskloom.scheduler import Scheduler", "against the arrows"),
    ("runners/thread.py", "from taskloom import Scheduler", "name the module it lives in"),
    ("scheduler/facade.py", "import time", "taskloom.scheduler.facade imports time, whose doorway is taskloom.clock"),
    ("scheduler/facade.py", "from taskloom import cli", "against the arrows"),
    ("cli/verbs.py", "import yaml", "whose doorway is taskloom.jobfile.syntax"),
    ("jobfile/fields/schedule.py", "from cronsim import CronSim", "whose doorway is taskloom.calendars"),
    ("cli/verbs.py", "import sqlalchemy", "whose doorway is taskloom.history"),
    ("cli/verbs.py", "def f():\n    from psycopg import errors", "whose doorway is taskloom.history"),
    ("scheduler/facade.py", "from alembic import command", "whose doorway is taskloom.history"),
    ("cli/verbs.py", "import zoneinfo", "whose doorway is taskloom.calendars"),
    ("calendars/cron.py", "from taskloom.jobfile import load", "against the arrows"),
    ("jobfile/loader.py", "from importlib import import_module\nimport_module('yaml')", "whose doorway is"),
    ("observe/console.py", "import taskloom_plugins.countdown", "they are found as a stranger's are"),
    ("../taskloom_plugins/tick.py", "from taskloom.task import Task", "a built-in task imports public names alone"),
    ("../taskloom_plugins/tick.py", "from taskloom import secret", "secret, which is not a public name of taskloom"),
    ("../taskloom_plugins/tick.py", "import yaml", "a built-in task needs the standard library alone"),
]


@pytest.mark.parametrize(("file", "text", "complaint"), BROKEN)
def test_a_broken_rule_is_found_and_named(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    write_house(tmp_path, {file: text})

    found = violations(Tree(tmp_path))

    assert len(found) == 1
    assert complaint in found[0]


KEPT = {
    "core/lifecycle.py": "import heapq\nfrom taskloom.core import model\nfrom taskloom.diagnostics import near_match",
    "task.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from taskloom.scheduler import Scheduler",
    "clock.py": "import time",
    "jobfile/syntax/reader.py": "import yaml",
    "cli/run.py": "def f():\n    import click\n    from taskloom import __version__, scheduler",
    "../taskloom_plugins/tick.py": "import time\nfrom taskloom import Task\nfrom taskloom.waiting import recv",
}


def test_a_tree_that_keeps_the_rules_is_accepted(tmp_path: Path) -> None:
    write_house(tmp_path, KEPT)

    assert violations(Tree(tmp_path)) == []


def write_house(root: Path, files: dict[str, str]) -> None:
    """Write a small tree of both packages, every part of it there and empty, then the given files."""
    empty = ("core/model", "errors", "task", "scheduler/facade", "runners/thread", "waiting", "cli/verbs")
    texts = {f"{name}.py": "" for name in empty} | {"__init__.py": "__all__ = ['Scheduler', 'Task']"} | files
    for name, text in texts.items():
        owner = root / "plugins" if name.startswith("../") else root / "framework" / "taskloom"
        file = owner / name.removeprefix("../")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        init = file.parent / "__init__.py"
        if not init.exists() and file.parent != root:
            init.touch()


# The packages of extra `dask`: imported when the first run on a cluster starts.
CLUSTER = {"cryptography", "dask", "distributed", "tornado"}
LIGHT = [
    ("taskloom", {"click", "pydantic", "rich", "sqlalchemy", "stevedore", "yaml", *CLUSTER}),
    ("taskloom.scheduler", {"click", "pydantic", "rich", "sqlalchemy", "yaml", *CLUSTER}),
    ("taskloom.cli", {"pydantic", "rich", "sqlalchemy", "stevedore", "yaml", *CLUSTER}),
    ("taskloom.jobfile", {"click", "rich", "sqlalchemy", *CLUSTER}),
    ("taskloom.jobfile.checks.dask_runner", {"click", "rich", "sqlalchemy", *CLUSTER}),
    ("taskloom.history.location", {"alembic", "psycopg", "sqlalchemy"}),
]


@pytest.mark.parametrize(("module", "heavy"), LIGHT, ids=[module for module, _ in LIGHT])
def test_importing_loads_nothing_heavy(module: str, heavy: set[str], child_env: dict[str, str]) -> None:
    program = f"import sys, {module}; print(*(name for name in sys.modules if '.' not in name))"

    answer = subprocess.run(
        [sys.executable, "-c", program], env=child_env, capture_output=True, text=True, timeout=30, check=True
    )

    assert heavy & set(answer.stdout.split()) == set()
