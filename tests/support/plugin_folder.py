"""A folder of installed packages on the path of this process, for tests of what such a folder may hold."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.toy_distribution import add_distribution

__all__ = ["PluginFolder", "plugin_folder_in"]

GOOD = "def good(ctx, n: int = 1):\n    '''Do good.'''\n"


class PluginFolder:
    """Distributions are added with `add`. Modules that were imported from the folder are forgotten at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._modules: set[str] = set()

    def add(self, name: str, source: str, **tasks: str) -> Path:
        """Add the distribution `name` 1.0, and return the folder with its metadata."""
        add_distribution(self.path, name, source, **{task.replace("_", "-"): target for task, target in tasks.items()})
        self._modules.add(name.replace("-", "_"))
        importlib.invalidate_caches()
        return self.path / f"{name.replace('-', '_')}-1.0.dist-info"

    def add_good(self) -> Path:
        """Add a distribution without any mistake, `neighbour`, with the task `good`."""
        return self.add("neighbour", GOOD, good="good")

    def forget_modules(self) -> None:
        """Forget what was imported from the folder."""
        for name in list(sys.modules):
            if name.partition(".")[0] in self._modules:
                del sys.modules[name]


def plugin_folder_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """Put the path first on `sys.path`, and yield it as a PluginFolder."""
    path.mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(str(path))
    folder = PluginFolder(path)
    yield folder
    folder.forget_modules()
