"""The order to kill leaves nothing, whatever the run does against it."""

from __future__ import annotations

import os
import select
import signal

import pytest
from tests.support.supervised import Supervised, python, shell

from taskloom.runners.process.channel import Exited, Left

pytestmark = pytest.mark.long

# Each says `ready` when it does what its name says. Bombs are limited in time and number, in case a test fails.
HOSTILE = {
    "ignores signals": """
import signal, time
for number in range(1, 32):
    if number not in (9, 19):
        signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
""",
    "spins": """
print("ready", flush=True)
while True: pass
""",
    "is stopped": """
import os, signal
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
""",
    "has a stopped child in another session": """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)
time.sleep(60)
""",
    "closes its descriptors": """
import os, time
os.write(1, b"ready\\n")
os.closerange(0, 1000)
time.sleep(60)
""",
    "changes its group": """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
    print("ready", flush=True)
time.sleep(60)
""",
    "enters the group of its supervisor": """
import os, time
os.setpgid(0, os.getppid())
if os.fork() == 0:
    print("ready", flush=True)
time.sleep(60)
""",
    "forks twice into another session": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("ready", flush=True)
        time.sleep(60)
    os._exit(0)
time.sleep(60)
""",
    "has a deep tree": """
import os, time
for depth in range(30):
    if os.fork():
        break
    if depth % 3 == 0:
        os.setsid()
if depth == 29:
    print("ready", flush=True)
time.sleep(60)
""",
    "has many children": """
import os, time
for number in range(100):
    if os.fork() == 0:
        if number % 2:
            os.setsid()
        time.sleep(60)
        os._exit(0)
print("ready", flush=True)
time.sleep(60)
""",
    "forks and ends again and again": """
import os, time
print("ready", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
""",
    "is replaced by what it forks, in many copies": """
import os, time
for copy in range(8):
    if os.fork() == 0:
        break
else:
    print("ready", flush=True)
    time.sleep(60)
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    if copy % 2:
        os.setsid()
""",
    "is a bomb": """
import os, resource, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_NPROC, (60, 60))
if os.geteuid() == 0:
    os.setresuid(5, 5, 5)  # the limit is none for root
print("ready", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
""",
    "adopts orphans itself": """
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("ready", flush=True)
        time.sleep(60)
    os._exit(0)
time.sleep(60)
""",
    "waits in vfork": """
import os, subprocess, sys
subprocess.run(["/bin/sh", "-c", "echo ready; exec sleep 60"])
""",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_order_kills_the_process_whatever_it_does(name: str) -> None:
    with Supervised(python(HOSTILE[name])) as run:
        assert run.line() == "ready"

        run.send(b"kill\n")

        run.rest_until_done()


@pytest.mark.parametrize("name", HOSTILE)
def test_the_end_of_the_channel_ends_the_process_whatever_it_does(name: str) -> None:
    with Supervised(python(HOSTILE[name]), grace=0.1) as run:
        assert run.line() == "ready"

        run.launched.channel.close()

        assert run.launched.reap(30)
        assert run.output() is not None  # the end of file: no process has it open


def test_what_is_left_ignores_term_and_is_killed() -> None:
    script = "setsid sh -c 'trap \"\" TERM; echo ready; while :; do sleep 1; done' & read line; exit 0"
    with Supervised(shell(script), control=False, linger=0.01) as run:
        messages = run.rest_until_done()

    assert any(isinstance(message, Exited) for message in messages)
    assert any(isinstance(message, Left) for message in messages)


def test_what_is_left_may_end_by_itself() -> None:
    script = "setsid sh -c 'echo begins; sleep 0.05; echo ends' & read line; exit 0"
    with Supervised(shell(script), linger=20.0) as run:
        messages = run.rest_until_done()

        assert run.output() == "begins\nends\n"
        assert isinstance(messages[-1], Exited)


def test_what_is_left_gets_a_term_and_then_the_time_until_the_order_to_kill_if_the_parent_is_patient() -> None:
    """The parent kills after more than the second that impatience gives, so an impatient supervisor fails this."""
    script = (
        "trap 'exit 0' INT; setsid sh -c 'trap \"echo asked\" TERM; echo ready; while :; do sleep 0.01; done' & wait"
    )
    with Supervised(shell(script), linger=0.01) as run:
        assert run.line() == "ready"
        run.send(b"patient\nsignal 2\n")
        run.until(Left)
        assert run.line() == "asked"
        assert not select.select([run.launched.channel], [], [], 1.5)[0]
        run.send(b"kill\n")
        run.rest_until_done()


def test_a_main_process_that_has_left_its_group_gets_the_signal_of_the_group() -> None:
    source = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.write(writing, b"x")
    time.sleep(60)
os.read(reading, 1)
os.setpgid(0, pid)
print("ready", flush=True)
time.sleep(60)
"""
    with Supervised(python(source)) as run:
        assert run.line() == "ready"

        run.send(b"group 15\n")

        exited = run.until(Exited)
        assert os.WEXITSTATUS(exited.status) == 5
        run.rest_until_done()


def test_a_stopped_run_gets_the_signal_to_end() -> None:
    source = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(6))
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
signal.pause()
"""
    with Supervised(python(source)) as run:
        assert run.line() == "ready"

        run.send(b"group 15\n")

        assert os.WEXITSTATUS(run.until(Exited).status) == 6


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b"nonsense\n",
        b"signal x\n",
        b"group 99\n",
        b"signal 9999999999999999999\n",
        b"signal 9 9\n",
        b"\n\n",
        b"\xff\n",
    ],
)
def test_an_order_that_means_nothing_has_no_effect(order: bytes) -> None:
    with Supervised(shell("echo ready; exec sleep 60")) as run:
        assert run.line() == "ready"

        run.send(order)
        run.send(b"sig")
        run.send(b"nal 10\n")

        assert os.WTERMSIG(run.until(Exited).status) == signal.SIGUSR1


def test_a_signal_to_the_supervisor_has_no_effect() -> None:
    """`systemctl stop` sends one to each process of a unit; the program decides what it means for the runs."""
    harmful = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, *range(32, 34)}
    faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS}
    with Supervised(shell("trap 'echo reached' TERM; echo ready; while :; do sleep 0.01; done"), grace=0.0) as run:
        assert run.line() == "ready"

        for number in sorted(harmful - faults):
            os.kill(run.launched.pid, number)
        run.send(b"signal %d\n" % signal.SIGTERM)

        assert run.line() == "reached"
        run.send(b"kill\n")
        assert os.WTERMSIG(run.until(Exited).status) == signal.SIGKILL


def test_a_stopped_supervisor_kills_when_it_is_continued() -> None:
    with Supervised(shell("echo ready; kill -STOP $PPID; exec sleep 60")) as run:
        assert run.line() == "ready"

        os.waitid(os.P_PID, run.launched.pid, os.WSTOPPED | os.WNOWAIT)
        run.send(b"kill\n")
        os.kill(run.launched.pid, signal.SIGCONT)

        run.rest_until_done()
