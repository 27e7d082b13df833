"""The process that has the Dask scheduler of a local cluster and starts its workers.

Its standard input begins with one line, an object with `workers`, `slots` and `security`; the rest of it is a pipe
that is open as long as the program lives. At its end everything here is killed. One line on standard output says the
address, or why there is none.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from taskloom.text import to_json

__all__ = ["main"]

_SETTINGS = {
    # No web pages: they would be there for each user of the machine.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.scheduler.reuse-broadcast-comm": True,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
"""Runs are processes of their own and mostly wait: profiles and limits of the workers are of no use to them."""

# Dask listens for its pages all the same, so not on a port that another cluster may have.
_NO_PAGES = "127.0.0.1:0"


def main() -> None:
    """Make the cluster, and end it with the program."""
    # The workers must not have the pipe: nothing reads what they print.
    answer, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    order = json.loads(_first_line())
    folder = tempfile.mkdtemp(prefix="taskloom-dask-")
    threading.Thread(target=_end_with_program, args=(folder,), name="liveness", daemon=True).start()
    try:
        asyncio.run(_serve(order, folder, answer))
    except BaseException as error:  # noqa: BLE001 - the program has to know
        _say(answer, {"error": f"{type(error).__name__}: {error}"})
        _end(folder)


def _first_line() -> bytes:
    """Read the order, and nothing after it: the rest is for the thread that waits for the end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        read = os.read(0, 65536)
        if not read:
            os._exit(0)
        line += read
    return bytes(line)


async def _serve(order: dict[str, Any], folder: str, answer: int) -> None:
    import dask.config
    from distributed import LocalCluster, Security

    dask.config.set(_SETTINGS)
    cluster = LocalCluster(
        n_workers=order["workers"],
        threads_per_worker=order["slots"],
        processes=True,
        host="127.0.0.1",
        protocol="tls://",
        security=Security(require_encryption=True, **order["security"]),
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": _NO_PAGES},
        worker_dashboard_address=_NO_PAGES,
        memory_limit=0,
        local_directory=folder,
        asynchronous=True,
        silence_logs=50,
    )
    await cluster
    _say(answer, {"address": cluster.scheduler_address})
    await asyncio.Event().wait()


def _say(answer: int, what: dict[str, Any]) -> None:
    with suppress(OSError):  # the program has ended
        os.write(answer, to_json(what, is_ascii=True).encode() + b"\n")


def _end_with_program(folder: str) -> None:
    """Wait for the end of standard input: the program has closed it, or has ended."""
    while os.read(0, 4096):
        pass
    _end(folder)


def _end(folder: str) -> None:
    """Kill all processes of the cluster, this one last, and remove their folder.

    All are in one process group, which is led by this process; each run has a supervisor, which ends with its worker.
    """
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            if pid != os.getpid() and os.getpgid(pid) == os.getpgrp():
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
