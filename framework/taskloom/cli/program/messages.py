"""The messages that other threads put into the queue of the main thread."""

from __future__ import annotations

from enum import Enum

__all__ = ["Message"]


class Message(Enum):
    """A message from another thread to the main thread."""

    SAMPLED = "sampled"
    """The polls of all runs were counted: about once a second, while any run is outside a wait."""
    STOPPING = "stopping"
    """A stop of all jobs has begun."""
    WORK_FINISHED = "work finished"
    """All non-daemon jobs have ended."""
    STOPPED = "stopped"
    """The stop of all jobs is over."""
    THREADS_OVER = "threads over"
    """The time of the threads that the jobs left is over."""
