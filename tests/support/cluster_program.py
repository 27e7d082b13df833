"""A program with runs on a cluster, for a test that kills it.

python -m tests.support.cluster_program ADDRESS FOLDER TASK...

It starts one run of each task of `tests.support.cluster_tasks`, whose marks have its name, and runs until killed.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.support import cluster_tasks
from tests.support.cluster_bench import cluster_bench, lease_of

__all__ = ["main"]


def main(address: str, folder: str, *names: str) -> None:
    """Start the runs."""
    with cluster_bench(Path(folder), {"scheduler": address, "lease": lease_of()}) as bench:
        for name in names:
            bench.begin(getattr(cluster_tasks, name), name)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
