"""Measures time, memory and wake-ups of processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

__all__ = ["Stopwatch", "percentile", "process_tree", "pss_mib", "rss_kib", "wait_until", "wake_ups"]


class Stopwatch:
    """The wall time and CPU time of this process, with all its threads, in a `with` block; in seconds."""

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
        """Return both times in microseconds per repetition."""
        return {"us": self.wall / times * 1e6, "cpu_us": self.cpu / times * 1e6}


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    """Check every millisecond until `ready` returns True. Raises TimeoutError."""
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
    """Return the resident memory of a process, in KiB."""
    return _number(Path(f"/proc/{pid}/status"), "VmRSS:")


def pss_mib(pids: list[int]) -> float:
    """Return the memory of processes in MiB; shared pages are counted once."""
    return sum(_number(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids) / 1024


def process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def wake_ups(pid: int | None = None) -> int:
    """Return how often the threads of a process went to sleep voluntarily, which is how often they were woken."""
    threads = Path(f"/proc/{pid or os.getpid()}/task").iterdir()
    return sum(_number(thread / "status", "voluntary_ctxt_switches:") for thread in threads)
