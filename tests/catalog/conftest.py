"""The folder of packages in which the tests of the catalog install their toys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.plugin_folder import PluginFolder, plugin_folder_in


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """A folder of packages that is first on the path."""
    yield from plugin_folder_in(tmp_path / "site packages", monkeypatch)
