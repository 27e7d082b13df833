"""`taskloom run` with programs: reload, the end, and that nothing is left of them when it is killed."""

from __future__ import annotations

import re
import signal
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.supervised import MARK, await_none_marked, kill_marked, marked

pytestmark = pytest.mark.long

LOOP = "while :; do sleep 0.01; done"


def test_a_reload_signals_a_program_and_a_deaf_one_is_killed_on_time(start_program: Callable[..., Any]) -> None:
    program = start_program(
        f"""
jobs:
  relay:
    task: command
    params:
      shell: true
      argv: trap 'echo reloaded' HUP; echo up; {LOOP}
      ready: up
      reload_signal: HUP
  deaf:
    task: command
    params: {{shell: true, argv: "trap '' TERM; echo deaf is up; {LOOP}", ready: up}}
    join: 300ms
"""
    )
    program.wait_for_event("ready", "relay")
    program.wait_for_event("ready", "deaf")
    program.send(signal.SIGHUP)
    program.wait_for("reloaded")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert program.told("ended") == ["ended relay cancelled", "ended deaf cancelled"]
    [seconds] = set(re.findall(r"SIGKILL after (\d+\.\d) s", program.stderr))
    assert float(seconds) >= 0.3
    assert "Traceback" not in program.stderr


def test_nothing_is_left_of_a_program_and_its_check_when_taskloom_is_killed(start_program: Callable[..., Any]) -> None:
    mark = uuid.uuid4().hex
    program = start_program(
        f"""
jobs:
  web:
    task: command
    params:
      shell: true
      argv: "setsid sh -c \\"trap '' TERM; {LOOP}\\" & echo up; wait"
      ready: up
      check:
        command: [sh, -c, "trap '' TERM; setsid sleep 60 & echo checking > $NOTE; wait"]
        every: 10ms
        timeout: 60s
      env: {{NOTE: checking}}
""",
        env={MARK: mark},
    )
    try:
        program.wait_for_event("ready", "web")
        while not (program.folder / "checking").exists():
            program.pass_time(0.02)
        program.process.kill()
        program.process.wait()

        assert await_none_marked(mark) == {}
    finally:
        kill_marked(mark)
    assert marked(mark) == {}
