"""No descriptors, processes or memory to be had: the start fails in words, and nothing is left open."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.supervised import Supervised

from taskloom.runners.process import launch as launching
from taskloom.runners.process.channel import Done
from taskloom.runners.process.launch import CannotLaunch


def descriptors() -> set[str]:
    """Return the numbers of our open descriptors, with that of the one that lists them."""
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@contextmanager
def only_free(count: int) -> Iterator[None]:
    """Let this program open this number of further descriptors, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, descriptors())) + 30, hard))
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while len(fillers) < 10_000:
            try:
                fillers.append(os.dup(fillers[0]))
            except OSError:
                break
        for _ in range(count):
            os.close(fillers.pop())
        yield
    finally:
        for filler in fillers:
            os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_the_start_fails_in_words_and_leaves_none_open() -> None:
    before = descriptors()
    free = 0
    while True:
        try:
            with only_free(free):
                run = Supervised(["true"], control=True)
        except CannotLaunch as error:
            told = str(error)
        else:
            break
        assert told.endswith("'job': this process has no more file descriptors (limit: `ulimit -n`)")
        assert descriptors() <= before, free
        free += 1

    with run:
        assert isinstance(run.rest()[-1], Done)
    # Two pairs of sockets, two pipes, the spec, and what `subprocess` needs beside.
    assert free >= 9


def refusing(error: BaseException) -> SimpleNamespace:
    """Return `subprocess` as it is when the kernel refuses."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    return SimpleNamespace(Popen=refuse)


@pytest.mark.parametrize(
    "error, words",
    [
        (BlockingIOError(11, "x"), "no more processes (limits: `ulimit -u`, pids.max of the cgroup, kernel.pid_max)"),
        (OSError(12, "x"), "the system has no more memory"),
        (OSError(23, "x"), "the system has no more file descriptors (limit: fs.file-max)"),
        (
            FileNotFoundError(2, "No such file", sys.executable),
            f"the Python interpreter '{sys.executable}': No such file",
        ),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (MemoryError(), "this program has no more memory"),
    ],
    ids=["processes", "memory", "descriptors", "interpreter", "permission", "our memory"],
)
def test_a_refusal_of_the_kernel_is_explained_and_leaves_no_descriptor(
    error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "subprocess", refusing(error))
    before = descriptors()

    with pytest.raises(CannotLaunch) as caught:
        Supervised(["true"], control=True, stdin=b"x")

    assert str(caught.value).startswith("cannot start a process for job 'job': ")
    assert str(caught.value).endswith(words)
    assert descriptors() <= before


def test_an_interrupted_start_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "subprocess", refusing(KeyboardInterrupt()))
    before = descriptors()

    with pytest.raises(KeyboardInterrupt):
        Supervised(["true"], control=True)

    assert descriptors() <= before


def test_a_program_without_an_interpreter_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")

    with pytest.raises(CannotLaunch, match="this program has no Python interpreter"):
        Supervised(["true"])


def test_a_run_that_is_over_leaves_no_descriptor_and_no_zombie() -> None:
    before = descriptors()
    with Supervised(["true"], control=True, stdin=b"x" * 100_000) as run:
        pid = run.launched.pid
        assert isinstance(run.rest()[-1], Done)

    assert descriptors() <= before
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="the limit is set as root, for another user")
def test_with_no_process_left_for_the_user_the_program_says_so() -> None:
    source = """
import os, resource
from taskloom.runners.process.channel import parse_message
from taskloom.runners.process.launch import CannotLaunch, LaunchSpec, launch
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
os.setresuid(5, 5, 0)
try:
    launched = launch(LaunchSpec(argv=["true"], env={}, job="a"))
    launched.channel.setblocking(True)
    print(launched.why_failed(parse_message(launched.channel.makefile().readline().rstrip())))
    launched.close()
    os.setresuid(0, 0, 0)
    launched.reap(30)
except CannotLaunch as error:
    print(error)
"""
    can_reach = "import os, sys; os.setuid(5); sys.exit(not os.access(sys.argv[1], os.R_OK))"
    supervisor = Path(launching.__file__).parents[2] / "worker" / "supervisor.py"
    if subprocess.run([sys.executable, "-c", can_reach, supervisor], check=False).returncode != 0:
        pytest.skip("the folder of this tree is closed to other users")
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout

    words = "the system has no more processes (limits: `ulimit -u`, pids.max of the cgroup, kernel.pid_max)\n"
    assert told == f"cannot start a process for job 'a': {words}"


PIDS = Path("/sys/fs/cgroup/pids")


@pytest.mark.long
@pytest.mark.skipif(
    not os.access(PIDS, os.W_OK), reason="needs a cgroup of its own with the pids controller, version 1"
)
@pytest.mark.parametrize("limit", [1, 2])
def test_with_no_process_left_in_the_cgroup_the_program_says_so(limit: int) -> None:
    """With 1 the supervisor cannot be started, with 2 it can, but it cannot start the run."""
    source = """
import os, sys
from pathlib import Path
from taskloom.runners.process.channel import parse_message
from taskloom.runners.process.launch import CannotLaunch, LaunchSpec, launch
folder = Path(sys.argv[1])
(folder / "pids.max").write_text(sys.argv[2])
(folder / "cgroup.procs").write_text("0")
try:
    launched = launch(LaunchSpec(argv=["true"], env={}, job="a"))
    launched.channel.setblocking(True)
    print(launched.why_failed(parse_message(launched.channel.makefile().readline().rstrip())))
    launched.close()
    launched.reap(30)
except CannotLaunch as error:
    print(error)
"""
    folder = PIDS / f"taskloom-test-{os.getpid()}-{limit}"
    folder.mkdir()
    try:
        command = [sys.executable, "-c", source, str(folder), str(limit)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        folder.rmdir()

    words = "the system has no more processes (limits: `ulimit -u`, pids.max of the cgroup, kernel.pid_max)\n"
    assert told == f"cannot start a process for job 'a': {words}"
