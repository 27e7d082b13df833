"""Reading time, memory and wake-ups of processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

__all__ = ["Stopwatch", "percentile", "process_tree", "pss_mib", "rss_kib", "wait_until", "wake_ups"]


class Stopwatch:
    """Wall and CPU seconds of this process, all its threads, within a `with` block."""

    wall = 0.0
    cpu = 0.0

    def __enter__(self) -> Stopwatch:
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.wall += time.perf_counter()
        self.cpu += time.process_time()

    def each(self, times: int) -> dict[str, float]:
        """Return both in microseconds for each of so many times."""
        return {"us": self.wall / times * 1e6, "cpu_us": self.cpu / times * 1e6}


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look every millisecond until that is true. Raises TimeoutError."""
    until = time.perf_counter() + seconds
    while not ready():
        if time.perf_counter() > until:
            raise TimeoutError(f"not ready after {seconds:g} s")
        time.sleep(0.001)


def _number(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise KeyError(key)


def rss_kib(pid: int | str = "self") -> int:
    """Return the memory of a process that is in RAM, in KiB."""
    return _number(Path(f"/proc/{pid}/status"), "VmRSS:")


def pss_mib(pids: list[int]) -> float:
    """Return the memory of processes in MiB, pages that they share counted once."""
    return sum(_number(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids) / 1024


def process_tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def wake_ups(pid: int | None = None) -> int:
    """Return how often the threads of a process went to sleep of their own will, and so were woken."""
    threads = Path(f"/proc/{pid or os.getpid()}/task").iterdir()
    return sum(_number(thread / "status", "voluntary_ctxt_switches:") for thread in threads)
