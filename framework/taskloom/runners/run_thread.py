"""The type of the threads that execute runs, by which they are told from threads that tasks start."""

from __future__ import annotations

import threading

from taskloom.sync.prompt_thread import PromptThread

__all__ = ["PromptRunThread", "RunThread"]


class RunThread(threading.Thread):
    """A thread that executes runs. How long it is awaited is up to the join policy of the job."""


class PromptRunThread(PromptThread, RunThread):
    """One that the scheduler thread starts, which must not wait for ever."""
