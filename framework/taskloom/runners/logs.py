"""The logger of a run, which adds job and run to every record.

A module of its own, so that a start-up does not import logging.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

__all__ = ["TASK_LOGGER", "run_logger"]

TASK_LOGGER = "taskloom.task"


class _RunLogger(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add job and run to the caller's `extra`. Before Python 3.13 a LoggerAdapter replaces the caller's."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


def run_logger(job: str, run: str) -> logging.LoggerAdapter[logging.Logger]:
    """Return a logger whose records carry `job` and `run`."""
    return _RunLogger(logging.getLogger(TASK_LOGGER), {"job": job, "run": run})
