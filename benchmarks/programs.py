"""Measures whole programs with idle jobs: their memory and threads, their wake-ups, and their end after SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from harness import Figures
from meters import process_tree, pss_mib, wait_until

__all__ = ["TASKLOOM", "measure_program"]

TASKLOOM = Path(sysconfig.get_path("scripts")) / "taskloom"
# The time for what a program does after it has printed that it is ready.
SETTLING_SECONDS = 0.3


def measure_program(
    times: int, command: Sequence[str | Path], *, cwd: Path | None = None, idle_seconds: float = 0.0
) -> Figures:
    """Return the medians over `times` starts; with `idle_seconds` also the wake-ups a second during that time."""
    figures = [_measure_once(command, cwd, idle_seconds) for _ in range(times)]
    return {name: median(each[name] for each in figures) for name in figures[0]}


def _measure_once(command: Sequence[str | Path], cwd: Path | None, idle_seconds: float) -> Figures:
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        try:
            _wait_until_up(program)
            processes = process_tree(program.pid)
            memory, threads = pss_mib(processes), sum(map(_threads, processes))
            idle: Figures = {}
            if idle_seconds:
                before = sum(map(_switches, processes))
                time.sleep(idle_seconds)
                # At least one, so that it can be compared: a short sample may have none.
                idle = {"wakeups": max(1, sum(map(_switches, processes)) - before) / idle_seconds}
            asked = time.perf_counter()
            program.send_signal(signal.SIGTERM)
            program.wait()
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes[1:]))
            gone = time.perf_counter() - asked
        finally:
            program.kill()
    return {"gone_ms": gone * 1e3, "mib": memory, "processes": len(processes), "threads": threads, **idle}


def _wait_until_up(program: subprocess.Popen[bytes]) -> None:
    # Either it prints that it is ready, or (the product) every job has logged its first number.
    assert program.stdout is not None
    said = program.stdout.readline()
    if not said:
        raise RuntimeError("the program ended by itself")
    time.sleep(SETTLING_SECONDS)


def _threads(pid: int) -> int:
    with suppress(FileNotFoundError):
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    return 0


def _switches(pid: int) -> int:
    """Return how often the threads of a process have given up a processor: once for each wake-up."""
    count = 0
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            status = (task / "status").read_text()
            count += int(status.partition("voluntary_ctxt_switches:")[2].split()[0])
    return count
