"""The runner `process`: each run in processes of its own, which can be killed.

Importing it starts nothing and imports little: the threads, and all that they need, are made for the first run.
"""

from __future__ import annotations

from taskloom.runners.process.runner import ProcessRunner

__all__ = ["ProcessRunner"]
