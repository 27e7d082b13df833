"""The logger of a run: job and run bound to every line. Apart, because importing logging costs a start-up."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

__all__ = ["TASK_LOGGER", "run_logger"]

TASK_LOGGER = "taskloom.task"


class _RunLogger(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add job and run to what the caller gives as `extra` (before 3.13 an adapter replaces it)."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


def run_logger(job: str, run: str) -> logging.LoggerAdapter[logging.Logger]:
    """Return a logger whose records carry `job` and `run`."""
    return _RunLogger(logging.getLogger(TASK_LOGGER), {"job": job, "run": run})
