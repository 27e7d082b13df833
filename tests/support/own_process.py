"""Calls a test in a pytest of its own: it measures its process, or disturbs it.

In the process of hundreds of other tests it would also measure what those leave for the garbage collector, their
threads that end a moment later, and the memory that the allocator keeps.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

import pytest

__all__ = ["call_alone"]

# Set in the child, which calls the test itself.
IS_ALONE = "TEST_IS_ALONE"
# This long before the timeout of the test its child is ended, with the stacks of all threads: the timeout itself would
# end the process of hundreds of other tests.
EARLIER_SECONDS = 10.0


def call_alone(test: pytest.Function) -> bool:
    """Have the test called in a child process and fail as it fails; return False in that child."""
    if IS_ALONE in os.environ:
        return False
    seconds = _seconds_of(test)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with tempfile.TemporaryDirectory(prefix="alone") as folder:
        options = ["-o", "addopts=", "-m", "", "--import-mode=importlib", "-p", "no:cacheprovider"]
        options += [f"--timeout={seconds}", f"--basetemp={folder}/tmp"]
        command = [sys.executable, "-m", "pytest", "-q", *options, test.nodeid]
        child = subprocess.Popen(
            command,
            cwd=test.config.rootpath,
            env=env | {IS_ALONE: "yes"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        told = _told_by(child, seconds - EARLIER_SECONDS)
    if child.returncode != 0 or "1 passed" not in told:
        pytest.fail(f"alone in a process, exit code {child.returncode}:\n{told}", pytrace=False)
    return True


def _seconds_of(test: pytest.Function) -> float:
    marker = test.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0])
    return float(test.config.getoption("timeout") or test.config.getini("timeout"))


def _told_by(child: subprocess.Popen[str], seconds: float) -> str:
    """Wait for the end of the child, and end its whole session if that takes longer; return its output."""
    try:
        return child.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)  # pytest writes all stacks then
    finally:
        _end_session(child)
    return f"not done in {seconds:g} s\n{child.communicate()[0]}"


def _end_session(child: subprocess.Popen[str]) -> None:
    try:
        child.wait(EARLIER_SECONDS / 2)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(child.pid, signal.SIGKILL)  # what it has started is in its session, too
    except ProcessLookupError:
        pass
