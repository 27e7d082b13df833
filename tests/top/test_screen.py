"""The whole screen, drawn by textual without a terminal, compared as plain text; an SVG of each is kept beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.top_scenes import JOBS, drive, full, report_of, take_all, texts
from textual.pilot import Pilot

from taskloom.top.app import TopApp
from taskloom.top.inbox import Look
from taskloom.top.styled import Span, Style, line

SCREENS = Path(__file__).parent / "screens"
# To write the files again after a change that is wanted: TOP_SCREENS=update pytest tests/top/test_screen.py
UPDATES = os.environ.get("TOP_SCREENS") == "update"
SIZES = [(80, 24), (160, 50)]
STACK = [
    line(Span("camera#1: at camera.py:88 in read, last poll 42.0 s ago", Style.HEAD)),
    line('  File "/usr/lib/python3.11/threading.py", line 1, in _bootstrap'),
    line(Span('> File "/srv/camera.py", line 88, in read', Style.OWN)),
]

# name -> the keys that lead to the screen
SCENES = {
    "main": [],
    "stuck": ["down"] * 5 + ["k"],
    "confirm": ["s"],
    "log": ["l"],
    "timeline": ["t"],
    "keys": ["question_mark"],
    "filter": ["slash", "g", "p", "s"],
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", [*SCENES, "summary"])
def test_the_screen_is_as_it_was(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    shown: dict[str, str] = {}

    async def steps(app: TopApp, pilot: Pilot[int]) -> None:
        source: Any = app.board.source
        if name == "summary":
            source.put(report=report_of(*JOBS), trouble="")
            source.put(trouble="cannot reach a program at /run/jobs.sock: its program has ended")
        for key in SCENES.get(name, []):
            await pilot.press(key)
        source.put(looks={Look("stack", "camera"): STACK})
        take_all(app)
        await pilot.pause()
        shown["text"] = texts(app)
        (tmp_path / f"{name}.svg").write_text(app.export_screenshot(), "utf-8")

    drive(full(), steps, size=size)

    file = SCREENS / f"{name}-{size[0]}x{size[1]}.txt"
    if UPDATES:
        file.write_text(shown["text"], "utf-8")
    assert shown["text"] == file.read_text("utf-8")
    assert max(map(len, shown["text"].split("\n"))) <= size[0]
    assert (tmp_path / f"{name}.svg").read_text("utf-8").startswith("<svg")
