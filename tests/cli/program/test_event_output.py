"""Where one program writes its events, and what it says if that cannot be opened."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from taskloom.cli.program.event_output import EventOutput


def test_without_a_path_there_is_none() -> None:
    events = EventOutput(None)
    events.open()

    assert (events.sink, events.is_on_stdout, events.data_descriptor()) == (None, False, 1)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("no/such/folder", "No such file or directory"),
        ("folder", "Is a directory"),
        ("pipe", "no program has opened this pipe for reading"),
        ("", "No such file or directory"),
    ],
)
def test_what_cannot_be_opened_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(click.UsageError) as caught:
        EventOutput(path).open()

    assert caught.value.message == f"cannot write events to {path!r}: {why}"
