"""Row 15: how long it takes to ask a running program, from the start of the client until it has printed and ended.

A bare client stands for `systemctl`: it sends one line to a unix socket, and prints the text that comes back.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from harness import Case, Claim, Figures, Role, Row
from meters import wait_until

FEW, MANY = 10, 10_000
TASKLOOM = str(Path(sysconfig.get_path("scripts")) / "taskloom")
# One job runs, and all others wait for a user to start them: the same status lines without ten thousand threads.
ONE = "jobs:\n  collector: {task: countdown, params: {start: 10, interval: 1h}}\n"
OTHER = "  other-{number}: {{task: countdown, start: manual}}\n"

BARE = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(sys.argv[1])
    asked.sendall(b"status\\n")
    asked.shutdown(socket.SHUT_WR)
    while part := asked.recv(65536):
        sys.stdout.buffer.write(part)
"""


@contextmanager
def _program(jobs: int) -> Iterator[str]:
    """Run a program with this number of jobs, and yield the path of its socket once that is there."""
    with TemporaryDirectory(dir="/tmp") as folder:  # the path of a socket has 107 bytes at most
        path, control = Path(folder) / "jobs.yaml", Path(folder) / "control.sock"
        path.write_text(ONE + "".join(OTHER.format(number=number) for number in range(1, jobs)))
        command = [TASKLOOM, "run", "--socket", str(control), str(path)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
            try:
                wait_until(lambda: control.exists() or program.poll() is not None)
                if program.poll() is not None:
                    raise RuntimeError(f"the program ended with {program.returncode}")
                yield str(control)
            finally:
                program.terminate()


@contextmanager
def _bare_server(lines: int) -> Iterator[str]:
    """Answer each connection with this number of lines, as long as those of `taskloom status`."""
    text = b"".join(b"other-%-8d  waiting for start  -        0     -\n" % number for number in range(lines))
    with TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "bare.sock")
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(text)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _ask(command: Sequence[str], times: int, lines: int) -> Figures:
    """Return the time of the first call, and the median of the others."""
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        answer = subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
        if answer.stdout.count(b"other-") < lines - 1:
            raise RuntimeError("the answer has not all jobs")
    return {"first_ms": seconds[0] * 1e3, "next_ms": median(seconds[1:]) * 1e3}


def _taskloom(jobs: int) -> Callable[[int], Figures]:
    def measure(times: int) -> Figures:
        with _program(jobs) as control:
            return _ask([TASKLOOM, "status", "--socket", control], times, jobs)

    return measure


def _curl(jobs: int) -> Callable[[int], Figures]:
    def measure(times: int) -> Figures:
        with _program(jobs) as control:
            url = "http://localhost/v1/jobs"
            return _ask(["curl", "--silent", "--fail", "--unix-socket", control, url], times, jobs)

    return measure


def _bare(lines: int) -> Callable[[int], Figures]:
    def measure(times: int) -> Figures:
        with _bare_server(lines) as path:
            return _ask([sys.executable, "-I", "-S", "-c", BARE, path], times, lines)

    return measure


def _cases(jobs: int) -> list[Case]:
    cases = [Case(f"taskloom status, {jobs:,} jobs", Role.PRODUCT, _taskloom(jobs))]
    if jobs == FEW and shutil.which("curl"):
        cases.append(Case(f"curl, {jobs:,} jobs", Role.PEER, _curl(jobs)))
    return [*cases, Case(f"a bare client, {jobs:,} lines", Role.LIMIT, _bare(jobs))]


ROW = Row(
    number=15,
    title="status of a running program, from the start of the client until it has ended",
    cases=[*_cases(FEW), *_cases(MANY)],
    figures={"first_ms": "ms, the first", "next_ms": "ms, each other"},
    claims=[
        Claim("taskloom status, 10 jobs", "first_ms", "a bare client, 10 lines", hold=20.0, aim=6.0),
        Claim("taskloom status, 10 jobs", "next_ms", "a bare client, 10 lines", hold=20.0, aim=6.0),
        Claim("taskloom status, 10,000 jobs", "next_ms", "a bare client, 10,000 lines", hold=80.0, aim=20.0),
    ],
    full=10,
    quick=3,
    tiny=1,
)
