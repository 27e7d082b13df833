"""Opens an output file as a run does, and reads what arrived."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskloom.testing import FakeContext
from taskloom_plugins.output import FileTarget


@contextmanager
def target(path: str | Path = "logs/out", *, is_lines: bool = True) -> Iterator[FileTarget]:
    """A file target for this path; closed at the end."""
    with FakeContext() as ctx:
        opened = FileTarget(ctx, str(path), is_lines=is_lines)
        try:
            yield opened
        finally:
            opened.close()


def files(folder: str = "logs") -> dict[str, str]:
    """Return the content of each file of the folder."""
    return {path.name: path.read_text() for path in Path(folder).iterdir()}
