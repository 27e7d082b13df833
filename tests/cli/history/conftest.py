"""Verbs that read a history which the test has written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.recorded_history import NAME, NOW, RecordedHistory

from taskloom.cli.entry import call


class Said(NamedTuple):
    """What a verb has written, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no history of the developer; the time zone and the present are fixed."""
    for name in ("TASKLOOM_NAME", "TASKLOOM_HISTORY", "TASKLOOM_SOCKET", "STATE_DIRECTORY", "NO_COLOR", "FORCE_COLOR",
                 "TTY_COMPATIBLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of mine"))
    monkeypatch.setenv("TERM", "xterm")
    for module in ("history", "report", "run_log"):
        monkeypatch.setattr(f"taskloom.cli.history.{module}.wall", lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of this user's histories."""
    folder = tmp_path / "state of mine" / "taskloom"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def recorded(folder: Path) -> Iterator[RecordedHistory]:
    """The history of a program with one start, which has ended."""
    found = RecordedHistory(folder / f"{NAME}.sqlite")
    found.start()

    yield found

    found.close()


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call a verb, in this process."""

    def ask(*words: str) -> Said:
        capsys.readouterr()
        code = call(words)
        return Said(code, *capsys.readouterr())

    return ask


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
