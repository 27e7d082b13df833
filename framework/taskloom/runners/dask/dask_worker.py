"""The worker of Dask in whose process the agents are, as far as they use it: only what Dask documents, or names public.

Any thread may call it. Nothing here waits for the event loop of the worker.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["DaskWorker"]

# The names of `distributed.core.Status` under which a worker keeps what it executes.
_STAYS = frozenset({"running", "paused", "init", "starting", "undefined"})
_CLOSED = frozenset({"closed", "failed"})
_WORDS = {
    "closing": "Dask closes it",
    "closing_gracefully": "Dask retires it",
    "closed": "Dask has closed it",
    "failed": "it has failed",
}
# The state of a task that its client does not want any more, until our function returns.
_GIVEN_UP = "cancelled"


# A worker logs each function that is called in it, by its name: one line for each request, of which there is one in
# five seconds and one for each command.
_LOGGER = "distributed.worker"
_REQUESTED = ("Run out-of-band function %r", ("request",))


def _is_no_request(record: logging.LogRecord) -> bool:
    return (record.msg, record.args) != _REQUESTED


class DaskWorker:
    """One worker. Tests replace it."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        logging.getLogger(_LOGGER).addFilter(_is_no_request)  # once: it is the same function each time

    @property
    def name(self) -> str:
        """The name by which users know it."""
        return str(self._worker.name)

    @property
    def slots(self) -> int:
        """How many of our functions it executes at the same time."""
        return int(self._worker.state.nthreads)

    @property
    def why_closing(self) -> str:
        """Why all runs have to end; "" if they do not."""
        status = self._status
        return "" if status in _STAYS else _WORDS.get(status, f"its status is {status}")

    @property
    def is_closed(self) -> bool:
        """Whether nothing of it works any more."""
        return self._status in _CLOSED

    def current_key(self) -> str:
        """Return the key of the Dask task that the calling thread executes."""
        return str(self._worker.get_current_task())

    def has_given_up(self, key: str) -> bool:
        """Return whether the client of a task that is being executed does not want it any more."""
        # A plain read of a dictionary; the event loop changes it meanwhile, and the next look finds that.
        task = self._worker.state.tasks.get(key)
        return task is not None and task.state == _GIVEN_UP

    def publish(self, topic: str, text: str) -> None:
        """Send a text to all clients that have subscribed to the topic. Never blocks.

        In a mapping: the Dask scheduler adds the address of this worker to it. Lost if the worker has closed.
        """
        try:
            self._worker.log_event(topic, {"reply": text})
        except RuntimeError:
            pass  # its event loop was closed

    @property
    def _status(self) -> str:
        return str(getattr(self._worker.status, "name", self._worker.status))
