"""The gate between the scheduler and the threads of its runs: plain attributes that both sides read without a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom.core.inputs import Shutdown

__all__ = ["Gate"]


class Gate:
    """Closed once a stop of everything is requested: from then on no thread enters the body of a run.

    The thread that requests the stop closes it with one store before it queues anything. The scheduler thread reads it
    before each start. The thread of a run reads it immediately before it enters the body.
    """

    __slots__ = ("ended", "stop")

    def __init__(self) -> None:
        self.stop: Shutdown | None = None
        """The request that closed the gate. The core processes it before anything else."""
        self.ended: dict[str, float] = {}
        """The runs whose body has ended and whose report is not processed yet, with the monotonic second of the end.

        A run's own thread adds it, the scheduler thread removes it.
        """

    @property
    def is_closed(self) -> bool:
        """Return whether no run may begin any more."""
        return self.stop is not None
