"""The type of the threads that execute runs, by which they are told from threads that tasks start."""

from __future__ import annotations

import threading

__all__ = ["RunThread"]


class RunThread(threading.Thread):
    """A thread that executes runs. How long it is awaited is up to the join policy of the job."""
