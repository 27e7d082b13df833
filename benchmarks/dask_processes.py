"""A Dask cluster of row 18: the scheduler and each worker is a process, as an operator would start it.

Executed, it is such a process, which ends with the one that started it: python dask_processes.py scheduler|worker ...
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["dask_cluster"]

# Only a failure takes longer.
PATIENCE_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
# The path is that of the task, which is imported on the workers.
_SETTINGS = {
    "DASK_CONFIG": os.devnull,
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "PYTHONPATH": str(Path(__file__).resolve().parent),
}


@contextmanager
def dask_cluster(workers: int, slots: int) -> Iterator[tuple[str, Any]]:
    """Start a scheduler and its workers; return their address and a client of Dask."""
    # Here, so that the case is reported as skipped where Dask is not installed.
    from distributed import Client

    with TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "scheduler.json"
        place = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        scheduler = stack.enter_context(_process("scheduler", place, folder))
        address = _await_address(file, scheduler)
        for number in range(workers):
            given = [address, "--name", f"w{number}", "--nthreads", str(slots), "--no-nanny", "--no-dashboard"]
            given += ["--host", "127.0.0.1", "--memory-limit", "0", "--local-directory", folder]
            stack.enter_context(_process("worker", given, folder))
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=PATIENCE_SECONDS)
            yield address, client


@contextmanager
def _process(kind: str, given: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """One process, which is killed at the end with all that is left of its group: Dask's own end may wait for long."""
    process = subprocess.Popen(
        [sys.executable, __file__, kind, *given],
        env=os.environ | _SETTINGS,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_address(file: Path, scheduler: subprocess.Popen[bytes]) -> str:
    """Wait until the scheduler has written where it listens."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < limit and scheduler.poll() is None:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise TimeoutError("the Dask scheduler has not begun")


def _become(kind: str, given: list[str]) -> None:
    """Become a scheduler or a worker that the kernel kills when the process that started it has ended."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != 1:
        sys.argv[1:] = given
        import_module(f"distributed.cli.dask_{kind}").main()


if __name__ == "__main__":
    _become(sys.argv[1], sys.argv[2:])
