"""An installed distribution whose tasks a test writes itself, for programs in child processes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["write_distribution"]


def write_distribution(folder: Path, name: str, source: str, tasks: Iterable[str]) -> Path:
    """Write the module `name` and the entry points of its tasks into the folder, which belongs on PYTHONPATH."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{task} = {name}:{task.replace('-', '_')}\n" for task in tasks)
    (info / "entry_points.txt").write_text(f"[taskloom.tasks]\n{lines}")
    return folder
