"""An installed distribution for child processes: a module in a folder of the path, and the metadata that pip leaves."""

from __future__ import annotations

from pathlib import Path

__all__ = ["add_distribution"]


def add_distribution(folder: Path, name: str, source: str, **tasks: str) -> None:
    """Add the distribution `name` 1.0 with one module of that name. `tasks`: the object of the module for each task."""
    module = name.replace("-", "_")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{task} = {module}:{target}" for task, target in tasks.items()]
    (info / "entry_points.txt").write_text("\n".join(["[taskloom.tasks]", *lines]) + "\n")
