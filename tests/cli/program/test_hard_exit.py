"""The exit at the third signal: who is left, and that nothing delays it."""

from __future__ import annotations

import pytest
from tests.support.child_programs import run_program

from taskloom.cli.program.hard_exit import left_line
from taskloom.clock import mono


@pytest.mark.parametrize(
    ("places", "threads", "line"),
    [
        ([("deaf", "a.py:3 in f")], ["ignored"], "left: deaf at a.py:3 in f"),
        ([("deaf", "a.py:3 in f"), ("b", "")], [], "left: deaf at a.py:3 in f, b"),
        ([(name, "") for name in "abcdefg"], [], "left: a, b, c, d, e and 2 more"),
        ([], ["pool-1", "pool-2"], "left: no job, threads pool-1, pool-2"),
        ([], [], "no job is left"),
    ],
)
def test_the_line_names_jobs_or_else_threads(places: list[tuple[str, str]], threads: list[str], line: str) -> None:
    assert left_line(places, threads) == line


HEAD = """\
    import os, threading
    from taskloom.cli.program.hard_exit import exit_at_once

    def block(*_):
        threading.Event().wait()

    def say():
        os.write(1, b"said")

    def fail(*_):
        raise KeyboardInterrupt

    def no_thread(*_):
        raise RuntimeError("can't start new thread")
"""


@pytest.mark.parametrize(
    ("call", "out"),
    [
        ("exit_at_once(130, say, lambda seconds: os.write(1, b' %g' % seconds))", "said 0.1"),
        ("exit_at_once(130, block, print)", ""),
        ("exit_at_once(130, say, block)", "said"),
        ("exit_at_once(130, fail, print)", ""),
        ("threading.Thread.start = no_thread; exit_at_once(130, say, print)", ""),
    ],
)
def test_the_process_exits_with_its_code_whatever_blocks_or_fails(
    call: str, out: str, child_env: dict[str, str]
) -> None:
    began = mono()
    ended = run_program(f"{HEAD}\n    {call}\n", child_env)

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, out, "")
    assert mono() - began < 10  # the start of an interpreter on a busy machine included; block would never return
