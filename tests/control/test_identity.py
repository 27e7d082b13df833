"""The lock on the name of a program: who holds it, how it ends, and what it survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskloom.control.identity import Claim, Holder, NameTaken, held_by, in_folder

ME = Holder("web", os.getpid(), "0a1b2c3d", 5.0, "/srv/jobs", "/run/web.sock")

OTHER = """
import os, sys
from taskloom.control.identity import Claim, Holder, NameTaken
folder = os.open(sys.argv[1], os.O_RDONLY)
try:
    claim = Claim(folder, "web.lock", Holder("web", os.getpid(), "beef", 1.5, "/x", "/s"))
except NameTaken as error:
    print("taken by", error.pid, error.holder and error.holder.start, flush=True)
else:
    print("has it", flush=True)
    if len(sys.argv) > 2 and os.fork() == 0:
        os.close(1)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def other_process(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that tries to get the lock, and its first line."""
    command = [sys.executable, "-c", OTHER, str(folder), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            assert process.stdin is not None
            process.stdin.close()


def test_a_lock_says_who_holds_it(folder: int, tmp_path: Path) -> None:
    claim = Claim(folder, "web.lock", ME)

    assert json.loads((tmp_path / "web.lock").read_text()) == ME._asdict()
    assert in_folder(folder) == [ME]
    assert (tmp_path / "web.lock").stat().st_mode & 0o7777 == 0o600
    claim.release(folder)
    claim.release(folder)
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_refused_and_told_the_pid(folder: int, tmp_path: Path) -> None:
    claim = Claim(folder, "web.lock", ME)

    # Asked first by us: to open the file here and to close it would give up the lock.
    assert held_by(folder, "web.lock") == ME
    with other_process(tmp_path) as (_, line):
        assert line == f"taken by {os.getpid()} 0a1b2c3d"
    claim.release(folder)


def test_this_process_is_refused_as_well(folder: int, tmp_path: Path) -> None:
    claim = Claim(folder, "web.lock", ME)

    with pytest.raises(NameTaken) as caught:
        Claim(folder, "web.lock", ME._replace(start="other"))

    assert caught.value.holder == ME
    with other_process(tmp_path) as (_, line):
        assert line.startswith("taken by")
    claim.release(folder)


def test_the_lock_of_a_killed_process_is_free_and_its_file_is_used_again(folder: int, tmp_path: Path) -> None:
    with other_process(tmp_path) as (process, line):
        assert line == "has it"
        assert [each._replace(pid=0) for each in in_folder(folder)] == [Holder("web", 0, "beef", 1.5, "/x", "/s")]
        assert in_folder(folder)[0].pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert in_folder(folder) == []
    assert (tmp_path / "web.lock").exists()

    claim = Claim(folder, "web.lock", ME)

    assert in_folder(folder) == [ME]
    claim.release(folder)


def test_a_forked_child_does_not_hold_the_lock(folder: int, tmp_path: Path) -> None:
    with other_process(tmp_path, "fork") as (process, line):
        assert line == "has it"
        process.send_signal(signal.SIGKILL)
        process.wait()

        Claim(folder, "web.lock", ME).release(folder)


def test_a_removed_lock_file_is_made_anew(folder: int, tmp_path: Path) -> None:
    claim = Claim(folder, "web.lock", ME)
    (tmp_path / "web.lock").unlink()
    assert not claim.is_in(folder)
    assert in_folder(folder) == []

    claim.renew(folder)

    assert in_folder(folder) == [ME]
    with other_process(tmp_path) as (_, line):
        assert line.startswith("taken by")
    claim.release(folder)


def test_a_program_that_was_faster_keeps_the_name(folder: int, tmp_path: Path) -> None:
    claim = Claim(folder, "web.lock", ME)
    (tmp_path / "web.lock").unlink()

    with other_process(tmp_path) as (process, line):
        assert line == "has it"
        with pytest.raises(NameTaken) as caught:
            claim.renew(folder)

        assert caught.value.pid == process.pid
        claim.release(folder)
        assert (tmp_path / "web.lock").exists()


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_something_else_under_the_name_is_refused(folder: int, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "web.lock"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match=r"web.lock|\[Errno"):
        Claim(folder, "web.lock", ME)

    assert held_by(folder, "web.lock") is None
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "web"}', "[" * 60_000, "\0" * 100])
def test_a_lock_file_that_says_nothing_is_not_a_program(folder: int, tmp_path: Path, content: str) -> None:
    (tmp_path / "web.lock").write_text(content)
    assert in_folder(folder) == []

    claim = Claim(folder, "web.lock", ME)

    assert in_folder(folder) == [ME]
    claim.release(folder)
