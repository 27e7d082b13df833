"""The command line of a Dask scheduler or worker, in a process that ends with the thread that started it.

python -m tests.support.dask_process scheduler|worker ARGUMENTS OF DASK...

Environment, for tests about odd workers: CLUSTER_PROTOCOL and CLUSTER_VERSION are what Taskloom there says about
itself; with CLUSTER_WITHOUT_TASKLOOM its import fails.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main(kind: str, arguments: list[str]) -> None:
    """Become a `scheduler` or a `worker`. Does not return before it has ended."""
    # Kept by the kernel until the end: not even a stopped process outlives a test that was killed.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() == 1:
        sys.exit("the process that started this one has ended")
    _pretend()
    command = importlib.import_module(f"distributed.cli.dask_{kind}")
    sys.argv[1:] = arguments
    command.main()


def _pretend() -> None:
    if os.environ.get("CLUSTER_WITHOUT_TASKLOOM"):
        sys.modules["taskloom"] = None  # type: ignore[assignment]  # how Python spells: its import fails
    if "CLUSTER_PROTOCOL" in os.environ:
        messages = importlib.import_module("taskloom.runners.dask.protocol.messages")
        messages.PROTOCOL = int(os.environ["CLUSTER_PROTOCOL"])  # type: ignore[attr-defined]
    if "CLUSTER_VERSION" in os.environ:
        importlib.import_module("taskloom").__version__ = os.environ["CLUSTER_VERSION"]  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
