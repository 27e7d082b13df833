"""The recipes of docs/hosts.md as real processes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.support.child_programs import ChildProgram

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```python\n# ([\w.]+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Host = Callable[..., AbstractContextManager[ChildProgram]]


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder with the programs of the page."""
    page = (ROOT / "docs" / "hosts.md").read_text(encoding="utf-8")
    for name, text in _BLOCK.findall(page):
        # gunicorn reads a file of this name by itself.
        (tmp_path / name.replace("gunicorn.conf.py", "each_worker.py")).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def host(recipes: Path, child_env: dict[str, str]) -> Host:
    """Start Python with these arguments in the folder of the recipes."""
    env = child_env | {"PORT": "0", "PYTHONPATH": str(recipes), "PYTHONWARNINGS": "ignore::DeprecationWarning"}

    def start(*arguments: str) -> ChildProgram:
        return ChildProgram([sys.executable, *arguments], env, cwd=recipes)

    return start
