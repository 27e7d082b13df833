"""Why a package that is installed cannot be imported by this program: it was installed, or changed, after its start.

Path files (`*.pth`), and with them packages in editable form, take effect when Python starts. A module that was
imported stays as it was.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse

from taskloom.catalog.installed import InstalledPoint, read_points
from taskloom.text import message_of

__all__ = ["RESTART", "added_at_next_start", "advice_for_import"]

RESTART = "restart the program"
_NOT_IN_MODULE = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
# A folder of packages may hold other large files of that name.
_LONGEST_FILE = 1_000_000


class _PathFile(NamedTuple):
    """A `.pth` or `.egg-link` file, and one folder that it adds to the path when Python starts."""

    file: str
    folder: str


def advice_for_import(installed: InstalledPoint, error: BaseException) -> str:
    """Return what to do if the import of an entry point failed since the program is older than the package; else ""."""
    kind = type(error)
    if issubclass(kind, ModuleNotFoundError):
        return _advice_for_module(installed, _missing_module(error))
    module, name = installed.point.module, (installed.point.attr or "").partition(".")[0]
    if issubclass(kind, ImportError) and (found := _NOT_IN_MODULE.match(message_of(error))) is not None:
        name, module = found.groups()
    if issubclass(kind, AttributeError | ImportError) and _is_newer_on_disk(module, name):
        return f"the file of module {module} has changed since it was imported: {RESTART}"
    return ""


def _missing_module(error: BaseException) -> str:
    found = ImportError.__dict__["name"].__get__(error)  # the class may have a property of that name
    return found if isinstance(found, str) else ""


def _advice_for_module(installed: InstalledPoint, missing: str) -> str:
    module = installed.point.module
    if not missing or not f"{module}.".startswith(f"{missing}."):
        return ""  # it imports something that is not installed
    source = _editable_source(installed.folder)
    if source is None:
        is_older = _is_package_on_disk(module.rpartition(".")[0])
        return f"its package has changed since it was imported: {RESTART}" if is_older else ""
    if source and not Path(source).exists():
        return f"it is installed in editable form, and its source folder {source!r} is gone: install it again"
    return f"it is installed in editable form, which takes effect when a program starts: {RESTART}"


def _editable_source(folder: str) -> str | None:
    """Return the source folder of a distribution that is installed in editable form; "" if unknown, None otherwise."""
    info = Path(folder) if folder else None
    if info is None:
        return None
    try:
        data = json.loads(_text_of(info / "direct_url.json") or "{}")
        if data.get("dir_info", {}).get("editable") is True:
            return unquote(urlparse(str(data.get("url", ""))).path)
    except (ValueError, AttributeError):
        pass
    # Without pip, or with an old one: its own path file tells.
    if any("__editable__" in line and ".pth" in line for line in _text_of(info / "RECORD").splitlines()):
        return ""
    return None


def _is_package_on_disk(module: str) -> bool:
    """Return whether it was imported as a module, and is a package now."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    return isinstance(file, str) and not hasattr(loaded, "__path__") and Path(file).with_suffix("").is_dir()


def _is_newer_on_disk(module: str, name: str) -> bool:
    """Return whether the file of an imported module defines a name that the module in memory lacks."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if not name or not isinstance(file, str) or not file.endswith(".py") or name in vars(loaded):
        return False
    try:
        tree = ast.parse(_text_of(Path(file)))
    except (SyntaxError, ValueError, RecursionError):
        return False
    return name in _names_in(tree)


def _names_in(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the module defines at its top level."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def added_at_next_start(group: str) -> dict[str, str]:
    """Return the names that only folders offer which path files add when Python starts, and what to do about each."""
    found: dict[str, str] = {}
    for added in _path_files():
        if added.folder and os.path.isdir(added.folder) and not _is_searched(added.folder):  # noqa: PTH112 - any text
            for each in read_points(group, [added.folder]).points:
                advice = f"{added.file} adds it, but this program is older than that file: {RESTART}"
                found.setdefault(each.point.name, advice)
    return found


def _is_searched(folder: str) -> bool:
    real = os.path.realpath(folder)
    return any(os.path.realpath(entry) == real for entry in _folders_of_path())


def _folders_of_path() -> Iterator[str]:
    entries: list[object] = list(sys.path)  # a program may have put anything there
    for entry in entries:
        if isinstance(entry, str) and os.path.isdir(entry):  # noqa: PTH112 - any text
            yield entry


def _path_files() -> Iterator[_PathFile]:
    """Yield what the path files in the folders of `sys.path` add."""
    for entry in _folders_of_path():
        try:
            names = sorted(name for name in os.listdir(entry) if name.endswith((".pth", ".egg-link")))  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            file = Path(entry) / name
            for line in _text_of(file).splitlines():
                if line.strip() and not line.startswith(("#", "import ", "import\t")):
                    folder = os.path.join(entry, line.strip())  # noqa: PTH118 - the line may be absolute
                    yield _PathFile(str(file), folder if "\0" not in folder else "")


def _text_of(file: Path) -> str:
    """Return the text of a small file; "" if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_LONGEST_FILE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
