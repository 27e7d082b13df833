"""Packages that are installed, half installed or doubled while a program runs: a reload says what to do."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.toy_distribution import add_distribution

Start = Callable[..., Any]

TASK = "def beat(ctx):\n    '''Beat.'''\n    ctx.log.info('beats of %s', __name__)\n    ctx.wait()\n"
JOBS = "jobs: {old: {task: polite}"


@pytest.mark.long
def test_a_reload_uses_packages_that_are_new_and_explains_those_that_need_a_restart(
    start_program: Start, toy_packages: Path, tmp_path: Path
) -> None:
    packages = tmp_path / "site packages"
    packages.mkdir()
    path = f"{packages}:{toy_packages}"
    program = start_program(f"{JOBS}}}", env={"PYTHONPATH": path})
    program.wait_for("old          started")

    # In editable form, so that only a new program finds its module.
    add_distribution(packages, "late-beats", TASK, late="beat")
    source = tmp_path / "source folder"
    source.mkdir()
    (packages / "late_beats.py").rename(source / "late_beats.py")
    url = {"url": source.as_uri(), "dir_info": {"editable": True}}
    (packages / "late_beats-1.0.dist-info" / "direct_url.json").write_text(json.dumps(url))
    program.reload(f"{JOBS}, new: {{task: late}}}}")
    program.wait_for("which takes effect when a program starts: restart the program")
    program.wait_for("reload: cannot use the job files (1 error); nothing has changed")

    # Two packages with one name, beside one that is half installed.
    for name in ("one", "two"):
        add_distribution(packages, f"{name}_beats", TASK, beat="beat")
    (packages / "half-1.0.dist-info").mkdir()
    program.reload(f"{JOBS}, new: {{task: beat}}}}")
    program.wait_for("cannot choose task 'beat': offered by one_beats 1.0 and by two_beats 1.0")
    program.wait_for("; write one-beats/beat or two-beats/beat")
    program.reload(f"{JOBS}, new: {{task: beats}}}}")
    program.wait_for("half-1.0.dist-info: has no METADATA that can be read, as an interrupted installation leaves it")

    program.reload(f"{JOBS}, new: {{task: two-beats/beat}}}}")
    program.wait_for("beats of two_beats")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert "Traceback" not in program.stderr
    assert "internal error" not in program.stderr
