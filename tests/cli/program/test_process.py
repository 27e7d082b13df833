"""Another process, as the watcher and the init see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from taskloom.cli.program.process import Process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A child that ends by any signal. It is halted, so signals stay pending."""
    child = subprocess.Popen(["sleep", "1000"])
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    yield child
    child.kill()
    child.wait()


@pytest.fixture(params=["pidfd", "no pidfd"])
def process(
    request: pytest.FixtureRequest, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Process]:
    if request.param == "no pidfd":
        monkeypatch.delattr(os, "pidfd_open")
    process = Process(child.pid)
    yield process
    process.close()


def test_it_has_ended_once_a_signal_that_was_sent_is_handled(process: Process, child: subprocess.Popen[bytes]) -> None:
    process.send(signal.SIGTERM)
    assert not process.has_ended()

    child.send_signal(signal.SIGCONT)
    child.wait()

    assert process.has_ended()
    process.send(signal.SIGTERM)  # no effect, no error


def test_a_signal_that_is_not_handled_yet_is_pending(child: subprocess.Popen[bytes]) -> None:
    process = Process(child.pid)

    child.send_signal(signal.SIGTERM)

    assert process.has_pending(signal.SIGTERM)
    assert not process.has_pending(signal.SIGHUP)
    child.send_signal(signal.SIGCONT)
    child.wait()
    assert not process.has_pending(signal.SIGTERM)
    process.close()


COLLECT = """
    import os, signal
    from taskloom.cli.program.process import Child

    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        signal.pause()
    child = Child(pid)
    others = [os.posix_spawnp("true", ["true"], os.environ) for _ in range(3)]
    for other in others:
        os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
    assert not child.has_ended()
    assert not any(os.path.exists(f"/proc/{other}") for other in others)
    child.send(signal.SIGTERM)
    print(child.wait_for_end(), child.has_ended())
"""


def test_the_end_of_other_children_is_collected_while_one_is_watched() -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(COLLECT)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (answer.stdout, answer.stderr) == (f"{128 + signal.SIGTERM} True\n", "")
