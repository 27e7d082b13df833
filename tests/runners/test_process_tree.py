"""The processes of a run, read from /proc: real children, which wait until they are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from taskloom.runners import process_tree
from taskloom.runners.process_tree import info_of, tree_of, tree_text, where_of

# Prints once both children exist; they end with it, since each waits for the end of its input.
FAMILY = """
import os, sys
for _ in range(2):
    if os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
print("ready", flush=True)
os.read(0, 1)
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process with two children and a command line that a terminal should not get."""
    arguments = [sys.executable, "-S", "-c", FAMILY, "hello\x1b[31m", "x" * 500]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        output: IO[bytes] | None = started.stdout
        assert output is not None
        assert output.readline() == b"ready\n"
        yield started
        assert started.stdin is not None
        started.send_signal(signal.SIGCONT)
        started.stdin.close()


def test_the_numbers_are_those_of_all_processes(family: subprocess.Popen[bytes]) -> None:
    info = info_of(family.pid)

    assert info is not None
    assert (info.pid, info.processes) == (family.pid, 3)
    assert info.state in ("running", "sleeping")  # it may not have begun to wait yet
    assert 1 << 20 < info.memory < 1 << 30
    assert 0.0 <= info.cpu < 60.0


def test_a_supervisor_is_not_counted(family: subprocess.Popen[bytes]) -> None:
    """This process is the supervisor here; it may have other children, so only the first process is looked for."""
    info = info_of(family.pid, os.getpid())

    assert info is not None
    assert info.pid == family.pid
    assert info.processes >= 3
    assert f"pid {os.getpid()}," not in tree_text(os.getpid(), without_root=True)


def test_the_main_process_is_named_although_it_has_ended(family: subprocess.Popen[bytes]) -> None:
    """What it has left is still counted."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as ended:
        ended.wait()

    info = info_of(ended.pid, os.getpid())

    assert info is not None
    assert info.pid == ended.pid
    assert info.processes >= 3


def test_memory_is_shared_fairly_where_that_can_be_read(
    family: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = info_of(family.pid)
    monkeypatch.setattr(process_tree, "_MOST_SHARES", 0)
    resident = info_of(family.pid)

    assert shared is not None
    assert resident is not None
    assert shared.memory < resident.memory  # the interpreter counts three times


def test_a_stopped_process_is_seen(family: subprocess.Popen[bytes]) -> None:
    family.send_signal(signal.SIGSTOP)
    os.waitpid(family.pid, os.WUNTRACED)

    info = info_of(family.pid)

    assert info is not None
    assert info.state == "stopped"
    assert where_of(family.pid).endswith(f"(pid {family.pid}), stopped")


def test_the_text_has_a_line_for_each_process_below_its_parent(family: subprocess.Popen[bytes]) -> None:
    first, *children = tree_text(family.pid).splitlines()

    assert re.match(rf"  pid {family.pid}, (running|sleeping( in \w+)?): /", first)
    assert len(children) == 2
    assert all(re.match(r"    pid \d+, (running|sleeping( in \w+)?): /", child) for child in children)
    assert "\x1b" not in first
    assert "left out" in first
    assert len(first) < 300


def test_more_processes_than_can_be_shown_are_counted(
    family: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_tree, "_MOST_SHOWN", 1)

    assert tree_text(family.pid).splitlines()[1:] == ["  and 2 more"]
    assert len(tree_of(family.pid, most=2)) == 2


def test_a_process_that_has_ended_has_no_numbers(family: subprocess.Popen[bytes]) -> None:
    family.kill()
    family.wait()

    assert info_of(family.pid) is None
    assert tree_text(family.pid) == ""
    assert where_of(family.pid) == ""


@pytest.mark.parametrize("name", ["a) R 1 (b", "x y", ")))"])
def test_a_process_may_have_any_name(name: str) -> None:
    code = f"open('/proc/self/comm', 'w').write({name!r}); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()

        found = tree_of(started.pid)
        started.communicate(b"\n")

    assert [(each.pid, each.name, each.letter in "RS") for each in found] == [(started.pid, name, True)]
